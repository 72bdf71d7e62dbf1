"""Answers of PowerQueries, written once and served many times: a stream of a million rows costs a copy of its bytes."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from sds_daemon.sandbox.powerschool import oracle

_PIECE: Final = 256 * 1024
_MEMORY: Final = 640 * 1024 * 1024


@dataclass(frozen=True)
class Form:
    """How a row looks: aliases in order, the table it is named after, the place of its key among the columns."""

    aliases: tuple[str, ...]
    core: str
    key: int | None
    flattened: bool


@dataclass(frozen=True)
class Rendered:
    """The rows of an answer in JSON, one after the other with a comma behind each; `ends` is where each one ends.

    `ordered` says that they have an order, `other` is the same answer in another one if that leaves rows level;
    `version` is that of the tables they were made from.
    """

    text: memoryview
    ends: array[int]
    ordered: bool
    version: Hashable
    other: Rendered | None = None

    @property
    def count(self) -> int:
        """The number of rows."""
        return len(self.ends)

    def rows(self, start: int, stop: int, turn: int = 0) -> list[memoryview]:
        """The rows from `start` up to `stop`, in pieces; `turn` is the row a listing without an order begins with."""
        stop = min(stop, self.count)
        if start >= stop:
            return []
        first, last = start + turn, stop + turn
        if last <= self.count:
            return self._slice(first, last)
        if first >= self.count:
            return self._slice(first - self.count, last - self.count)
        return [*self._slice(first, self.count), memoryview(b","), *self._slice(0, last - self.count)]

    def _slice(self, first: int, last: int) -> list[memoryview]:
        begin = self.ends[first - 1] + 1 if first else 0
        end = self.ends[last - 1]
        return [self.text[place : min(place + _PIECE, end)] for place in range(begin, end, _PIECE)]


def render(rows: Iterable[tuple[Any, ...]], form: Form, ordered: bool, version: Hashable) -> Rendered:
    """Reads the rows and writes them down."""
    text, ends, encode = bytearray(), array("Q"), msgspec.json.encode
    make = _flat if form.flattened else _nested
    shape = make(form)
    for number, row in enumerate(rows, 1):
        text += encode(shape(row, number))
        ends.append(len(text))
        text += b","
    return Rendered(memoryview(text), ends, ordered, version)


def _flat(form: Form) -> Callable[[tuple[Any, ...], int], dict[str, Any]]:
    name, key, aliases, shown = form.core.upper(), form.key, form.aliases, oracle.result

    def shape(row: tuple[Any, ...], number: int) -> dict[str, Any]:
        record: dict[str, Any] = {"_name": name, "_id": number if key is None else row[key]}
        for alias, value in zip(aliases, row, strict=True):
            # Nearly all values are numbers and texts; only the others need thought.
            if value.__class__ is int:
                record[alias] = str(value)
            elif value is not None and (text := shown(value)) is not None:
                record[alias] = text
        return record

    return shape


def _nested(form: Form) -> Callable[[tuple[Any, ...], int], dict[str, Any]]:
    places = [alias.rpartition(".") for alias in form.aliases]

    def shape(row: tuple[Any, ...], number: int) -> dict[str, Any]:
        tables: dict[str, dict[str, str]] = {}
        for (table, _, column), value in zip(places, row, strict=True):
            text = oracle.result(value)
            if text is not None:
                tables.setdefault(table or form.core, {})[column] = text
        return {"id": number if form.key is None else row[form.key], "name": form.core, "tables": tables}

    return shape


class Shelf:
    """The answers made so far; the oldest ones go when they take more than `memory` bytes."""

    def __init__(self, memory: int = _MEMORY) -> None:
        self._kept: OrderedDict[Hashable, Rendered] = OrderedDict()
        self._memory = memory

    def get(self, key: Hashable, version: Hashable) -> Rendered | None:
        """The answer under this key, if the tables have not changed since."""
        found = self._kept.get(key)
        if found is not None and found.version != version:
            del self._kept[key]
            return None
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Hashable, answer: Rendered) -> None:
        """Keeps an answer; one that is greater than the whole shelf is not kept."""
        self._kept.pop(key, None)
        if answer.text.nbytes > self._memory:
            return
        self._kept[key] = answer
        while sum(kept.text.nbytes for kept in self._kept.values()) > self._memory:
            self._kept.popitem(last=False)
