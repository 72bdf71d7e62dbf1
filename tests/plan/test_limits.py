"""Limits: from which number on a change waits, and what never counts."""

from __future__ import annotations

from typing import Any

import pytest

from sds_daemon.config.settings import LimitSettings
from sds_daemon.plan.change import Change, ChangeKind, Reason, Withheld
from sds_daemon.plan.limits import Extent, Shrinkage, hold_excess, shrinkages
from sds_daemon.roster.records import RecordKind, Ref

A, B, C = (Ref(RecordKind.SECTION, name) for name in ("a", "b", "c"))
DEFAULTS = LimitSettings()


def person(number: object) -> Ref:
    return Ref(RecordKind.STUDENT, str(number))


def many(kind: ChangeKind, count: int, subject: Ref = A, first: int = 0, **more: Any) -> list[Change]:
    return [Change(kind=kind, subject=subject, member=person(number), **more) for number in range(first, first + count)]


def updates(count: int, reason: Reason = Reason.CHANGED) -> list[Change]:
    return [
        Change(kind=ChangeKind.UPDATE_USER, subject=person(number), values={"grade": "9"}, reason=reason)
        for number in range(count)
    ]


def extent(*, first_sync: bool = False, courses: dict[str, str] | None = None, **more: Any) -> Extent:
    return Extent(
        totals=more.get("totals", {}),
        per_container=more.get("per_container", {}),
        courses=courses or {},
        first_sync=first_sync,
    )


def held(changes: list[Change], size: Extent, limits: LimitSettings = DEFAULTS) -> list[Withheld]:
    passing, withheld = hold_excess(changes, size, limits)
    assert sorted([*passing, *(item.change for item in withheld)], key=str) == sorted(changes, key=str)
    return withheld


@pytest.mark.parametrize(
    ("before", "now", "stops"),
    [
        (1000, 800, False),  # exactly a fifth
        (1000, 799, True),
        (1000, 1500, False),
        (250, 200, False),  # fifty rows
        (250, 199, True),
        (60, 0, True),
        (50, 0, False),  # too few rows to judge
        (100000, 80000, False),
        (100000, 79999, True),
    ],
)
def test_a_source_has_shrunk_when_it_lost_more_than_both_the_share_and_the_rows(
    before: int, now: int, stops: bool
) -> None:
    found = shrinkages({"students": before, "schools": 5}, {"students": now, "schools": 5}, DEFAULTS)
    assert found == ([Shrinkage("students", before, now)] if stops else [])


def test_a_resource_that_is_gone_altogether_has_shrunk() -> None:
    assert shrinkages({"sections": 400}, {}, DEFAULTS) == [Shrinkage("sections", 400, 0)]


@pytest.mark.parametrize(
    ("total", "count", "waits"), [(100, 25, False), (100, 26, True), (400, 40, False), (400, 41, True)]
)
@pytest.mark.parametrize("kind", [ChangeKind.REMOVE_MEMBER, ChangeKind.REMOVE_OWNER, ChangeKind.REMOVE_SCHOOL_USER])
def test_removals_of_a_profile(kind: ChangeKind, total: int, count: int, waits: bool) -> None:
    size = extent(totals={kind: total}, per_container={A: 10_000})
    assert len(held(many(kind, count), size)) == (count if waits else 0)


@pytest.mark.parametrize(("total", "count", "waits"), [(10, 8, False), (10, 9, True), (30, 15, False), (30, 16, True)])
def test_removals_of_a_section(total: int, count: int, waits: bool) -> None:
    size = extent(totals={ChangeKind.REMOVE_MEMBER: 10_000}, per_container={A: total, B: 10_000})
    elsewhere = many(ChangeKind.REMOVE_MEMBER, 3, B, first=500)
    assert len(held([*many(ChangeKind.REMOVE_MEMBER, count), *elsewhere], size)) == (count if waits else 0)


def test_owners_and_members_of_a_section_count_together() -> None:
    size = extent(totals=dict.fromkeys(ChangeKind, 10_000), per_container={A: 10})
    changes = [*many(ChangeKind.REMOVE_MEMBER, 5), *many(ChangeKind.REMOVE_OWNER, 4)]
    assert len(held(changes, size)) == 9


def test_only_the_kind_that_exceeds_waits() -> None:
    size = extent(totals=dict.fromkeys(ChangeKind, 100), per_container={A: 10_000})
    rest = [*many(ChangeKind.ADD_MEMBER, 900, B), *many(ChangeKind.REMOVE_OWNER, 3, B), *updates(5)]
    waiting = held([*many(ChangeKind.REMOVE_MEMBER, 26), *rest], size)
    assert {item.change.kind for item in waiting} == {ChangeKind.REMOVE_MEMBER}
    assert {item.reason for item in waiting} == {Reason.LIMIT}
    assert "26" in waiting[0].detail


@pytest.mark.parametrize(
    ("total", "count", "waits"), [(60, 50, False), (60, 51, True), (300, 60, False), (300, 61, True)]
)
def test_changed_attributes(total: int, count: int, waits: bool) -> None:
    size = extent(totals={ChangeKind.UPDATE_USER: total})
    assert len(held(updates(count), size)) == (count if waits else 0)


def test_marks_put_on_linked_accounts_are_no_changes_of_the_source() -> None:
    assert held(updates(5000, Reason.ANCHOR_DUE), extent()) == []


def test_a_first_sync_knows_no_percentages_of_changed_attributes() -> None:
    assert held(updates(900), extent(first_sync=True)) == []


def test_removals_are_limited_even_in_a_first_sync_begun_anew_after_a_crash() -> None:
    size = extent(first_sync=True, totals={ChangeKind.REMOVE_MEMBER: 100}, per_container={A: 100})
    assert len(held(many(ChangeKind.REMOVE_MEMBER, 60), size)) == 60


@pytest.mark.parametrize("first_sync", [True, False])
def test_adds_and_creates_are_limited_only_where_the_operator_says_so(first_sync: bool) -> None:
    adds = many(ChangeKind.ADD_MEMBER, 5000)
    creates = [Change(kind=ChangeKind.CREATE_USER, subject=person(number)) for number in range(700)]
    size = extent(first_sync=first_sync)
    assert held([*adds, *creates], size) == []
    assert len(held([*adds, *creates], size, LimitSettings(max_adds=4999))) == 5000
    assert len(held([*adds, *creates], size, LimitSettings(max_adds=5000, max_creates=699))) == 700


def test_a_move_within_a_course_is_no_loss() -> None:
    size = extent(per_container={A: 30}, courses={"a": "biology", "b": "biology", "c": "chemistry"})
    leaving = many(ChangeKind.REMOVE_MEMBER, 26)
    assert held([*leaving, *many(ChangeKind.ADD_MEMBER, 26, B)], size) == []
    assert len(held([*leaving, *many(ChangeKind.ADD_MEMBER, 26, C)], size)) == 26


def test_movers_go_even_while_leavers_wait() -> None:
    size = extent(per_container={A: 60}, courses={"a": "biology", "b": "biology"})
    changes = [*many(ChangeKind.REMOVE_MEMBER, 30), *many(ChangeKind.ADD_MEMBER, 2, B)]
    assert {item.change.member for item in held(changes, size)} == {person(number) for number in range(2, 30)}


@pytest.mark.parametrize("limits", [LimitSettings(max_adds=2), LimitSettings(section_max_adds=2)])
def test_nobody_is_taken_out_while_the_other_half_of_the_move_waits(limits: LimitSettings) -> None:
    size = extent(per_container={A: 60}, courses={"a": "biology", "b": "biology"})
    changes = [*many(ChangeKind.REMOVE_MEMBER, 4), *many(ChangeKind.ADD_MEMBER, 3, B)]
    kinds = [(item.change.kind, item.change.member) for item in held(changes, size, limits)]
    assert sorted(kinds) == sorted((kind, person(n)) for n in range(3) for kind in {c.kind for c in changes})


def test_sections_without_a_course_are_never_the_same_course() -> None:
    size = extent(per_container={A: 10_000}, courses={"a": "", "b": ""})
    assert len(held([*many(ChangeKind.REMOVE_MEMBER, 26), *many(ChangeKind.ADD_MEMBER, 26, B)], size)) == 26


def test_adoptions_always_wait() -> None:
    adoption = Change(kind=ChangeKind.ADOPT_CLASS, subject=A, object_id="group", reason=Reason.ADOPTABLE)
    waiting = held([adoption], extent(first_sync=True))
    assert [item.reason for item in waiting] == [Reason.NEEDS_APPROVAL]


def test_additions_to_one_section_may_be_limited_and_hold_only_there() -> None:
    changes = [
        *many(ChangeKind.ADD_MEMBER, 3),
        *many(ChangeKind.ADD_MEMBER, 2, B),
        *many(ChangeKind.ADD_SCHOOL_USER, 4),
    ]
    withheld = held(changes, extent(first_sync=True), LimitSettings(section_max_adds=2))
    assert {item.change.subject for item in withheld} == {A}
    assert len(withheld) == 3
    assert "3 additions to the section, at most 2" in withheld[0].detail
    assert held(changes, extent()) == []
