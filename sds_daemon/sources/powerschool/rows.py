"""The rows of a spooled PowerQuery answer, a slice at a time: a million of them never stand in memory at once.

Flattened answers hold one flat object a row. Between two rows stands `},{"` and the first letter of a name; inside a
text the quote would be escaped, and behind a text comes no letter. There the document can be cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from sds_daemon.sources.powerschool.normalise import Malformed, decode, items
from sds_daemon.sources.powerschool.spool import Spool

R = TypeVar("R", bound=msgspec.Struct)

SLICE = 2 * 1024 * 1024
"""Bytes decoded at once; some 15,000 enrollments."""

UNREADABLE = "\x00"
"""Stands for a value that is no text: every check of a field refuses it."""

LARGEST_ODD = 64 * 1024 * 1024
"""Bytes of a document that cannot be cut; it is held whole."""

_HEAD = re.compile(rb'"record"\s*:\s*\[\s*(?=\{)')
_LETTER = re.compile(rb"[A-Za-z_@]")
_BORDER = b'},{"'


def read_rows(spool: Spool, kind: type[R]) -> Iterator[list[R]]:
    """The rows of all documents as `kind`, a struct whose members are text, "" where the answer has none.

    Raises Malformed for a document that is not the JSON of an answer, or ends too early.
    """
    decoder = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
    for number in range(spool.documents):
        for rows in _slices(spool.document(number, SLICE)):
            yield _rows(rows, decoder, kind)


def _rows(rows: bytes | list[Any], decoder: msgspec.json.Decoder[list[R]], kind: type[R]) -> list[R]:
    if isinstance(rows, bytes):
        try:
            return decoder.decode(rows)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            rows = items(decode(rows))
    return [_leniently(row, kind) for row in rows]


def _leniently(row: Any, kind: type[R]) -> R:
    """A row with a value of another type than text, or with bytes that are no text."""
    if not isinstance(row, dict):
        return kind(**{kind.__struct_fields__[0]: UNREADABLE})
    return kind(**{name: _scalar(row[name]) for name in kind.__struct_fields__ if name in row})


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return UNREADABLE
    return str(value)


def _slices(pieces: Iterator[bytes]) -> Iterator[bytes | list[Any]]:
    """The rows of a document as JSON arrays that can be decoded one by one; decoded where they are oddly written."""
    text = bytearray(next(pieces, b""))
    head = _HEAD.search(text)
    if head is None:
        yield _odd(text, pieces)
        return
    _members(bytes(text[: head.start()]) + b'"record":[]}')
    del text[: head.end()]
    for piece in pieces:
        cut = _last_border(text)
        if cut > 0:
            yield b"[" + bytes(text[: cut + 1]) + b"]"
            del text[: cut + 2]
        elif len(text) > LARGEST_ODD:
            raise Malformed("holds a row without end")
        text += piece
    yield _record(b'{"record":[' + bytes(text))


def _last_border(text: bytearray) -> int:
    """The position of the last border between two rows, -1 where there is none."""
    at = text.rfind(_BORDER)
    while at >= 0 and not _LETTER.match(text, at + len(_BORDER)):
        at = text.rfind(_BORDER, 0, at)
    return at


def _odd(text: bytearray, pieces: Iterator[bytes]) -> bytes | list[Any]:
    """A document without the usual beginning of rows: it has none, or is written in another way."""
    for piece in pieces:
        text += piece
        if len(text) > LARGEST_ODD:
            raise Malformed("is not written as PowerQuery answers are")
    return _record(bytes(text))


class _Record(msgspec.Struct):
    record: msgspec.Raw = msgspec.Raw(b"[]")


def _record(document: bytes) -> bytes | list[Any]:
    """The list in a document, as it stands there or decoded; a row by itself is a list of one."""
    try:
        record = bytes(msgspec.json.decode(document, type=_Record).record).strip()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return items(_members(document).get("record"))
    return record if record[:1] == b"[" else b"[" + record + b"]"


def _members(document: bytes) -> dict[str, Any]:
    value = decode(document)
    if not isinstance(value, dict):
        raise Malformed("is not an object")
    return value
