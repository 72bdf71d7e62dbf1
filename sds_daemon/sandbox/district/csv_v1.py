"""Makes a district of a folder of School Data Sync V1 CSV files (schools, sections, people and rosters).

SIS IDs become DCIDs, so they come out of `/ws/v1` as they stand in the files; they must be whole numbers.
"""

from __future__ import annotations

import csv
import datetime as dt
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.model import District

_REQUIRED: Final = {
    "School": ("SIS ID", "Name"),
    "Section": ("SIS ID", "School SIS ID", "Section Name"),
    "Student": ("SIS ID", "School SIS ID", "Username"),
    "Teacher": ("SIS ID", "School SIS ID", "Username"),
    "StudentEnrollment": ("Section SIS ID", "SIS ID"),
    "TeacherRoster": ("Section SIS ID", "SIS ID"),
}
_GRADES: Final = {"PK": -1, "PR": -1, "IT": -3, "TK": 0, "KG": 0, "K": 0, "UG": 13, "PS": 14}
_DATE_FORMATS: Final = ("%m/%d/%Y", "%Y-%m-%d", "%Y%m%d")
_FULL_YEAR_DAYS: Final = 240


class CsvError(ValueError):
    """The folder cannot be made a district; the message names file, line and what is wrong."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of one file."""

    file: str
    line: int
    values: dict[str, str]

    def text(self, column: str, default: str = "") -> str:
        return self.values.get(column.lower(), "") or default

    def number(self, column: str, default: int | None = None) -> int:
        text = self.text(column)
        if not text and default is not None:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise self.error(f"{column} must be a whole number of at most 9 digits, not {text!r}")
        return int(text)

    def date(self, column: str) -> dt.date | None:
        text = self.text(column)
        for form in _DATE_FORMATS:
            try:
                return dt.datetime.strptime(text, form).date()  # noqa: DTZ007 - a date has no zone
            except ValueError:
                continue
        if text:
            raise self.error(f"{column} is no date: {text!r}")
        return None

    def error(self, text: str) -> CsvError:
        return CsvError(f"{self.file}.csv, line {self.line}: {text}")


def load(folder: Path, today: dt.date, domain: str = "contoso.edu") -> District:
    """The district in `folder`, its terms moved by whole years so that `today` lies in them. Raises CsvError."""
    if not folder.is_dir():
        raise CsvError(f"{folder} is not a folder; give one that holds School.csv and the other SDS V1 files")
    return _Loader({name: _read(folder, name) for name in _REQUIRED}, today, domain).run()


def _read(folder: Path, name: str) -> list[_Row]:
    path = folder / f"{name}.csv"
    if not path.is_file():
        raise CsvError(f"{folder} holds no {name}.csv; an SDS V1 folder has {', '.join(_REQUIRED)} (.csv)")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            header = [column.strip().lower() for column in next(reader, [])]
            rows = [
                _Row(name, reader.line_num, dict(zip(header, (value.strip() for value in line), strict=False)))
                for line in reader
                if any(line)
            ]
    except (UnicodeDecodeError, csv.Error) as problem:
        raise CsvError(f"{name}.csv cannot be read as UTF-8 CSV: {problem}") from problem
    missing = [column for column in _REQUIRED[name] if column.lower() not in header]
    if missing:
        raise CsvError(f"{name}.csv lacks the column {', '.join(missing)}")
    return rows


class _Loader:
    def __init__(self, files: dict[str, list[_Row]], today: dt.date, domain: str) -> None:
        self.files = files
        self.today = today
        names = "/".join(row.text("SIS ID") + row.text("Name") for row in files["School"])
        identity = uuid.uuid5(uuid.NAMESPACE_URL, f"urn:sds-v1:{names}")
        self.district = District(str(identity), "District from CSV files", number="1", domain=domain)
        self.terms: dict[tuple[int, str], model.Term] = {}

    def run(self) -> District:
        for row in self.files["School"]:
            self._school(row)
        if not self.district.schools:
            raise CsvError("School.csv holds no school")
        self._terms()
        for row in self.files["Student"]:
            self._student(row)
        for row in self.files["Teacher"]:
            self._teacher(row)
        for row in self.files["Section"]:
            self._section(row)
        for row in self.files["TeacherRoster"]:
            self._roster(row)
        for row in self.files["StudentEnrollment"]:
            self._enrollment(row)
        self.district.version += 1
        return self.district

    def _school(self, row: _Row) -> None:
        dcid = row.number("SIS ID")
        if dcid in self.district.schools:
            raise row.error(f"school {dcid} is listed twice")
        first, _, last = row.text("Principal Name").rpartition(" ")
        self.district.schools[dcid] = model.School(
            dcid, dcid + 900, row.number("School Number", dcid), row.text("Name"),
            _grade(row, "Grade Low", 0), _grade(row, "Grade High", 12), state_id=row.text("State ID"),
            street=row.text("Address"), city=row.text("City"), state=row.text("State"), postal_code=row.text("Zip"),
            phone=row.text("Phone"), principal_first=first, principal_last=last,
            principal_email=row.text("Principal Secondary Email"),
        )  # fmt: skip

    def _terms(self) -> None:
        """One row per school and term, and a full-year term where the files know only parts of the year."""
        spans = {row.text("Term SIS ID"): self._span(row) for row in self.files["Section"]}
        known = {key: span for key, span in spans.items() if span is not None}
        first = min((span[0] for span in known.values()), default=dt.date(self.today.year, 7, 1))
        shift = self._shift(first)
        begin = _moved(first, shift)
        end = max((_moved(span[1], shift) for span in known.values()), default=_year_end(begin))
        if end < self.today:
            end = _year_end(begin)
        names = {row.text("Term SIS ID"): row.text("Term Name") for row in self.files["Section"]}
        number = min((int(key) for key in spans if key.isdigit()), default=1)
        for school in self.district.schools:
            full = f"{begin.year}-{begin.year + 1}"
            parts = {key: (_moved(span[0], shift), _moved(span[1], shift)) for key, span in known.items()}
            years = {key for key, span in parts.items() if (span[1] - span[0]).days >= _FULL_YEAR_DAYS}
            if not years:
                self._term(number, school, "", begin.year, 0, (begin, end), full)
            for index, key in enumerate(spans, 1):
                n = 0 if key in years and len(years) == 1 else index
                span = parts.get(key, (begin, end))
                self._term(number, school, key, begin.year, n, span, names.get(key) or full)
            self.terms.setdefault((school, ""), next(iter(self._of_school(school))))

    def _term(
        self, base: int, school: int, key: str, year: int, n: int, span: tuple[dt.date, dt.date], name: str
    ) -> None:
        dcid = base + len(self.district.terms)
        full = (span[1] - span[0]).days >= _FULL_YEAR_DAYS
        portion = 1 if full or not key else 2
        local = (year - 1990) * 100 + n
        term = model.Term(dcid, local, school, year, portion, span[0], span[1], name[:10], name)
        self.district.terms[dcid] = term
        self.terms[school, key] = term

    def _of_school(self, school: int) -> Iterable[model.Term]:
        return (term for term in self.district.terms.values() if term.school == school)

    def _span(self, row: _Row) -> tuple[dt.date, dt.date] | None:
        first, last = row.date("Term StartDate"), row.date("Term EndDate")
        if first is None or last is None:
            return None
        if last < first:
            raise row.error("the term ends before it begins")
        return first, last

    def _shift(self, first: dt.date) -> int:
        """Years to add so that the first day of the school year is the last such day up to today."""
        years = self.today.year - first.year
        return years if _moved(first, years) <= self.today else years - 1

    def _student(self, row: _Row) -> None:
        dcid, school = row.number("SIS ID"), self._known(row, "schools", "School SIS ID")
        if dcid in self.district.students:
            return
        term = self.terms[school, ""]
        active = row.text("Status", "Active").lower() == "active"
        self.district.students[dcid] = model.Student(
            dcid, dcid + 3000, row.text("Student Number", str(dcid)), row.text("First Name", row.text("Username")),
            row.text("Last Name", "Student"), school, _grade(row, "Grade", 0), term.first_day,
            model.day_after(term.last_day), middle_name=row.text("Middle Name"), enroll_status=0 if active else 1,
            username=row.text("Username"), email=row.text("Secondary Email"), state_number=row.text("State ID"),
            birth_date=row.date("Birthdate"), graduation_year=row.number("Graduation Year", 0),
        )  # fmt: skip

    def _teacher(self, row: _Row) -> None:
        dcid, school = row.number("SIS ID"), self._known(row, "schools", "School SIS ID")
        if dcid not in self.district.users:
            self.district.users[dcid] = model.User(
                dcid, row.text("Teacher Number", str(dcid)), row.text("First Name", row.text("Username")),
                row.text("Last Name", "Teacher"), row.text("Middle Name"), email=row.text("Secondary Email"),
                teacher_username=row.text("Username"), home_school=school,
            )  # fmt: skip
        active = row.text("Status", "Active").lower() == "active"
        self._staff(dcid, school, 1 if active else 2)

    def _staff(self, user: int, school: int, status: int = 1) -> model.Staff:
        """The person's row at the school; its number has nothing to do with the person's."""
        for row in self.district.staff.values():
            if row.user == user and row.school == school:
                return row
        dcid = 501 + len(self.district.staff)
        self.district.staff[dcid] = model.Staff(dcid, dcid + 4000, user, school, 1, status)
        return self.district.staff[dcid]

    def _section(self, row: _Row) -> None:
        dcid, school = row.number("SIS ID"), self._known(row, "schools", "School SIS ID")
        if dcid in self.district.sections:
            raise row.error(f"section {dcid} is listed twice")
        term = self.terms[school, row.text("Term SIS ID")]
        course = self._course(row, school)
        period = row.text("Periods")
        self.district.sections[dcid] = model.Section(
            dcid, dcid - 600, school, course, term.dcid, row.text("Section Number", str(dcid)),
            expression=f"{period}(A)" if period else "", external_expression=f"{period}(M-F)" if period else "",
        )  # fmt: skip

    def _course(self, row: _Row, school: int) -> int:
        dcid = row.number("Course SIS ID", row.number("SIS ID"))
        known = self.district.courses.get(dcid)
        if known is None:
            number = row.text("Course Number", str(dcid))
            name = row.text("Course Name", row.text("Section Name"))
            self.district.courses[dcid] = model.Course(dcid, dcid - 1500, number, name, school)
        elif known.school != school:
            known.school = None
        return dcid

    def _roster(self, row: _Row) -> None:
        section = self.district.sections[self._known(row, "sections", "Section SIS ID")]
        user = self._known(row, "users", "SIS ID", "Teacher")
        staff, term = self._staff(user, section.school), self.district.terms[section.term]
        role = model.ROLE_CO_TEACHER if section.staff else model.ROLE_LEAD
        section.staff = section.staff or staff.dcid
        dcid = 701 + len(self.district.section_teachers)
        teaching = model.SectionTeacher(dcid, section.dcid, staff.dcid, role, term.first_day, term.last_day)
        self.district.section_teachers[dcid] = teaching

    def _enrollment(self, row: _Row) -> None:
        section = self.district.sections[self._known(row, "sections", "Section SIS ID")]
        student, term = self._known(row, "students", "SIS ID"), self.district.terms[section.term]
        end = model.day_after(term.last_day)
        self.district.enrollments.append(section.dcid, student, term.first_day.toordinal(), end.toordinal())

    def _known(self, row: _Row, table: str, column: str, file: str = "") -> int:
        dcid = row.number(column)
        if dcid not in self.district.table(table):
            raise row.error(f"{column} {dcid} is not in {file or table[:-1].capitalize()}.csv")
        return dcid


def _grade(row: _Row, column: str, default: int) -> int:
    text = row.text(column).upper()
    if not text:
        return default
    if text in _GRADES:
        return _GRADES[text]
    if text.lstrip("-").isdigit():
        return int(text)
    raise row.error(f"{column} {text!r} is no grade")


def _moved(day: dt.date, years: int) -> dt.date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February
        return dt.date(day.year + years, 2, 28)


def _year_end(first: dt.date) -> dt.date:
    return _moved(first, 1) - dt.timedelta(days=1)
