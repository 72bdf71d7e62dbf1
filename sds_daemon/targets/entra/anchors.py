"""Our marks on directory objects, read back."""

from __future__ import annotations

import re
import uuid

from sds_daemon.roster.records import RecordKind
from sds_daemon.targets.base import Anchor
from sds_daemon.targets.entra.wire import ClassRow, EducationPart, EducationRow, GroupRow, SchoolRow

_UNIQUE_NAME = re.compile(r"sds-daemon\.([0-9a-f]{32})\.section\.(.+)", re.IGNORECASE)
_UNIT_MARK = re.compile(r"\[sds-daemon (\S+) school ([^\]]+)\]")


def user_anchor(row: EducationRow) -> Anchor | None:
    """The anchor of an education user: source uuid and external id of the part its primary role names.

    None for users another tool or nobody synchronises (externalSource not "sis", no source detail, no id).
    """
    if (row.external_source or "").lower() != "sis" or not row.external_source_detail:
        return None
    for kind, part in _parts(row):
        if part is not None and part.external_id:
            return Anchor(row.external_source_detail, kind, part.external_id)
    return None


def _parts(row: EducationRow) -> list[tuple[RecordKind, EducationPart | None]]:
    student, teacher = (RecordKind.STUDENT, row.student), (RecordKind.TEACHER, row.teacher)
    role = (row.primary_role or "").lower()
    if role == "student":
        return [student]
    return [teacher] if role == "teacher" else [student, teacher]


def education_values(row: EducationRow) -> dict[str, str]:
    """The education part under neutral attribute names; what is not set is left out."""
    part = row.teacher if (row.primary_role or "").lower() == "teacher" else row.student
    part = part or EducationPart()
    values = {
        "primary_role": row.primary_role,
        "external_source": row.external_source,
        "external_source_detail": row.external_source_detail,
        "external_id": part.external_id,
        "student_number": part.student_number,
        "teacher_number": part.teacher_number,
        "grade": part.grade,
        "graduation_year": part.graduation_year,
        "birth_date": part.birth_date,
    }
    return {name: value for name, value in values.items() if value and value != "none"}


def class_anchor(row: ClassRow) -> Anchor | None:
    """The anchor of an education class."""
    return _sis_anchor(row, RecordKind.SECTION)


def school_anchor(row: SchoolRow) -> Anchor | None:
    """The anchor of a school: of an education school, or of an administrative unit by the mark in its description."""
    marked = _UNIT_MARK.search(row.description or "")
    if marked:
        return Anchor(marked[1], RecordKind.SCHOOL, marked[2])
    return _sis_anchor(row, RecordKind.SCHOOL)


def group_anchor(row: GroupRow) -> Anchor | None:
    """The anchor in a group's uniqueName."""
    found = _UNIQUE_NAME.fullmatch(row.unique_name or "")
    return Anchor(str(uuid.UUID(found[1])), RecordKind.SECTION, found[2]) if found else None


def _sis_anchor(row: ClassRow | SchoolRow, kind: RecordKind) -> Anchor | None:
    if (row.external_source or "").lower() != "sis" or not row.external_source_detail or not row.external_id:
        return None
    return Anchor(row.external_source_detail, kind, row.external_id)
