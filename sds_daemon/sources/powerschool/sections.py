"""Sections of the year with their terms and courses."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import Course, RecordKind, Ref, SchoolYear, Section, Term
from sds_daemon.sources.powerschool.desk import Desk
from sds_daemon.sources.powerschool.district import usable_terms
from sds_daemon.sources.powerschool.lanes import each
from sds_daemon.sources.powerschool.normalise import Row
from sds_daemon.sources.powerschool.pages import ListCall
from sds_daemon.sources.powerschool.wire import SectionRow, parse_course, parse_section
from sds_daemon.sources.powerschool.year import is_frozen, is_taken_up


def sections_call(desk: Desk, school_id: str, start_year: int) -> ListCall:
    """The list of a school's sections whose term lies in the year, terms nested."""
    path = f"/ws/v1/school/{school_id}/section"
    return desk.call("section", path, filters={"q": f"term.start_year=={start_year}"}, expansions="term")


async def read_section_rows(desk: Desk, schools: Collection[str], year: SchoolYear) -> list[SectionRow]:
    """The usable section rows of the year at these schools. Raises SourceError."""

    async def of_school(school_id: str) -> list[SectionRow]:
        listing = await desk.read(Resource.SECTIONS, school_id, sections_call(desk, school_id, year.start_year))
        place = f"section list of school {school_id}"
        rows = desk.take(listing, RecordKind.SECTION, lambda raw: parse_section(raw, school_id), place)
        return [row for row in rows if _belongs(desk, row, school_id)]

    found = await desk.each_school("Reading sections", Resource.SECTIONS, schools, of_school)
    return list({row.id: row for rows in found for row in rows}.values())


def _belongs(desk: Desk, row: SectionRow, school_id: str) -> bool:
    if row.school_id == school_id:
        return True
    desk.problem(
        Ref(RecordKind.SECTION, row.id),
        IssueCode.INVALID_REFERENCE,
        f"school {school_id} lists the section, but it names school {row.school_id}; the section is left out",
    )
    return False


async def complete_terms(desk: Desk, rows: Collection[SectionRow], terms: dict[str, Term]) -> dict[str, Term]:
    """`terms` and those that only sections name: as nested in the section, else read by id. Raises SourceError."""
    known = dict(terms)
    missing: dict[str, SectionRow] = {}
    for row in rows:
        if row.term_id not in known:
            nested = usable_terms(desk, [row.term_row], row.school_id) if row.term_row else []
            known.update({term.id: term for term in nested if term.id == row.term_id})
        if row.term_id not in known:
            missing[row.term_id] = row

    async def by_id(row: SectionRow) -> list[Term]:
        answer = await desk.session.find(f"/ws/v1/term/{row.term_id}")
        return usable_terms(desk, [_only(answer, "term")], row.school_id) if answer is not None else []

    for found in await each(desk.session.lanes, list(missing.values()), by_id):
        known.update({term.id: term for term in found})
    return known


async def read_courses(desk: Desk, schools: Collection[str], rows: Collection[SectionRow]) -> dict[str, Course]:
    """The courses of the sections: the schools' catalogues, and what they do not list by id. Raises SourceError.

    The catalogues hold the current year only, and a district's courses may belong to no school.
    """

    async def of_school(school_id: str) -> list[Course]:
        call = desk.call("course", f"/ws/v1/school/{school_id}/course")
        listing = await desk.read(Resource.COURSES, school_id, call)
        parsed = (parse_course(row) for row in listing.rows)
        return [course.value for course in parsed if course.value is not None and not course.faults]

    found = await desk.each_school("Reading courses", Resource.COURSES, schools, of_school)
    courses = {course.id: course for group in found for course in group}
    missing = sorted({row.course_id for row in rows} - courses.keys() - {""})

    async def by_id(course_id: str) -> Course | None:
        answer = await desk.session.find(f"/ws/v1/course/{course_id}")
        return parse_course(_only(answer, "course")).value if answer is not None else None

    for course in await each(desk.session.lanes, missing, by_id):
        if course is not None:
            courses[course.id] = course
    return courses


def _only(answer: object, root: str) -> Row:
    value = answer.get(root) if isinstance(answer, dict) else None
    return value if isinstance(value, dict) else {}


def make_sections(
    desk: Desk,
    rows: Collection[SectionRow],
    terms: dict[str, Term],
    courses: dict[str, Course],
    *,
    year: SchoolYear,
    today: date,
    lead_days: int,
) -> tuple[dict[str, Section], dict[str, str]]:
    """The sections taken up today, still without people, and their lead teachers' staff ids, both by section id.

    A section of another year is left out; one whose term is not known is a problem and left out; one whose course is
    not known is a problem and kept without it.
    """
    sections: dict[str, Section] = {}
    leads: dict[str, str] = {}
    for row in rows:
        term = terms.get(row.term_id)
        if term is None:
            detail = f"its term {row.term_id} cannot be read; the section is left out"
            desk.problem(Ref(RecordKind.SECTION, row.id), IssueCode.INVALID_REFERENCE, detail)
        elif term.start_year == year.start_year and is_taken_up(term, today, lead_days):
            sections[row.id] = _section(row, term, _course(desk, row, courses), today)
            if row.lead_staff_id:
                leads[row.id] = row.lead_staff_id
    return sections, leads


def _course(desk: Desk, row: SectionRow, courses: dict[str, Course]) -> Course | None:
    course = courses.get(row.course_id)
    if course is None and row.course_id:
        detail = f"its course {row.course_id} cannot be read; the section goes on without it"
        desk.problem(Ref(RecordKind.SECTION, row.id), IssueCode.INVALID_REFERENCE, detail)
    return course


def _section(row: SectionRow, term: Term, course: Course | None, today: date) -> Section:
    return Section(
        id=row.id,
        school_id=row.school_id,
        number=row.number,
        term=term,
        course_id=row.course_id,
        course=course,
        period=row.period,
        frozen=is_frozen(term, today),
    )
