"""The records `/ws/v1` shows, made from rows of the tables: which members, under which names, with which expansions."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any, Final

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.model import District

Record = dict[str, Any]
Builder = Callable[[Any, District, Set[str]], Record]

SCHOOL_EXPANSIONS: Final = "school_boundary, full_time_equivalencies, school_fees_setup"
STUDENT_EXPANSIONS: Final = (
    "demographics, addresses, alerts, phones, school_enrollment, ethnicity_race, contact, contact_info, "
    "initial_enrollment, schedule_setup, fees, lunch, counselors, global_id"
)
STAFF_EXPANSIONS: Final = "addresses, emails, phones, school_affiliations"
STATUSES: Final = {
    0: ("A", "Active"),
    -1: ("P", "Pre-registered"),
    2: ("T", "Transferred Out"),
    3: ("G", "Graduated"),
    4: ("H", "Historical"),
}
_INACTIVE: Final = ("I", "Inactive")
_EMPTY_STUDENT_EXPANSIONS: Final = ("addresses", "alerts", "fees", "ethnicity_race", "counselors")


def status_letter(student: model.Student) -> str:
    """The letter `school_enrollment.enroll_status` shows for the student's status code."""
    return STATUSES.get(student.enroll_status, _INACTIVE)[0]


def district_record(district: District, wanted: Set[str]) -> Record:
    """The single `district` element."""
    record: Record = {"uuid": district.uuid, "name": district.name, "district_number": district.number}
    for name in ("addresses", "phones"):
        if name in wanted:
            record[name] = ""
    return record


def school(row: model.School, _district: District, _wanted: Set[str]) -> Record:
    """A school; the special ones have neither address nor principal."""
    record: Record = {"id": row.dcid, "name": row.name, "school_number": row.number}
    record |= {"low_grade": row.low_grade, "high_grade": row.high_grade, "alternate_school_number": 0}
    record["state_province_id"] = row.state_id or None
    address = {"street": row.street, "city": row.city, "state_province": row.state, "postal_code": row.postal_code}
    record["addresses"] = {"physical": _present(address)} if row.street else ""
    record["phones"] = {"main": {"number": row.phone}} if row.phone else ""
    if row.principal_last:
        name = {"first_name": row.principal_first, "last_name": row.principal_last}
        record["principal"] = {"name": _present(name), "email": row.principal_email or None}
        record["assistant_principal"] = {"name": ""}
    return record


def course(row: model.Course, _district: District, _wanted: Set[str]) -> Record:
    """A course: three members and no more."""
    return {"id": row.dcid, "course_number": row.number, "course_name": row.name}


def term(row: model.Term, _district: District, _wanted: Set[str]) -> Record:
    """A term of one school; `local_id` is TERMS.ID and recurs from school to school."""
    return {
        "id": row.dcid,
        "local_id": row.id,
        "school_id": row.school,
        "start_year": row.start_year,
        "portion": row.portion,
        "start_date": row.first_day,
        "end_date": row.last_day,
        "abbreviation": row.abbreviation,
        "name": row.name,
    }


def section(row: model.Section, district: District, wanted: Set[str]) -> Record:
    """A section with its lead teacher only; `staff_id` is missing when nobody is assigned."""
    record: Record = {
        "id": row.dcid,
        "school_id": row.school,
        "course_id": row.course,
        "term_id": row.term,
        "section_number": row.number,
        "expression": row.expression or None,
        "external_expression": row.external_expression or None,
        "staff_id": row.staff,
        "gradebooktype": row.gradebook_type,
    }
    if "term" in wanted and row.term in district.terms:
        record["term"] = term(district.terms[row.term], district, wanted)
    return record


def enrollment(row: model.Enrollment, _district: District, _wanted: Set[str]) -> Record:
    """One CC row, dropped and past ones like the others."""
    return {
        "id": row.dcid,
        "section_id": row.section,
        "student_id": row.student,
        "entry_date": row.entry_date,
        "exit_date": row.exit_date,
        "dropped": row.dropped,
    }


def staff(row: model.Staff, district: District, wanted: Set[str]) -> Record:
    """One SCHOOLSTAFF row: the person at one school. The affiliations list all of the person's schools."""
    user = district.users[row.user]
    record: Record = {
        "id": row.dcid,
        "local_id": user.teacher_number or None,
        "admin_username": user.admin_username or None,
        "teacher_username": user.teacher_username or None,
        "name": _name(user),
    }
    for name in ("addresses", "phones"):
        if name in wanted:
            record[name] = ""
    if "emails" in wanted:
        record["emails"] = {"work_email": user.email or None}
    if "school_affiliations" in wanted:
        rows = district.staff_of(user.dcid)
        shown = [{"school_id": r.school, "type": r.type, "status": r.status} for r in rows]
        record["school_affiliations"] = {"school_affiliation": shown}
    record["users_dcid"] = user.dcid
    return record


def student(row: model.Student, district: District, wanted: Set[str]) -> Record:
    """A student; the school enrollment is the current one only."""
    record: Record = {
        "id": row.dcid,
        "local_id": row.number or None,
        "state_province_id": row.state_number or None,
        "student_username": row.username or None,
        "name": _name(row),
    }
    for name in _EMPTY_STUDENT_EXPANSIONS:
        if name in wanted:
            record[name] = ""
    for name, build in _STUDENT_PARTS.items():
        if name in wanted:
            record[name] = build(row, district)
    return record


def _school_enrollment(row: model.Student, district: District) -> Record:
    letter, words = STATUSES.get(row.enroll_status, _INACTIVE)
    home = district.schools.get(row.school)
    return {
        "enroll_status": letter,
        "enroll_status_description": words,
        "enroll_status_code": row.enroll_status,
        "grade_level": row.grade,
        "entry_date": row.entry_date,
        "exit_date": row.exit_date,
        "school_number": home.number if home else None,
        "school_id": row.school,
        "full_time_equivalency": {"fteid": 970, "name": "Full time"},
    }


def _demographics(row: model.Student, _district: District) -> Record:
    return {
        "gender": row.gender or None,
        "birth_date": row.birth_date,
        "projected_graduation_year": row.graduation_year or None,
    }


def _contact_info(row: model.Student, _district: District) -> Record:
    return {"email": row.email or None}


def _nothing(_row: model.Student, _district: District) -> str:
    return ""


_STUDENT_PARTS: Final[dict[str, Callable[[model.Student, District], Any]]] = {
    "demographics": _demographics,
    "school_enrollment": _school_enrollment,
    "contact_info": _contact_info,
    "phones": _nothing,
    "contact": _nothing,
}


def _name(row: model.User | model.Student) -> Record:
    names = {"first_name": row.first_name, "middle_name": row.middle_name, "last_name": row.last_name}
    return _present(names)


def _present(members: dict[str, str]) -> Record:
    return {key: value for key, value in members.items() if value}
