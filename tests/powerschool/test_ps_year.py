"""Edge days of years, terms and enrollments."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sds_daemon.errors import ConfigurationError
from sds_daemon.roster.records import SchoolYear, Term
from sds_daemon.sources.powerschool.wire import EnrollmentRow
from sds_daemon.sources.powerschool.year import (
    attends,
    choose_year,
    is_frozen,
    is_taken_up,
    members,
    years_to_ask,
)


def term(start: str, end: str, *, year: int = 2026, school: str = "3", full: bool = True) -> Term:
    return Term(
        id=f"{year}-{school}-{start}",
        school_id=school,
        name="",
        start=date.fromisoformat(start),
        end=date.fromisoformat(end),
        start_year=year,
        full_year=full,
    )


YEARS = [term("2025-08-21", "2026-06-12", year=2025), term("2026-08-20", "2027-06-11")]


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        ("2025-08-21", 2025),
        ("2026-06-12", 2025),  # the last day
        ("2026-06-13", 2025),  # between years
        ("2026-08-05", 2025),  # 15 days before
        ("2026-08-06", 2026),  # 14 days before
        ("2026-08-20", 2026),
        ("2027-06-11", 2026),
        ("2027-07-15", 2026),  # after the last known year
        ("2025-08-07", 2025),  # no older year known, within lead
    ],
)
def test_the_current_year(today: str, expected: int) -> None:
    assert choose_year(YEARS, date.fromisoformat(today), 14, "current") == SchoolYear(expected)


@pytest.mark.parametrize(("lead", "expected"), [(0, 2025), (13, 2025), (14, 2026), (60, 2026)])
def test_lead_days_decide_between_years_only(lead: int, expected: int) -> None:
    assert choose_year(YEARS, date(2026, 8, 6), lead, "current").start_year == expected
    assert choose_year(YEARS, date(2026, 6, 12), lead + 90, "current").start_year == 2025


def test_before_the_first_year_is_an_error_that_says_when_it_begins() -> None:
    with pytest.raises(ConfigurationError, match="2025-26 begins on 2025-08-21"):
        choose_year(YEARS, date(2025, 8, 1), 14, "current")
    with pytest.raises(ConfigurationError, match="no school year of the chosen schools"):
        choose_year([], date(2025, 8, 1), 14, "current")


def test_one_school_with_a_mistyped_year_does_not_move_the_district() -> None:
    late = term("2025-08-21", "2027-06-12", year=2025, school="9")
    usual = [term("2026-08-20", "2027-06-11", school=school) for school in ("3", "4")]
    assert choose_year([*usual, late], date(2026, 10, 1), 14, "current").start_year == 2026


def test_of_equal_schools_the_later_year_counts() -> None:
    terms = [term("2025-08-21", "2026-07-05", year=2025, school="3"), term("2026-07-01", "2027-06-11", school="4")]
    assert choose_year(terms, date(2026, 7, 2), 14, "current").start_year == 2026


def test_semesters_do_not_count_where_there_is_a_full_year_term() -> None:
    terms = [*YEARS, term("2026-07-01", "2026-07-31", full=False)]  # a summer session filed under the next year
    assert choose_year(terms, date(2026, 7, 10), 14, "current").start_year == 2025


def test_a_school_without_a_full_year_term_is_known_by_its_terms() -> None:
    halves = [term("2026-08-20", "2026-12-20", full=False), term("2027-01-07", "2027-06-11", full=False)]
    assert choose_year(halves, date(2026, 12, 28), 14, "current").start_year == 2026


def test_an_explicit_year_must_exist() -> None:
    assert choose_year(YEARS, date(2026, 10, 1), 14, 2025).start_year == 2025
    with pytest.raises(ConfigurationError, match="2031-32"):
        choose_year(YEARS, date(2026, 10, 1), 14, 2031)


@pytest.mark.parametrize(
    ("today", "choice", "expected"),
    [
        ("2026-10-01", "current", (2025, 2026)),
        ("2026-12-17", "current", (2025, 2026)),
        ("2026-12-18", "current", (2025, 2026, 2027)),  # a year that begins on 1 January is 14 days ahead
        ("2027-01-01", "current", (2026, 2027)),
        ("2026-10-01", 2024, (2024,)),
        ("2026-10-01", "2024", (2024,)),
    ],
)
def test_the_years_asked_for(today: str, choice: str | int, expected: tuple[int, ...]) -> None:
    assert years_to_ask(date.fromisoformat(today), 14, choice) == expected


def test_a_year_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match="'next' is not a year"):
        years_to_ask(date(2026, 10, 1), 14, "next")


@given(st.dates(date(2025, 9, 1), date(2027, 6, 1)), st.integers(0, 60))
def test_the_chosen_year_never_goes_back(today: date, lead: int) -> None:
    now = choose_year(YEARS, today, lead, "current").start_year
    assert choose_year(YEARS, today + timedelta(days=1), lead, "current").start_year >= now


SEMESTER = term("2027-01-11", "2027-06-11", full=False)


@pytest.mark.parametrize(("today", "taken"), [("2026-12-27", False), ("2026-12-28", True), ("2027-06-12", True)])
def test_sections_are_taken_up_before_their_term(today: str, taken: bool) -> None:
    assert is_taken_up(SEMESTER, date.fromisoformat(today), 14) is taken


@pytest.mark.parametrize(("first", "last"), [("0001-01-01", "0001-01-02"), ("0001-01-01", "9999-12-31")])
def test_terms_at_the_ends_of_the_calendar(first: str, last: str) -> None:
    strange, today = term(first, last), date(2026, 10, 1)
    assert is_taken_up(strange, today, 120)
    assert choose_year([strange], today, 120, "current").start_year == 2026


@pytest.mark.parametrize(("today", "frozen"), [("2027-01-01", False), ("2027-06-11", False), ("2027-06-12", True)])
def test_sections_freeze_after_the_last_day(today: str, frozen: bool) -> None:
    assert is_frozen(SEMESTER, date.fromisoformat(today)) is frozen


def row(entry: str, left: str | None, *, dropped: bool = False, student: str = "1") -> EnrollmentRow:
    return EnrollmentRow(
        id="9",
        section_id="51",
        student_id=student,
        entry=date.fromisoformat(entry),
        exit=date.fromisoformat(left) if left else None,
        dropped=dropped,
    )


@pytest.mark.parametrize(
    ("entry", "left", "today", "expected"),
    [
        ("2027-01-11", "2027-03-01", "2027-02-28", True),
        ("2027-01-11", "2027-03-01", "2027-03-01", False),  # the exit date is the first day not attended
        ("2027-03-01", "2027-06-12", "2027-02-28", False),  # not yet
        ("2027-03-01", "2027-06-12", "2027-03-01", True),
        ("2027-01-11", None, "2027-05-05", True),
        ("2027-01-11", "2027-06-10", "2027-06-10", False),  # left the day before the term's end
        ("2027-01-11", "2027-06-11", "2027-06-11", True),  # the term's end is not a leave
        ("2027-01-11", "2027-06-12", "2027-06-12", True),
        ("2027-01-11", "2027-06-11", "2027-09-01", True),
        ("2027-03-01", "2027-03-01", "2027-03-01", False),  # no-show
        ("2027-06-11", "2027-06-11", "2027-06-11", False),  # no-show on the term's last day
        ("2027-03-05", "2027-03-01", "2027-03-06", False),  # ends before it begins
        ("2027-01-11", "2027-06-12", "2026-12-30", True),  # before the term: who stands on its first day
        ("2027-01-12", "2027-06-12", "2026-12-30", False),
        ("2026-12-01", "2027-01-11", "2026-12-30", False),  # gone before the term's first day
        ("2026-12-01", "2027-01-12", "2026-12-30", True),
    ],
)
def test_who_attends(entry: str, left: str | None, today: str, expected: bool) -> None:
    assert attends(row(entry, left), SEMESTER, date.fromisoformat(today)) is expected


def test_dropped_rows_never_attend() -> None:
    assert not attends(row("2027-01-11", "2027-06-12", dropped=True), SEMESTER, date(2027, 2, 1))


def test_rows_are_folded_by_student() -> None:
    rows = [
        row("2027-01-11", "2027-02-01", student="7"),
        row("2027-03-01", "2027-06-12", student="7"),
        row("2027-01-11", "2027-06-12", student="5"),
        row("2027-01-11", "2027-02-01", student="6"),
        row("2027-01-11", "2027-06-12", student="5", dropped=True),
    ]
    assert members(rows, SEMESTER, date(2027, 4, 1)) == ("5", "7")


@given(st.dates(date(2026, 12, 1), date(2027, 7, 1)), st.dates(date(2027, 6, 11), date(2028, 1, 1)))
def test_the_end_of_the_term_never_takes_anybody_out(entry: date, left: date) -> None:
    enrolled = EnrollmentRow(id="9", section_id="51", student_id="1", entry=entry, exit=left, dropped=False)
    if left > entry and entry <= SEMESTER.end:
        assert all(attends(enrolled, SEMESTER, SEMESTER.end + timedelta(days=days)) for days in range(0, 400, 7))
