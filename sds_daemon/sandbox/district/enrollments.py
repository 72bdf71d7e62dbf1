"""The enrollment table (CC): its rows as values, and all of them in columns."""

from __future__ import annotations

import datetime as dt
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LIVE: Final = 0
DROPPED: Final = 1
DELETED: Final = 2


@dataclass(slots=True, frozen=True)
class Enrollment:
    """A view of one row of CC; `exit_date` is the first day on which the student no longer attends."""

    dcid: int
    section: int
    student: int
    entry_date: dt.date
    exit_date: dt.date
    dropped: bool


class Enrollments:
    """The CC table in columns: a district of 200,000 students has well over a million rows.

    A row's DCID is `FIRST_DCID` plus its position; rows are never moved, a deleted one stays as a gap in the numbers.
    """

    FIRST_DCID: Final = 5001
    ID_OFFSET: Final = -4000

    def __init__(self) -> None:
        self.section = array("i")
        self.student = array("i")
        self.entry = array("i")
        self.exit = array("i")
        self.state = array("b")
        self.by_section: dict[int, array[int]] = {}
        self._by_student: dict[int, array[int]] | None = None

    def append(self, section: int, student: int, entry: int, exit_: int, state: int = LIVE) -> int:
        """Adds a row (dates as proleptic ordinals) and returns its position."""
        row = len(self.section)
        self.section.append(section)
        self.student.append(student)
        self.entry.append(entry)
        self.exit.append(exit_)
        self.state.append(state)
        self.by_section.setdefault(section, array("i")).append(row)
        if self._by_student is not None:
            self._by_student.setdefault(student, array("i")).append(row)
        return row

    def of_section(self, section: int) -> list[int]:
        """Positions of the section's rows, dropped and past ones included."""
        return [row for row in self.by_section.get(section, ()) if self.state[row] != DELETED]

    def of_student(self, student: int) -> list[int]:
        """Positions of the student's rows in all sections and years."""
        if self._by_student is None:
            self._by_student = {}
            for row, owner in enumerate(self.student):
                self._by_student.setdefault(owner, array("i")).append(row)
        return [row for row in self._by_student.get(student, ()) if self.state[row] != DELETED]

    def position(self, dcid: int) -> int | None:
        """The position of the row with this DCID, None if there is none (any more)."""
        row = dcid - self.FIRST_DCID
        if not 0 <= row < len(self.section) or self.state[row] == DELETED:
            return None
        return row

    def view(self, row: int) -> Enrollment:
        """The row as a value with real dates."""
        return Enrollment(
            row + self.FIRST_DCID,
            self.section[row],
            self.student[row],
            dt.date.fromordinal(self.entry[row]),
            dt.date.fromordinal(self.exit[row]),
            self.state[row] == DROPPED,
        )

    def is_active(self, row: int, day: dt.date) -> bool:
        """Whether the row stands on `day`: not dropped, entry <= day < exit."""
        return self.state[row] == LIVE and self.entry[row] <= day.toordinal() < self.exit[row]

    def rows(self) -> Iterator[int]:
        """Positions of all rows that exist."""
        return (row for row in range(len(self.section)) if self.state[row] != DELETED)

    def __len__(self) -> int:
        return sum(1 for _ in self.rows())
