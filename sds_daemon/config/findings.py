"""What is wrong with a configuration, in words: one finding per key, each with its place and its remedy."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

SECRET_KEYS = frozenset({"client_id", "client_secret"})

_EXPECTED: dict[str, tuple[str, str]] = {
    "schools": ("must name at least one school", 'write "all", or a list of school names or numbers'),
    "school_year": ("is not a school year", 'write "current", or the year it begins in, like 2026'),
    "pause": ("is not a pause", 'write seconds, like 600, text like "10m" or "1h", or "auto"; at most 24 hours'),
    "tenant_id": ("is not a tenant id", "copy the Directory (tenant) ID, a GUID, from the Entra admin centre"),
    "license_group": ("is not the id of a group", "copy the group's Object ID, a GUID, from the Entra admin centre"),
    "client_secret_expires": ("is not a date", "write the day without quotes, like 2027-08-31"),
    "usage_location": ("is not a country code", 'write two capital letters of ISO 3166, like "US"'),
    "domain": ("is not a domain", 'write a verified domain of the tenant, like "students.contoso.com"'),
    "class_domain": ("is not a domain", 'write a verified domain of the tenant, like "contoso.com"'),
    "suffix": ("is not a domain", "write a verified domain of the tenant, or leave the key out for no suffix"),
}
_MISSING: dict[str, str] = {
    "source": "name the [sources.NAME] table to read from",
    "tenant": "name the [tenants.NAME] table to write to",
    "schools": 'write "all", or a list of school names or numbers',
    "users": 'write "match", "create" or "match_or_create"',
    "type": 'write "powerschool"',
    "url": 'write the server\'s address, like "https://powerschool.contoso.edu"',
    "tenant_id": "copy the Directory (tenant) ID from the Entra admin centre",
    "client_id": "copy it from the plugin's page in PowerSchool (source) or the app registration (tenant)",
    "client_secret": 'refer to it, like "credential:powerschool"',
}
_TYPES: dict[str, tuple[str, str]] = {
    "int_type": ("must be a whole number", "write it without quotes"),
    "float_type": ("must be a number", "write it without quotes"),
    "bool_type": ("must be true or false", "write it without quotes"),
    "string_type": ("must be text", "put it in quotes"),
    "tuple_type": ("must be a list of texts", 'write it like ["one", "two"]'),
    "path_type": ("must be a path", "put it in quotes"),
    "is_instance_of": ("must be text", "put it in quotes"),
    "model_type": ("must be a table", "give it a header of its own in square brackets"),
    "string_too_short": ("must not be empty", "write a value, or leave the key out"),
}
_RANGES = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


@dataclass(frozen=True, order=True)
class Finding:
    """One thing to put right. `table` is a header's text without brackets; empty for the top of the file."""

    table: str
    key: str
    what: str
    remedy: str

    def line(self, place: str) -> str:
        """`place: [table] key: what — remedy`, one line whatever the values shown in it hold."""
        head = " ".join(part for part in (f"[{self.table}]" if self.table else "", self.key) if part)
        text = f"{place}: {head}: {self.what} — {self.remedy}" if head else f"{place}: {self.what} — {self.remedy}"
        return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A remedy for a word that is not known: the nearest one, else all of them."""
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    if len(known) > 12:
        return "docs/configuration.md lists the keys"
    return f"known here: {', '.join(sorted(known))}" if known else "there is none yet; add one"


def fields(model: type[BaseModel]) -> dict[str, Any]:
    """The keys a table of this model may hold in the file, in order. `name` comes from the header, not from a key."""
    return {key: info for key, info in model.model_fields.items() if key != "name"}


def subtable(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The model of a table nested under a key, or None where the key holds a value."""
    info = model.model_fields.get(key)
    kind = info.annotation if info else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def translate(error: ValidationError, table: str, model: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], Finding]]:
    """Each key at fault once, with its path inside the table, in the order of pydantic's report."""
    seen: set[tuple[str, ...]] = set()
    for detail in error.errors(include_url=False):
        path, owner = _locate(detail["loc"], model)
        if path in seen:
            continue
        seen.add(path)
        place = ".".join((table, *path[:-1]))
        what, remedy = _words(path[-1], detail, owner)
        yield path, Finding(place, path[-1], what, remedy)


def _locate(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[tuple[str, ...], type[BaseModel]]:
    """The path down to the key, without the list positions and union members pydantic adds, and the key's table."""
    first = str(loc[0])
    nested = subtable(model, first)
    if nested is not None and len(loc) > 1:
        rest, owner = _locate(loc[1:], nested)
        return (first, *rest), owner
    return (first,), model


def _words(key: str, detail: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return "is missing", _MISSING.get(key, "add it")
    if kind == "extra_forbidden":
        return "is not a key of this table", did_you_mean(key, fields(model))
    if key in _EXPECTED:
        what, remedy = _EXPECTED[key]
        return f"{_shown(key, detail)}{what}", remedy
    if kind == "literal_error":
        choices = str(context.get("expected", "")).replace("'", '"')
        return f"{_shown(key, detail)}is not one of the choices", f"write {choices}"
    if kind == "int_type" and isinstance(detail["input"], float):
        return f"{_shown(key, detail)}is not a whole number", "write it without a decimal point"
    if kind in _TYPES:
        what, remedy = _TYPES[kind]
        return what + _found(detail["input"]), remedy
    return _range(key, detail, context)


def _range(key: str, detail: ErrorDetails, context: Mapping[str, Any]) -> tuple[str, str]:
    bounds = [f"{words} {context[name]}" for name, words in _RANGES.items() if name in context]
    if bounds:
        return f"{_shown(key, detail)}is out of range", f"write a number of {bounds[0]}"
    return f"{_shown(key, detail)}does not fit ({detail['msg']})", "see docs/configuration.md"


def _shown(key: str, detail: ErrorDetails) -> str:
    value = detail["input"]
    if key in SECRET_KEYS or not isinstance(value, str | int | float | bool):
        return ""
    return f"{str(value).lower() if isinstance(value, bool) else repr(value)[:80]} "


def _found(value: Any) -> str:
    if value == "":
        return ""
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table"}
    return f", not {names.get(type(value), 'this')}"
