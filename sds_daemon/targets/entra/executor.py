"""Sends items, 20 to a $batch, and repeats what may be repeated until each has its final answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

import msgspec

from sds_daemon.errors import SdsError, TargetError, TargetRefused, TargetUnreachable
from sds_daemon.targets.entra import wire
from sds_daemon.targets.entra.batch import Answer, Item
from sds_daemon.targets.entra.errors import GraphError, Problem, classify
from sds_daemon.targets.entra.governor import Governor, Lane, Priority
from sds_daemon.targets.entra.queue import Entry, WaitingLine
from sds_daemon.targets.entra.transport import GraphTransport, Reply, Unanswered, refusal, retry_after

BATCH = 20
"""Graph docs, json-batching: at most 20 requests."""
FAILURES = 8
"""How often in a row a request is sent that fails for no reason of its own (5xx, no answer)."""
CLASHES = 12
RIPENING = 15.0
"""Seconds a new object is left alone at most."""
UNSEEN = 4.0
"""Seconds a new object is taken to stay invisible, until one was seen to stay so for longer."""
BIRTHS = 2000
"""New objects noted before those that are no longer new are looked for."""
FREE_LIMIT = 2
"""How many times as many batches are in flight once calls under /education are known not to use the write quota."""
OUTAGE = 7
"""Failed batches in a row after which the tenant counts as unreachable; with the back-off, about a minute."""
POLL = 0.25
"""Seconds after which `stop` is looked at again."""


class BatchExecutor:
    """Queues items and sends them as soon as the governor allows.

    `before_send` is called synchronously with the items of a batch right before it is posted, on every repeat too: the
    place for storing intentions. `stop` is asked before every batch. `failure` is set when nothing can go on (tenant
    unreachable, credentials refused, state not writable); items not yet answered are then answered `stopped`.
    `lag_horizon` in seconds also scales every back-off (900: as documented).
    """

    def __init__(
        self,
        transport: GraphTransport,
        governor: Governor,
        lane: Lane,
        *,
        before_send: Callable[[Sequence[Item]], None] = lambda items: None,
        stop: Callable[[], bool] = lambda: False,
        lag_horizon: float = 900.0,
        in_flight: int = 4,
    ) -> None:
        self.failure: SdsError | None = None
        self._transport = transport
        self._governor = governor
        self._lane = lane
        self._before_send = before_send
        self._stop = stop
        self._horizon = lag_horizon
        self._scale = min(1.0, lag_horizon / 900.0)
        self._low = lane.priority is Priority.BULK
        self._limit = in_flight
        self._line = WaitingLine()
        self._delayed: dict[Entry, asyncio.TimerHandle] = {}
        self._posting: set[asyncio.Task[None]] = set()
        self._births: dict[str, float] = {}
        self._most_births = BIRTHS
        self._invisible = UNSEEN * self._scale
        self._dispatcher: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._chains = 0
        self._streak = 0
        self._last_failure = -1.0
        self._resume_at = 0.0
        governor.join(lane)

    def submit(self, item: Item) -> asyncio.Future[Answer]:
        """Queue an item; the future never raises (it can only be cancelled)."""
        loop = asyncio.get_running_loop()
        entry = Entry(item, loop.create_future())
        self._line.add(entry)
        if self._dispatcher is None or self._dispatcher.done():
            self._dispatcher = loop.create_task(self._dispatch())
        self._wake.set()
        return entry.future

    async def send(self, item: Item) -> Answer:
        """`await submit(item)`."""
        return await self.submit(item)

    def born(self, object_id: str, at: datetime | None = None) -> None:
        """Note that an object was made just now (or at an instant), so that 404s about it are taken for lag."""
        age = 0.0 if at is None else max(0.0, (self._transport.clock.now() - at).total_seconds())
        if age < self._horizon:
            self._births[object_id] = self._now() - age
            self._forget_old()

    def _forget_old(self) -> None:
        if len(self._births) > self._most_births:
            oldest = self._now() - self._horizon
            self._births = {name: at for name, at in self._births.items() if at > oldest}
            self._most_births = max(BIRTHS, 2 * len(self._births))

    @property
    def ripening(self) -> float:
        """Seconds to leave new objects alone: half as long again as one was seen not to be visible.

        A request that comes too early costs as many writes as one that is carried out.
        """
        return min(1.5 * self._invisible, RIPENING * self._scale)

    async def drain(self) -> None:
        """Return when nothing is queued, delayed or in flight."""
        while self._dispatcher is not None and not self._dispatcher.done():
            await asyncio.wait({self._dispatcher})
        if self._dispatcher is not None:
            self._dispatcher.result()

    async def close(self) -> None:
        """Answer what is queued with `stopped` and wait for what is in flight."""
        self._stop = lambda: True
        self._wake.set()
        await self.drain()
        self._governor.leave(self._lane)

    # The dispatcher: one task that fills batches.

    async def _dispatch(self) -> None:
        while len(self._line) or self._delayed or self._posting:
            self._wake.clear()
            if self._halted():
                self._answer_stopped()
                await self._rest()
                continue
            entries = self._fill()
            if not entries:
                await self._rest()
            elif await self._admitted(entries):
                self._top_up(entries)
                self._start(self._post(entries, _is_chain(entries)))
            else:
                self._line.put_back(entries)

    def _halted(self) -> bool:
        return self.failure is not None or self._stop()

    def _answer_stopped(self) -> None:
        for entry, handle in self._delayed.items():
            handle.cancel()
            _finish(entry, Answer(status=0, stopped=True, error=GraphError(status=0, code="stopped")))
        self._delayed.clear()
        for entry in self._line.clear():
            _finish(entry, Answer(status=0, stopped=True, error=GraphError(status=0, code="stopped")))

    async def _rest(self) -> None:
        """Sleep until something changes, or it is time to look at `stop`."""
        if not (self._posting or self._delayed or len(self._line)):
            return
        try:
            await asyncio.wait_for(self._wake.wait(), POLL)
        except TimeoutError:
            pass

    def _fill(self) -> list[Entry]:
        """A batch worth sending now, or nothing.

        A full one whenever there is a place in flight; a partial one only while fewer than two are under way (without
        chains, which take long), because more is about to join it. Where much waits for one object, or nothing else is
        there, a chain of such items.
        """
        free = self._has_free()
        places = self._limit * FREE_LIMIT if free else self._limit
        if len(self._posting) >= places or self._now() < self._resume_at:
            return []
        chain = self._line.chain(BATCH // 2, BATCH) if self._chains < places - self._limit // 2 else []
        if len(chain) > 1:
            return chain
        self._line.put_back(chain)
        entries = (self._affordable() if free else []) or self._line.take(BATCH)
        if not entries or len(entries) == BATCH:
            return entries
        if len(entries) < BATCH // 4:
            head = max(entries, key=self._line.waiting_behind)
            if self._line.waiting_behind(head) >= len(entries):
                self._line.put_back(entry for entry in entries if entry is not head)
                return [head, *self._line.followers(head, BATCH - 1)]
        if len(self._posting) - self._chains >= 2:
            self._line.put_back(entries)
            return []
        return entries

    def _affordable(self) -> list[Entry]:
        """What the write quota has room for now, a few to a batch, filled up with calls that do not use it.

        A few: what they cost may be learned only from their answers.
        """
        costly = self._line.take(BATCH // 4, education=False)
        fitting = self._governor.fitting([entry.item for entry in costly])
        self._line.put_back(costly[fitting:])
        return costly[:fitting] + self._line.take(BATCH - fitting, education=True)

    async def _admitted(self, entries: list[Entry]) -> bool:
        """Wait for the governor; False when the run was stopped meanwhile, or there is something that need not wait."""
        items = [entry.item for entry in entries]
        if self._governor.admit_now(self._lane, items):
            return True
        turn = asyncio.ensure_future(self._governor.admit(self._lane, items))
        while not turn.done():
            await asyncio.wait({turn}, timeout=POLL * max(self._scale, 0.1))
            if not turn.done() and (self._halted() or self._has_free()):
                turn.cancel()
                return False
        return True

    def _has_free(self) -> bool:
        """Whether there is something to send that does not use the write quota."""
        return self._governor.education_free and self._line.has_ready(education=True)

    def _top_up(self, entries: list[Entry]) -> None:
        if _is_chain(entries):
            return
        while len(entries) < BATCH:
            more = self._line.take(1)
            if not more:
                return
            if not self._governor.admit_now(self._lane, [more[0].item]):
                self._line.put_back(more)
                return
            entries += more

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._posting.add(task)
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._posting.discard(task)
        self._wake.set()

    # One batch.

    async def _post(self, entries: list[Entry], chain: bool) -> None:
        """Send entries: in one $batch, but for those that must go by themselves."""
        parts = [[entry] for entry in entries if entry.item.alone]
        parts.append([entry for entry in entries if not entry.item.alone])
        self._chains += chain
        try:
            await asyncio.gather(*(self._post_part(part, chain) for part in parts if part))
        finally:
            self._chains -= chain

    async def _post_part(self, entries: list[Entry], chain: bool) -> None:
        started = self._now()
        try:
            self._before_send([entry.item for entry in entries])
            for entry in entries:
                entry.sends += 1
            reply = await self._reply([entry.item for entry in entries], chain)
        except TargetUnreachable as error:
            self._no_answer(entries, started, sent=isinstance(error, Unanswered) and error.sent, status=0)
        except SdsError as error:
            self._fail(error, entries)
        except BaseException:
            self._fail(TargetUnreachable("a batch was broken off"), entries)
            raise
        else:
            await self._sort(entries, reply, started)

    async def _reply(self, items: list[Item], chain: bool) -> Reply:
        if items[0].alone:
            return await self._transport.request(items[0].method, items[0].url)
        return await self._transport.post_batch(wire.encode_batch(items, chain=chain), low=self._low)

    async def _sort(self, entries: list[Entry], reply: Reply, started: float) -> None:
        if entries[0].item.alone:
            answer = wire.BatchResponse("0", reply.status, dict(reply.headers), msgspec.Raw(reply.body))
            await self._settle(entries, {"0": answer}, reply.token_number)
            return
        responses = wire.decode_batch(reply.body) if reply.ok or reply.status == 424 else None
        if responses is not None:
            self._streak = 0
            await self._settle(entries, responses, reply.token_number)
            return
        error = reply.error
        problem = classify(error).problem
        if problem is Problem.THROTTLED:
            self._transport.counts.refused += 1
            self._governor.refused(retry_after(reply.headers))
            self._line.put_back(entries)
        elif reply.ok or problem in (Problem.TRANSIENT, Problem.CONCURRENCY):
            self._no_answer(entries, started, sent=True, status=reply.status)
        elif problem in (Problem.TOKEN, Problem.NOT_CONSENTED, Problem.PERMISSION):
            self._fail(refusal(error, "POST /$batch"), entries)
        elif len(entries) > 1:
            for entry in entries:
                await self._post([entry], chain=False)
        else:
            self._done(entries[0], Answer(status=reply.status, body=reply.body, error=error))

    async def _settle(self, entries: list[Entry], responses: dict[str, wire.BatchResponse], token: int) -> None:
        answers = [_answer(responses.get(str(number))) for number, _ in enumerate(entries)]
        self._governor.answered([entry.item for entry in entries], answers)
        again: list[Entry] = []
        for entry, answer in zip(entries, answers, strict=True):
            self._count(entry.item, answer)
            self._decide(entry, answer, again)
        if any(answer.status == 401 for answer in answers) and self.failure is None:
            try:
                await self._transport.renew_token(token)
            except SdsError as error:
                self.failure = error
        self._line.put_back(again)

    def _count(self, item: Item, answer: Answer) -> None:
        counts = self._transport.counts
        if answer.status == 429:
            counts.refused += 1
        elif item.method == "GET":
            counts.reads += 1
        else:
            counts.writes += 1

    # What an answer means for its item.

    def _decide(self, entry: Entry, answer: Answer, again: list[Entry]) -> None:
        """Finish the entry, delay it, or put it into `again`: to be sent at once."""
        if answer.ok:
            self._done(entry, answer)
            return
        if answer.status == 0:
            self._repeat_or_lose(entry, 0)
            return
        error = answer.error or GraphError(status=answer.status)
        problem = classify(error, young=self._young(entry.item)).problem
        if problem is Problem.THROTTLED or answer.status == 424:
            again.append(entry)
        elif problem is Problem.TRANSIENT and answer.status != 423:
            self._repeat_or_lose(entry, answer.status, answer)
        elif problem is Problem.LAG:
            entry.lags += 1
            entry.failures = 0
            self._invisible = max(self._invisible, self._age(entry.item))
            self._later(entry, min(60.0, 2.0**entry.lags))
        elif problem in (Problem.CONCURRENCY, Problem.TRANSIENT) and entry.clashes < CLASHES:
            entry.clashes += 1
            self._later(entry, min(30.0, 0.25 * 2**entry.clashes), retry_after(answer.headers))
        elif problem is Problem.TOKEN and entry.tokens < 2:
            entry.tokens += 1
            again.append(entry)
        elif problem in (Problem.TOKEN, Problem.NOT_CONSENTED):
            self._fail(refusal(error, f"{entry.item.method} {entry.item.url.split('?')[0]}"), [entry])
        else:
            self._done(entry, answer)

    def _repeat_or_lose(self, entry: Entry, status: int, answer: Answer | None = None) -> None:
        """The item was sent and may or may not have been carried out."""
        entry.failures += 1
        if not entry.item.create and entry.failures < FAILURES:
            self._later(entry, min(30.0, 0.5 * 2**entry.failures), retry_after(answer.headers) if answer else None)
            return
        error = answer.error if answer and answer.error else GraphError(status=status, code="NoAnswer")
        body = answer.body if answer else b""
        self._done(entry, Answer(status=status, body=body, error=error, lost=entry.item.create))

    def _no_answer(self, entries: list[Entry], started: float, *, sent: bool, status: int) -> None:
        """A whole batch without a usable answer: back off, and give up after OUTAGE of these in a row."""
        if started > self._last_failure:
            self._streak += 1
            self._last_failure = self._now()
            pause = min(30.0, 0.5 * 2**self._streak) * random.uniform(0.75, 1.25) * self._scale  # noqa: S311
            self._resume_at = self._now() + pause
            asyncio.get_running_loop().call_later(pause, self._wake.set)
        self._governor.answered([entry.item for entry in entries], [Answer(status=0) for _ in entries])
        if not sent:
            self._line.put_back(entries)
        else:
            for entry in entries:
                self._repeat_or_lose(entry, status)
        if self._streak >= OUTAGE and self.failure is None:
            self.failure = TargetUnreachable(
                f"{self._transport.cloud.graph} gave no usable answer {self._streak} times in a row",
                remedy="check the network and Microsoft's service health; what was sent is recorded",
            )

    def _fail(self, error: SdsError, entries: list[Entry]) -> None:
        """Nothing can go on: what is in hand is answered `stopped` (`lost`, where it is a create that was sent)."""
        self.failure = self.failure or error
        refused = isinstance(error, TargetRefused) or not isinstance(error, TargetError)
        for entry in entries:
            lost = entry.item.create and not refused
            self._done(entry, Answer(status=0, stopped=not lost, lost=lost, error=GraphError(status=0, code="stopped")))

    def _later(self, entry: Entry, seconds: float, wait: float | None = None) -> None:
        """Repeat after Retry-After, or a scaled back-off with jitter."""
        delay = wait if wait is not None else seconds * self._scale * random.uniform(0.8, 1.2)  # noqa: S311
        self._line.release(entry)
        self._delayed[entry] = asyncio.get_running_loop().call_later(delay, self._again, entry)

    def _again(self, entry: Entry) -> None:
        del self._delayed[entry]
        self._line.add(entry)
        self._wake.set()

    def _done(self, entry: Entry, answer: Answer) -> None:
        self._line.release(entry)
        answer.attempts = entry.sends
        _finish(entry, answer)

    def _age(self, item: Item) -> float:
        """Seconds since the youngest object of an item was made."""
        return self._now() - max(self._births.get(name, 0.0) for name in item.objects | item.needs)

    def _young(self, item: Item) -> frozenset[str]:
        oldest = self._now() - self._horizon
        return frozenset(name for name in item.objects | item.needs if self._births.get(name, oldest) > oldest)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _finish(entry: Entry, answer: Answer) -> None:
    if not entry.future.done():
        entry.future.set_result(answer)


def _is_chain(entries: list[Entry]) -> bool:
    """Whether the entries write to one object one after another."""
    return len(entries) > 1 and bool(entries[0].item.objects) and entries[0].item.objects == entries[1].item.objects


def _answer(response: wire.BatchResponse | None) -> Answer:
    if response is None:
        return Answer(status=0)
    body = bytes(response.body)
    error = None if 200 <= response.status < 300 else wire.parse_item_error(response.status, body)
    return Answer(status=response.status, body=body, headers=response.lower_headers(), error=error)
