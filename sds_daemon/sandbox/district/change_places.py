"""Operations on schools and terms."""

from __future__ import annotations

import dataclasses
from typing import Final

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.change_classes import remove_section
from sds_daemon.sandbox.district.change_people import remove_student
from sds_daemon.sandbox.district.operation import Args, ChangeError, Result, operation

_SCHOOL_COLUMNS: Final = {
    "number": "integer",
    "name": "text",
    "low_grade": "integer",
    "high_grade": "integer",
    "state_id": "text",
    "street": "text",
    "city": "text",
    "state": "text",
    "postal_code": "text",
    "phone": "text",
    "principal_first": "text",
    "principal_last": "text",
    "principal_email": "text",
}
_TERM_COLUMNS: Final = {
    "start_year": "integer",
    "portion": "integer",
    "first_day": "date",
    "last_day": "date",
    "abbreviation": "text",
    "name": "text",
}


@operation
def add_school(args: Args) -> Result:
    """name, [number], any column of a school, [id]; gets the same terms as the first school of the district."""
    district, dcid = args.district, args.new_dcid("schools")
    number = args.integer(
        "number", max((s.number for s in district.schools.values() if s.number < 99999), default=0) + 1
    )
    school = model.School(dcid, dcid + 900, number, args.text("name"))
    for name, value in args.columns(_SCHOOL_COLUMNS).items():
        setattr(school, name, value)
    if district.school_by_number(school.number) is not None:
        raise ChangeError(f"{args.op}: school number {school.number} is taken")
    pattern = next(iter(district.terms.values()), None)
    copied = [t for t in district.terms.values() if pattern is not None and t.school == pattern.school]
    district.insert("schools", school)
    terms = [_copy_term(args, term, dcid) for term in copied]
    return {"school": dcid, "terms": terms}


def _copy_term(args: Args, term: model.Term, school: int) -> int:
    copy = dataclasses.replace(term, dcid=args.district.next_dcid("terms"), school=school)
    args.district.insert("terms", copy)
    return copy.dcid


@operation
def update_school(args: Args) -> Result:
    """school and any column."""
    school = args.row("schools", "school")
    args.update(school, _SCHOOL_COLUMNS)
    if sum(other.number == school.number for other in args.district.schools.values()) > 1:
        raise ChangeError(f"{args.op}: school number {school.number} is taken")
    return {"school": school.dcid}


@operation
def delete_school(args: Args) -> Result:
    """school, [students] = delete | refuse; sections, courses, terms and staff rows go with it, people's users stay."""
    district, school = args.district, args.row("schools", "school")
    students = list(district.students_of(school.dcid))
    if students and args.choice("students", ("delete", "refuse")) == "refuse":
        raise ChangeError(f"{args.op}: school {school.dcid} has {len(students)} students")
    for section in list(district.sections_of(school.dcid)):
        remove_section(args, section)
    for student in students:
        remove_student(args, student)
    for table in ("courses", "terms", "staff"):
        for row in [row for row in district.table(table).values() if row.school == school.dcid]:
            district.remove(table, row.dcid)
    district.remove("schools", school.dcid)
    return {"school": school.dcid, "students": len(students)}


@operation
def add_term(args: Args) -> Result:
    """school, start_year, first_day, last_day, [portion] = 1, [name], [abbreviation], [local_id], [id]."""
    district, school = args.district, args.row("schools", "school")
    dcid, year, portion = args.new_dcid("terms"), args.integer("start_year"), args.integer("portion", 1)
    base = (year - 1990) * 100
    taken = {t.id for t in district.terms.values() if t.school == school.dcid}
    free = next(number for number in range(base + (portion > 1), base + 100) if number not in taken)
    local = args.integer("local_id", free)
    first, last = args.date("first_day"), args.date("last_day")
    label = args.text("name", f"{year}-{year + 1}")
    term = model.Term(
        dcid, local, school.dcid, year, portion, first, last, args.text("abbreviation", label[-5:]), label
    )
    _check_term(args, term)
    district.insert("terms", term)
    return {"term": dcid, "local_id": local}


@operation
def update_term(args: Args) -> Result:
    """term and any of start_year, portion, first_day, last_day, abbreviation, name."""
    term = args.row("terms", "term")
    args.update(term, _TERM_COLUMNS)
    _check_term(args, term)
    return {"term": term.dcid}


def _check_term(args: Args, term: model.Term) -> None:
    if term.last_day < term.first_day:
        raise ChangeError(f"{args.op}: the term ends before it begins")
