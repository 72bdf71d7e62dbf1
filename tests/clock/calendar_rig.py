"""A small district of the sandbox's PowerSchool, the whole cycle in this process, and one time for both."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import httpx
import powerschool_rig
from memory_directory import DOMAIN, MemoryDirectory, ref

from sds_daemon.clock import FixedClock
from sds_daemon.config.secrets import Secret
from sds_daemon.config.settings import PersonRules, Profile, SourceSettings
from sds_daemon.roster.records import Ref
from sds_daemon.sandbox.district.model import District
from sds_daemon.sandbox.powerschool.package import default_folder
from sds_daemon.sources.powerschool.source import PowerSchoolSource
from sds_daemon.store import Store
from sds_daemon.sync.cycle import run_cycle
from sds_daemon.sync.job import Job
from sds_daemon.sync.summary import RunSummary

SCHOOL, OTHER = 501, 502
YEAR, FALL, SPRING = 601, 602, 603
ALL_YEAR, IN_FALL, IN_SPRING = 7001, 7002, 7003
TEACHER = 9001
STUDENTS = (8001, 8002, 8003, 8004)
RULES = PersonRules(domain=DOMAIN)
PROFILE = Profile(
    name="district",
    enabled=True,
    source="ps",
    tenant="entra",
    schools="all",
    users="create",
    keep_passwords=False,
    students=RULES,
    teachers=RULES,
)
Operation = dict[str, Any]
Reader = Literal["powerquery", "v1"]


def instant(text: str) -> dt.datetime:
    """An instant of UTC, as "2026-11-01T07:30"."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def a_term(number: int, school: int, year: int, portion: int, first: str, last: str) -> Operation:
    """The operation that adds a term."""
    return {
        "op": "add_term", "id": number, "school": school, "start_year": year, "portion": portion, "first_day": first,
        "last_day": last, "name": f"Term {number}",
    }  # fmt: skip


def a_section(number: int, term: int, *students: int, school: int = SCHOOL) -> Operation:
    """The operation that adds a section with a lead teacher and a course of its own."""
    return {
        "op": "add_section", "id": number, "school": school, "term": term, "course_name": f"Course {number}",
        "course_number": f"C{number}", "teacher": TEACHER, "students": [*students],
    }  # fmt: skip


def _first_operations() -> list[Operation]:
    days = {YEAR: (1, "2026-08-20", "2027-06-11"), FALL: (2, "2026-08-20", "2026-12-18")}
    days[SPRING] = (2, "2027-01-11", "2027-06-11")
    operations: list[Operation] = [
        {"op": "add_school", "id": SCHOOL, "number": 1, "name": "North"},
        *(a_term(number, SCHOOL, 2026, portion, *span) for number, (portion, *span) in days.items()),
        {"op": "add_school", "id": OTHER, "number": 2, "name": "South"},
        {"op": "hire", "id": TEACHER, "school": SCHOOL, "first_name": "Tea", "last_name": "Teacher"},
    ]
    for number in STUDENTS:
        names = {"first_name": "Stu", "last_name": f"Student{number}"}
        operations.append({"op": "add_student", "id": number, "school": SCHOOL, "grade": 9, **names})
    return operations


class Year:
    """A district, the daemon beside it, and their time."""

    def __init__(self, ps: powerschool_rig.Rig, store: Store, clock: FixedClock, source: PowerSchoolSource) -> None:
        self._ps = ps
        self._store = store
        self._clock = clock
        self._source = source
        self.directory = MemoryDirectory()

    def move_to(self, now: dt.datetime, *, server: bool = True) -> None:
        """The time of the daemon, and of the server unless only this machine's clock is wrong."""
        self._clock.current = now
        if server:
            self._ps.clock.set_now(now)

    async def change(self, *operations: Operation) -> None:
        """What the school types in."""
        await self._ps.change(*operations)

    async def sync(self) -> RunSummary:
        """One cycle."""
        job = Job(
            profile=PROFILE,
            source=self._source,
            target=self.directory,
            store=self._store,
            clock=self._clock,
            state_dir=self._store.path.parent,
        )
        return (await run_cycle(job))[0]

    async def sync_at(self, text: str) -> RunSummary:
        """Move the time, then one cycle."""
        self.move_to(instant(text))
        return await self.sync()

    def students_in(self, section: int) -> set[int]:
        """Students in a section's class."""
        return {int(who.sis_id) for who in self.directory.people_in(str(section)) if who.kind.value == "student"}

    def members(self, *sections: int) -> set[tuple[str, Ref, Ref]]:
        """Everybody in these classes, in whatever role."""
        classes = {ref("section", section) for section in sections}
        return {row for row in self.directory.inside if row[1] in classes}

    def has_class(self, section: int) -> bool:
        """Whether the section has a class."""
        return ref("section", section) in self.directory.objects

    def removed(self) -> set[tuple[str, str]]:
        """(section or school, person) of all removals so far."""
        return {(c.subject.sis_id, c.member.sis_id) for c in self.directory.removals if c.member is not None}


@contextlib.asynccontextmanager
async def running_year(folder: Path, zone: str, reader: Reader, start: str = "2026-10-14T18:00") -> AsyncIterator[Year]:
    """The district stands in the time zone `zone`; four students are in a section of the whole year, two in others."""
    district = District(uuid="11111111-2222-3333-4444-555555555555", name="District", timezone=zone)
    async with powerschool_rig.running(district, default_folder()) as ps:
        clock = FixedClock(instant(start))
        ps.clock.set_now(clock.current)
        await ps.change(*_first_operations())
        await ps.change(
            a_section(ALL_YEAR, YEAR, *STUDENTS),
            a_section(IN_FALL, FALL, *STUDENTS[:2]),
            a_section(IN_SPRING, SPRING, *STUDENTS[2:]),
        )
        client_id, secret = powerschool_rig.CLIENT
        url = str(ps.http.base_url).rstrip("/")
        client = {"client_id": Secret(client_id), "client_secret": Secret(secret)}
        settings = SourceSettings(name="ps", type="powerschool", url=url, reader=reader, **client)
        source = PowerSchoolSource(settings, clock, transport=httpx.ASGITransport(ps.sandbox.app))
        try:
            with Store.open(folder / "state.db", clock) as store:
                yield Year(ps, store, clock, source)
        finally:
            await source.close()
