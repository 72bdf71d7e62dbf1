"""JSON and XML from one tree, the way the server does it: its JSON is XML turned over mechanically.

The tree: a dict is an element, a list the repeated element of its key, None an element left out, a key beginning with
`@` an attribute. Text loses its type on the way, so text that looks like a number becomes one.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import msgspec

_INTEGER: Final = re.compile(r"-?[1-9][0-9]*|0")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]*[1-9]")
_LONGEST_INTEGER: Final = 18


def to_json(value: Any) -> Any:
    """The tree as the server's JSON: single elements for lists of one, nothing for empty lists, numbers for digits."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return _element(value)
    if isinstance(value, list):
        return to_json(value[0]) if len(value) == 1 else [to_json(item) for item in value]
    if isinstance(value, dt.date):
        return value.isoformat()
    return value


def _element(element: dict[str, Any]) -> Any:
    out: dict[str, Any] = {}
    for key, value in element.items():
        if value is None or value == []:
            continue
        out[key] = value if key[0] == "@" else to_json(value)
    return out or ""


def _text(text: str) -> Any:
    """`"7"` is a number, `"07"` and `"1.50"` are text: what would not come back the same stays as it is."""
    if not text or (text[0] not in "-0123456789"):
        return text
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= _LONGEST_INTEGER else msgspec.Raw(text.encode())
    if _DECIMAL.fullmatch(text):
        return msgspec.Raw(text.encode())
    return text


def to_xml(root: str, value: Any) -> bytes:
    """The tree as an XML document with this root element."""
    parts = ['<?xml version="1.0" encoding="UTF-8"?>']
    _write(parts, root, value)
    return "".join(parts).encode()


def _write(parts: list[str], name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, list):
        for item in value:
            _write(parts, name, item)
    elif isinstance(value, dict):
        attributes = "".join(f" {key[1:]}={quoteattr(str(item))}" for key, item in value.items() if key[0] == "@")
        children = [(key, item) for key, item in value.items() if key[0] != "@"]
        parts.append(f"<{name}{attributes}>")
        for key, item in children:
            _write(parts, key, item)
        parts.append(f"</{name}>")
    else:
        parts.append(f"<{name}>{escape(_scalar(value))}</{name}>")


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
