"""The tables of a student information system, as far as rosters need them.

Every table is keyed by its DCID, the number `/ws/v1` shows as `id`; the second number of a row (`id`, the column that
foreign keys of the database use) differs from it. References between rows are DCIDs here; the table view translates.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sds_daemon.sandbox.district.enrollments import DELETED as DELETED
from sds_daemon.sandbox.district.enrollments import DROPPED as DROPPED
from sds_daemon.sandbox.district.enrollments import LIVE as LIVE
from sds_daemon.sandbox.district.enrollments import Enrollment as Enrollment
from sds_daemon.sandbox.district.enrollments import Enrollments as Enrollments

_T = TypeVar("_T")

DISTRICT_OFFICE: Final = 0
"""School number of the district office."""
GRADUATED: Final = 999999
"""School number of the school that holds graduated students."""

ACTIVE: Final = 0
PRE_REGISTERED: Final = -1
TRANSFERRED: Final = 2
GRADUATED_STATUS: Final = 3

ROLE_LEAD: Final = 1
ROLE_CO_TEACHER: Final = 2


@dataclass(slots=True)
class School:
    """A row of SCHOOLS. Grades run from -2 (pre-kindergarten) over 0 (kindergarten) to 12."""

    dcid: int
    id: int
    number: int
    name: str
    low_grade: int = 0
    high_grade: int = 12
    state_id: str = ""
    street: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""
    phone: str = ""
    principal_first: str = ""
    principal_last: str = ""
    principal_email: str = ""


@dataclass(slots=True)
class Term:
    """A row of TERMS: one per school and term. `id` is year_id * 100 + n and recurs in every school."""

    dcid: int
    id: int
    school: int
    start_year: int
    portion: int
    first_day: dt.date
    last_day: dt.date
    abbreviation: str
    name: str


@dataclass(slots=True)
class Course:
    """A row of COURSES; `school` is None for a course that belongs to the district."""

    dcid: int
    id: int
    number: str
    name: str
    school: int | None = None


@dataclass(slots=True)
class Section:
    """A row of SECTIONS. `staff` is the lead teacher's SCHOOLSTAFF row, None when nobody is assigned."""

    dcid: int
    id: int
    school: int
    course: int
    term: int
    number: str
    expression: str = ""
    external_expression: str = ""
    staff: int | None = None
    gradebook_type: str = "PTG"
    room: str = ""


@dataclass(slots=True)
class User:
    """A row of USERS: one per member of staff. The table has no `id` column."""

    dcid: int
    teacher_number: str
    first_name: str
    last_name: str
    middle_name: str = ""
    email: str = ""
    teacher_username: str = ""
    admin_username: str = ""
    home_school: int | None = None
    pt_access: int = 1


@dataclass(slots=True)
class Staff:
    """A row of SCHOOLSTAFF: one per person and school. `type` 1 teacher, 2 staff; `status` 1 current, 2 left."""

    dcid: int
    id: int
    user: int
    school: int
    type: int = 1
    status: int = 1


@dataclass(slots=True)
class SectionTeacher:
    """A row of SECTIONTEACHER: who teaches a section, in which role, from when until when (both days included)."""

    dcid: int
    section: int
    staff: int
    role: int
    start_date: dt.date
    end_date: dt.date


@dataclass(slots=True)
class Student:
    """A row of STUDENTS. `exit_date` is the day after the last day of attendance."""

    dcid: int
    id: int
    number: str
    first_name: str
    last_name: str
    school: int
    grade: int
    entry_date: dt.date
    exit_date: dt.date
    middle_name: str = ""
    enroll_status: int = ACTIVE
    username: str = ""
    email: str = ""
    state_number: str = ""
    gender: str = ""
    birth_date: dt.date | None = None
    graduation_year: int = 0


_DERIVED_LIMIT: Final = 20_000
TABLES: Final = ("schools", "terms", "courses", "sections", "users", "staff", "section_teachers", "students")
ENROLLMENTS: Final = "enrollments"
_TABLE_OF: Final[dict[type, str]] = {
    School: "schools", Term: "terms", Course: "courses", Section: "sections", User: "users", Staff: "staff",
    SectionTeacher: "section_teachers", Student: "students",
}  # fmt: skip
Watcher = Callable[[str, int], None]
"""Told of every change: the table and the DCID (the position, for enrollments) of the row that may be another now."""


@dataclass
class District:
    """All tables of one server. Change rows only through the methods here: they keep the version and the undo log."""

    uuid: str
    name: str
    number: str = ""
    timezone: str = "America/Los_Angeles"
    domain: str = "contoso.edu"
    schools: dict[int, School] = field(default_factory=dict)
    terms: dict[int, Term] = field(default_factory=dict)
    courses: dict[int, Course] = field(default_factory=dict)
    sections: dict[int, Section] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    staff: dict[int, Staff] = field(default_factory=dict)
    section_teachers: dict[int, SectionTeacher] = field(default_factory=dict)
    students: dict[int, Student] = field(default_factory=dict)
    enrollments: Enrollments = field(default_factory=Enrollments)
    version: int = 0
    watchers: list[Watcher] = field(default_factory=list, repr=False)
    _undo: list[Callable[[], object]] = field(default_factory=list, repr=False)
    _recording: bool = field(default=False, repr=False)
    _derived: dict[object, Any] = field(default_factory=dict, repr=False)
    _derived_version: int = field(default=-1, repr=False)

    def derived(self, key: object, build: Callable[[], _T]) -> _T:
        """A value computed from the tables, kept until the next change of any of them."""
        if self._derived_version != self.version or len(self._derived) > _DERIVED_LIMIT:
            self._derived.clear()
            self._derived_version = self.version
        if key not in self._derived:
            self._derived[key] = build()
        value: _T = self._derived[key]
        return value

    def table(self, name: str) -> dict[int, Any]:
        """The table of that name (one of `TABLES`)."""
        rows: dict[int, Any] = getattr(self, name)
        return rows

    def insert(self, table: str, row: Any) -> None:
        """Adds a row; its DCID must be free (KeyError otherwise)."""
        rows = self.table(table)
        if row.dcid in rows:
            raise KeyError(row.dcid)
        rows[row.dcid] = row
        self._changed(table, row.dcid, lambda: rows.pop(row.dcid))

    def remove(self, table: str, dcid: int) -> None:
        """Takes a row out; what refers to it is the caller's business."""
        rows = self.table(table)
        row = rows.pop(dcid)
        self._changed(table, dcid, lambda: rows.__setitem__(dcid, row))

    def assign(self, row: Any, column: str, value: Any) -> None:
        """Sets one column of a row."""
        before = getattr(row, column)
        setattr(row, column, value)
        self._changed(_TABLE_OF[type(row)], row.dcid, lambda: setattr(row, column, before))

    def enroll(self, section: int, student: int, entry: dt.date, exit_: dt.date) -> int:
        """Adds a CC row and returns its DCID."""
        row = self.enrollments.append(section, student, entry.toordinal(), exit_.toordinal())
        self._changed(ENROLLMENTS, row, lambda: self.enrollments.state.__setitem__(row, DELETED))
        return row + self.enrollments.FIRST_DCID

    def set_enrollment(self, row: int, *, exit_date: dt.date | None = None, state: int | None = None) -> None:
        """Changes the end or the state of the CC row at this position."""
        table = self.enrollments
        before = (table.exit[row], table.state[row])
        if exit_date is not None:
            table.exit[row] = exit_date.toordinal()
        if state is not None:
            table.state[row] = state

        def restore() -> None:
            table.exit[row], table.state[row] = before

        self._changed(ENROLLMENTS, row, restore)

    def next_dcid(self, table: str) -> int:
        """A DCID no row of the table has or had among those still present."""
        return max(self.table(table), default=1000) + 1

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside are undone if the block raises."""
        self._undo.clear()
        self._recording = True
        try:
            yield
        except BaseException:
            for undo in reversed(self._undo):
                undo()
            self.version += 1
            raise
        finally:
            self._undo.clear()
            self._recording = False

    def school_by_number(self, number: int) -> School | None:
        """The school with this school number."""
        return next((school for school in self.schools.values() if school.number == number), None)

    def staff_of(self, user: int) -> list[Staff]:
        """The person's SCHOOLSTAFF rows, by DCID."""
        return self.derived("staff_of", lambda: _grouped(self.staff, "user")).get(user, [])

    def staff_at(self, school: int) -> list[Staff]:
        """The school's SCHOOLSTAFF rows, whatever their status, by DCID."""
        return self.derived("staff_at", lambda: _grouped(self.staff, "school")).get(school, [])

    def current_year(self, school: int, today: dt.date) -> int | None:
        """`start_year` of the school's full-year term that contains today; None between two years."""
        years = self.derived("full_years", self._index_years).get(school, ())
        return next((t.start_year for t in years if t.first_day <= today <= t.last_day), None)

    def sections_of(self, school: int) -> list[Section]:
        """All sections of a school, of every year, by DCID."""
        return self.derived("sections_of", lambda: _grouped(self.sections, "school")).get(school, [])

    def students_of(self, school: int) -> list[Student]:
        """All students whose current school this is, whatever their status, by DCID."""
        return self.derived("students_of", lambda: _grouped(self.students, "school")).get(school, [])

    def _changed(self, table: str, key: int, undo: Callable[[], object]) -> None:
        self.version += 1
        for watcher in self.watchers:
            watcher(table, key)
        if self._recording:
            self._undo.append(undo)

    def _index_years(self) -> dict[int, list[Term]]:
        return _grouped({t.dcid: t for t in self.terms.values() if t.portion == 1}, "school")


def _grouped(rows: dict[int, Any], column: str) -> dict[int, list[Any]]:
    groups: dict[int, list[Any]] = {}
    for dcid in sorted(rows):
        groups.setdefault(getattr(rows[dcid], column), []).append(rows[dcid])
    return groups


def day_after(day: dt.date) -> dt.date:
    """The next day: exit dates are the first day that no longer counts."""
    return day + dt.timedelta(days=1)
