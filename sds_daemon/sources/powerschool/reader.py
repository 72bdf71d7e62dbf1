"""The v1 reader: a whole snapshot from `/ws/v1`, with the smallest plugin PowerSchool knows.

It sees the lead teacher of a section only, and needs one list for every section.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import date, datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

from sds_daemon.clock import Clock
from sds_daemon.errors import SourceRefused
from sds_daemon.roster.records import Snapshot
from sds_daemon.sources.base import Progress, Scope, Unchanged
from sds_daemon.sources.powerschool.client import Session
from sds_daemon.sources.powerschool.desk import Desk
from sds_daemon.sources.powerschool.district import read_facts, read_schools, read_terms
from sds_daemon.sources.powerschool.people import (
    assign_teachers,
    explain_absences,
    merge_teachers,
    read_staff,
    read_students,
)
from sds_daemon.sources.powerschool.rosters import read_rosters
from sds_daemon.sources.powerschool.scope import schools_in_scope
from sds_daemon.sources.powerschool.sections import complete_terms, make_sections, read_courses, read_section_rows
from sds_daemon.sources.powerschool.year import choose_year, years_to_ask

ORIGINS = {
    "school": "/ws/v1/district/school",
    "section": "/ws/v1/school/{school}/section",
    "student": "/ws/v1/school/{school}/student",
    "teacher": "/ws/v1/school/{school}/staff",
    "roster": "/ws/v1/section/{id}/section_enrollment",
}


class Reader(ABC):
    """One way to read a whole snapshot. A source has several and serves each snapshot by one of them."""

    name: ClassVar[str]

    @abstractmethod
    async def probe(self, session: Session) -> SourceRefused | None:
        """Why the plugin does not allow this reader; None where it does. Raises other SourceErrors."""

    @abstractmethod
    async def read(
        self, session: Session, scope: Scope, clock: Clock, progress: Progress, known: str | None = None
    ) -> Snapshot | Unchanged:
        """The scope, whole and with its proof; Unchanged where that would have the fingerprint `known`.

        Raises SourceError, SourceRefused where the plugin does not allow this reader, ConfigurationError, Interrupted.
        """


class V1Reader(Reader):
    """Reads `/ws/v1`: works with every plugin that has `accessLevelV1Api="READ"`."""

    name = "v1"

    async def probe(self, session: Session) -> SourceRefused | None:
        """Asks for one count, which every v1 plugin may read."""
        try:
            await session.get("/ws/v1/district/school/count")
        except SourceRefused as refusal:
            return refusal
        return None

    async def read(
        self, session: Session, scope: Scope, clock: Clock, progress: Progress, known: str | None = None
    ) -> Snapshot:
        """Facts, schools, year, sections, people, rosters; then the snapshot."""
        desk = Desk(session, progress)
        facts = await read_facts(session)
        desk.page_sizes, desk.notices = facts.page_sizes, [*facts.notices]
        today = day_of(desk, clock, facts.timezone, scope.not_before)

        schools = schools_in_scope(await read_schools(desk), scope)
        terms = await read_terms(desk, schools, years_to_ask(today, scope.lead_days, scope.school_year))
        year = choose_year(terms.values(), today, scope.lead_days, scope.school_year)

        rows = await read_section_rows(desk, schools, year)
        terms = await complete_terms(desk, rows, terms)
        courses = await read_courses(desk, schools, rows)
        sections, leads = make_sections(desk, rows, terms, courses, year=year, today=today, lead_days=scope.lead_days)

        staff = await read_staff(desk, schools, leads.values())
        assign_teachers(desk, sections, leads, staff)
        teachers = merge_teachers(desk, schools, sections, staff)

        students = await read_students(desk, schools, include_preregistered=scope.include_preregistered)
        if not scope.people_only:
            await read_rosters(desk, schools, sections, today)
        absences = await explain_absences(desk, students, sections.values())

        return Snapshot(
            source_uuid=facts.uuid,
            reader=self.name,
            day=today,
            timezone=facts.timezone,
            year=year,
            schools=schools,
            sections=sections,
            students=dict(sorted(students.taken.items())),
            teachers=teachers,
            proof=desk.proof,
            rosters_complete=False,
            absences=absences,
            problems=desk.problems,
            calls=session.calls,
            notices=desk.notices,
            origins=ORIGINS,
        )


def day_of(desk: Desk, clock: Clock, timezone: str, not_before: datetime | None) -> date:
    """The district's date; a clock that was set back does not bring an earlier day back."""
    today = clock.today(timezone)
    seen = not_before.astimezone(ZoneInfo(timezone)).date() if not_before is not None else today
    if seen > today:
        desk.notice(f"this machine's clock says {today}, but an earlier run has seen {seen}: the day stays {seen}")
    return max(today, seen)
