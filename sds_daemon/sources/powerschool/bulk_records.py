"""From the rows of the PowerQueries to records, by the rules of the v1 reader: each row is given v1's form first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from sds_daemon.errors import SourceInvalid
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.proof import Part, Resource
from sds_daemon.roster.records import Course, RecordKind, Ref, School, Student, Term
from sds_daemon.sources.powerschool.desk import Desk
from sds_daemon.sources.powerschool.district import usable_terms
from sds_daemon.sources.powerschool.fetch import Batch
from sds_daemon.sources.powerschool.normalise import LONGEST_TEXT, Malformed, Row, day
from sds_daemon.sources.powerschool.people import Students, file_student, staff_row
from sds_daemon.sources.powerschool.queries import (
    CourseRecord,
    EnrollmentRecord,
    Range,
    SchoolRecord,
    SectionRecord,
    SectionTeacherRecord,
    StaffRecord,
    StudentRecord,
    TermRecord,
    start_year,
)
from sds_daemon.sources.powerschool.rows import read_rows
from sds_daemon.sources.powerschool.wire import (
    STATUS_BY_CODE,
    STATUS_NAMES,
    SectionRow,
    StaffRow,
    parse_course,
    parse_school,
    parse_section,
    parse_student,
)

R = TypeVar("R", bound=msgspec.Struct)
Listed = TypeVar("Listed", EnrollmentRecord, SectionTeacherRecord)
"""Rows whose absence ends a membership."""

_STATUS_OF = {str(code): STATUS_NAMES[letter] for code, letter in STATUS_BY_CODE.items()}


def slices(batches: Iterable[Batch], kind: type[R]) -> Iterator[list[R]]:
    """The rows of all batches, some thousands at a time. Raises SourceInvalid for an answer that is no JSON."""
    for batch in batches:
        try:
            yield from read_rows(batch.spool, kind)
        except Malformed as fault:
            raise SourceInvalid(
                f"the answer of PowerQuery {batch.call.query.name} {fault}",
                remedy="look for a proxy between here and PowerSchool",
            ) from fault


def rows_of(batches: Iterable[Batch], kind: type[R]) -> Iterator[R]:
    """The rows of all batches."""
    for rows in slices(batches, kind):
        yield from rows


def distinct(batches: Iterable[Batch], kind: type[Listed]) -> Iterator[list[Listed]]:
    """As `slices`, and counts on the way what came more than once of rows ordered so that equal ids are near.

    A row that comes twice in the place of another leaves the counts as they should be. Raises SourceInvalid.
    """
    for batch in batches:
        last: str | None = None
        for rows in slices([batch], kind):
            ids = {row.id for row in rows}
            batch.doubled += len(rows) - len(ids) + (last in ids)
            last = rows[-1].id if rows else last
            yield rows


def file_parts(
    desk: Desk,
    resource: Resource,
    schools: Mapping[str, School],
    batches: Collection[Batch],
    received: Mapping[str, int],
) -> None:
    """One part for each school. A batch that does not fit its counts makes the schools it was asked for unproved, and a
    school outside of every range is so."""
    for school in schools.values():
        asked = [batch for batch in batches if _covers(batch.call.schools, school)]
        reason = next((batch.reason for batch in asked if batch.reason), None)
        if batches and not asked:
            reason = f"{resource} of school number {school.number} were not asked for"
        rows = received.get(school.id, 0)
        part = Part(resource=resource, school_id=school.id, received=rows, expected=rows, problem=reason)
        part.pages = sum(batch.spool.documents for batch in asked)
        part.digest = "".join(batch.spool.digest[:32] for batch in asked[:1])
        desk.proof.parts.append(part)


def _covers(asked: Range | None, school: School) -> bool:
    number = school_number(school)
    return asked is None or number is None or asked.first <= number <= asked.last


def school_number(school: School) -> int | None:
    """The number the tables know a school by; None where it is none."""
    return int(school.number) if school.number.isascii() and school.number.isdigit() else None


def make_schools(desk: Desk, batches: Iterable[Batch], known: Iterable[School]) -> list[School]:
    """The schools the tables hold, as /ws/v1 describes them where it does: principal and address are there alone."""
    described = {school.id: school for school in known}
    for row in rows_of(batches, SchoolRecord):
        parsed = parse_school(msgspec.structs.asdict(row))
        if parsed.value is not None and parsed.id not in described:
            desk.note(parsed, RecordKind.SCHOOL, "school list")
            described[parsed.id] = parsed.value
    return list(described.values())


def make_terms(desk: Desk, batches: Collection[Batch], schools: Mapping[str, School]) -> dict[str, Term]:
    """The terms of these schools, by id."""
    rows: dict[str, list[Row]] = {school: [] for school in schools}
    for row in rows_of(batches, TermRecord):
        if row.school in rows:
            rows[row.school].append(_term(row))
    file_parts(desk, Resource.TERMS, schools, batches, {school: len(found) for school, found in rows.items()})
    return {term.id: term for school, found in rows.items() for term in usable_terms(desk, found, school)}


def _term(row: TermRecord) -> Row:
    return {
        "id": row.id,
        "school_id": row.school,
        "start_year": start_year(row.year),
        "portion": row.portion,
        "start_date": row.first_day,
        "end_date": row.last_day,
        "abbreviation": row.abbreviation,
        "name": row.name,
    }


def make_courses(desk: Desk, batches: Sequence[Batch]) -> dict[str, Course]:
    """The catalogue, by id."""
    courses = {}
    rows = 0
    for row in rows_of(batches, CourseRecord):
        rows += 1
        course = parse_course({"id": row.id, "course_number": row.number, "course_name": row.name}).value
        if course is not None:
            courses[course.id] = course
    reason = next((batch.reason for batch in batches if batch.reason), None)
    part = Part(resource=Resource.COURSES, school_id=None, received=rows, expected=rows, problem=reason)
    part.pages = sum(batch.spool.documents for batch in batches)
    part.digest = "".join(batch.spool.digest[:32] for batch in batches[:1])
    desk.proof.parts.append(part)
    return courses


def make_section_rows(desk: Desk, batches: Collection[Batch], schools: Mapping[str, School]) -> list[SectionRow]:
    """The usable sections of the year at these schools."""
    found: dict[str, SectionRow] = {}
    received: Counter[str] = Counter()
    doubled: set[str] = set()
    for row in rows_of(batches, SectionRecord):
        if row.school not in schools:
            continue
        received[row.school] += 1
        place = f"section list of school {row.school}"
        parsed = parse_section(_section(row), row.school)
        desk.note(parsed, RecordKind.SECTION, place)
        if parsed.value is None:
            continue
        if parsed.id in found:
            desk.problem(Ref(RecordKind.SECTION, parsed.id), IssueCode.DUPLICATE_SIS_ID, _twice(place))
            doubled |= {row.school, found[parsed.id].school_id}
        found.setdefault(parsed.id, parsed.value)
    file_parts(desk, Resource.SECTIONS, schools, batches, received)
    desk.unprove(Resource.SECTIONS, _twice("section list"), doubled)
    return list(found.values())


def _twice(place: str) -> str:
    return f"the {place} holds the id more than once"


def _section(row: SectionRecord) -> Row:
    nobody = row.teacher in ("", "0")
    return {
        "id": row.id,
        "school_id": row.school,
        "course_id": row.course,
        "term_id": row.term,
        "section_number": row.number,
        "external_expression": row.period,
        "expression": row.expression,
        # A lead without a row in SCHOOLSTAFF goes by the other number, as a negative one: nobody else has that.
        "staff_id": row.staff or ("" if nobody else f"-{row.teacher}"),
    }


def make_staff(desk: Desk, batches: Collection[Batch], schools: Mapping[str, School]) -> dict[str, StaffRow]:
    """The people of these schools and those who teach a section there, by staff id.

    An id with two meanings has none: whom a section names by it is not known.
    """
    staff: dict[str, StaffRow] = {}
    received: Counter[str] = Counter()
    doubled: set[str] = set()
    for row in rows_of(batches, StaffRecord):
        received[row.school] += 1
        for found in staff_row(desk, _staff(row)):
            if staff.setdefault(found.id, found) != found:
                doubled.add(found.id)
    for staff_id in sorted(doubled):
        desk.problem(Ref(RecordKind.TEACHER, f"staff {staff_id}"), IssueCode.DUPLICATE_SIS_ID, _twice("staff list"))
    file_parts(desk, Resource.STAFF, schools, batches, received)
    return {staff_id: row for staff_id, row in staff.items() if staff_id not in doubled}


def _staff(row: StaffRecord) -> Row:
    return {
        "id": row.id,
        "users_dcid": row.person,
        "teacher_username": row.username,
        "name": {"first_name": row.first_name, "middle_name": row.middle_name, "last_name": row.last_name},
        "local_id": row.number,
        "emails": {"work_email": row.email},
        "school_affiliations": {
            "school_affiliation": {"school_id": row.school, "type": row.type, "status": row.status}
        },
    }


class StudentMaker:
    """Students from their rows: by the short way where every field is plain, else by v1's.

    `enrolled`: those whom a section names; of the others only active students of the schools count. `doubted`: schools
    with a student whose id came with another row as well.
    """

    def __init__(
        self, desk: Desk, schools: Mapping[str, School], students: Students, enrolled: Collection[str]
    ) -> None:
        self.received: Counter[str] = Counter()
        self.doubted: set[str] = set()
        self._desk = desk
        self._schools = {school: school for school in schools}
        self._students = students
        self._enrolled = enrolled
        self._days = {"": True}

    def take(self, rows: Iterable[StudentRecord]) -> None:
        """Files the rows of a slice."""
        for row in rows:
            self.received[row.school] += 1
            status = _STATUS_OF.get(row.status)
            wanted = row.school in self._schools and (status is None or status in self._students.statuses)
            if not wanted and row.id not in self._enrolled:
                continue
            student = self._plain(row, status) if status is not None else None
            if self._students.met(row.id):
                self._compare(row, student)
            elif student is not None:
                self._students.file(student)
            else:
                file_student(self._desk, self._students, _student(row), "", f"student list of school {row.school}")

    def _compare(self, row: StudentRecord, student: Student | None) -> None:
        """One who belongs to one range of schools and sits in a class of another comes twice, and alike."""
        again = student if student is not None else parse_student(_student(row), "").value
        if self._students.says_the_same(row.id, again):
            return
        earlier = self._students.taken.get(row.id)
        self.doubted |= {row.school} if earlier is None else {row.school, earlier.school_id}
        self._desk.problem(Ref(RecordKind.STUDENT, row.id), IssueCode.DUPLICATE_SIS_ID, _twice("student list"))

    def _plain(self, row: StudentRecord, status: str) -> Student | None:
        """The student, None where a field needs a closer look."""
        texts = (
            row.username, row.first_name, row.middle_name, row.last_name,
            row.number, row.state_number, row.grade, row.email, row.graduation_year,
        )  # fmt: skip
        if not (is_id(row.id) and is_id(row.school) and are_plain(texts) and self._is_day(row.birth_date)):
            return None
        return Student(
            id=row.id,
            school_id=self._schools.get(row.school, row.school),
            username=row.username,
            first_name=row.first_name,
            middle_name=row.middle_name,
            last_name=row.last_name,
            number=row.number,
            state_id=row.state_number,
            grade=row.grade,
            email=row.email,
            birth_date=row.birth_date,
            graduation_year=_year(row.graduation_year),
            status=status,
        )

    def _is_day(self, written: str) -> bool:
        known = self._days.get(written)
        if known is None:
            known = self._days[written] = _is_day(written)
        return known


def is_id(text: str) -> bool:
    """Whether a text is an id as `normalise.identifier` gives it back."""
    return text.isdigit() and text.isascii() and len(text) <= 64


def _is_day(written: str) -> bool:
    try:
        return day(written) is not None and written == written.strip()
    except Malformed:
        return False


def are_plain(texts: Iterable[str]) -> bool:
    """Whether every text is what `normalise.text` would make of it: printable, not long, without space around it."""
    joined = "|".join(texts)
    if not joined.isprintable() or len(joined) > LONGEST_TEXT:
        return False
    return " |" not in joined and "| " not in joined and joined[:1] != " " and joined[-1:] != " "


def _year(text: str) -> str:
    """SCHED_YEAROFGRADUATION is 0 where nobody has set it."""
    return "" if text == "0" else text


def _student(row: StudentRecord) -> Row:
    return {
        "id": row.id,
        "student_username": row.username,
        "name": {"first_name": row.first_name, "middle_name": row.middle_name, "last_name": row.last_name},
        "local_id": row.number,
        "state_province_id": row.state_number,
        "school_enrollment": {"school_id": row.school, "grade_level": row.grade, "enroll_status_code": row.status},
        "contact_info": {"email": row.email},
        "demographics": {"birth_date": row.birth_date, "projected_graduation_year": _year(row.graduation_year)},
    }
