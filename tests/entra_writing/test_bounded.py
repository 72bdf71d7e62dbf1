"""What a large first sync holds in memory while it writes, and gives back."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Sequence

import pytest
from fake_executor import Bench
from writing_rig import MemoryLedger, create_user, small_school, student

from sds_daemon.errors import StateError
from sds_daemon.plan.change import Outcome, Result
from sds_daemon.targets.entra.heap import settled_heap
from sds_daemon.targets.entra.recorder import Recorder


class Parts(MemoryLedger):
    """Notes how many outcomes come at a time; refuses those after the first `room` calls."""

    def __init__(self, room: int = 1000) -> None:
        super().__init__()
        self.parts: list[int] = []
        self.room = room

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        if len(self.parts) == self.room:
            raise StateError("the disk is full", remedy="make room")
        self.parts.append(len(outcomes))
        super().settle(outcomes)


async def taken_by(students: int, classes: int) -> tuple[int, int]:
    """Bytes held while 200 accounts are being made and everybody else waits, and how many changes there are."""
    changes = small_school(students=students, classes=classes)
    bench = Bench()
    bench.executor.hold = lambda item: item.create
    tracemalloc.start()
    try:
        running = asyncio.create_task(bench.apply(changes))
        while len(bench.executor.held) < 200:
            await asyncio.sleep(0)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    bench.executor.release()
    await running
    return taken, len(changes)


async def test_what_waits_for_an_account_takes_little() -> None:
    """Two million memberships of a large district wait for their people at once."""
    await taken_by(250, 1)
    (less, few), (more, many) = await taken_by(250, 2), await taken_by(300, 30)
    assert (more - less) / (many - few) < 80, "bytes for each change more"


async def test_a_stopped_run_puts_off_what_is_left_at_once() -> None:
    ledger, changes = Parts(), [create_user(student(n)) for n in range(35)]
    recorder = Recorder(changes, ledger, lambda stage, done, total: None)
    recorder.settle(Outcome(change=changes[3], result=Result.DONE))
    recorder.close("stopped")
    recorder.settle(Outcome(change=changes[4], result=Result.DONE))
    recorder.close("stopped")
    assert ledger.parts == [1, 34]
    assert ledger.results() == {Result.DONE: 1, Result.DEFERRED: 34}


async def test_nothing_is_put_off_where_nothing_is_left() -> None:
    ledger, changes = Parts(), [create_user(student(1))]
    recorder = Recorder(changes, ledger, lambda stage, done, total: None)
    recorder.settle(Outcome(change=changes[0], result=Result.DONE))
    recorder.close("stopped")
    assert ledger.parts == [1]


async def test_a_ledger_that_fails_while_a_run_puts_off_is_not_asked_again() -> None:
    ledger, changes = Parts(room=1), [create_user(student(n)) for n in range(35)]
    recorder = Recorder(changes, ledger, lambda stage, done, total: None)
    recorder.settle(Outcome(change=changes[3], result=Result.DONE))
    with pytest.raises(StateError):
        recorder.close("stopped")
    recorder.close("stopped")
    assert ledger.parts == [1]
    assert isinstance(recorder.failure, StateError)


async def test_an_outcome_counts_once_and_only_for_a_change_of_the_run() -> None:
    ledger, changes = Parts(), [create_user(student(n)) for n in range(3)]
    recorder = Recorder(changes, ledger, lambda stage, done, total: None)
    for change in (changes[0], changes[0], create_user(student(9))):
        recorder.settle(Outcome(change=change, result=Result.DONE))
    recorder.flush()
    assert ledger.parts == [1]


def test_the_collector_is_as_before_when_the_last_run_has_ended() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    first, second = settled_heap(), settled_heap()
    with first:
        assert gc.get_freeze_count() > frozen
        second.__enter__()
    assert gc.get_threshold() != before, "the second run still writes"
    second.__exit__(None, None, None)
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
