"""Which school year is read, and who is in a section on a day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta

import msgspec

from sds_daemon.errors import ConfigurationError
from sds_daemon.roster.records import SchoolYear, Term
from sds_daemon.sources.powerschool.wire import EnrollmentRow

CURRENT = "current"


class Span(msgspec.Struct, frozen=True, order=True):
    """A school year at one school: its full-year term, or the envelope of its terms where there is none."""

    start_year: int
    school_id: str
    start: date
    end: date


def years_to_ask(today: date, lead_days: int, choice: str | int) -> tuple[int, ...]:
    """The start years whose terms have to be read to choose a year. Raises ConfigurationError for an odd `choice`."""
    if choice == CURRENT:
        latest = max(today.year, (today + timedelta(days=lead_days)).year)
        return tuple(range(today.year - 1, latest + 1))
    if not str(choice).isascii() or not str(choice).isdigit():
        raise ConfigurationError(
            f"school_year = {choice!r} is not a year",
            remedy='set it to "current", or to the first calendar year as a number: 2026 for 2026-27',
        )
    return (int(choice),)


def choose_year(terms: Iterable[Term], today: date, lead_days: int, choice: str | int) -> SchoolYear:
    """The year to read, one for the whole district.

    "current" is the year whose full-year term contains today. Where schools differ the year of most schools counts,
    of equals the later. Between years it is the year that ended last, until `lead_days` before the next begins.
    Raises ConfigurationError when there is none.
    """
    spans = _spans(terms)
    if choice != CURRENT:
        return _explicit(spans, int(choice))
    running = Counter(span.start_year for span in spans if span.start <= today <= span.end)
    if running:
        return SchoolYear(max(running, key=lambda year: (running[year], year)))
    return _between(spans, today, lead_days)


def _explicit(spans: list[Span], year: int) -> SchoolYear:
    if any(span.start_year == year for span in spans):
        return SchoolYear(year)
    raise ConfigurationError(
        f"none of the chosen schools has terms in the school year {SchoolYear(year)}",
        remedy='set up the terms in PowerSchool (School Setup > Years & Terms), or set school_year = "current"',
    )


def _between(spans: list[Span], today: date, lead_days: int) -> SchoolYear:
    begun = [span.start_year for span in spans if today + timedelta(days=lead_days) >= span.start]
    if begun:
        return SchoolYear(max(begun))
    upcoming = min(spans, key=lambda span: span.start, default=None)
    known = f"; {SchoolYear(upcoming.start_year)} begins on {upcoming.start}" if upcoming else ""
    raise ConfigurationError(
        f"no school year of the chosen schools contains {today} or has ended before it{known}",
        remedy="set up the year's terms in PowerSchool (School Setup > Years & Terms), or set school_year to a year",
    )


def _spans(terms: Iterable[Term]) -> list[Span]:
    grouped: dict[tuple[int, str], list[Term]] = {}
    for term in terms:
        grouped.setdefault((term.start_year, term.school_id), []).append(term)
    return [_span(year, school, group) for (year, school), group in sorted(grouped.items())]


def _span(year: int, school: str, terms: list[Term]) -> Span:
    whole = [term for term in terms if term.full_year] or terms
    return Span(year, school, min(term.start for term in whole), max(term.end for term in whole))


def is_taken_up(term: Term, today: date, lead_days: int) -> bool:
    """Whether a section of this term is read already: from `lead_days` before the term begins."""
    return today + timedelta(days=lead_days) >= term.start


def is_frozen(term: Term, today: date) -> bool:
    """Whether the term is over: its last day has passed."""
    return today > term.end


def attends(row: EnrollmentRow, term: Term, today: date) -> bool:
    """Whether this row makes its student a member today.

    Not dropped, entry <= day < exit, where the day is today or the term's first day if that is still to come. A row
    that ends on or after the term's end has not been left: the term ended, not the enrollment. A row without a
    day (exit <= entry) is a no-show and never counts.
    """
    reference = max(today, term.start)
    if row.dropped or row.entry > reference:
        return False
    if row.exit is None:
        return True
    if row.exit <= row.entry:
        return False
    return reference < row.exit or row.exit >= term.end


def members(rows: Iterable[EnrollmentRow], term: Term, today: date) -> tuple[str, ...]:
    """The students of a section, sorted, each once however many rows they have."""
    return tuple(sorted({row.student_id for row in rows if attends(row, term, today)}))
