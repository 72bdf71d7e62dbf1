"""The case of Microsoft's own table: 10,000 existing users, 3,000 classes, 90,000 enrollments, six hours.

Source: School Data Sync's planning checklist, which gives "about 6 hours" for the first synchronisation of that size.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

HOURS = 6.0
STUDENTS = 9_500
TEACHERS = 500
CLASSES = 3_000
ENROLLMENTS = 90_000
SCHOOLS = 10


def write(folder: Path) -> Path:
    """Write the district as a folder of School Data Sync V1 files; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, "School", ("SIS ID", "Name"), ((100 + n, f"School {n}") for n in range(SCHOOLS)))
    _write(folder, "Student", ("SIS ID", "School SIS ID", "Username", "First Name", "Last Name", "Grade"), (
        (10_000 + n, 100 + n % SCHOOLS, f"student{n}", "Pat", f"Student{n}", 9) for n in range(STUDENTS)
    ))  # fmt: skip
    _write(folder, "Teacher", ("SIS ID", "School SIS ID", "Username", "First Name", "Last Name"), (
        (30_000 + n, 100 + n % SCHOOLS, f"teacher{n}", "Sam", f"Teacher{n}") for n in range(TEACHERS)
    ))  # fmt: skip
    _write(folder, "Section", ("SIS ID", "School SIS ID", "Section Name", "Section Number", "Course Name",
                               "Course Number"), (
        (50_000 + n, 100 + n % SCHOOLS, f"Class {n}", n, f"Course {n % 300}", f"C{n % 300}") for n in range(CLASSES)
    ))  # fmt: skip
    _write(folder, "TeacherRoster", ("Section SIS ID", "SIS ID"), (
        (50_000 + n, 30_000 + _of_school(n, TEACHERS)) for n in range(CLASSES)
    ))  # fmt: skip
    _write(folder, "StudentEnrollment", ("Section SIS ID", "SIS ID"), _enrollments())
    return folder


def _of_school(section: int, people: int) -> int:
    """A person of the section's school; people and sections belong to schools by their number."""
    return section % SCHOOLS + SCHOOLS * (section // SCHOOLS % (people // SCHOOLS))


def _enrollments() -> Iterable[tuple[int, int]]:
    size, here = ENROLLMENTS // CLASSES, STUDENTS // SCHOOLS
    for section in range(CLASSES):
        first = section // SCHOOLS * size
        for seat in range(size):
            yield 50_000 + section, 10_000 + section % SCHOOLS + SCHOOLS * ((first + seat) % here)


def _write(folder: Path, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
