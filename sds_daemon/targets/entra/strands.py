"""Strands: all the work on one directory object, in order; and the pool that runs those that have something to do.

A strand never waits for another one while it runs: it does what it can and returns, and is run again when what it
lacked is there. So nothing waits for a stage it does not depend on, and no two writes to one object are under way.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from sds_daemon.clock import Clock
from sds_daemon.plan.change import Change, Outcome, Result
from sds_daemon.roster.records import Ref
from sds_daemon.targets.base import Ledger
from sds_daemon.targets.entra.accounts import Licenses
from sds_daemon.targets.entra.ages import Ages
from sds_daemon.targets.entra.batch import Answer, Item
from sds_daemon.targets.entra.find import Finder
from sds_daemon.targets.entra.recorder import Recorder
from sds_daemon.targets.entra.refusals import Refusals
from sds_daemon.targets.entra.requests import Requests

if TYPE_CHECKING:
    from sds_daemon.errors import SdsError

RUNNING = 200
"""Strands of each urgency under way at once: enough to fill the batches in flight and the next ones.

Of each: classes that wait for the write quota must not keep people waiting, whose accounts may not use it.
"""

POLL = 0.25
"""Seconds after which `stop` is looked at again while nothing runs."""


class Urgency(IntEnum):
    """Which ready strand goes first. Schools have the longest chains of writes to one object; a class that is there is
    filled before the next is made, since filling may be all that uses the write quota."""

    SCHOOL = 0
    FILLING = 1
    MAKING = 2
    PERSON = 3


class Executor(Protocol):
    """What strands need of the batch executor."""

    failure: SdsError | None

    @property
    def ripening(self) -> float:
        """Seconds to leave new objects alone."""

    async def send(self, item: Item) -> Answer:
        """The final answer."""

    def born(self, object_id: str, at: datetime | None = None) -> None:
        """Note a new object."""


class Waiting(Protocol):
    """Who lacks an object for a change."""

    def known(self, change: Change, object_id: str | None) -> None:
        """The object is there, or (None) will not come in this run."""


class Objects:
    """Directory ids of SIS records, and who waits for those still to be made.

    `lack` tells why a record has no object: DEPENDENT, or DEFERRED when its making was put off.
    """

    def __init__(self, ledger: Ledger, coming: set[Ref], later: Callable[[Callable[[], None]], None]) -> None:
        """`later` calls back when what is new now may be used."""
        self._ledger = ledger
        self._later = later
        self._coming = coming
        self._ids: dict[Ref, str | None] = {}
        self._deferred: set[Ref] = set()
        self._waiting: dict[Ref, list[Any]] = {}

    def id_of(self, ref: Ref) -> str | None:
        """The id of an object that is there; None when there is none (yet)."""
        if ref in self._coming:
            return None
        if ref not in self._ids:
            self._ids[ref] = self._ledger.object_id(ref)
        return self._ids[ref]

    def lack(self, ref: Ref) -> Result:
        """What becomes of changes that need an object which will not come in this run."""
        return Result.DEFERRED if ref in self._deferred else Result.DEPENDENT

    def when_known(self, ref: Ref, strand: Waiting, change: Change) -> None:
        """Tell the strand the id, or None when the object will not come: now if that is known, else later.

        Strand and change by turns in one list: a first sync of a large district has two million of these.
        """
        if ref not in self._coming:
            strand.known(change, self.id_of(ref))
        elif (waiting := self._waiting.get(ref)) is None:
            self._waiting[ref] = [strand, change]
        else:
            waiting += (strand, change)

    def settle(self, ref: Ref, outcome: Outcome) -> None:
        """The object is there, or will not come in this run."""
        if outcome.result is Result.DEFERRED:
            self._deferred.add(ref)
        self._coming.discard(ref)
        made = outcome.object_id if outcome.result in (Result.DONE, Result.ALREADY) else None
        self._ids[ref] = made
        waiting = self._waiting.pop(ref, ())
        if made is None:
            _tell(waiting, None)
        elif waiting:
            self._later(partial(_tell, waiting, made))


def _tell(waiting: Sequence[Any], object_id: str | None) -> None:
    for strand, change in zip(waiting[::2], waiting[1::2], strict=True):
        strand.known(change, object_id)


class Context(msgspec.Struct, kw_only=True, eq=False):
    """What the strands of one apply share. `unsettled`: creates of earlier runs whose answer was lost, and when.

    `link` turns a page link into an address for a $batch; it raises TargetInvalid for one that leaves this Graph.
    """

    requests: Requests
    executor: Executor
    recorder: Recorder
    finder: Finder
    objects: Objects
    licenses: Licenses
    clock: Clock
    pool: Pool
    stop: Callable[[], bool]
    refusals: Refusals
    ages: Ages
    link: Callable[[str], str]
    keep_passwords: bool = True
    unsettled: dict[Ref, datetime] = {}
    mail_looks: int = 0

    async def send(self, item: Item) -> Answer:
        """The answer to an item; a refusal that repeats itself is not asked for again."""
        known = self.refusals.known(item)
        if known is not None:
            return known
        answer = await self.executor.send(item)
        waited: set[str] = set()
        while awaited := (await self.ages.awaited(item, answer)) - waited:
            waited |= awaited
            answer = await self.executor.send(item)
        self.refusals.note(item, answer)
        return answer

    @property
    def stopping(self) -> bool:
        """Whether to begin nothing new."""
        return self.stop() or self.executor.failure is not None or self.recorder.failure is not None


class Strand(ABC):
    """All changes to one directory object. `urgency` may change while the strand runs."""

    urgency: Urgency

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.active = False

    @abstractmethod
    def ready(self) -> bool:
        """Whether `run` would do something now."""

    @abstractmethod
    async def run(self) -> None:
        """Do what can be done now."""

    def wake(self) -> None:
        """Something this strand may have waited for is there."""
        if not self.active and self.ready():
            self.ctx.pool.put(self)

    def done(self, change: Change, result: Result, *, detail: str = "", code: str = "") -> None:
        """Settle a change without an answer."""
        self.ctx.recorder.settle(Outcome(change=change, result=result, code=code, detail=detail))


class Pool:
    """Runs ready strands, a bounded number of each urgency at a time, the urgent ones first."""

    def __init__(self, limit: int = RUNNING, ripening: Callable[[], float] = lambda: 0.0) -> None:
        self._ripening = ripening
        self._timers: set[asyncio.TimerHandle] = set()
        self._ready: dict[Urgency, deque[Strand]] = {urgency: deque() for urgency in Urgency}
        self._unmade: Iterator[Strand] = iter(())
        self._running: dict[asyncio.Task[None], Urgency] = {}
        self._places = dict.fromkeys(Urgency, limit)
        self._failure: BaseException | None = None
        self._idle = asyncio.Event()

    def put(self, strand: Strand) -> None:
        """Queue a strand that is ready."""
        strand.active = True
        self._ready[strand.urgency].append(strand)
        self._fill()

    def feed(self, strands: Iterator[Strand]) -> None:
        """Run these people's after whatever is ready, each made when its turn comes. All must have something to do."""
        self._unmade = strands
        self._fill()

    def later(self, call: Callable[[], None]) -> None:
        """Call when objects made now are likely to be visible: at once, where none was seen not to be."""
        seconds = self._ripening()
        if seconds <= 0:
            call()
            return

        def due() -> None:
            self._timers.discard(timer)
            call()
            self._tell_idle()

        timer = asyncio.get_running_loop().call_later(seconds, due)
        self._timers.add(timer)

    async def drain(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Return when nothing is ready, runs or ripens; what ripens is left when `stop` says so.

        Raises what a strand raised, after the others ended.
        """
        self._fill()
        while self._running or (self._timers and not stop()):
            self._idle.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), None if self._running else POLL)
        for timer in self._timers:
            timer.cancel()
        if self._failure is not None:
            raise self._failure

    def _tell_idle(self) -> None:
        if not self._running:
            self._idle.set()

    @asynccontextmanager
    async def parked(self) -> AsyncIterator[None]:
        """Give up the place while a strand waits for something that takes long; called from its `run` itself."""
        task = asyncio.current_task()
        urgency = self._running.get(task) if task is not None else None
        if urgency is None:
            yield
            return
        self._places[urgency] += 1
        self._fill()
        try:
            yield
        finally:
            self._places[urgency] -= 1

    def _fill(self) -> None:
        while (strand := self._next()) is not None:
            strand.active = True
            task = asyncio.get_running_loop().create_task(self._run(strand))
            self._running[task] = strand.urgency
            self._places[strand.urgency] -= 1
            task.add_done_callback(self._finished)

    def _next(self) -> Strand | None:
        """The most urgent strand for which there is a place."""
        for urgency, queue in self._ready.items():
            if queue and self._places[urgency] > 0:
                return queue.popleft()
        return next(self._unmade, None) if self._places[Urgency.PERSON] > 0 else None

    async def _run(self, strand: Strand) -> None:
        if self._failure is None and not strand.ctx.stopping:
            await strand.run()
            strand.active = False
            strand.wake()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._places[self._running.pop(task)] += 1
        if not task.cancelled() and task.exception() is not None:
            self._failure = self._failure or task.exception()
        self._fill()
        self._tell_idle()

    async def cancel(self) -> None:
        """End what runs, for a caller that is itself being cancelled."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


def member_of(change: Change) -> Ref:
    """The person or class of a membership. Raises ValueError where the planner named none: a defect."""
    if change.member is None:
        raise ValueError(f"{change.kind} of {change.subject} names no member")
    return change.member
