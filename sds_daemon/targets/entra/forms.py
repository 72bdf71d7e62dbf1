"""Requests by form: the SDK builds each shape of request once, with marks where the values go.

A model of the SDK costs a quarter of a millisecond to fill and to write out, and there is one for every account of a
district. Requests of one shape differ in their values alone, so the finished JSON of the first is the form of the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from datetime import date
from typing import Any
from urllib.parse import quote

import msgspec

from sds_daemon.targets.entra import bodies
from sds_daemon.targets.entra.bodies import BadAttribute, Body, Field

PLACE = "00000000-0000-0000-0000-00000000f0f0"
"""Stands for the object's id while a form is made."""

_MARK = "\ue000"  # of the private use area: no JSON the SDK writes by itself has it
_TEXT = Field("", "")
_encode = msgspec.json.Encoder().encode

Build = Callable[[Mapping[str, Any], str], tuple[Any, Body]]
"""Makes the SDK's RequestInformation, and the body it was made of, from values and the id of the object written."""


class Form(msgspec.Struct, frozen=True):
    """One shape of request. `pieces` of JSON go between the values of `names`; None: the request has no body."""

    method: str
    url: str
    pieces: tuple[bytes, ...] | None
    names: tuple[str, ...]

    def body(self, values: Mapping[str, Any]) -> bytes | None:
        """The JSON with these values."""
        if self.pieces is None:
            return None
        parts = [self.pieces[0]]
        for name, piece in zip(self.names, self.pieces[1:], strict=True):
            parts += (_encode(values[name]), piece)
        return b"".join(parts)

    def address(self, object_id: str) -> str:
        """The address of this object."""
        return self.url.replace(PLACE, quote(object_id, safe="")) if object_id else self.url


class Forms:
    """The forms met so far. `root` is the service root the SDK's addresses begin with."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._forms: dict[Hashable, Form | None] = {}

    def fill(
        self,
        name: Hashable,
        values: Mapping[str, Any],
        fields: Mapping[str, Field],
        object_id: str,
        build: Build,
    ) -> tuple[Form | None, bytes | None]:
        """The form and the body; no form where there is nothing to send. `name` tells one `build` from the others.

        Values are texts, or lists under names that no field has; None clears. Raises BadAttribute.
        """
        shape, given = _sorted_out(values, fields)
        key = (name, shape)
        if key not in self._forms:
            self._forms[key] = self._made(build, values, fields, given, object_id)
        form = self._forms[key]
        return form, form.body(given) if form is not None else None

    def _made(
        self,
        build: Build,
        values: Mapping[str, Any],
        fields: Mapping[str, Field],
        given: Mapping[str, Any],
        object_id: str,
    ) -> Form | None:
        marks = {name: _mark(number, name, fields) for number, name in enumerate(given)}
        info, body = build({**values, **marks}, PLACE if object_id else "")
        if body.empty:
            return None
        url = info.url.removeprefix(self._root)
        if not info.content:
            return Form(info.http_method.value, url, None, ())
        document = msgspec.json.decode(bodies.with_nulls(info.content, body.clear))
        names = {mark: name for name, mark in marks.items()}
        pieces, found = _cut(_encode(_renamed(document, names)).decode())
        return Form(info.http_method.value, url, pieces, found)


def _sorted_out(
    values: Mapping[str, Any], fields: Mapping[str, Field]
) -> tuple[tuple[tuple[str, Any], ...], dict[str, Any]]:
    """What belongs to the shape (names, values that are None or one of few), and the texts that go into it."""
    shape: list[tuple[str, Any]] = []
    given: dict[str, Any] = {}
    for name, value in values.items():
        field = fields.get(name, _TEXT)
        if value is None or field.choice:
            shape.append((name, value))
            continue
        shape.append((name, ""))
        if isinstance(value, list):
            given[name] = value
            continue
        try:
            given[name] = str(value) if field.convert is str else str(field.convert(str(value)))
        except ValueError:
            raise BadAttribute(name) from None
    return tuple(shape), given


def _mark(number: int, name: str, fields: Mapping[str, Field]) -> str:
    """A text that the field takes and that nothing else in the body is."""
    plain = fields.get(name, _TEXT).convert is str
    return f"{_MARK}{name}" if plain else date.fromordinal(number + 1).isoformat()


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    """The document with every mark made recognisable in JSON."""
    if isinstance(node, dict):
        return {key: _renamed(value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [_renamed(value, names) for value in node]
    return f"{_MARK}{names[node]}{_MARK}" if isinstance(node, str) and node in names else node


def _cut(text: str) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """The pieces between the marks (which stand in quotes), and the names of the marks."""
    parts = text.replace(f'"{_MARK}', _MARK).replace(f'{_MARK}"', _MARK).split(_MARK)
    return tuple(part.encode() for part in parts[::2]), tuple(parts[1::2])
