"""One governor per app and tenant: who may write, and when.

A token bucket as Graph publishes it (Graph docs: throttling limits): 3,000 writes per 150 s, the bucket as large as
the quota, and resource units by the tenant's size; the largest is assumed until Graph refuses for want of units. What a
request costs is partly unknown: see `costs.py`. The governor never predicts a wait longer than it must, and takes every
hint Graph gives.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

from sds_daemon.targets.entra.batch import Answer, Item
from sds_daemon.targets.entra.clouds import cloud_of
from sds_daemon.targets.entra.costs import CostBook

if TYPE_CHECKING:
    from sds_daemon.config.settings import TenantSettings

WINDOW = 150.0
PUBLISHED_QUOTA = 3000
UNITS_WINDOW = 10.0
PUBLISHED_UNITS = (8000, 5000, 3500)
"""Resource units in UNITS_WINDOW by the tenant's size: more than 500 users, 50 to 500, fewer (same page)."""
PAUSE = 10.0
"""Seconds in which nothing is written after a 429 that names no time, of a window as long as WINDOW."""
GIVING_WAY = 1.0
"""Seconds after which it is looked anew whether another process goes first."""
RESERVE = 0.01
"""Share of the bucket never spent: answers and requests are not equally long under way."""


class Priority(IntEnum):
    """Interactive work goes before bulk work."""

    INTERACTIVE = 0
    BULK = 1


class Lane:
    """One customer of a governor: a profile's run. `spent` is its share so far, in writes."""

    def __init__(self, name: str, priority: Priority = Priority.BULK) -> None:
        self.name = name
        self.priority = priority
        self.spent = 0.0


class _Waiter:
    __slots__ = ("future", "items", "lane", "order")

    def __init__(self, lane: Lane, items: Sequence[Item], order: int, future: asyncio.Future[None]) -> None:
        self.lane = lane
        self.items = items
        self.order = order
        self.future = future

    def __lt__(self, other: _Waiter) -> bool:
        return (self.lane.priority, self.lane.spent, self.order) < (
            other.lane.priority,
            other.lane.spent,
            other.order,
        )


class Governor:
    """Grants `quota` writes per `window` seconds. All times in seconds of `monotonic`; use `governor_for` to get the
    tenant's own."""

    def __init__(
        self,
        quota: int,
        window: float = WINDOW,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.costs = CostBook(float(quota), quota / window)
        self._unit_factor = quota / PUBLISHED_QUOTA
        self._unit_window = UNITS_WINDOW * window / WINDOW
        self._pause_by_default = PAUSE * min(1.0, window / WINDOW)
        self._size = 0
        self._units = self._unit_capacity
        self._monotonic = monotonic
        self._sleep = sleep
        self._at = monotonic()
        self._paused_until = 0.0
        self._waiters: list[_Waiter] = []
        self._order = 0
        self._pump: asyncio.Task[None] | None = None
        self._lanes: set[Lane] = set()
        self._asked: list[Callable[[], bool]] = []
        self._looked = -math.inf
        self._others_first = False

    @contextmanager
    def giving_way(self, others_first: Callable[[], bool]) -> Iterator[None]:
        """Until the block ends, hold bulk work back while this says so."""
        self._asked.append(others_first)
        try:
            yield
        finally:
            self._asked.remove(others_first)

    @property
    def _unit_capacity(self) -> float:
        return self._unit_factor * PUBLISHED_UNITS[self._size]

    @property
    def _unit_rate(self) -> float:
        return self._unit_capacity / self._unit_window

    def join(self, lane: Lane) -> None:
        """Open a lane: it starts level with the others, so that a newcomer neither waits for them nor starves them."""
        peers = [other.spent for other in self._lanes if other.priority == lane.priority]
        lane.spent = max(min(peers, default=0.0), lane.spent)
        self._lanes.add(lane)

    def leave(self, lane: Lane) -> None:
        """Close a lane."""
        self._lanes.discard(lane)

    async def admit(self, lane: Lane, items: Sequence[Item]) -> None:
        """Wait until the items may be sent, and book them. Cancelling gives the turn up."""
        if not self._waiters and self._try(lane, items):
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._order += 1
        heapq.heappush(self._waiters, _Waiter(lane, items, self._order, future))
        if self._pump is None or self._pump.done() or self._pump.get_loop() is not loop:
            self._waiters = [waiter for waiter in self._waiters if waiter.future.get_loop() is loop]
            self._pump = loop.create_task(self._grant())
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # its turn had just come
                self._give_back(lane, items)
            raise

    def admit_now(self, lane: Lane, items: Sequence[Item]) -> bool:
        """Book more items if they may be sent at once: they cost nothing, or nobody else waits."""
        return (not self._waiters or not self.costs.believed.cost(items)) and self._try(lane, items)

    @property
    def education_free(self) -> bool:
        """Whether calls under /education are believed to be outside the write quota."""
        return not self.costs.believed.education

    def fitting(self, items: Sequence[Item]) -> int:
        """How many of these, from the first on, the write quota has room for now."""
        self._refill()
        room = self.costs.room(RESERVE) if not self._waiters and not self.paused() else 0.0
        for number, item in enumerate(items):
            room -= self.costs.believed.cost([item])
            if room < 0:
                return number
        return len(items)

    def answered(self, sent: Sequence[Item], answers: Sequence[Answer]) -> None:
        """Learn from the answers to one batch: throttle headers, refusals, Retry-After."""
        self._refill()
        if any(answer.status == 429 and _is_units(answer.headers) for answer in answers):
            self._size = min(self._size + 1, len(PUBLISHED_UNITS) - 1)
        for answer in answers:
            self._observe_refusal(answer)
        used = [u for u in (_percentage(a.headers) for a in answers) if u is not None]
        refused = [a.headers for a in answers if a.status == 429 and _is_ours(a.headers)]
        waits = [_seconds(headers.get("retry-after")) or 0.0 for headers in refused]
        self.costs.observe(sent, used=max(used, default=None), throttled=bool(refused), wait=max(waits, default=None))

    def refused(self, wait: float | None) -> None:
        """A whole request was refused with 429: stop everything for Retry-After seconds (absent: some)."""
        self._pause(wait)

    def paused(self) -> float:
        """Seconds until writing may go on; 0 when it may."""
        return max(0.0, self._paused_until - self._monotonic())

    def _observe_refusal(self, answer: Answer) -> None:
        if answer.status != 429:
            return
        if _is_units(answer.headers):
            self._units = min(self._units, 0.0)
        self._pause(_seconds(answer.headers.get("retry-after")))

    def _pause(self, wait: float | None) -> None:
        until = self._monotonic() + (wait if wait is not None else self._pause_by_default)
        self._paused_until = max(self._paused_until, until)

    def _refill(self) -> None:
        now = self._monotonic()
        passed, self._at = max(0.0, now - self._at), now
        self._units = min(self._unit_capacity, self._units + passed * self._unit_rate)
        self.costs.refill(passed)

    def _try(self, lane: Lane, items: Sequence[Item]) -> bool:
        if self._wait(lane, items) > 0:
            return False
        lane.spent += self.costs.book(items)
        self._units -= sum(item.units for item in items)
        return True

    def _give_back(self, lane: Lane, items: Sequence[Item]) -> None:
        lane.spent -= self.costs.unbook(items)
        self._units += sum(item.units for item in items)

    def _wait(self, lane: Lane, items: Sequence[Item]) -> float:
        """Seconds until these items can go: the longest of pause, writes and units; with others first, some."""
        self._refill()
        if lane.priority is Priority.BULK and self._gives_way():
            return GIVING_WAY
        units = min(self._unit_capacity, float(sum(item.units for item in items)))
        return max(self.paused(), self.costs.wait(items, RESERVE), (units - self._units) / self._unit_rate)

    def _gives_way(self) -> bool:
        now = self._monotonic()
        if now - self._looked >= GIVING_WAY:
            self._looked, self._others_first = now, bool(self._asked) and self._asked[0]()
        return self._others_first

    async def _grant(self) -> None:
        while self._waiters:
            first = self._waiters[0]
            if first.future.done():
                heapq.heappop(self._waiters)
            elif self._try(first.lane, first.items):
                heapq.heappop(self._waiters)
                first.future.set_result(None)
                await asyncio.sleep(0)
            else:
                await self._sleep(max(0.001, min(self._wait(first.lane, first.items), 0.25)))
            heapq.heapify(self._waiters)


def _percentage(headers: dict[str, str]) -> float | None:
    return _seconds(headers.get("x-ms-throttle-limit-percentage"))


def _is_units(headers: dict[str, str]) -> bool:
    return headers.get("x-ms-throttle-information", "").lower().startswith("resourceunit")


def _is_ours(headers: dict[str, str]) -> bool:
    """Whether a refusal is about this app's writes, rather than about units or about the whole tenant."""
    scope = headers.get("x-ms-throttle-scope", "").lower()
    return not _is_units(headers) and not scope.startswith(("tenant/", "application/"))


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 86_400 else None


_governors: dict[tuple[str, str, str], Governor] = {}


def governor_for(settings: TenantSettings) -> Governor:
    """The process's one governor of this app in this tenant; a changed quota makes a new one."""
    key = (cloud_of(settings).authority, settings.tenant_id.lower(), settings.client_id.lower())
    governor = _governors.get(key)
    quota, window = settings.write_quota, settings.write_period
    if governor is None or (governor.costs.capacity, governor.costs.rate) != (quota, quota / window):
        governor = _governors[key] = Governor(quota, window)
    return governor
