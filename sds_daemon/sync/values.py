"""What the directory should hold of each record, under the neutral names of plan/attributes.py.

Every name the profile chose is there: text where the source says something, None where it says nothing (cleared if it
was written before, otherwise not written). The anchor is always there. "school" is not an attribute: it means
that the account is attached to its school.
"""

from __future__ import annotations

from collections.abc import Iterable

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


def student_values(student: Student, snapshot: Snapshot, profile: Profile, source_uuid: str) -> Values:
    """Anchor and chosen attributes of a student. `department` is "Grade NN", `office_location` the home school."""
    grade = grade_code(student.grade)
    offered = {
        "student_number": student.number,
        "grade": grade,
        "state_id": student.state_id,
        "secondary_email": student.email,
        "middle_name": student.middle_name,
        "birth_date": student.birth_date,
        "graduation_year": student.graduation_year,
        "department": f"Grade {grade}" if grade else "",
        "office_location": _school_names(snapshot, (student.school_id,)),
    }
    return {
        "primary_role": RecordKind.STUDENT.value,
        **anchor_values(student.id, source_uuid),
        **_chosen(offered, profile.students.attributes),
    }


def teacher_values(teacher: Teacher, snapshot: Snapshot, profile: Profile, source_uuid: str) -> Values:
    """Anchor and chosen attributes of a teacher. `department`: all schools in scope; `office_location`: the first."""
    offered = {
        "teacher_number": teacher.number,
        "secondary_email": teacher.email,
        "middle_name": teacher.middle_name,
        "department": _school_names(snapshot, teacher.school_ids),
        "office_location": _school_names(snapshot, teacher.school_ids[:1]),
    }
    return {
        "primary_role": RecordKind.TEACHER.value,
        **anchor_values(teacher.id, source_uuid),
        **_chosen(offered, profile.teachers.attributes),
    }


def class_values(section: Section, snapshot: Snapshot, profile: Profile, source_uuid: str) -> Values:
    """Names, anchor and chosen attributes of a class. `class_code` is COURSE.SECTION, dates are ISO text."""
    context = naming.template_context(section, snapshot)
    offered = {
        "course_id": section.course_id,
        "course_name": context.course_name,
        "course_number": context.course_number,
        "term_id": section.term.id,
        "term_name": context.term_name,
        "term_start": section.term.start.isoformat(),
        "term_end": section.term.end.isoformat(),
        "section_number": section.number,
        "period": section.period,
        "class_code": ".".join(part for part in (context.course_number.strip(), section.number.strip()) if part),
        "description": ", ".join(
            part for part in (context.course_name, context.school_name, context.term_name, context.year) if part.strip()
        ),
    }
    return {
        "display_name": naming.class_display_name(section, profile.class_name, context),
        "mail_nickname": naming.class_alias(section, profile.class_alias, context),
        **anchor_values(section.id, source_uuid),
        **_chosen(offered, profile.sections.attributes),
    }


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
        **_chosen(offered, profile.school_records.attributes),
    }


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


def _chosen(offered: dict[str, str], names: Iterable[str]) -> Values:
    return {name: _fitted(name, offered[name]) for name in names if name != ATTACHMENT}


def _fitted(name: str, value: str) -> str | None:
    return characters.cut(characters.one_line(value), _LIMITS.get(name, _DEFAULT_LIMIT)) or None


def _school_names(snapshot: Snapshot, ids: Iterable[str]) -> str:
    return ", ".join(snapshot.schools[school].name for school in ids if school in snapshot.schools)
