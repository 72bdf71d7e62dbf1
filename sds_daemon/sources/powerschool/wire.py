"""From PowerSchool's JSON to records. Pure; the names of the fields are those of the server's own API pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any, Generic, TypeVar

import msgspec

from sds_daemon.roster.records import Course, School, Student, Term
from sds_daemon.sources.powerschool.normalise import Malformed, Row, day, dig, flag, identifier, items, text, whole

T = TypeVar("T")
V = TypeVar("V")

STATUS_BY_CODE = {0: "A", -1: "P", 2: "T", 3: "G", 4: "H"}
STATUS_NAMES = {
    "A": "active",
    "P": "pre-registered",
    "T": "transferred out",
    "G": "graduated",
    "H": "historical",
    "I": "inactive",
}
ACTIVE = STATUS_NAMES["A"]
PREREGISTERED = STATUS_NAMES["P"]

_YEAR_ZERO = 1990  # TERMS.ID = (start_year - 1990) * 100 + n


class Parsed(msgspec.Struct, Generic[T]):
    """What one row gave: its id ("" if it has none), the value unless the row is unusable, and its faults."""

    id: str
    value: T | None
    faults: list[str]


class SectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A section as v1 lists it. `term_row` is the nested term where the server expanded it."""

    id: str
    school_id: str
    course_id: str
    term_id: str
    number: str
    period: str
    lead_staff_id: str
    term_row: Row


class Affiliation(msgspec.Struct, frozen=True):
    """A person at a school. `type` 1 is teacher, `status` 1 is current."""

    school_id: str
    type: int | None
    status: int | None

    @property
    def teaches(self) -> bool:
        """A current affiliation as a teacher."""
        return self.type == 1 and self.status == 1


class StaffRow(msgspec.Struct, frozen=True, kw_only=True):
    """A person at one school. `person_id` (users_dcid) is the person, `id` the person at this school.

    `usable` is false where the name or username is malformed: the person is known, but cannot be synced.
    """

    id: str
    person_id: str
    username: str
    first_name: str
    middle_name: str
    last_name: str
    number: str
    email: str
    affiliations: tuple[Affiliation, ...]
    usable: bool = True
    faults: tuple[str, ...] = ()


class EnrollmentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A student in a section for a while. `exit` is the first day not attended; None where the row is open."""

    id: str
    section_id: str
    student_id: str
    entry: date
    exit: date | None
    dropped: bool


class _Fields:
    """Reads the members of one row and remembers what was wrong.

    A malformed member comes out empty; if it is `essential` the row is unusable. A missing one is just empty.
    """

    def __init__(self, raw: Any) -> None:
        self.faults: list[str] = []
        self.usable = isinstance(raw, dict)
        self.row: Row = raw if isinstance(raw, dict) else {}
        if not self.usable:
            self.faults.append("the record is not an object")

    def text(self, *path: str, essential: bool = False) -> str:
        return self._read(text, path, essential) or ""

    def id(self, *path: str, essential: bool = False) -> str:
        return self._read(identifier, path, essential) or ""

    def whole(self, *path: str, essential: bool = False) -> int | None:
        return self._read(whole, path, essential)

    def day(self, *path: str, essential: bool = False) -> date | None:
        return self._read(day, path, essential)

    def flag(self, *path: str, essential: bool = False) -> bool:
        return bool(self._read(flag, path, essential))

    def many(self, *path: str) -> list[Any]:
        return items(self._read(lambda value: value, path, False))

    def demand(self, name: str, value: V | None) -> V | None:
        """Notes that the row is unusable without `value`."""
        if value is None or value == "":
            self.usable = False
            if not any(fault.startswith(f"{name} ") for fault in self.faults):
                self.faults.append(f"{name} is missing")
        return value

    def _read(self, convert: Callable[[Any], V], path: tuple[str, ...], essential: bool) -> V | None:
        try:
            return convert(dig(self.row, *path))
        except Malformed as fault:
            self.usable = self.usable and not essential
            self.faults.append(f"{'.'.join(path)} {fault}")
            return None


def _parsed(fields: _Fields, value: T | None, record_id: str) -> Parsed[T]:
    fields.demand("id", record_id)
    return Parsed(record_id, value if fields.usable else None, fields.faults)


def row_id(raw: Any) -> str:
    """The id of a row of any list, "" if it has none that can be read."""
    try:
        return identifier(raw.get("id")) if isinstance(raw, dict) else ""
    except Malformed:
        return ""


def parse_school(raw: Any) -> Parsed[School]:
    """A school; only the id is indispensable."""
    fields = _Fields(raw)
    names = (fields.text("principal", "name", part) for part in ("first_name", "middle_name", "last_name"))
    value = School(
        id=fields.id("id"),
        name=fields.text("name"),
        number=fields.text("school_number"),
        low_grade=fields.text("low_grade"),
        high_grade=fields.text("high_grade"),
        principal_name=" ".join(name for name in names if name),
        principal_email=fields.text("principal", "email"),
        phone=fields.text("phones", "main", "number"),
        street=fields.text("addresses", "physical", "street"),
        city=fields.text("addresses", "physical", "city"),
        state=fields.text("addresses", "physical", "state_province"),
        postal_code=fields.text("addresses", "physical", "postal_code"),
        country=fields.text("addresses", "physical", "country"),
    )
    return _parsed(fields, value, value.id)


def parse_term(raw: Any, school_id: str) -> Parsed[Term]:
    """A term, unusable without its days or its year. `school_id` is the school it was listed for."""
    fields = _Fields(raw)
    term_id = fields.id("id")
    start = fields.demand("start_date", fields.day("start_date"))
    end = fields.demand("end_date", fields.day("end_date"))
    year = fields.demand("start_year", _start_year(fields))
    if start and end and end < start:
        fields.usable = False
        fields.faults.append("end_date lies before start_date")
    if start is None or end is None or year is None:
        return _parsed(fields, None, term_id)
    value = Term(
        id=term_id,
        school_id=fields.id("school_id") or school_id,
        name=fields.text("name"),
        start=start,
        end=end,
        start_year=year,
        full_year=fields.whole("portion") == 1,
        abbreviation=fields.text("abbreviation"),
    )
    return _parsed(fields, value, term_id)


def _start_year(fields: _Fields) -> int | None:
    year = fields.whole("start_year")
    local_id = fields.whole("local_id") if year is None else None
    return local_id // 100 + _YEAR_ZERO if local_id is not None and local_id >= 100 else year


def parse_course(raw: Any) -> Parsed[Course]:
    """A course of the catalogue."""
    fields = _Fields(raw)
    value = Course(id=fields.id("id"), number=fields.text("course_number"), name=fields.text("course_name"))
    return _parsed(fields, value, value.id)


def parse_section(raw: Any, school_id: str) -> Parsed[SectionRow]:
    """A section, unusable without a term or with a reference that cannot be read.

    `period` is the external expression, else the expression.
    """
    fields = _Fields(raw)
    nested = fields.row.get("term")
    term_row = nested if isinstance(nested, dict) else {}
    value = SectionRow(
        id=fields.id("id"),
        school_id=fields.id("school_id", essential=True) or school_id,
        course_id=fields.id("course_id", essential=True),
        term_id=fields.id("term_id", essential=True) or row_id(term_row),
        number=fields.text("section_number"),
        period=fields.text("external_expression") or fields.text("expression"),
        lead_staff_id=fields.id("staff_id", essential=True),
        term_row=term_row,
    )
    fields.demand("term_id", value.term_id)
    return _parsed(fields, value, value.id)


def parse_staff(raw: Any) -> Parsed[StaffRow]:
    """A person at a school; no value without `users_dcid`. The number is USERS.TeacherNumber (`local_id`)."""
    fields = _Fields(raw)
    record_id, person_id = fields.id("id"), fields.id("users_dcid")
    value = StaffRow(
        id=record_id,
        person_id=person_id,
        username=fields.text("teacher_username", essential=True),
        first_name=fields.text("name", "first_name", essential=True),
        middle_name=fields.text("name", "middle_name"),
        last_name=fields.text("name", "last_name", essential=True),
        number=fields.text("local_id"),
        email=fields.text("emails", "work_email"),
        affiliations=tuple(_affiliations(fields)),
        usable=fields.usable,
        faults=tuple(fields.faults),
    )
    fields.usable = True
    fields.demand("users_dcid", person_id)
    return _parsed(fields, value, record_id)


def _affiliations(fields: _Fields) -> Iterable[Affiliation]:
    for raw in fields.many("school_affiliations", "school_affiliation"):
        inner = _Fields(raw)
        yield Affiliation(inner.id("school_id"), inner.whole("type"), inner.whole("status"))
        fields.faults.extend(f"school_affiliation: {fault}" for fault in inner.faults)


def parse_student(raw: Any, school_id: str) -> Parsed[Student]:
    """A student, the status by name (`STATUS_NAMES`). `school_id`: the school the row was listed for, "" if none."""
    fields = _Fields(raw)
    value = Student(
        id=fields.id("id"),
        school_id=fields.id("school_enrollment", "school_id", essential=True) or school_id,
        username=fields.text("student_username", essential=True),
        first_name=fields.text("name", "first_name", essential=True),
        middle_name=fields.text("name", "middle_name"),
        last_name=fields.text("name", "last_name", essential=True),
        number=fields.text("local_id"),
        state_id=fields.text("state_province_id"),
        grade=fields.text("school_enrollment", "grade_level"),
        email=fields.text("contact_info", "email"),
        birth_date=_iso(fields.day("demographics", "birth_date")),
        graduation_year=fields.text("demographics", "projected_graduation_year"),
        status=STATUS_NAMES[_status(fields)],
    )
    return _parsed(fields, value, value.id)


def _iso(value: date | None) -> str:
    return value.isoformat() if value else ""


def _status(fields: _Fields) -> str:
    """The status letter: as written, else by its code; every code not listed is inactive."""
    letter = fields.text("school_enrollment", "enroll_status", essential=True).upper()
    if letter in STATUS_NAMES:
        return letter
    code = fields.whole("school_enrollment", "enroll_status_code", essential=True)
    if not letter and code is None:
        fields.demand("school_enrollment.enroll_status", "")
    return STATUS_BY_CODE.get(code, "I") if code is not None else "I"


def parse_enrollment(raw: Any, section_id: str) -> Parsed[EnrollmentRow]:
    """An enrollment, unusable without student and entry date, or if it belongs to another section."""
    fields = _Fields(raw)
    record_id = fields.id("id")
    student = fields.demand("student_id", fields.id("student_id"))
    entry = fields.demand("entry_date", fields.day("entry_date"))
    own = fields.id("section_id", essential=True) or section_id
    if own.removeprefix("-") != section_id:  # a dropped row's section number is negative in the database
        fields.usable = False
        fields.faults.append(f"section_id is {own}")
    left, dropped = fields.day("exit_date", essential=True), fields.flag("dropped", essential=True)
    if student is None or entry is None:
        return _parsed(fields, None, record_id)
    value = EnrollmentRow(
        id=record_id, section_id=section_id, student_id=student, entry=entry, exit=left, dropped=dropped
    )
    return _parsed(fields, value, record_id)
