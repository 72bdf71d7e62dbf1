"""Work beside the loop: the loop goes on, errors arrive, and no work outlives the one who waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
from fakes import GivenSource, job_of
from memory_directory import MemoryDirectory
from plan_rig import NOW, District, House, Pupil, profile
from test_cycle_properties import read

from sds_daemon.clock import FixedClock
from sds_daemon.errors import StateError
from sds_daemon.store import Store
from sds_daemon.sync import cycle
from sds_daemon.sync.aside import aside


def test_the_result_and_the_error_arrive() -> None:
    def fail() -> None:
        raise StateError("the disk is full")

    assert asyncio.run(aside(pow, 2, 5)) == 32
    with pytest.raises(StateError, match="disk is full"):
        asyncio.run(aside(fail))


def test_who_is_cancelled_waits_for_the_work() -> None:
    begun, done = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        time.sleep(0.2)
        done.set()

    async def cancel() -> None:
        task = asyncio.create_task(aside(work))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done.is_set()

    asyncio.run(cancel())


@pytest.mark.parametrize("step", ["match_people", "adopt_anchored", "make_changes", "record_sightings"])
def test_the_loop_goes_on_while_a_cycle_works_things_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The signs of life that systemd waits for come from the loop."""
    original, working = getattr(cycle, step), threading.Event()

    def slow(*arguments: object, **options: object) -> object:
        working.set()
        time.sleep(0.3)
        working.clear()
        return original(*arguments, **options)

    monkeypatch.setattr(cycle, step, slow)
    alive = 0

    async def beat() -> None:
        nonlocal alive
        while True:
            alive += working.is_set()
            await asyncio.sleep(0.01)

    async def run() -> None:
        clock = FixedClock(NOW)
        town = District(houses=(House(id="X"),), pupils=(Pupil(id="1", school="X"),), masters=(), rooms=())
        with Store.open(tmp_path / "state" / "state.db", clock) as store:
            heart = asyncio.create_task(beat())
            source = GivenSource(read(town))
            rules = profile(keep_passwords=False)
            await cycle.run_cycle(job_of(rules, source, MemoryDirectory(), store, clock, tmp_path))
            heart.cancel()

    asyncio.run(run())
    assert alive >= 3
