"""Items waiting to be sent, kept so that no two requests in flight write to one object."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from sds_daemon.targets.entra.batch import Answer, Item


class Entry:
    """An item on its way. `sends` counts posts, `lags` and `clashes` the repeats for these reasons.

    `number`: its turn.
    """

    __slots__ = ("clashes", "failures", "future", "item", "lags", "number", "sends", "tokens")

    def __init__(self, item: Item, future: asyncio.Future[Answer]) -> None:
        self.item = item
        self.future = future
        self.number = 0
        self.sends = 0
        self.lags = 0
        self.clashes = 0
        self.failures = 0
        self.tokens = 0


class WaitingLine:
    """First come, first served, except that an item waits for those before it that write to the same object.

    Items without a busy object are in `ready`; the others are parked in a line per object. An object that became free
    while it has a line is `ripe`: the head of that line goes before `ready`. Calls under /education can be taken apart
    from the others: these may be limited by a quota that those do not use.
    """

    def __init__(self) -> None:
        self._ready: dict[bool, deque[Entry]] = {False: deque(), True: deque()}
        self._number = 0
        self._parked: dict[str, deque[Entry]] = {}
        self._ripe: deque[str] = deque()
        self._busy: set[str] = set()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, entry: Entry) -> None:
        """At the end."""
        self._number += 1
        entry.number = self._number
        self._ready[entry.item.education].append(entry)
        self._count += 1

    def put_back(self, entries: Iterable[Entry]) -> None:
        """At the front, in the given order; their objects become free."""
        for entry in reversed(list(entries)):
            self._free(entry)
            name = next(iter(entry.item.objects), None)
            if name is None:
                self._ready[entry.item.education].appendleft(entry)
            else:
                self._parked.setdefault(name, deque()).appendleft(entry)
                self._ripe.appendleft(name)
            self._count += 1

    def take(self, limit: int, *, education: bool | None = None) -> list[Entry]:
        """Up to `limit` entries whose objects are free; these are busy until `release`. `education`: only such."""
        taken: list[Entry] = []
        for _ in range(len(self._ripe)):
            if len(taken) == limit:
                break
            name = self._ripe.popleft()
            line = self._parked.get(name)
            if education is not None and line and line[0].item.education is not education:
                self._ripe.append(name)
            else:
                self._take_head(name, taken)
        while len(taken) < limit and (ready := self._next(education)):
            self._take(ready.popleft(), taken)
        return taken

    def _next(self, education: bool | None) -> deque[Entry] | None:
        """The line whose turn it is; None: nothing is ready."""
        lines = [line for which, line in self._ready.items() if line and education in (None, which)]
        return min(lines, key=lambda line: line[0].number) if lines else None

    def has_ready(self, *, education: bool) -> bool:
        """Whether something of this kind waits for nothing in the line."""
        heads = (self._parked[name][0] for name in self._ripe if name not in self._busy and self._parked.get(name))
        return bool(self._ready[education]) or any(head.item.education is education for head in heads)

    def followers(self, entry: Entry, limit: int) -> list[Entry]:
        """Up to `limit` entries parked behind a taken one that write to exactly the same objects, in order."""
        found: list[Entry] = []
        for name in entry.item.objects:
            line = self._parked.get(name)
            while line and len(found) < limit and line[0].item.objects == entry.item.objects:
                found.append(line.popleft())
        self._count -= len(found)
        return [entry for entry in found if not entry.future.done()]

    def chain(self, least: int, limit: int) -> list[Entry]:
        """Up to `limit` entries, `least` at least, that write to one object which is free; else none."""
        for name in self._ripe:
            line = self._parked.get(name)
            if line and len(line) >= least and name not in self._busy and line[0].item.objects == {name}:
                self._ripe.remove(name)
                self._busy.add(name)
                found = self.followers(line[0], limit)
                if not found:
                    self._free_name(name)
                return found
        return []

    def waiting_behind(self, entry: Entry) -> int:
        """How many entries are parked on a taken entry's objects."""
        return sum(len(self._parked.get(name, ())) for name in entry.item.objects)

    def release(self, entry: Entry) -> None:
        """An entry has come back for good: its objects are free for the next in line."""
        self._free(entry)

    def clear(self) -> list[Entry]:
        """Take everything out."""
        parked = (entry for line in self._parked.values() for entry in line)
        everything = [*self._ready[False], *self._ready[True], *parked]
        for line in self._ready.values():
            line.clear()
        self._parked.clear()
        self._ripe.clear()
        self._count = 0
        return everything

    def _free(self, entry: Entry) -> None:
        for name in entry.item.objects:
            self._free_name(name)

    def _free_name(self, name: str) -> None:
        self._busy.discard(name)
        if self._parked.get(name):
            self._ripe.append(name)
        else:
            self._parked.pop(name, None)

    def _take_head(self, name: str, taken: list[Entry]) -> None:
        line = self._parked.get(name)
        while line and name not in self._busy:
            self._take(line.popleft(), taken)

    def _take(self, entry: Entry, taken: list[Entry]) -> None:
        if entry.future.done():
            self._count -= 1
            return
        blocker = next((name for name in entry.item.objects if name in self._busy), None)
        if blocker is not None:
            self._parked.setdefault(blocker, deque()).append(entry)
            return
        self._busy |= entry.item.objects
        self._count -= 1
        taken.append(entry)
