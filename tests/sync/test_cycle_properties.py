"""What must hold of whole cycles: whatever fails on the way, the directory ends as if nothing had."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

import msgspec
from fakes import FailingDirectory, GivenSource, Killed, job_of
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_rig import NOW, District, profile
from test_plan_properties import POLICIES, tidy, untidy

from sds_daemon.clock import FixedClock
from sds_daemon.errors import SdsError
from sds_daemon.roster.records import RecordKind, Snapshot
from sds_daemon.store import Store
from sds_daemon.sync.cycle import run_cycle

CYCLES = settings(max_examples=8, deadline=None)
FAULTS = st.lists(st.sampled_from(["fine", "fine", "deferred", "lost", "broken", "killed"]), max_size=40)
DAYS = st.lists(st.tuples(untidy(), st.lists(FAULTS, max_size=2), st.booleans()), max_size=2)


class Daemon:
    """A profile, its state and its directory."""

    def __init__(self, folder: Path, policy: str) -> None:
        folder.mkdir()
        self.clock = FixedClock(NOW)
        self.folder = folder
        self.profile = profile(policy, keep_passwords=False)
        self.directory = FailingDirectory()
        self.store = Store.open(folder / "state" / "state.db", self.clock)

    def cycle(self, snapshot: Snapshot | None, faults: list[str] | None = None) -> None:
        """One cycle, however it ends."""
        self.directory.faults = list(faults or [])
        self.clock.advance(timedelta(minutes=1))
        job = job_of(self.profile, GivenSource(snapshot), self.directory, self.store, self.clock, self.folder)
        try:
            asyncio.run(run_cycle(job))
        except (SdsError, Killed):
            assert snapshot is None or faults, "nothing was to fail"


def read(district: District) -> Snapshot:
    """The district as a reader gives it; whoever is refused has no username to make an account of."""
    snapshot, refused = district.snapshot(), district.refused()
    nameless = {(ref.kind, ref.sis_id) for ref in refused}
    students = {
        key: msgspec.structs.replace(each, username="" if (RecordKind.STUDENT, key) in nameless else f"s{key}")
        for key, each in snapshot.students.items()
    }
    teachers = {
        key: msgspec.structs.replace(each, username="" if (RecordKind.TEACHER, key) in nameless else f"t{key}")
        for key, each in snapshot.teachers.items()
    }
    return msgspec.structs.replace(snapshot, students=students, teachers=teachers)


@CYCLES
@given(tidy(), FAULTS, DAYS, POLICIES)
def test_once_faults_cease_the_directory_is_what_an_undisturbed_daemon_would_have_made(
    first: District, faults: list[str], days: list[tuple[District, list[list[str]], bool]], policy: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        troubled, quiet = Daemon(Path(folder) / "troubled", policy), Daemon(Path(folder) / "quiet", policy)
        with troubled.store, quiet.store:
            for district, storms, source_fails in [(first, [faults], False), *days]:
                snapshot = read(district)
                if source_fails:
                    troubled.cycle(None)
                for storm in storms:
                    troubled.cycle(snapshot, storm or ["fine"])
                for daemon in (troubled, troubled, quiet, quiet):
                    daemon.cycle(snapshot)
                assert troubled.directory.objects == quiet.directory.objects
                assert troubled.directory.inside == quiet.directory.inside
            before = len(troubled.directory.applied)
            troubled.cycle(read(days[-1][0] if days else first))
            assert len(troubled.directory.applied) == before, "nothing is left to do"
