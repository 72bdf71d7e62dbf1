"""Teachers and students: one of each person, whatever number of schools and rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import Absence, RecordKind, Ref, RosterEntry, Section, Student, Teacher
from sds_daemon.sources.powerschool.desk import Desk
from sds_daemon.sources.powerschool.lanes import each
from sds_daemon.sources.powerschool.wire import (
    ACTIVE,
    PREREGISTERED,
    StaffRow,
    parse_staff,
    parse_student,
)

STAFF_EXPANSIONS = "emails,school_affiliations"
STUDENT_EXPANSIONS = "school_enrollment,contact_info,demographics"


async def read_staff(desk: Desk, schools: Collection[str], leads: Iterable[str]) -> dict[str, StaffRow]:
    """The staff of these schools, and by id whoever leads a section without being listed; by staff id.

    The lists hold active staff only; a lead teacher may be listed at a school out of scope, and one whose id comes with
    several rows is asked for by id as well. Raises SourceError.
    """

    async def of_school(school_id: str) -> list[StaffRow]:
        call = desk.call("staff", f"/ws/v1/school/{school_id}/staff", root="staffs", expansions=STAFF_EXPANSIONS)
        listing = await desk.read(Resource.STAFF, school_id, call)
        unclear = () if listing.settled else listing.doubled
        return [row for raw in listing.rows for row in staff_row(desk, raw) if row.id not in unclear]

    async def by_id(staff_id: str) -> list[StaffRow]:
        answer = await desk.session.find(f"/ws/v1/staff/{staff_id}", {"expansions": STAFF_EXPANSIONS})
        return staff_row(desk, answer.get("staff")) if isinstance(answer, dict) else []

    found = await desk.each_school("Reading staff", Resource.STAFF, schools, of_school)
    staff = {row.id: row for rows in found for row in rows}
    missing = sorted(set(leads) - staff.keys())
    staff.update({row.id: row for rows in await each(desk.session.lanes, missing, by_id) for row in rows})
    return staff


def staff_row(desk: Desk, raw: Any) -> list[StaffRow]:
    """The one row there is, or none where it cannot be used, which is a problem."""
    parsed = parse_staff(raw)
    if parsed.value is not None:
        return [parsed.value]
    ref = Ref(RecordKind.TEACHER, f"staff {parsed.id or 'without id'}")
    desk.problem(ref, IssueCode.INVALID_RECORD, "; ".join(parsed.faults))
    return []


def assign_teachers(
    desk: Desk, sections: dict[str, Section], leads: Mapping[str, str], staff: dict[str, StaffRow]
) -> None:
    """Puts the lead teachers into `sections`; one who cannot be read is a gap in the proof of the school's sections."""
    for section_id, staff_id in leads.items():
        section, row = sections[section_id], staff.get(staff_id)
        if row is not None:
            sections[section_id] = msgspec.structs.replace(section, teachers=(RosterEntry(row.person_id),))
            continue
        reason = f"the lead teacher, staff {staff_id}, cannot be read"
        desk.gap(Resource.SECTIONS, section.school_id, section_id, reason)
        ref = Ref(RecordKind.TEACHER, f"staff {staff_id}")
        desk.problem(ref, IssueCode.INVALID_REFERENCE, f"section {section_id} names a lead teacher who cannot be read")


def merge_teachers(
    desk: Desk, schools: Collection[str], sections: Mapping[str, Section], staff: Mapping[str, StaffRow]
) -> dict[str, Teacher]:
    """The teachers in scope by person: a current affiliation as a teacher, or the lead of a section; nobody else."""
    at: dict[str, set[str]] = {}
    rows: dict[str, list[StaffRow]] = {}
    for row in staff.values():
        rows.setdefault(row.person_id, []).append(row)
        taught = {a.school_id for a in row.affiliations if a.teaches and a.school_id in schools}
        if taught:
            at.setdefault(row.person_id, set()).update(taught)
    for section in sections.values():
        for entry in section.teachers:
            at.setdefault(entry.teacher_id, set()).add(section.school_id)
    teachers = {}
    for person_id, school_ids in sorted(at.items()):
        row = _one_of(desk, rows[person_id])
        if row.usable:
            teachers[person_id] = _teacher(row, tuple(sorted(school_ids)))
    return teachers


def _one_of(desk: Desk, rows: list[StaffRow]) -> StaffRow:
    """The row that speaks for a person: the usable one with the lowest id. All rows' faults are noted."""
    for row in rows:
        for fault in row.faults:
            desk.problem(Ref(RecordKind.TEACHER, row.person_id), IssueCode.INVALID_RECORD, f"{fault} (staff {row.id})")
    return min(rows, key=lambda row: (not row.usable, len(row.id), row.id))


def _teacher(row: StaffRow, school_ids: tuple[str, ...]) -> Teacher:
    return Teacher(
        id=row.person_id,
        school_ids=school_ids,
        username=row.username,
        first_name=row.first_name,
        middle_name=row.middle_name,
        last_name=row.last_name,
        number=row.number,
        email=row.email,
    )


class Students:
    """The students of one read: those in the snapshot, and why others are not."""

    def __init__(self, schools: Collection[str], *, include_preregistered: bool) -> None:
        self.taken: dict[str, Student] = {}
        self.absences: dict[str, Absence] = {}
        self.unusable: set[str] = set()
        self._schools = schools
        self.statuses = {ACTIVE, PREREGISTERED} if include_preregistered else {ACTIVE}

    @property
    def query(self) -> str:
        """The filter, stated although it is the default of school lists: that default is nowhere promised."""
        return f"school_enrollment.enroll_status==({'A,P' if PREREGISTERED in self.statuses else 'A'})"

    def file(self, student: Student) -> None:
        """Takes a student, or notes why not."""
        absence = self._absence(student)
        if absence is None:
            self.taken[student.id] = student
        else:
            self.absences[student.id] = absence

    def _absence(self, student: Student) -> Absence | None:
        if student.status not in self.statuses:
            return Absence.INACTIVE
        return None if student.school_id in self._schools else Absence.OTHER_SCHOOL

    def met(self, student_id: str) -> bool:
        """Whether a row of this student was seen before."""
        return student_id in self.taken or student_id in self.absences or student_id in self.unusable

    def says_the_same(self, student_id: str, student: Student | None) -> bool:
        """Whether a further row of a student met before (None: unusable) tells nothing else than the first."""
        if student is None:
            return student_id in self.unusable
        absence = self._absence(student)
        return self.absences.get(student_id) is absence if absence else self.taken.get(student_id) == student

    def absent(self, ids: Collection[str]) -> dict[str, Absence]:
        """Why those of `ids` are not taken who are not."""
        return {student: why for student, why in sorted(self.absences.items()) if student in ids}

    def unexplained(self, ids: Iterable[str]) -> list[str]:
        """Those of whom nothing is known yet, sorted."""
        return sorted(set(ids) - self.taken.keys() - self.absences.keys() - self.unusable)


async def read_students(desk: Desk, schools: Collection[str], *, include_preregistered: bool) -> Students:
    """The students of these schools. Raises SourceError."""
    students = Students(schools, include_preregistered=include_preregistered)

    async def of_school(school_id: str) -> None:
        call = desk.call(
            "student",
            f"/ws/v1/school/{school_id}/student",
            filters={"q": students.query},
            expansions=STUDENT_EXPANSIONS,
        )
        listing = await desk.read(Resource.STUDENTS, school_id, call)
        place = f"student list of school {school_id}"
        desk.note_doubled(listing, RecordKind.STUDENT, place)
        for raw in listing.rows:
            file_student(desk, students, raw, school_id, place)

    await desk.each_school("Reading students", Resource.STUDENTS, schools, of_school)
    return students


def file_student(desk: Desk, students: Students, raw: Any, school_id: str, place: str) -> None:
    """Takes one row, or notes why not; `school_id` is the school of a row that names none."""
    parsed = parse_student(raw, school_id)
    desk.note(parsed, RecordKind.STUDENT, place)
    if parsed.value is not None:
        students.file(parsed.value)
    elif parsed.id:
        students.unusable.add(parsed.id)


async def explain_absences(desk: Desk, students: Students, sections: Iterable[Section]) -> dict[str, Absence]:
    """Why the students whom sections name are not among those taken; unknown ones are read by id. Raises SourceError.

    One who turns out to be active in scope (the list moved while it was read) is taken. Sections whose term is over
    ask for nothing.
    """
    enrolled = enrolled_in(sections)
    unexplained = students.unexplained(enrolled)
    done = 0

    async def by_id(student_id: str) -> None:
        nonlocal done
        answer = await desk.session.find(f"/ws/v1/student/{student_id}", {"expansions": STUDENT_EXPANSIONS})
        if answer is None:
            students.absences[student_id] = Absence.UNKNOWN
        else:
            raw = answer.get("student") if isinstance(answer, dict) else None
            file_student(desk, students, raw, "", f"/ws/v1/student/{student_id}")
        done += 1
        desk.progress("Looking up enrolled students of other schools", done, len(unexplained))

    await each(desk.session.lanes, unexplained, by_id)
    return students.absent(enrolled)


def enrolled_in(sections: Iterable[Section]) -> set[str]:
    """The students of the sections whose term is not over."""
    return {student for section in sections if not section.frozen for student in section.students}
