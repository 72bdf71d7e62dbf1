"""What the directory should hold of each record, under the neutral names of plan/attributes.py.

Every name the profile chose is there: text where the source says something, None where it says nothing (cleared if it
was written before, otherwise not written). The anchor is always there. "school" is not an attribute: it means
that the account is attached to its school.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from sds_daemon.config.settings import Profile
from sds_daemon.roster.records import RecordKind, School, Section, Snapshot, Student, Teacher
from sds_daemon.sync import characters, naming

Values = dict[str, str | None]

EXTERNAL_SOURCE = "sis"
ATTACHMENT = "school"

# Graph's limits where it states one (Graph docs: user, group); 256 elsewhere, as in directory extensions.
_LIMITS = {
    "department": 64,
    "middle_name": 64,
    "phone": 64,
    "postal_code": 40,
    "city": 128,
    "state": 128,
    "country": 128,
    "office_location": 128,
    "street": 1024,
    "description": 1024,
}
_DEFAULT_LIMIT = 256
_LEAST_LIMIT = min(_LIMITS.values())


def student_values(student: Student, snapshot: Snapshot, profile: Profile, source_uuid: str) -> Values:
    """Anchor and chosen attributes of a student. `department` is "Grade NN", `office_location` the home school."""
    values = _anchored(RecordKind.STUDENT, student.id, source_uuid)
    for name in profile.students.attributes:
        if name != ATTACHMENT:
            values[name] = _fitted(name, _OF_STUDENT[name](student, snapshot))
    return values


def teacher_values(teacher: Teacher, snapshot: Snapshot, profile: Profile, source_uuid: str) -> Values:
    """Anchor and chosen attributes of a teacher. `department`: all schools in scope; `office_location`: the first."""
    values = _anchored(RecordKind.TEACHER, teacher.id, source_uuid)
    for name in profile.teachers.attributes:
        if name != ATTACHMENT:
            values[name] = _fitted(name, _OF_TEACHER[name](teacher, snapshot))
    return values


def class_values(section: Section, snapshot: Snapshot, profile: Profile, source_uuid: str) -> Values:
    """Names, anchor and chosen attributes of a class."""
    alias = naming.class_alias(section, profile.class_alias, naming.template_context(section, snapshot))
    return {
        "display_name": class_name(section, snapshot, profile),
        "mail_nickname": alias,
        **class_attributes(section, snapshot, profile, source_uuid),
    }


def class_name(section: Section, snapshot: Snapshot, profile: Profile) -> str:
    """The display name of a class."""
    return naming.class_display_name(section, profile.class_name, naming.template_context(section, snapshot))


def class_attributes(section: Section, snapshot: Snapshot, profile: Profile, source_uuid: str) -> Values:
    """Anchor and chosen attributes of a class. `class_code` is COURSE.SECTION, dates are ISO text."""
    values = anchor_values(section.id, source_uuid)
    for name in profile.sections.attributes:
        values[name] = _fitted(name, _OF_SECTION[name](section, snapshot))
    return values


def school_values(school: School, profile: Profile, source_uuid: str) -> Values:
    """Name, anchor and chosen attributes of a school."""
    offered = {
        "school_number": school.number,
        "low_grade": grade_code(school.low_grade),
        "high_grade": grade_code(school.high_grade),
        "principal_name": school.principal_name,
        "principal_email": school.principal_email,
        "phone": school.phone,
        "street": school.street,
        "city": school.city,
        "state": school.state,
        "postal_code": school.postal_code,
        "country": school.country,
    }
    name = characters.cut(characters.one_line(school.name), characters.DISPLAY_NAME_LIMIT)
    return {
        "display_name": name or school.number or school.id,
        **anchor_values(school.id, source_uuid),
        **{name: _fitted(name, offered[name]) for name in profile.school_records.attributes},
    }


@lru_cache(maxsize=256)
def grade_code(text: str) -> str:
    """School Data Sync's grade code: PowerSchool's 0 is KG, negative grades are PK; anything else stays as it is."""
    grade = text.strip()
    digits = grade.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        return grade
    if int(digits) == 0:
        return "KG"
    return "PK" if grade.startswith("-") else grade


def anchor_values(sis_id: str, source_uuid: str) -> Values:
    """Our mark on a directory object."""
    return {"external_id": sis_id, "external_source": EXTERNAL_SOURCE, "external_source_detail": source_uuid}


def _anchored(role: RecordKind, sis_id: str, source_uuid: str) -> Values:
    return {"primary_role": role.value, **anchor_values(sis_id, source_uuid)}


def _fitted(name: str, value: str) -> str | None:
    if value.isalnum() and value.isascii() and len(value) <= _LEAST_LIMIT:
        return value
    return characters.cut(characters.one_line(value), _LIMITS.get(name, _DEFAULT_LIMIT)) or None


def _school_name(snapshot: Snapshot, school_id: str) -> str:
    school = snapshot.schools.get(school_id)
    return school.name if school is not None else ""


def _school_names(snapshot: Snapshot, ids: Iterable[str]) -> str:
    return ", ".join(snapshot.schools[school].name for school in ids if school in snapshot.schools)


def _department(student: Student, _: Snapshot) -> str:
    grade = grade_code(student.grade)
    return f"Grade {grade}" if grade else ""


def _class_code(section: Section, _: Snapshot) -> str:
    course = section.course.number.strip() if section.course else ""
    return ".".join(part for part in (course, section.number.strip()) if part)


def _description(section: Section, snapshot: Snapshot) -> str:
    context = naming.template_context(section, snapshot)
    parts = (context.course_name, context.school_name, context.term_name, context.year)
    return ", ".join(part for part in parts if part.strip())


_OF_STUDENT: dict[str, Callable[[Student, Snapshot], str]] = {
    "student_number": lambda student, _: student.number,
    "grade": lambda student, _: grade_code(student.grade),
    "state_id": lambda student, _: student.state_id,
    "secondary_email": lambda student, _: student.email,
    "middle_name": lambda student, _: student.middle_name,
    "birth_date": lambda student, _: student.birth_date,
    "graduation_year": lambda student, _: student.graduation_year,
    "department": _department,
    "office_location": lambda student, snapshot: _school_name(snapshot, student.school_id),
}
_OF_TEACHER: dict[str, Callable[[Teacher, Snapshot], str]] = {
    "teacher_number": lambda teacher, _: teacher.number,
    "secondary_email": lambda teacher, _: teacher.email,
    "middle_name": lambda teacher, _: teacher.middle_name,
    "department": lambda teacher, snapshot: _school_names(snapshot, teacher.school_ids),
    "office_location": lambda teacher, snapshot: _school_names(snapshot, teacher.school_ids[:1]),
}
_OF_SECTION: dict[str, Callable[[Section, Snapshot], str]] = {
    "course_id": lambda section, _: section.course_id,
    "course_name": lambda section, _: naming.course_name(section),
    "course_number": lambda section, _: section.course.number if section.course else "",
    "term_id": lambda section, _: section.term.id,
    "term_name": lambda section, _: naming.term_name(section),
    "term_start": lambda section, _: section.term.start.isoformat(),
    "term_end": lambda section, _: section.term.end.isoformat(),
    "section_number": lambda section, _: section.number,
    "period": lambda section, _: section.period,
    "class_code": _class_code,
    "description": _description,
}
"""What each attribute a profile may choose is taken from: chosen ones alone are worked out, a million times a cycle."""
