"""The bulk reader: a whole snapshot from the plugin's PowerQueries, in a handful of calls however many sections.

Two phases. *Fetch*: every answer goes raw into an anonymous file and is hashed on the way. *Make*: the files are
decoded slice by slice. When the hashes are those of the last snapshot nothing is decoded at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from datetime import date

import msgspec

from sds_daemon.clock import Clock
from sds_daemon.errors import SourceRefused
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import Absence, School, SchoolYear, Section, Snapshot, Student, Teacher, Term
from sds_daemon.sources.base import Progress, Scope, Unchanged
from sds_daemon.sources.powerschool import queries
from sds_daemon.sources.powerschool.bulk_records import (
    StudentMaker,
    distinct,
    file_parts,
    make_courses,
    make_schools,
    make_section_rows,
    make_staff,
    make_terms,
    school_number,
    slices,
)
from sds_daemon.sources.powerschool.bulk_rosters import RosterMaker, add_co_teachers, seat_students
from sds_daemon.sources.powerschool.client import Session
from sds_daemon.sources.powerschool.desk import Desk
from sds_daemon.sources.powerschool.district import Facts, read_facts, read_schools
from sds_daemon.sources.powerschool.fetch import Batch, Call, fetch, fingerprint, read_query_count
from sds_daemon.sources.powerschool.lanes import each
from sds_daemon.sources.powerschool.people import Students, assign_teachers, enrolled_in, merge_teachers
from sds_daemon.sources.powerschool.queries import EnrollmentRecord, PowerQuery, Range, StudentRecord
from sds_daemon.sources.powerschool.reader import Reader, day_of
from sds_daemon.sources.powerschool.scope import schools_in_scope
from sds_daemon.sources.powerschool.sections import make_sections
from sds_daemon.sources.powerschool.year import choose_year, years_to_ask

MOST_RANGES = 6
"""Chosen schools are asked for in this many ranges of school numbers; more would cost more calls than they save."""

EVERYTHING = Range(0, 999_999_999)

ORIGINS = {
    "school": "/ws/v1/district/school",
    "section": queries.SECTIONS.path,
    "student": queries.STUDENTS.path,
    "teacher": queries.STAFF.path,
    "roster": queries.ENROLLMENTS.path,
}

Batches = dict[PowerQuery, list[Batch]]


class Frame(msgspec.Struct):
    """What has to be known before the rest can be asked for."""

    facts: Facts
    today: date
    schools: dict[str, School]
    terms: dict[str, Term]
    year: SchoolYear
    ranges: list[Range]
    batches: list[Batch]


class BulkReader(Reader):
    """Reads by PowerQuery: needs the plugin's grants, sees co-teachers, and can tell that nothing has changed."""

    name = "powerquery"

    async def probe(self, session: Session) -> SourceRefused | None:
        """Asks each query for the count of a range without schools."""
        try:
            await each(session.lanes, queries.ALL, lambda query: read_query_count(session, _empty_call(query)))
        except SourceRefused as refusal:
            return refusal
        return None

    async def read(
        self, session: Session, scope: Scope, clock: Clock, progress: Progress, known: str | None = None
    ) -> Snapshot | Unchanged:
        """Frame, fetch; then the snapshot, unless it would be the one whose fingerprint is known."""
        desk = Desk(session, progress)
        with ExitStack() as spools:
            frame = await _read_frame(desk, scope, clock, spools)
            batches = await _fetch_all(desk, frame, scope, spools)
            everything = [*frame.batches, *(batch for found in batches.values() for batch in found)]
            whole = not desk.proof.unproved()
            mark = fingerprint(_facts(self.name, desk, frame, scope), everything) if whole else ""
            said = [*desk.notices]
            if mark and mark == known:
                return Unchanged(fingerprint=mark, calls=session.calls, notices=said)
            snapshot = await _make(desk, frame, batches, scope)
        return msgspec.structs.replace(snapshot, reader=self.name, calls=session.calls, fingerprint=mark, passing=said)


def _empty_call(query: PowerQuery) -> Call:
    return _call(query, Range(0, 0), SchoolYear(1991), (1991,))


def _call(query: PowerQuery, schools: Range, year: SchoolYear, years: Collection[int]) -> Call:
    arguments = queries.school_arguments(schools) if query.ranged else {}
    if query.yearly:
        arguments |= queries.year_arguments(year.start_year)
    if query.years:
        arguments |= queries.years_arguments(years)
    return Call(query, arguments, schools if query.ranged else None)


async def _read_frame(desk: Desk, scope: Scope, clock: Clock, spools: ExitStack) -> Frame:
    """The server's facts, the schools of the scope with their terms, and the year. Raises SourceError."""
    facts = await read_facts(desk.session)
    desk.page_sizes, desk.notices = facts.page_sizes, [*facts.notices]
    today = day_of(desk, clock, facts.timezone, scope.not_before)
    listed = await read_schools(desk)
    of_schools = await _fetch(desk, [Call(queries.SCHOOLS)], spools)
    everything = make_schools(desk, of_schools, listed)
    schools = schools_in_scope(everything, scope)
    ranges = ranges_of(schools.values(), everything)
    years = years_to_ask(today, scope.lead_days, scope.school_year)
    nowhen = SchoolYear(years[0])
    of_terms = await _fetch(desk, [_call(queries.TERMS, asked, nowhen, years) for asked in ranges], spools)
    terms = make_terms(desk, of_terms, schools)
    year = choose_year(terms.values(), today, scope.lead_days, scope.school_year)
    return Frame(facts, today, schools, terms, year, ranges, [*of_schools, *of_terms])


def ranges_of(chosen: Iterable[School], everything: Iterable[School]) -> list[Range]:
    """The fewest ranges of school numbers with the chosen schools in them and no others; one with others in it where
    they would be too many, and one for all numbers where a school has none."""
    numbers = [school_number(school) for school in chosen]
    wanted = {number for number in numbers if number is not None}
    if len(wanted) < len(numbers):
        return [EVERYTHING]
    found: list[Range] = []
    fresh = True
    for number in sorted(wanted | {n for n in map(school_number, everything) if n is not None}):
        if number not in wanted:
            fresh = True
        elif fresh:
            found.append(Range(number, number))
            fresh = False
        else:
            found[-1] = Range(found[-1].first, number)
    return found if len(found) <= MOST_RANGES else [Range(min(wanted), max(wanted))]


async def _fetch_all(desk: Desk, frame: Frame, scope: Scope, spools: ExitStack) -> Batches:
    wanted = [query for query in queries.ALL if query not in (queries.SCHOOLS, queries.TERMS)]
    if scope.people_only:
        wanted.remove(queries.ENROLLMENTS)
    calls = [
        _call(query, asked, frame.year, ())
        for query in wanted
        for asked in (frame.ranges if query.ranged else [EVERYTHING])
    ]
    found: Batches = {query: [] for query in queries.ALL}
    for batch in await _fetch(desk, calls, spools):
        found[batch.call.query].append(batch)
    return found


async def _fetch(desk: Desk, calls: Collection[Call], spools: ExitStack) -> list[Batch]:
    """The batches of all calls. All are counted first: a query that is refused costs no stream of another."""
    session = desk.session
    counts = await each(session.lanes, calls, lambda call: read_query_count(session, call))
    done = 0

    async def work(counted: tuple[Call, int]) -> Batch:
        nonlocal done
        batch = await fetch(session, *counted)
        spools.callback(batch.spool.close)
        done += 1
        desk.progress("Reading PowerQueries", done, len(calls))
        return batch

    return await each(session.lanes, list(zip(calls, counts, strict=True)), work)


def _facts(reader: str, desk: Desk, frame: Frame, scope: Scope) -> list[str]:
    """What a snapshot depends on besides the answers of the queries: what else was read, and what was wrong there."""
    facts = (frame.facts.uuid, frame.facts.timezone)
    choice = msgspec.structs.replace(scope, not_before=None, others={}, known={})
    schools = msgspec.json.encode(list(frame.schools.values())).decode()
    faults = (f"{problem.ref} {problem.code} {problem.detail}" for problem in desk.problems)
    return [reader, str(frame.today), *facts, schools, repr(choice), *faults]


async def _make(desk: Desk, frame: Frame, batches: Batches, scope: Scope) -> Snapshot:
    """The snapshot out of the spooled answers."""
    schools, today = frame.schools, frame.today
    rows = make_section_rows(desk, batches[queries.SECTIONS], schools)
    courses = make_courses(desk, batches[queries.COURSES])
    sections, leads = make_sections(
        desk, rows, frame.terms, courses, year=frame.year, today=today, lead_days=scope.lead_days
    )
    staff = make_staff(desk, batches[queries.STAFF], schools)
    assign_teachers(desk, sections, leads, staff)
    add_co_teachers(desk, sections, batches[queries.SECTION_TEACHERS], staff, today)
    teachers = merge_teachers(desk, schools, sections, staff)
    if not scope.people_only:
        await _seat_all(desk, sections, frame, batches[queries.ENROLLMENTS])
    students, absences = await _make_students(desk, frame, batches[queries.STUDENTS], sections, scope)
    return _snapshot(desk, frame, sections, students, teachers, absences)


async def _seat_all(desk: Desk, sections: dict[str, Section], frame: Frame, batches: list[Batch]) -> None:
    maker = RosterMaker(desk, sections, frame.today)
    for rows in distinct(batches, EnrollmentRecord):
        maker.take(rows)
        await _breathe(desk)
    seat_students(desk, sections, frame.schools, batches, maker)


async def _make_students(
    desk: Desk, frame: Frame, batches: list[Batch], sections: Mapping[str, Section], scope: Scope
) -> tuple[dict[str, Student], dict[str, Absence]]:
    students = Students(frame.schools, include_preregistered=scope.include_preregistered)
    enrolled = enrolled_in(sections.values())
    maker = StudentMaker(desk, frame.schools, students, enrolled)
    for rows in slices(batches, StudentRecord):
        maker.take(rows)
        await _breathe(desk)
    file_parts(desk, Resource.STUDENTS, frame.schools, batches, maker.received)
    desk.unprove(Resource.STUDENTS, "a student's id is listed more than once", maker.doubted)
    students.absences.update(dict.fromkeys(students.unexplained(enrolled), Absence.UNKNOWN))
    return dict(sorted(students.taken.items())), students.absent(enrolled)


async def _breathe(desk: Desk) -> None:
    """Lets others have their turn between two slices, and stops where that is asked for. Raises Interrupted."""
    desk.session.look()
    await asyncio.sleep(0)


def _snapshot(
    desk: Desk,
    frame: Frame,
    sections: dict[str, Section],
    students: dict[str, Student],
    teachers: dict[str, Teacher],
    absences: dict[str, Absence],
) -> Snapshot:
    return Snapshot(
        source_uuid=frame.facts.uuid,
        reader=BulkReader.name,
        day=frame.today,
        timezone=frame.facts.timezone,
        year=frame.year,
        schools=frame.schools,
        sections=sections,
        students=students,
        teachers=teachers,
        proof=desk.proof,
        rosters_complete=True,
        absences=absences,
        problems=desk.problems,
        notices=desk.notices,
        origins=ORIGINS,
    )
