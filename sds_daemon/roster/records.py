"""The SIS side in School Data Sync's own terms. Plain values, no I/O.

Every id is a SIS ID: the record's stable id at its source, as text. Number spaces overlap between kinds and between
servers, so an id means something only together with its kind (`Ref`) and its source.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum

import msgspec

from sds_daemon.roster.proof import Proof


class RecordKind(StrEnum):
    """What a SIS ID identifies."""

    SCHOOL = "school"
    SECTION = "section"
    STUDENT = "student"
    TEACHER = "teacher"


class Ref(msgspec.Struct, frozen=True, order=True, gc=False):
    """One SIS record of the profile's source."""

    kind: RecordKind
    sis_id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.sis_id}"


class School(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A school. `number` is the School_Number operators know; `id` is the DCID."""

    id: str
    name: str
    number: str = ""
    low_grade: str = ""
    high_grade: str = ""
    principal_name: str = ""
    principal_email: str = ""
    phone: str = ""
    street: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""


class Term(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A term of one school. `start_year` is the first calendar year of its school year; `full_year` marks portion 1."""

    id: str
    school_id: str
    name: str
    start: date
    end: date
    start_year: int
    full_year: bool
    abbreviation: str = ""


class Course(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A course of the catalogue."""

    id: str
    number: str = ""
    name: str = ""


class RosterRole(StrEnum):
    """A teacher's role in a section."""

    LEAD = "lead"
    CO_TEACHER = "co"


class RosterEntry(msgspec.Struct, frozen=True, order=True, gc=False):
    """A teacher in a section."""

    teacher_id: str
    role: RosterRole = RosterRole.LEAD


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A section in scope, with the people who are in it on the snapshot's day.

    `students`: SIS IDs with an active enrollment (sorted, unique): not dropped, entry <= day < exit, or an exit on or
    after the term's end, which is not a leave. `frozen`: the term is over; nothing about the section changes any more.
    """

    id: str
    school_id: str
    number: str
    term: Term
    course_id: str
    course: Course | None = None
    period: str = ""
    students: tuple[str, ...] = ()
    teachers: tuple[RosterEntry, ...] = ()
    frozen: bool = False


class Student(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A student. `school_id` is the home school; `active` is false for one read only because an enrollment names it."""

    id: str
    school_id: str
    username: str = ""
    first_name: str = ""
    middle_name: str = ""
    last_name: str = ""
    number: str = ""
    state_id: str = ""
    grade: str = ""
    email: str = ""
    birth_date: str = ""
    graduation_year: str = ""
    status: str = "active"


class Teacher(msgspec.Struct, frozen=True, kw_only=True):
    """A teacher: one per person (users_dcid), whatever number of schools. `school_ids` sorted, in scope only."""

    id: str
    school_ids: tuple[str, ...]
    username: str = ""
    first_name: str = ""
    middle_name: str = ""
    last_name: str = ""
    number: str = ""
    email: str = ""


class Absence(StrEnum):
    """Why a student whom an active enrollment names is not among the snapshot's students."""

    INACTIVE = "inactive"  # the student's status is not active
    OTHER_SCHOOL = "other_school"  # home school outside the profile
    UNKNOWN = "unknown"  # the server has no such student


class RecordProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A record the reader could not use. `detail` is one sentence without names of people."""

    ref: Ref
    code: str
    detail: str


class SchoolYear(msgspec.Struct, frozen=True, gc=False):
    """`start_year` 2026 is the year 2026-27."""

    start_year: int

    def __str__(self) -> str:
        return f"{self.start_year}-{(self.start_year + 1) % 100:02d}"


class Snapshot(msgspec.Struct, kw_only=True):
    """One complete read of a source for a profile, with its proof. Dictionaries are keyed by SIS ID.

    `rosters_complete`: all teachers of a section are known (bulk reader), not the lead teacher alone (v1 reader).
    `absences`: students named by active enrollments but not among `students`, with the reason, and their home school
    where known. `origins`: the call that brings records of a kind, and "roster" for the people of a section, as text
    with {school} and {id} to be filled in. `fingerprint`: digest of every byte the snapshot was made from and of the
    day, scope and reader; two reads with one fingerprint make equal snapshots. Empty where the reader cannot tell.
    `passing`: those of `notices` that are about the reading, not about what was read: the next may bring others.
    """

    source_uuid: str
    reader: str
    day: date
    timezone: str
    year: SchoolYear
    schools: dict[str, School]
    sections: dict[str, Section]
    students: dict[str, Student]
    teachers: dict[str, Teacher]
    proof: Proof
    rosters_complete: bool
    absences: dict[str, Absence] = {}
    problems: list[RecordProblem] = []
    calls: int = 0
    notices: list[str] = []
    passing: list[str] = []
    origins: dict[str, str] = {}
    fingerprint: str = ""
