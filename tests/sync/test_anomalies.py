"""What is odd about a snapshot beside the last accepted one, and what that forbids."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
from plan_rig import profile

from sds_daemon.errors import SafetyStop, SourceShrank
from sds_daemon.plan.issues import REMEDIES, IssueCode, Severity
from sds_daemon.roster.proof import Part, Proof, Resource
from sds_daemon.roster.records import RecordKind, Ref, School, SchoolYear, Section, Snapshot, Student, Term
from sds_daemon.store import SourceStop
from sds_daemon.sync.measure import Measure, measure, totals

YEAR: dict[str, Any] = {"start": date(2026, 8, 1), "end": date(2027, 6, 30), "start_year": 2026, "full_year": True}
ALL = profile()
LARGE, SMALL = "1", "2"


def snapshot(students: dict[str, int], sections: dict[str, int] | None = None, **more: Any) -> Snapshot:
    """Schools with so many students, each in every one of so many sections of its school (as many as in `students`)."""
    people = {
        f"{school}-{number}": Student(id=f"{school}-{number}", school_id=school)
        for school, count in students.items()
        for number in range(count)
    }
    rooms = dict.fromkeys(students, 3) if sections is None else sections
    made = {
        f"{school}/{number}": _section(f"{school}/{number}", school, (p for p in people if p.startswith(f"{school}-")))
        for school, count in rooms.items()
        for number in range(count)
    }
    fields: dict[str, Any] = {
        "source_uuid": "district",
        "reader": "test",
        "day": date(2026, 10, 14),
        "timezone": "UTC",
        "year": SchoolYear(2026),
        "schools": {school: School(id=school, name=f"School {school}") for school in students},
        "sections": made,
        "students": people,
        "teachers": {},
        "proof": Proof(parts=[]),
        "rosters_complete": True,
    }
    return Snapshot(**{**fields, **more})


def _section(sis_id: str, school: str, students: Iterable[str]) -> Section:
    term = Term(id="27", school_id=school, name="Year", **YEAR)
    return Section(id=sis_id, school_id=school, number="1", term=term, course_id="40", students=tuple(sorted(students)))


BEFORE = {LARGE: 400, SMALL: 20}


def against(now: Snapshot, before: Snapshot | None = None, **more: Any) -> Measure:
    accepted = measure(before or snapshot(BEFORE), None, ALL).baseline
    return measure(now, accepted, more.pop("chosen", ALL), **more)


def codes(found: Measure) -> dict[IssueCode, Ref]:
    return {each.issue.code: each.issue.ref for each in found.anomalies if each.issue is not None}


def test_the_same_again_is_nothing_odd() -> None:
    found = against(snapshot(BEFORE))
    assert (found.anomalies, found.suspended, found.notices, found.first_sync) == ([], {}, [], False)
    assert measure(snapshot(BEFORE), None, ALL).first_sync


@pytest.mark.parametrize(
    ("students", "sections", "words"),
    [
        ({LARGE: 400, SMALL: 0}, {LARGE: 3, SMALL: 3}, "20 students and 60 enrollments"),
        ({LARGE: 400, SMALL: 20}, {LARGE: 3, SMALL: 0}, "60 enrollments and 3 sections"),
        ({LARGE: 400, SMALL: 0}, {LARGE: 3, SMALL: 0}, "20 students and 60 enrollments and 3 sections"),
    ],
)
def test_an_empty_school_is_named_and_removes_nobody(
    students: dict[str, int], sections: dict[str, int], words: str
) -> None:
    found = against(snapshot(students, sections))
    assert list(found.suspended) == [SMALL]
    assert words in found.suspended[SMALL]
    assert codes(found) == {IssueCode.SCHOOL_EMPTY: Ref(RecordKind.SCHOOL, SMALL)}
    assert found.notices == [f"school {SMALL}: {found.suspended[SMALL]}"]


def test_an_empty_school_stays_odd_until_it_is_cured_or_accepted() -> None:
    empty, first = snapshot({LARGE: 400, SMALL: 0}), measure(snapshot(BEFORE), None, ALL).baseline
    second = measure(empty, first, ALL)
    third = measure(empty, second.baseline, ALL)
    assert third.suspended == second.suspended != {}
    cured = measure(snapshot(BEFORE), third.baseline, ALL)
    assert cured.suspended == {}
    accepted = measure(empty, third.baseline, ALL, accept_shrink=True)
    assert accepted.suspended == {}
    assert any("accepted" in notice for notice in accepted.notices)
    assert measure(empty, accepted.baseline, ALL).suspended == {}


def test_a_handful_of_rows_is_no_school_emptied() -> None:
    before = snapshot({LARGE: 400, SMALL: 2}, {LARGE: 3, SMALL: 1})
    assert against(snapshot({LARGE: 400, SMALL: 0}, {LARGE: 3, SMALL: 1}), before).suspended == {}


def test_a_list_that_is_empty_for_all_schools_empties_the_small_ones_too() -> None:
    before = snapshot({"1": 5, "2": 5, "3": 0}, {"1": 1, "2": 1, "3": 0})
    nobody = {key: msgspec.structs.replace(section, students=()) for key, section in before.sections.items()}
    found = against(msgspec.structs.replace(before, sections=nobody), before)
    assert list(found.suspended) == ["1", "2"]
    assert "had 5 enrollments and now has none" in found.suspended["1"]


def test_a_part_that_was_not_read_whole_says_nothing_of_the_school() -> None:
    broken = Proof(parts=[_unproved(Resource.STUDENTS), _unproved(Resource.ENROLLMENTS)])
    assert against(snapshot({LARGE: 400, SMALL: 0}, proof=broken)).anomalies == []


def _unproved(resource: Resource) -> Part:
    return Part(resource=resource, school_id=SMALL, received=0, expected=20)


def test_a_school_no_longer_listed_is_named_unless_the_operator_took_it_out() -> None:
    found = against(snapshot({LARGE: 400}))
    assert codes(found) == {IssueCode.SCHOOL_VANISHED: Ref(RecordKind.SCHOOL, SMALL)}
    assert list(found.suspended) == [SMALL]
    again = measure(snapshot({LARGE: 400}), found.baseline, ALL)
    assert codes(again) == codes(found)
    chosen = profile(schools=("Large",))
    assert against(snapshot({LARGE: 400}), chosen=chosen).anomalies == []


NAMED = profile(schools=("School 1", "School 2"))


def test_a_named_school_no_longer_listed_is_named_as_well_and_stays_known() -> None:
    accepted = measure(snapshot(BEFORE), None, NAMED).baseline
    assert accepted.named == {"School 1": LARGE, "School 2": SMALL}
    found = measure(snapshot({LARGE: 400}), accepted, NAMED)
    assert codes(found) == {IssueCode.SCHOOL_VANISHED: Ref(RecordKind.SCHOOL, SMALL)}
    assert list(found.suspended) == [SMALL]
    assert "'School 2' in `schools` is no longer listed" in found.notices[-1]
    assert found.baseline.named == accepted.named
    assert codes(measure(snapshot({LARGE: 400}), found.baseline, NAMED)) == codes(found)
    taken_out = measure(snapshot({LARGE: 400}), found.baseline, profile(schools=("School 1",)))
    assert (taken_out.anomalies, taken_out.baseline.named) == ([], {"School 1": LARGE})


def test_a_named_school_accepted_as_gone_is_known_still() -> None:
    accepted = measure(snapshot(BEFORE), None, NAMED).baseline
    gone = measure(snapshot({LARGE: 400}), accepted, NAMED, accept_shrink=True)
    later = measure(snapshot({LARGE: 400}), gone.baseline, NAMED)
    assert (later.anomalies, later.baseline.named) == ([], accepted.named)


def test_a_named_school_that_has_another_name_now_is_followed() -> None:
    accepted = measure(snapshot(BEFORE), None, NAMED).baseline
    renamed = snapshot(BEFORE)
    renamed.schools[SMALL] = School(id=SMALL, name="Elm", number="7")
    found = measure(renamed, accepted, NAMED)
    assert (found.anomalies, found.suspended, found.baseline.named) == ([], {}, accepted.named)
    assert found.notices == ["the school written as 'School 2' in `schools` is now called Elm (7): change config.toml"]


def test_a_new_year_is_announced_once_and_removes_nothing_whatever_its_size() -> None:
    tiny = snapshot({LARGE: 30, SMALL: 20}, {LARGE: 1, SMALL: 1}, year=SchoolYear(2027))
    found = against(tiny)
    assert list(found.suspended) == [None]
    assert len(found.notices) == 1 and "2027-28 begins" in found.notices[0]
    again = measure(tiny, found.baseline, ALL)
    assert (again.suspended, again.notices) == ({}, [])


def test_terms_not_set_up_are_a_note_on_the_school() -> None:
    found = against(snapshot(BEFORE, {LARGE: 3}, year=SchoolYear(2027)))
    (issue,) = [each.issue for each in found.anomalies if each.issue is not None]
    assert (issue.code, issue.severity) == (IssueCode.NO_SECTIONS, Severity.NOTE)
    assert issue.ref == Ref(RecordKind.SCHOOL, SMALL)
    nowhere = against(snapshot(BEFORE, {}, year=SchoolYear(2027)))
    assert codes(nowhere) == {}, "where no school has sections yet, none stands out"


def test_another_districts_data_is_refused_whatever_else_is_accepted() -> None:
    for accept_shrink in (False, True):
        with pytest.raises(SafetyStop, match="another district"):
            against(snapshot(BEFORE, source_uuid="other"), accept_shrink=accept_shrink)


def test_every_code_has_a_remedy() -> None:
    assert set(REMEDIES) == set(IssueCode)


def shrunk(students: int = 300) -> Snapshot:
    return snapshot({LARGE: students, SMALL: 20})


def stop_of(now: Snapshot) -> SourceStop:
    with pytest.raises(SourceShrank, match="students 420 to ") as stopped:
        against(now)
    return SourceStop(
        run_id=7,
        profile="oak",
        state="approved",
        created=datetime(2026, 10, 14, tzinfo=UTC),
        decided=None,
        counts=stopped.value.counts,
        schools=stopped.value.schools,
    )


def test_an_approved_stop_accepts_what_was_read_and_nothing_less() -> None:
    stop = stop_of(shrunk())
    accepted = against(shrunk(), approved=stop)
    assert totals(accepted.baseline)["students"] == 320
    assert any("accepted a smaller source" in notice for notice in accepted.notices)
    assert against(shrunk(310), approved=stop).suspended == {}
    with pytest.raises(SourceShrank, match=r"run 7.*students 320 to 319") as refused:
        against(shrunk(299), approved=stop)
    assert refused.value.counts["students"] == 319


def test_an_approved_stop_does_not_cover_another_school_that_emptied() -> None:
    stop = stop_of(shrunk())
    moved = snapshot({LARGE: 320, SMALL: 0})
    with pytest.raises(SourceShrank, match="school 2 is empty or gone as well"):
        against(moved, approved=msgspec.structs.replace(stop, counts={"students": 320}))
