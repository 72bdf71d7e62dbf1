"""Who is in which section, from the PowerQueries: every enrollment of the year, and every teacher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from itertools import chain

import msgspec

from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import RecordKind, Ref, RosterEntry, RosterRole, School, Section
from sds_daemon.sources.powerschool.bulk_records import distinct, file_parts, is_id
from sds_daemon.sources.powerschool.desk import Desk
from sds_daemon.sources.powerschool.fetch import Batch
from sds_daemon.sources.powerschool.normalise import Malformed, Row, day, identifier
from sds_daemon.sources.powerschool.queries import EnrollmentRecord, SectionTeacherRecord
from sds_daemon.sources.powerschool.rosters import whose
from sds_daemon.sources.powerschool.rows import UNREADABLE
from sds_daemon.sources.powerschool.wire import StaffRow, parse_enrollment
from sds_daemon.sources.powerschool.year import attends

LEAD_ROLE = "lead teacher"
CO_ROLE = "co-teacher"
"""PowerSchool's own roles, in lower case; a district may define others."""


class RosterMaker:
    """The students of the sections, taken up slice by slice.

    A district's year has few pairs of entry and exit dates in a term, so each pair is judged once. `gaps`: sections
    with a row that cannot be read, by section id; it might be anybody's membership. `homeless`: rows whose section
    cannot be read; they might be about any.
    """

    def __init__(self, desk: Desk, sections: Mapping[str, Section], today: date) -> None:
        self.received: Counter[str] = Counter()
        self.gaps: dict[str, str] = {}
        self.homeless = 0
        self._desk = desk
        self._sections = sections
        self._today = today
        self._ids: dict[str, str] = {}
        self._members: dict[str, list[str]] = {}
        self._verdicts: dict[str, dict[tuple[str, str], bool]] = {}

    def take(self, rows: Iterable[EnrollmentRecord]) -> None:
        """Files the rows of a slice; rows of sections that are not read are passed over."""
        current = ""
        members: list[str] | None = None
        verdicts: dict[tuple[str, str], bool] = {}
        ids = self._ids
        for row in rows:
            if row.section != current:
                current = row.section
                members, verdicts = self._open(current)
            if members is None:
                continue
            self.received[current] += 1
            student = ids.get(row.student)
            verdict = verdicts.get((row.entry, row.exit))
            if student is None or verdict is None or not row.id.isdigit():
                student, verdict = self._judge(row, verdicts)
            if verdict:
                members.append(student)

    def _open(self, section_id: str) -> tuple[list[str] | None, dict[tuple[str, str], bool]]:
        section = self._sections.get(section_id)
        if section is None:
            self.homeless += not is_id(section_id)
            return None, {}
        return self._members.setdefault(section_id, []), self._verdicts.setdefault(section.term.id, {})

    def _judge(self, row: EnrollmentRecord, verdicts: dict[tuple[str, str], bool]) -> tuple[str, bool]:
        """The student and whether the row makes a member; one that cannot be read is a gap and makes none."""
        known = verdicts.get((row.entry, row.exit))
        if known is not None and row.id.isdigit() and is_id(row.student):
            return self._ids.setdefault(row.student, row.student), known
        section = self._sections[row.section]
        raw = _enrollment(row)
        parsed = parse_enrollment(raw, row.section)
        if parsed.value is None:
            detail = f"enrollment {parsed.id or 'without id'} of section {row.section}: {'; '.join(parsed.faults)}"
            self.gaps[row.section] = detail
            self._desk.problem(whose(raw, row.section), IssueCode.INVALID_RECORD, detail)
            return "", False
        student = self._ids.setdefault(parsed.value.student_id, parsed.value.student_id)
        verdict = verdicts[row.entry, row.exit] = attends(parsed.value, section.term, self._today)
        return student, verdict

    def members(self) -> dict[str, tuple[str, ...]]:
        """The students of each section, sorted, each once."""
        return {section: tuple(sorted(set(members))) for section, members in self._members.items()}


def _enrollment(row: EnrollmentRecord) -> Row:
    return {"id": row.id, "student_id": row.student, "entry_date": row.entry, "exit_date": row.exit}


def seat_students(
    desk: Desk,
    sections: dict[str, Section],
    schools: Mapping[str, School],
    batches: Collection[Batch],
    maker: RosterMaker,
) -> None:
    """Puts the students into `sections` and files one part a school, with the unproved sections as its gaps."""
    for section_id, members in maker.members().items():
        sections[section_id] = msgspec.structs.replace(sections[section_id], students=members)
    received: Counter[str] = Counter()
    for section_id, rows in maker.received.items():
        received[sections[section_id].school_id] += rows
    file_parts(desk, Resource.ENROLLMENTS, schools, batches, received)
    if maker.homeless:
        reason = f"{maker.homeless} enrollments name a section that cannot be read"
        desk.unprove(Resource.ENROLLMENTS, reason)
    for section_id, reason in maker.gaps.items():
        desk.gap(Resource.ENROLLMENTS, sections[section_id].school_id, section_id, reason)


def add_co_teachers(
    desk: Desk, sections: dict[str, Section], batches: Collection[Batch], staff: Mapping[str, StaffRow], today: date
) -> None:
    """Adds to `sections` the teachers besides the lead: in the role of a lead or co-teacher, on today's date.

    Before its term begins the section's first day counts. One who cannot be read is a gap in the proof of the
    school's sections, and one in a section that cannot be read makes those of all schools unproved; a role of the
    district's own is told once and gives nothing. A school whose sections have lead teachers, but no row here, was not
    shown: PowerSchool keeps one for each lead as well.
    """
    entries: dict[str, set[RosterEntry]] = {}
    unseen = {section.school_id for section in sections.values() if section.teachers}
    homeless = 0
    for row in chain.from_iterable(distinct(batches, SectionTeacherRecord)):
        section = sections.get(row.section)
        homeless += not is_id(row.section)
        if section is not None:
            unseen.discard(section.school_id)
        if section is None or not _teaches(desk, section, row, today):
            continue
        person = staff.get(row.staff)
        if person is not None:
            entries.setdefault(section.id, set()).add(RosterEntry(person.person_id, RosterRole.CO_TEACHER))
        else:
            _note_unknown(desk, section, row)
    for section_id, found in entries.items():
        section = sections[section_id]
        leads = {entry.teacher_id for entry in section.teachers}
        others = sorted(entry for entry in found if entry.teacher_id not in leads)
        sections[section_id] = msgspec.structs.replace(section, teachers=(*section.teachers, *others))
    doubt = next((batch.reason for batch in batches if batch.reason), None)
    if doubt is None and homeless:
        doubt = f"{homeless} assignments of teachers name a section that cannot be read"
    if doubt is not None:
        desk.unprove(Resource.SECTIONS, doubt)
    desk.unprove(Resource.SECTIONS, "no teacher of a section was received, not even a lead teacher", unseen)


def _teaches(desk: Desk, section: Section, row: SectionTeacherRecord, today: date) -> bool:
    role = row.role.strip().casefold()
    if role in ("", UNREADABLE):
        _note_unreadable(desk, section, f"an assignment of staff {_shown(row.staff)} has no role that can be read")
        return False
    if role not in (LEAD_ROLE, CO_ROLE):
        shown = "".join(letter if letter.isprintable() else "?" for letter in row.role[:40])
        desk.notice(f"assignments to sections in the role {shown!r} are not read: only Lead Teacher and Co-teacher are")
        return False
    try:
        first, last = day(row.first_day), day(row.last_day)
    except Malformed as fault:
        _note_unreadable(desk, section, f"an assignment of staff {_shown(row.staff)}: a date {fault}")
        return False
    reference = max(today, section.term.start)
    return (first is None or first <= reference) and (last is None or reference <= last)


def _note_unknown(desk: Desk, section: Section, row: SectionTeacherRecord) -> None:
    _note_unreadable(desk, section, f"a teacher, staff {_shown(row.staff)}, cannot be read")


def _shown(staff_id: str) -> str:
    try:
        return identifier(staff_id) or "without id"
    except Malformed:
        return "with an unreadable id"


def _note_unreadable(desk: Desk, section: Section, reason: str) -> None:
    desk.gap(Resource.SECTIONS, section.school_id, section.id, reason)
    desk.problem(Ref(RecordKind.SECTION, section.id), IssueCode.INVALID_REFERENCE, f"{reason}; left out")
