"""PowerSchool's JSON is transliterated XML; this module undoes it, at every depth.

A list of one arrives as the object itself, an empty list as a missing member or "", an empty element as "", and text
made of digits as a number. Numbers keep their digits: whole ones of any length as int, all others as the token sent.
"""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import msgspec

from sds_daemon.bounded import holds_too_much

Row = dict[str, Any]

LONGEST_TEXT = 1024
"""Characters; no field of a roster is longer."""

_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_IDENTIFIER = re.compile(r"(-?[0-9]+)?")
_WHOLE = re.compile(r"-?[0-9]{1,30}")
_WHOLE_AS_DECIMAL = re.compile(r"(-?[0-9]+)\.0+")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MAX_INT_DIGITS = 100


class Malformed(ValueError):
    """A value is not what its place demands. The message continues a sentence that begins with the field's name."""


class NumberToken(str):
    """A JSON number that is not a plain whole one, as it was written: `12.0`, `1E5`, `NaN`."""

    __slots__ = ()


def decode(body: bytes) -> Any:
    """The value of a JSON document.

    Strings with raw control characters, lone surrogates or broken UTF-8 are let through, so that one bad record does
    not cost a page; `text` refuses them one by one. Raises Malformed for anything that is not JSON, nested too deep, or
    of too many values.
    """
    if holds_too_much(body):
        raise Malformed("holds more values than any page of records")
    try:
        return _DECODER.decode(body)
    except RecursionError:
        raise Malformed("is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_leniently(body)


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=NumberToken)


def _decode_leniently(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode("utf-8-sig", "surrogateescape"),
            strict=False,
            parse_float=NumberToken,
            parse_constant=NumberToken,
            parse_int=lambda token: int(token) if len(token) <= _MAX_INT_DIGITS else NumberToken(token),
        )
    except RecursionError:
        raise Malformed("is nested too deep") from None
    except ValueError:
        raise Malformed("is not JSON") from None


def container(value: Any) -> Row:
    """The members of an element; none where it is missing or empty (""). Raises Malformed for text, numbers, lists."""
    if value is None or value == "":
        return {}
    if isinstance(value, dict):
        return value
    raise Malformed(f"is {_named(value)} where an object belongs")


def items(value: Any) -> list[Any]:
    """The elements of a list that may be missing, "", one bare object, or an array."""
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def text(value: Any, longest: int = LONGEST_TEXT) -> str:
    """A scalar as text without space around it; "" where it is missing. `12` and the number `12.0` are "12".

    Raises Malformed for objects and lists, control characters, lone surrogates, and more than `longest` characters.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise Malformed(f"is {_named(value)} where text belongs")
    if isinstance(value, NumberToken):
        value = _WHOLE_AS_DECIMAL.sub(r"\1", value)
    stripped: str = str(value).strip()
    if len(stripped) > longest:
        raise Malformed(f"is longer than {longest} characters")
    if _UNUSABLE.search(stripped):
        raise Malformed("holds control characters or broken text")
    return stripped


def identifier(value: Any) -> str:
    """An id as text: `12`, `12.0`, "12" and "12.0" are all "12"; "" where it is missing.

    Raises Malformed for anything but a whole number: DCIDs are, and ids become parts of paths. A word in the place of a
    student's id would otherwise read as somebody else, and the student as gone.
    """
    written = _WHOLE_AS_DECIMAL.sub(r"\1", text(value, longest=64))
    if not _IDENTIFIER.fullmatch(written):
        raise Malformed("is not an id")
    return written


def whole(value: Any) -> int | None:
    """A whole number written as a number or as text; None where it is missing. Raises Malformed."""
    if isinstance(value, bool):
        raise Malformed("is true or false where a number belongs")
    digits = identifier(value)
    if not digits:
        return None
    if not _WHOLE.fullmatch(digits):
        raise Malformed("is not a whole number")
    return int(digits)


def day(value: Any) -> date | None:
    """A date written YYYY-MM-DD; None where it is missing. Raises Malformed."""
    written = text(value)
    if not written:
        return None
    if not _DAY.fullmatch(written):
        raise Malformed("is not a date like 2026-09-01")
    try:
        return date.fromisoformat(written)
    except ValueError:
        raise Malformed("is a day that does not exist") from None


def flag(value: Any) -> bool:
    """A truth value, also as the text "true" or "false"; false where it is missing. Raises Malformed."""
    if isinstance(value, bool):
        return value
    written = text(value).lower()
    if written in ("", "false", "true"):
        return written == "true"
    raise Malformed("is neither true nor false")


def dig(row: Row, *path: str) -> Any:
    """The value at the end of a path of members; None where one is missing or empty. Raises Malformed on the way."""
    value: Any = row
    for name in path:
        value = container(value).get(name)
    return value


def _named(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, NumberToken | int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"
