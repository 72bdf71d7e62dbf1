"""Days turn at the district's midnight, whatever the machine, the season or a clock set back says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from calendar_rig import (
    ALL_YEAR,
    IN_FALL,
    IN_SPRING,
    STUDENTS,
    Reader,
    Year,
    a_section,
    a_term,
    instant,
    running_year,
)

FIRST, SECOND, THIRD, FOURTH = STUDENTS


@pytest.fixture(params=["Pacific/Auckland", "America/Anchorage"])
def _machine_elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine stands a day ahead of the district, or behind it."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def leaves(student: int, day: str, section: int = ALL_YEAR) -> dict[str, object]:
    return {"op": "drop", "student": student, "section": section, "how": "exit", "exit_date": day}


@pytest.mark.usefixtures("_machine_elsewhere")
async def test_a_leave_counts_from_midnight_of_the_district(year: Year) -> None:
    await year.sync_at("2026-10-14T18:00")
    await year.change(leaves(FIRST, "2026-10-15"))
    await year.sync_at("2026-10-15T06:59")
    assert year.removed() == set()
    await year.sync_at("2026-10-15T07:00")
    assert year.removed() == {(str(ALL_YEAR), str(FIRST))}


@pytest.mark.parametrize(
    ("zone", "day", "before", "after"),
    [
        ("America/Los_Angeles", "2026-11-02", "2026-11-02T07:59", "2026-11-02T08:00"),  # a day of 25 hours before it
        ("America/Los_Angeles", "2027-03-15", "2027-03-15T06:59", "2027-03-15T07:00"),  # a day of 23 hours before it
        ("Africa/Cairo", "2027-04-30", "2027-04-29T21:59", "2027-04-29T22:00"),  # a day that begins at one o'clock
        ("Pacific/Auckland", "2026-11-02", "2026-11-01T10:59", "2026-11-01T11:00"),
        ("Asia/Kathmandu", "2026-11-02", "2026-11-01T18:14", "2026-11-01T18:15"),
    ],
)
async def test_days_of_other_lengths(
    tmp_path: Path, zone: str, day: str, before: str, after: str, reader: Reader
) -> None:
    async with running_year(tmp_path, zone, reader) as year:
        await year.sync()
        await year.change(leaves(FIRST, day))
        await year.sync_at(before)
        assert year.students_in(ALL_YEAR) == set(STUDENTS)
        await year.sync_at(after)
        assert year.students_in(ALL_YEAR) == {SECOND, THIRD, FOURTH}


async def test_a_clock_set_back_an_hour_brings_no_day_back(year: Year) -> None:
    await year.change(leaves(FIRST, "2026-10-15"), leaves(SECOND, "2026-10-14"))
    await year.change({"op": "reenroll", "student": SECOND, "section": ALL_YEAR, "entry_date": "2026-10-15"})
    await year.sync_at("2026-10-15T06:30")
    assert year.students_in(ALL_YEAR) == {FIRST, THIRD, FOURTH}
    await year.sync_at("2026-10-15T07:10")
    assert year.students_in(ALL_YEAR) == {SECOND, THIRD, FOURTH}
    for minute in ("10", "30", "50"):
        summary = await year.sync_at(f"2026-10-15T06:{minute}")
        assert (summary.planned, len(summary.notices)) == ({}, 1)
        assert "the day stays 2026-10-15" in summary.notices[0]
    summary = await year.sync_at("2026-10-15T07:20")
    assert (summary.planned, summary.notices) == ({}, [])
    assert year.removed() == {(str(ALL_YEAR), str(FIRST))}


async def test_a_clock_that_was_wrong_by_months_is_not_followed(year: Year) -> None:
    await year.sync()
    year.move_to(instant("2027-06-20T18:00"), server=False)
    await year.sync()
    summary = await year.sync_at("2026-10-15T18:00")
    assert summary.notices == []
    await year.change(leaves(FIRST, "2026-10-16"))
    await year.sync_at("2026-10-16T18:00")
    assert year.removed() == {(str(ALL_YEAR), str(FIRST))}


async def test_a_clock_in_the_next_summer_removes_nobody(year: Year) -> None:
    await year.sync()
    before = year.members(ALL_YEAR, IN_FALL)
    for wrong in ("1999-01-01T00:00", "2027-07-20T18:00", "2038-01-19T03:14"):
        year.move_to(instant(wrong), server=False)
        try:
            await year.sync()
        except Exception as error:  # noqa: BLE001 - only its kind matters: no year contains that day
            assert type(error).__name__ == "ConfigurationError", error
    assert year.members(ALL_YEAR, IN_FALL) == before
    assert year.removed() == set()


async def test_a_leap_day_is_a_day(tmp_path: Path, reader: Reader) -> None:
    async with running_year(tmp_path, "America/Los_Angeles", reader) as year:
        await year.change(
            a_term(701, 501, 2027, 1, "2027-08-19", "2028-06-09"),
            a_term(702, 501, 2027, 3, "2028-01-10", "2028-02-29"),
            a_term(703, 501, 2027, 3, "2028-03-14", "2028-06-09"),
            a_section(7101, 701, *STUDENTS),
            a_section(7102, 702, FIRST, SECOND),
            a_section(7103, 703, THIRD),
        )
        await year.change(leaves(FIRST, "2028-02-29", 7101))
        await year.sync_at("2028-02-28T18:00")
        assert year.students_in(7101) == set(STUDENTS)
        assert not year.has_class(7103)
        await year.sync_at("2028-02-29T18:00")
        assert year.students_in(7101) == {SECOND, THIRD, FOURTH}
        assert year.students_in(7103) == {THIRD}  # fourteen days before 14 March, with the 29th among them
        await year.change(leaves(SECOND, "2028-02-29", 7102))  # the last day of its term: not a leave
        await year.sync_at("2028-03-01T18:00")
        assert year.students_in(7102) == {FIRST, SECOND}
        assert year.removed() == {("7101", str(FIRST))}


async def test_the_last_day_of_a_term_and_the_day_after(year: Year) -> None:
    await year.sync_at("2026-12-16T18:00")
    await year.change(leaves(FIRST, "2026-12-17", IN_FALL))  # left before the last day
    await year.change(leaves(SECOND, "2026-12-18", IN_FALL))  # ends with the term: not a leave
    for day in ("2026-12-18T18:00", "2026-12-19T18:00", "2026-12-31T18:00"):
        await year.sync_at(day)
        assert year.students_in(IN_FALL) == {SECOND}
    await year.change({"op": "delete_student", "student": SECOND})  # with all that was ever recorded of it
    await year.sync_at("2027-01-04T18:00")
    assert year.students_in(IN_FALL) == {SECOND}
    assert year.students_in(ALL_YEAR) == {FIRST, THIRD, FOURTH}  # whose term goes on, and whose list lacks the student
    assert year.removed() == {(str(IN_FALL), str(FIRST)), (str(ALL_YEAR), str(SECOND))}


async def test_a_term_is_taken_up_lead_days_before_with_those_of_its_first_day(year: Year) -> None:
    await year.change({"op": "enroll", "student": FIRST, "section": IN_SPRING, "entry_date": "2027-01-12"})
    await year.sync_at("2026-12-27T18:00")
    assert not year.has_class(IN_SPRING)
    await year.sync_at("2026-12-28T18:00")
    assert year.students_in(IN_SPRING) == {THIRD, FOURTH}
    await year.sync_at("2027-01-12T18:00")
    assert year.students_in(IN_SPRING) == {FIRST, THIRD, FOURTH}
