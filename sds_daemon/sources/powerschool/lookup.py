"""One record asked for alone, whatever its status and school: for `explain`, where a snapshot has no such record."""

from __future__ import annotations

from typing import Any

from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.sources.powerschool.client import Session
from sds_daemon.sources.powerschool.people import STUDENT_EXPANSIONS
from sds_daemon.sources.powerschool.wire import parse_section, parse_student

_PATHS = {RecordKind.STUDENT: "student", RecordKind.SECTION: "section", RecordKind.SCHOOL: "school"}
_EXPANSIONS = {RecordKind.STUDENT: STUDENT_EXPANSIONS, RecordKind.SECTION: "term"}


async def look_up(session: Session, ref: Ref) -> str:
    """What the server says of a student, section or school, without names. Raises SourceError, Interrupted.

    Empty for a teacher: v1 has no call by the person's id (`users_dcid`).
    """
    word = _PATHS.get(ref.kind)
    if word is None:
        return ""
    path = f"/ws/v1/{word}/{ref.sis_id}"
    expansions = _EXPANSIONS.get(ref.kind)
    answer = await session.find(path, {"expansions": expansions} if expansions else None)
    row = answer.get(word) if isinstance(answer, dict) else None
    if not isinstance(row, dict):
        return f"there is no such {word} ({path})"
    return f"{_described(ref.kind, row)} ({path})"


def _described(kind: RecordKind, row: dict[str, Any]) -> str:
    if kind is RecordKind.STUDENT:
        student = parse_student(row, "")
        if student.value is None:
            return f"the student cannot be used: {'; '.join(student.faults)}"
        return f"the student is {student.value.status}, home school {student.value.school_id or 'none'}"
    if kind is RecordKind.SECTION:
        section = parse_section(row, "")
        if section.value is None:
            return f"the section cannot be used: {'; '.join(section.faults)}"
        term = section.value.term_row
        dates = f", {term.get('start_date')} to {term.get('end_date')}" if term else ""
        return f"the section is at school {section.value.school_id}, term {section.value.term_id}{dates}"
    return "the school is there"
