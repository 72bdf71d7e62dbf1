"""A whole summer, day by day: nobody is removed wrongly, the old year stands, the new one comes once and in time."""

from __future__ import annotations

import datetime as dt

import pytest
from calendar_rig import (
    ALL_YEAR,
    IN_FALL,
    IN_SPRING,
    OTHER,
    SCHOOL,
    STUDENTS,
    TEACHER,
    Year,
    a_section,
    a_term,
    instant,
)

pytestmark = pytest.mark.timeout(240)
FIRST, SECOND, THIRD, FOURTH = STUDENTS
NEW_YEAR, NEW_FALL, OTHER_YEAR = 801, 802, 803
NEW_ALL, NEW_ONE, NEW_OTHER = 7201, 7202, 7203

CALENDAR: dict[str, list[dict[str, object]]] = {
    "2027-06-09": [{"op": "drop", "student": FIRST, "section": ALL_YEAR, "how": "exit", "exit_date": "2027-06-09"}],
    "2027-06-14": [{"op": "set_enroll_status", "student": SECOND, "status": "T", "end_enrollments": True}],
    "2027-07-01": [{"op": "update_student", "student": number, "grade": 10} for number in (FIRST, THIRD, FOURTH)],
    "2027-07-02": [{"op": "unassign_teacher", "section": ALL_YEAR}],
    "2027-07-06": [{"op": "update_student", "student": FOURTH, "school": OTHER}],
    "2027-07-12": [
        a_term(NEW_YEAR, SCHOOL, 2027, 1, "2027-08-19", "2028-06-09"),
        a_term(NEW_FALL, SCHOOL, 2027, 2, "2027-08-26", "2027-12-17"),
        a_term(OTHER_YEAR, OTHER, 2027, 1, "2027-08-19", "2028-06-09"),
    ],
    "2027-07-15": [
        {"op": "affiliate", "teacher": TEACHER, "school": OTHER},
        a_section(NEW_ALL, NEW_YEAR, FIRST, THIRD),
        a_section(NEW_ONE, NEW_FALL, THIRD),
        a_section(NEW_OTHER, OTHER_YEAR, FOURTH, school=OTHER),
    ],
    "2027-07-20": [{"op": "delete_section", "section": IN_FALL}],
    "2027-08-30": [{"op": "drop", "student": FIRST, "section": NEW_ALL, "how": "dropped"}],
}
"""What the school types in, on the morning of a day."""


async def test_a_summer_is_slept_through(year: Year) -> None:
    await year.sync_at("2026-10-14T18:00")
    await year.sync_at("2027-01-11T18:00")
    day, last = dt.date(2027, 6, 7), dt.date(2027, 9, 3)
    announced: list[dt.date] = []
    made: dict[int, dt.date] = {}
    old: set[object] = set()
    while day <= last:
        year.move_to(instant(f"{day}T18:00"))
        await year.change(*CALENDAR.get(str(day), []))
        summary = await year.sync()
        assert not summary.held
        assert summary.failed == 0
        if any("school year 2027-28 begins" in notice for notice in summary.notices):
            announced.append(day)
        for section in (NEW_ALL, NEW_ONE, NEW_OTHER):
            if year.has_class(section):
                made.setdefault(section, day)
        if day == dt.date(2027, 6, 11):
            old = set(year.members(ALL_YEAR, IN_FALL, IN_SPRING))
        if day > dt.date(2027, 6, 11):
            assert year.members(ALL_YEAR, IN_FALL, IN_SPRING) == old, f"the old year moved on {day}"
        day += dt.timedelta(days=1)
    lead = dt.date(2027, 8, 5)
    assert announced == [lead]
    assert made == {NEW_ALL: lead, NEW_OTHER: lead, NEW_ONE: dt.date(2027, 8, 12)}
    assert year.removed() == {(str(ALL_YEAR), str(FIRST)), (str(NEW_ALL), str(FIRST))}
    assert year.students_in(NEW_ALL) == {THIRD}
    assert year.students_in(NEW_OTHER) == {FOURTH}
    assert len(year.directory.objects) == 2 + 1 + len(STUDENTS) + 6
