"""While a plan is carried out, what it was worked out from is not held."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import msgspec
from fakes import GivenSource, job_of
from memory_directory import MemoryDirectory
from plan_rig import NOW, District, House, Pupil, profile
from test_cycle_properties import read

from sds_daemon.clock import FixedClock
from sds_daemon.roster.records import Snapshot
from sds_daemon.store import Store
from sds_daemon.sync.cycle import run_cycle


class ReadOnce(GivenSource):
    """Keeps nothing of what it has answered."""

    async def read(self, *arguments: Any, **options: Any) -> Any:
        answer = await super().read(*arguments, **options)
        assert isinstance(answer, Snapshot)
        self.snapshot = None
        return msgspec.structs.replace(answer)


class Looking(MemoryDirectory):
    """Counts the snapshots with people in them that are alive when writing begins."""

    alive = -1

    async def apply(self, *arguments: Any, **options: Any) -> None:
        gc.collect()
        self.alive = sum(isinstance(each, Snapshot) and bool(each.students) for each in gc.get_objects())
        await super().apply(*arguments, **options)


def test_the_snapshot_is_let_go_before_writing_begins(tmp_path: Path) -> None:
    pupils = tuple(Pupil(id=str(number), school="X") for number in range(3))
    clock, directory = FixedClock(NOW), Looking()
    with Store.open(tmp_path / "state" / "state.db", clock) as store:
        source = ReadOnce(read(District(houses=(House(id="X"),), pupils=pupils, masters=(), rooms=())))
        job = job_of(profile(keep_passwords=False), source, directory, store, clock, tmp_path)
        summary, decision = asyncio.run(run_cycle(job))
    assert directory.alive == 0
    assert decision is not None
    assert (summary.snapshot["students"], summary.applied["user.create"]) == (3, 3)
