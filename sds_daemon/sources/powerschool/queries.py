"""The PowerQueries of the plugin, from the reader's side: names, arguments, and what a row holds.

The SQL is in plugin/queries_root. Every value arrives as text, an empty one not at all; ids are DCIDs.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

QUERY_ROOT = "/ws/schema/query/"
PREFIX = "org.sdsdaemon.sync.roster."

Arguments = dict[str, int]


class PowerQuery(msgspec.Struct, frozen=True):
    """One query. `ranged`: by school numbers; `yearly`: by the term ids of a school year; `years`: by year ids."""

    name: str
    ranged: bool = True
    yearly: bool = True
    years: bool = False

    @property
    def path(self) -> str:
        """Where it is called."""
        return f"{QUERY_ROOT}{PREFIX}{self.name}"


SCHOOLS = PowerQuery("schools", ranged=False, yearly=False)
TERMS = PowerQuery("terms", yearly=False, years=True)
COURSES = PowerQuery("courses", ranged=False, yearly=False)
SECTIONS = PowerQuery("sections")
SECTION_TEACHERS = PowerQuery("section_teachers")
STAFF = PowerQuery("staff")
STUDENTS = PowerQuery("students")
ENROLLMENTS = PowerQuery("enrollments")

ALL = (SCHOOLS, TERMS, COURSES, SECTIONS, SECTION_TEACHERS, STAFF, STUDENTS, ENROLLMENTS)

_YEAR_ZERO = 1990  # TERMS.YearID = start_year - 1990, TERMS.ID = YearID * 100 + n


class Range(msgspec.Struct, frozen=True, order=True):
    """School numbers from `first` to `last`, both included."""

    first: int
    last: int


def school_arguments(schools: Range) -> Arguments:
    """The arguments of a ranged query."""
    return {"first_school": schools.first, "last_school": schools.last}


def year_arguments(start_year: int) -> Arguments:
    """The arguments of a yearly query."""
    first = (start_year - _YEAR_ZERO) * 100
    return {"first_term": first, "last_term": first + 99}


def years_arguments(start_years: Iterable[int]) -> Arguments:
    """The arguments of a query for several years."""
    ids = [year - _YEAR_ZERO for year in start_years]
    return {"first_year": min(ids), "last_year": max(ids)}


def start_year(year_id: str) -> str:
    """The first calendar year of a TERMS.YearID; the text itself where it is no number."""
    return str(int(year_id) + _YEAR_ZERO) if year_id.isascii() and year_id.isdigit() else year_id


class SchoolRecord(msgspec.Struct, gc=False):
    """SCHOOLS."""

    id: str = ""
    school_number: str = ""
    name: str = ""
    low_grade: str = ""
    high_grade: str = ""


class TermRecord(msgspec.Struct, gc=False):
    """TERMS. `year` is YearID, `school` a DCID."""

    id: str = ""
    school: str = ""
    year: str = ""
    portion: str = ""
    first_day: str = ""
    last_day: str = ""
    abbreviation: str = ""
    name: str = ""


class CourseRecord(msgspec.Struct, gc=False):
    """COURSES."""

    id: str = ""
    number: str = ""
    name: str = ""


class SectionRecord(msgspec.Struct, gc=False):
    """SECTIONS. `teacher` is the lead's SCHOOLSTAFF.ID, `staff` the same person's SCHOOLSTAFF.DCID."""

    id: str = ""
    school: str = ""
    term: str = ""
    course: str = ""
    number: str = ""
    expression: str = ""
    period: str = ""
    teacher: str = ""
    staff: str = ""


class SectionTeacherRecord(msgspec.Struct, gc=False):
    """SECTIONTEACHER. `staff` is a SCHOOLSTAFF.DCID, `role` the name in ROLEDEF; both days are included."""

    id: str = ""
    section: str = ""
    staff: str = ""
    role: str = ""
    first_day: str = ""
    last_day: str = ""


class StaffRecord(msgspec.Struct, gc=False):
    """SCHOOLSTAFF with its USERS row: a person at one school. `type` is StaffStatus (1 teacher), `status` 1 current."""

    id: str = ""
    person: str = ""
    school: str = ""
    type: str = ""
    status: str = ""
    number: str = ""
    username: str = ""
    first_name: str = ""
    middle_name: str = ""
    last_name: str = ""
    email: str = ""


class StudentRecord(msgspec.Struct, gc=False):
    """STUDENTS with the first of the person's e-mail addresses. `status` is the code of Enroll_Status."""

    id: str = ""
    school: str = ""
    status: str = ""
    number: str = ""
    state_number: str = ""
    username: str = ""
    first_name: str = ""
    middle_name: str = ""
    last_name: str = ""
    grade: str = ""
    birth_date: str = ""
    graduation_year: str = ""
    email: str = ""


class EnrollmentRecord(msgspec.Struct, gc=False):
    """CC, the rows that were not dropped. `exit` is the first day not attended."""

    id: str = ""
    section: str = ""
    student: str = ""
    entry: str = ""
    exit: str = ""
