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
_PERSON_OFFSET: Final = 100_000
_MAIL_ROWS: Final = 4

DATES: Final = frozenset(
    {"firstday", "lastday", "entrydate", "exitdate", "start_date", "end_date", "dateenrolled", "dateleft", "dob"}
)
"""Columns of type DATE; no name is a date in one table and something else in another."""
TEXTS: Final = frozenset({
    "name", "abbreviation", "course_number", "course_name", "section_number", "expression",
    "external_expression", "room", "first_name", "middle_name", "last_name", "firstname", "middlename",
    "lastname", "student_number", "state_studentnumber", "student_web_id", "teachernumber", "email_addr",
    "loginid", "teacherloginid", "emailaddress", "gender", "schooladdress", "schoolcity", "schoolstate",
    "schoolzip", "schoolphone", "principal", "principalemail", "gradebooktype",
})  # fmt: skip
"""Columns of type VARCHAR2; what is neither here nor among the dates is a NUMBER."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name as the server spells it, its rows, and how each column is read.

    `origin` is the district's table (`model.TABLES` or the enrollments) its rows come from, None for a fixed one, and
    `of` gives the rows that stand for one key of it. `key` is the column whose value no two rows share, `numbers` the
    values it can have in those rows.
    """

    name: str
    key: str
    origin: str | None
    rows: Callable[[District], Iterable[Any]]
    of: Callable[[District, int], Iterable[Any]]
    columns: Mapping[str, Column]
    numbers: Callable[[int], tuple[int, ...]] = lambda key: (key,)

    def getters(self, district: District) -> dict[str, Callable[[Any], Any]]:
        """Every column as a function of the row alone."""
        return {name: _bound(column, district) for name, column in self.columns.items()}

    def record(self, row: Any, district: District, wanted: Iterable[str]) -> dict[str, str]:
        """The wanted columns as text; what is null is left out."""
        values = {name: self.columns[name](row, district) for name in wanted}
        return {name: shown(value) for name, value in values.items() if value is not None and value != ""}


@dataclass(frozen=True, slots=True)
class Mail:
    """An address of a student: `n` tells the student's addresses apart."""

    student: model.Student
    n: int
    address: str
    primary: bool

    @property
    def number(self) -> int:
        """Its key in both tables of addresses."""
        return self.student.dcid * _MAIL_ROWS + self.n


def shown(value: object) -> str:
    """A value as the tables show it: dates as YYYY-MM-DD, truth as 1 or 0."""
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(int(value)) if isinstance(value, bool) else str(value)


def mails(student: model.Student) -> Iterable[Mail]:
    """The student's addresses, the first one not always first: some have an old one besides, which is not primary."""
    if not student.email:
        return
    if student.number.endswith("4"):
        yield Mail(student, 0, f"old.{student.email}", primary=False)
    yield Mail(student, 1, student.email, primary=True)


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


def _signed(number: object, negative: bool) -> object:
    return -number if negative and isinstance(number, int) else number


def person(student: model.Student) -> int:
    """PERSON.ID of a student."""
    return student.id + _PERSON_OFFSET


def _stored(name: str, origin: str, columns: Mapping[str, Column], key: str = "dcid") -> Table:
    """A table whose rows are those of the district's table `origin`."""

    def rows(district: District) -> Iterable[Any]:
        return sorted(district.table(origin).values(), key=lambda row: row.dcid)

    def of(district: District, dcid: int) -> Iterable[Any]:
        row = district.table(origin).get(dcid)
        return () if row is None else (row,)

    return Table(name, key, origin, rows, of, columns)


def _mail_table(name: str, key: str, columns: Mapping[str, Column]) -> Table:
    """A table with a row for each address of each student."""

    def rows(district: District) -> Iterable[Any]:
        return (mail for _, student in sorted(district.students.items()) for mail in mails(student))

    def of(district: District, dcid: int) -> Iterable[Any]:
        return mails(district.students[dcid]) if dcid in district.students else ()

    def numbers(dcid: int) -> tuple[int, ...]:
        return tuple(range(dcid * _MAIL_ROWS, (dcid + 1) * _MAIL_ROWS))

    return Table(name, key, "students", rows, of, columns, numbers)


def _enrollments(district: District) -> Iterable[model.Enrollment]:
    return (district.enrollments.view(row) for row in district.enrollments.rows())


def _enrollment(district: District, position: int) -> Iterable[model.Enrollment]:
    table = district.enrollments
    return () if table.state[position] == model.DELETED else (table.view(position),)


TABLES: Final[dict[str, Table]] = {
    "schools": _stored(
        "Schools",
        "schools",
        {
            **_plain("dcid", "id", "name", "low_grade", "high_grade", school_number="number"),
            **_plain(schooladdress="street", schoolcity="city", schoolstate="state", schoolzip="postal_code"),
            **_plain(schoolphone="phone", principalemail="principal_email"),
            "principal": lambda row, _district: f"{row.principal_first} {row.principal_last}".strip(),
        },
    ),
    "terms": _stored(
        "Terms",
        "terms",
        {
            **_plain("dcid", "id", "portion", "abbreviation", "name", firstday="first_day", lastday="last_day"),
            "schoolid": _school,
            "yearid": lambda row, _district: row.start_year - 1990,
            "isyearrec": lambda row, _district: int(row.portion == 1),
        },
    ),
    "courses": _stored(
        "Courses", "courses", {**_plain("dcid", "id", course_number="number", course_name="name"), "schoolid": _school}
    ),
    "sections": _stored(
        "Sections",
        "sections",
        {
            **_plain("dcid", "id", "expression", "external_expression", "room", section_number="number"),
            **_plain(gradebooktype="gradebook_type"),
            "schoolid": _school,
            "termid": _id_in("terms", "term"),
            "course_number": _course_number,
            "teacher": _id_in("staff", "staff"),
        },
    ),
    "students": _stored(
        "Students",
        "students",
        {
            **_plain("dcid", "id", "first_name", "middle_name", "last_name", "enroll_status", "gender"),
            **_plain(student_number="number", state_studentnumber="state_number", grade_level="grade"),
            **_plain(entrydate="entry_date", exitdate="exit_date", student_web_id="username", dob="birth_date"),
            **_plain(sched_yearofgraduation="graduation_year"),
            "schoolid": _school,
            "person_id": lambda row, _district: person(row),
        },
    ),
    "person": _stored(
        "Person",
        "students",
        {
            **_plain("dcid", firstname="first_name", middlename="middle_name", lastname="last_name"),
            "id": lambda row, _district: person(row),
        },
    ),
    "personemailaddressassoc": _mail_table(
        "PersonEmailAddressAssoc",
        "personemailaddressassocid",
        {
            "personemailaddressassocid": lambda row, _district: row.number,
            "personid": lambda row, _district: person(row.student),
            "emailaddressid": lambda row, _district: row.number,
            "isprimaryemailaddress": lambda row, _district: int(row.primary),
            "emailaddresspriorityorder": lambda row, _district: 1 if row.primary else 2,
        },
    ),
    "emailaddress": _mail_table(
        "EmailAddress",
        "emailaddressid",
        {"emailaddressid": lambda row, _district: row.number, "emailaddress": lambda row, _district: row.address},
    ),
    "users": _stored(
        "Users",
        "users",
        {
            **_plain("dcid", "first_name", "middle_name", "last_name", teachernumber="teacher_number"),
            **_plain(email_addr="email", loginid="admin_username", teacherloginid="teacher_username"),
            **_plain(ptaccess="pt_access"),
            "homeschoolid": _home_school,
        },
    ),
    "schoolstaff": _stored(
        "SchoolStaff",
        "staff",
        {**_plain("dcid", "id", "status", users_dcid="user", staffstatus="type"), "schoolid": _school},
    ),
    "sectionteacher": _stored(
        "SectionTeacher",
        "section_teachers",
        {
            **_plain("start_date", "end_date", id="dcid", roleid="role"),
            "sectionid": _id_in("sections", "section"),
            "teacherid": _id_in("staff", "staff"),
        },
        key="id",
    ),
    "cc": Table(
        "CC",
        "dcid",
        model.ENROLLMENTS,
        _enrollments,
        _enrollment,
        {
            **_plain("dcid", dateenrolled="entry_date", dateleft="exit_date"),
            "id": lambda row, _district: row.dcid + model.Enrollments.ID_OFFSET,
            "studentid": _id_in("students", "student"),
            # A dropped class keeps its row, under the negative number of the section.
            "sectionid": lambda row, district: _signed(_id_in("sections", "section")(row, district), row.dropped),
            "schoolid": _of_section(_school),
            "termid": _of_section(_id_in("terms", "term")),
            "course_number": _of_section(_course_number),
            "teacherid": _of_section(_id_in("staff", "staff")),
        },
        lambda position: (position + model.Enrollments.FIRST_DCID,),
    ),
    "roledef": Table(
        "RoleDef",
        "id",
        None,
        lambda _district: _ROLES.items(),
        lambda _district, _key: (),
        {"id": lambda row, _district: row[0], "name": lambda row, _district: row[1]},
    ),
}
COLUMNS: Final = frozenset(name for table in TABLES.values() for name in table.columns)
"""The names of all columns of all tables."""
