"""Licences by group in the plan: whom, when, and through which gates."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from plan_rig import Book, District, House, Master, Pupil, profile

from sds_daemon.config.settings import LimitSettings, PersonRules, Profile
from sds_daemon.plan.change import Change, ChangeKind, Reason
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.sync.plan_people import plan_people
from sds_daemon.sync.trace_steps import sentence
from sds_daemon.sync.world import World

GROUP = "aaaaaaaa-0000-4000-8000-000000000001"
PUPIL, SECOND, LEAD = Ref(RecordKind.STUDENT, "1"), Ref(RecordKind.STUDENT, "2"), Ref(RecordKind.TEACHER, "5")
TOWN = District(
    houses=(House(id="X"),),
    pupils=(Pupil(id="1", school="X"), Pupil(id="2", school="X")),
    masters=(Master(id="5", schools=("X",)),),
    rooms=(),
)


def grouped(**more: Any) -> Profile:
    """A profile whose students are licensed by a group, and whose teachers by nothing."""
    return profile(students=PersonRules(domain="contoso.edu", usage_location="US", license_group=GROUP.upper()), **more)


def joins(changes: list[Change]) -> list[Change]:
    return [change for change in changes if change.kind is ChangeKind.JOIN_LICENSE_GROUP]


def linked(**about: object) -> World:
    """Everybody has an account; `about` is what is known of the first student's."""
    book, settings = Book(), grouped()
    book.carry_out(book.plan(TOWN, settings, first_sync=True).changes, settings)
    world = book.world(TOWN, settings)
    world.known[PUPIL] = msgspec.structs.replace(world.known[PUPIL], **about)
    return world


def test_each_new_account_of_the_role_goes_into_the_group_beside_its_creation() -> None:
    plan = Book().plan(TOWN, grouped(), first_sync=True)
    found = joins(plan.changes)
    assert [(change.subject, change.values, change.member) for change in found] == [
        (PUPIL, {"group": GROUP}, None),
        (SECOND, {"group": GROUP}, None),
    ]
    assert {change.reason for change in found} == {Reason.LICENSE_DUE}
    assert ChangeKind.ASSIGN_LICENSE not in {change.kind for change in plan.changes}


def test_nobody_who_has_an_account_goes_in_unless_it_is_due() -> None:
    assert joins(plan_people(linked())) == []
    assert [change.subject for change in joins(plan_people(linked(licenses_due=True)))] == [PUPIL]


def test_what_another_profile_made_is_its_business() -> None:
    assert joins(plan_people(linked(licenses_due=True, profile="elsewhere"))) == []


def test_what_was_due_by_direct_licences_is_given_by_the_group_from_now_on() -> None:
    """`licenses_due` does not say which way; the profile does."""
    world = linked(licenses_due=True)
    rules = PersonRules(domain="contoso.edu", usage_location="US", licenses=("A1",))
    world.profile = profile(students=rules)
    assert [change.kind for change in plan_people(world) if change.reason is Reason.LICENSE_DUE] == [
        ChangeKind.ASSIGN_LICENSE
    ]


@pytest.mark.parametrize("policy", ["sds", "add-only", "mirror"])
def test_no_policy_and_no_limit_keeps_it_back(policy: str) -> None:
    """As with direct licences: what makes accounts has its limits, and these wait for the account."""
    limits = LimitSettings(max_creates=0, max_adds=0, update_floor=0, update_percent=0)
    plan = Book().plan(TOWN, grouped(policy=policy, limits=limits), first_sync=True)
    assert len(joins(plan.changes)) == 2
    assert {item.change.kind for item in plan.held} >= {ChangeKind.CREATE_USER}


def test_explain_names_the_group() -> None:
    (change, _) = joins(Book().plan(TOWN, grouped(), first_sync=True).changes)
    assert sentence(change) == f"user.license_group student 1 into group {GROUP} ({Reason.LICENSE_DUE})"
