"""One day in the life of a district: a handful of changes of every common sort, chosen the same way each time."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.model import District

Operation = dict[str, Any]


@dataclass
class _Day:
    """The rows still free to be used: no two changes of the day touch the same section or student."""

    district: District
    today: dt.date
    used_sections: set[int] = field(default_factory=set)
    used_students: set[int] = field(default_factory=set)

    def section(self, least: int) -> model.Section | None:
        """The next unused section of this year with a teacher and at least so many students."""
        for section in self.district.sections.values():
            if section.dcid in self.used_sections or section.staff is None or not self._is_current(section):
                continue
            if len(self.attending(section)) >= least:
                self.used_sections.add(section.dcid)
                return section
        return None

    def student(self, section: model.Section) -> model.Student | None:
        """The next unused student of the section."""
        for dcid in self.attending(section):
            if dcid not in self.used_students:
                self.used_students.add(dcid)
                return self.district.students[dcid]
        return None

    def attending(self, section: model.Section) -> list[int]:
        """Active students who attend the section today, by DCID."""
        table, students = self.district.enrollments, self.district.students
        rows = (row for row in table.of_section(section.dcid) if table.is_active(row, self.today))
        found = {table.student[row] for row in rows}
        return sorted(dcid for dcid in found if dcid in students and students[dcid].enroll_status == model.ACTIVE)

    def _is_current(self, section: model.Section) -> bool:
        term = self.district.terms[section.term]
        return term.first_day <= self.today <= term.last_day

    def colleague(self, section: model.Section) -> model.User | None:
        """Another current teacher of the section's school."""
        lead = self.district.staff[section.staff].user if section.staff is not None else None
        for row in self.district.staff_at(section.school):
            if row.type == 1 and row.status == 1 and row.user != lead:
                return self.district.users[row.user]
        return None


def school_day(district: District, today: dt.date) -> list[Operation]:
    """The operations of the day, each with a `note` that says in plain words what happens; nothing is applied.

    A student leaves a class, a teacher is replaced, a student is new and joins two sections, a section is added with
    teacher and students, a student's name changes, a student is deleted. What a tiny district cannot offer is left out.
    """
    day = _Day(district, today)
    made = [_student_leaves(day), _teacher_replaced(day), _new_student(day)]
    made += [_new_section(day), _new_name(day), _student_deleted(day)]
    return [operation for operation in made if operation is not None]


def _student_leaves(day: _Day) -> Operation | None:
    section = day.section(2)
    student = day.student(section) if section else None
    if section is None or student is None:
        return None
    note = f"Student {student.dcid} ({_name(student)}) leaves {_title(day, section)}"
    operation = {"op": "drop", "student": student.dcid, "section": section.dcid, "how": "exit"}
    return {**operation, "exit_date": day.today.isoformat(), "note": note}


def _teacher_replaced(day: _Day) -> Operation | None:
    section = day.section(1)
    teacher = day.colleague(section) if section else None
    if section is None or teacher is None:
        return None
    note = f"Teacher {teacher.dcid} ({_name(teacher)}) takes over {_title(day, section)}"
    return {"op": "assign_teacher", "section": section.dcid, "teacher": teacher.dcid, "note": note}


def _new_student(day: _Day) -> Operation | None:
    first = day.section(1)
    second = day.section(1) if first else None
    if first is None:
        return None
    sections = [row for row in (first, second) if row is not None and row.school == first.school]
    school = day.district.schools[first.school]
    dcid = day.district.next_dcid("students")
    note = f"Student {dcid} (Nova Newcomer) is new at {school.name} and joins {len(sections)} sections"
    person = {"first_name": "Nova", "last_name": "Newcomer", "username": f"nnewcomer{dcid}"}
    place = {"school": school.dcid, "sections": [row.dcid for row in sections]}
    return {"op": "add_student", "id": dcid, **person, **place, "note": note}


def _new_section(day: _Day) -> Operation | None:
    like = day.section(3)
    if like is None or like.staff is None:
        return None
    students = [row.dcid for row in (day.student(like) for _ in range(3)) if row is not None]
    teacher = day.district.staff[like.staff].user
    dcid = day.district.next_dcid("sections")
    school = day.district.schools[like.school]
    note = f"Section {dcid} (Robotics) is added at {school.name} with teacher {teacher} and {len(students)} students"
    course = {"course_name": "Robotics", "course_number": "ROB1", "number": "1"}
    return {
        "op": "add_section", "id": dcid, "school": school.dcid, **course, "teacher": teacher, "students": students,
        "note": note,
    }  # fmt: skip


def _new_name(day: _Day) -> Operation | None:
    section = day.section(1)
    student = day.student(section) if section else None
    if student is None:
        return None
    new = f"{student.last_name}-Newname"
    note = f"Student {student.dcid} ({_name(student)}) is now called {student.first_name} {new}"
    return {"op": "update_student", "student": student.dcid, "last_name": new, "note": note}


def _student_deleted(day: _Day) -> Operation | None:
    section = day.section(2)
    student = day.student(section) if section else None
    if student is None:
        return None
    note = f"Student {student.dcid} ({_name(student)}) is deleted from the SIS"
    return {"op": "delete_student", "student": student.dcid, "note": note}


def _name(row: model.Student | model.User) -> str:
    return f"{row.first_name} {row.last_name}"


def _title(day: _Day, section: model.Section) -> str:
    course = day.district.courses[section.course]
    return f"section {section.dcid} ({course.name}, {section.number})"
