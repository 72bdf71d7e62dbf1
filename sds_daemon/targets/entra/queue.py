"""Items waiting to be sent, kept so that no two requests in flight write to one object."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from sds_daemon.targets.entra.batch import Answer, Item


class Entry:
    """An item on its way. `sends` counts posts, `lags` and `clashes` the repeats for these reasons."""

    __slots__ = ("clashes", "failures", "future", "item", "lags", "sends", "tokens")

    def __init__(self, item: Item, future: asyncio.Future[Answer]) -> None:
        self.item = item
        self.future = future
        self.sends = 0
        self.lags = 0
        self.clashes = 0
        self.failures = 0
        self.tokens = 0


class WaitingLine:
    """First come, first served, except that an item waits for those before it that write to the same object.

    Items without a busy object are in `ready`; the others are parked in a line per object. An object that became free
    while it has a line is `ripe`: the head of that line goes before `ready`.
    """

    def __init__(self) -> None:
        self._ready: deque[Entry] = deque()
        self._parked: dict[str, deque[Entry]] = {}
        self._ripe: deque[str] = deque()
        self._busy: set[str] = set()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, entry: Entry) -> None:
        """At the end."""
        self._ready.append(entry)
        self._count += 1

    def put_back(self, entries: Iterable[Entry]) -> None:
        """At the front, in the given order; their objects become free."""
        for entry in reversed(list(entries)):
            self._free(entry)
            name = next(iter(entry.item.objects), None)
            if name is None:
                self._ready.appendleft(entry)
            else:
                self._parked.setdefault(name, deque()).appendleft(entry)
                self._ripe.appendleft(name)
            self._count += 1

    def take(self, limit: int) -> list[Entry]:
        """Up to `limit` entries whose objects are free; these are busy until `release`."""
        taken: list[Entry] = []
        while self._ripe and len(taken) < limit:
            self._take_head(self._ripe.popleft(), taken)
        while self._ready and len(taken) < limit:
            self._take(self._ready.popleft(), taken)
        return taken

    def followers(self, entry: Entry, limit: int) -> list[Entry]:
        """Up to `limit` entries parked behind a taken one that write to exactly the same objects, in order."""
        found: list[Entry] = []
        for name in entry.item.objects:
            line = self._parked.get(name)
            while line and len(found) < limit and line[0].item.objects == entry.item.objects:
                found.append(line.popleft())
        self._count -= len(found)
        return found

    def waiting_behind(self, entry: Entry) -> int:
        """How many entries are parked on a taken entry's objects."""
        return sum(len(self._parked.get(name, ())) for name in entry.item.objects)

    def release(self, entry: Entry) -> None:
        """An entry has come back for good: its objects are free for the next in line."""
        self._free(entry)

    def clear(self) -> list[Entry]:
        """Take everything out."""
        everything = [*self._ready, *(entry for line in self._parked.values() for entry in line)]
        self._ready.clear()
        self._parked.clear()
        self._ripe.clear()
        self._count = 0
        return everything

    def _free(self, entry: Entry) -> None:
        for name in entry.item.objects:
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
