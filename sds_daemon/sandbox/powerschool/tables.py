"""The tables as the database has them: lower-case columns, foreign keys by `id`, every value text.

`/ws/v1` speaks in DCIDs, the tables in the second number of each row; this is where one becomes the other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.model import District

Column = Callable[[Any, District], object]
_ROLES: Final = {model.ROLE_LEAD: "Lead Teacher", model.ROLE_CO_TEACHER: "Co-teacher"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name as the server spells it, its rows, and how each column is read."""

    name: str
    rows: Callable[[District], Iterable[Any]]
    columns: Mapping[str, Column]

    def getters(self, district: District) -> dict[str, Callable[[Any], Any]]:
        """Every column as a function of the row alone."""
        return {name: _bound(column, district) for name, column in self.columns.items()}

    def record(self, row: Any, district: District, wanted: Iterable[str]) -> dict[str, str]:
        """The wanted columns as text; what is null is left out."""
        values = {name: self.columns[name](row, district) for name in wanted}
        return {name: shown(value) for name, value in values.items() if value is not None and value != ""}


def shown(value: object) -> str:
    """A value as the tables show it: dates as YYYY-MM-DD, truth as 1 or 0."""
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(int(value)) if isinstance(value, bool) else str(value)


def _bound(column: Column, district: District) -> Callable[[Any], Any]:
    return lambda row: column(row, district)


def _own(attribute: str) -> Column:
    return lambda row, _district: getattr(row, attribute)


def _plain(*names: str, **renamed: str) -> dict[str, Column]:
    """Columns read straight from the row: column=attribute, or one name for both."""
    return {**{name: _own(name) for name in names}, **{name: _own(attribute) for name, attribute in renamed.items()}}


def _school(row: Any, district: District) -> object:
    school = district.schools.get(row.school)
    return 0 if row.school is None else school.number if school else None


def _id_in(table: str, attribute: str) -> Column:
    def read(row: Any, district: District) -> object:
        other = district.table(table).get(getattr(row, attribute))
        return None if other is None else other.id

    return read


def _of_section(column: Column) -> Column:
    def read(row: Any, district: District) -> object:
        section = district.sections.get(row.section)
        return None if section is None else column(section, district)

    return read


def _course_number(row: model.Section, district: District) -> object:
    course = district.courses.get(row.course)
    return None if course is None else course.number


def _home_school(row: model.User, district: District) -> object:
    school = district.schools.get(row.home_school or -1)
    return school.number if school else None


def _rows(table: str) -> Callable[[District], Iterable[Any]]:
    return lambda district: sorted(district.table(table).values(), key=lambda row: row.dcid)


def _enrollments(district: District) -> Iterable[model.Enrollment]:
    return (district.enrollments.view(row) for row in district.enrollments.rows())


TABLES: Final[dict[str, Table]] = {
    "schools": Table(
        "Schools", _rows("schools"), _plain("dcid", "id", "name", "low_grade", "high_grade", school_number="number")
    ),
    "terms": Table(
        "Terms",
        _rows("terms"),
        {
            **_plain("dcid", "id", "portion", "abbreviation", "name", firstday="first_day", lastday="last_day"),
            "schoolid": _school,
            "yearid": lambda row, _district: row.start_year - 1990,
            "isyearrec": lambda row, _district: row.portion == 1,
        },
    ),
    "courses": Table(
        "Courses",
        _rows("courses"),
        {**_plain("dcid", "id", course_number="number", course_name="name"), "schoolid": _school},
    ),
    "sections": Table(
        "Sections",
        _rows("sections"),
        {
            **_plain("dcid", "id", "expression", "external_expression", "room", section_number="number"),
            "schoolid": _school,
            "termid": _id_in("terms", "term"),
            "course_number": _course_number,
            "teacher": _id_in("staff", "staff"),
        },
    ),
    "students": Table(
        "Students",
        _rows("students"),
        {
            **_plain("dcid", "id", "first_name", "middle_name", "last_name", "enroll_status"),
            **_plain(student_number="number", state_studentnumber="state_number", grade_level="grade"),
            **_plain(entrydate="entry_date", exitdate="exit_date", student_web_id="username"),
            "schoolid": _school,
            "person_id": lambda row, _district: row.id + 100_000,
        },
    ),
    "users": Table(
        "Users",
        _rows("users"),
        {
            **_plain("dcid", "first_name", "middle_name", "last_name", teachernumber="teacher_number"),
            **_plain(email_addr="email", loginid="admin_username", teacherloginid="teacher_username"),
            **_plain(ptaccess="pt_access"),
            "homeschoolid": _home_school,
        },
    ),
    "schoolstaff": Table(
        "SchoolStaff",
        _rows("staff"),
        {**_plain("dcid", "id", "status", users_dcid="user", staffstatus="type"), "schoolid": _school},
    ),
    "sectionteacher": Table(
        "SectionTeacher",
        _rows("section_teachers"),
        {
            **_plain("start_date", "end_date", id="dcid", roleid="role"),
            "sectionid": _id_in("sections", "section"),
            "teacherid": _id_in("staff", "staff"),
        },
    ),
    "cc": Table(
        "CC",
        _enrollments,
        {
            **_plain("dcid", dateenrolled="entry_date", dateleft="exit_date"),
            "id": lambda row, _district: row.dcid + model.Enrollments.ID_OFFSET,
            "studentid": _id_in("students", "student"),
            # A dropped class keeps its row, under the negative number of the section.
            "sectionid": lambda row, district: _signed(_id_in("sections", "section")(row, district), row.dropped),
            "schoolid": _of_section(_school),
            "termid": _of_section(_id_in("terms", "term")),
        },
    ),
    "roledef": Table(
        "RoleDef",
        lambda _district: _ROLES.items(),
        {"id": lambda row, _district: row[0], "name": lambda row, _district: row[1]},
    ),
}


def _signed(number: object, negative: bool) -> object:
    return -number if negative and isinstance(number, int) else number
