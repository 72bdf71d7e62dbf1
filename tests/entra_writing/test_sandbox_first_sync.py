"""A first sync through the whole target against a stateful tenant."""

from __future__ import annotations

from typing import Any

import pytest
from writing_rig import SOURCE, MemoryLedger, Tenant, school, section, small_school, student, teacher

from sds_daemon.plan.change import Result


def _ids(entries: list[Any]) -> set[str]:
    return {entry["id"] if isinstance(entry, dict) else entry for entry in entries}


async def test_a_school_is_made_whole_in_an_education_tenant(education: Tenant) -> None:
    changes = small_school(students=25, classes=2, licenses=True)
    ledger = await education.apply(changes)
    assert ledger.failures() == []
    state = await education.state()
    assert len(state["users"]) == 26
    assert len(state["groups"]) == 2
    for group in state["groups"]:
        assert _ids(group["owners"]) == {ledger.ids[teacher(1)]}
        assert _ids(group["members"]) == {ledger.ids[student(n)] for n in range(1, 26)} | {ledger.ids[teacher(1)]}
        assert group["externalSourceDetail"] == SOURCE
    [made] = state["schools"]
    assert _ids(made["users"]) == {ledger.ids[ref] for ref in ledger.ids if ref.kind in ("student", "teacher")}
    assert _ids(made["classes"]) == {ledger.ids[section(1)], ledger.ids[section(2)]}
    assert made["externalId"] == school().sis_id
    assert all(len(user["licenses"]) == 1 for user in state["users"])
    assert len(ledger.passwords) == 26


@pytest.mark.parametrize("api", ["auto", "education"])
async def test_a_person_carries_role_anchor_and_names_from_the_first_write(education: Tenant, api: str) -> None:
    ledger = await education.apply(small_school(students=1, classes=1), class_api=api)
    person = await education.user("student1@contoso.edu")
    assert person["education"]["primaryRole"] == "student"
    assert person["education"]["externalSourceDetail"] == SOURCE
    assert person["education"]["student"]["externalId"] == "1"
    assert person["givenName"] == "Pat"
    assert ledger.of(small_school(1, 1)[1]).object_id == person["id"]


async def test_groups_flavour_makes_hidden_quiet_groups_with_first_members(education: Tenant) -> None:
    ledger = await education.apply(small_school(students=25, classes=1), class_api="groups")
    assert ledger.failures() == []
    group = await education.group("Section_1")
    assert group["visibility"] == "HiddenMembership"
    assert group["uniqueName"] == f"sds-daemon.{SOURCE.replace('-', '')}.section.1"
    assert len(group["members"]) == 26
    assert len(group["owners"]) == 1


async def test_plain_tenant(plain: Tenant) -> None:
    ledger = await plain.apply(small_school(students=25, classes=2))
    assert ledger.failures() == []
    state = await plain.state()
    [unit] = state["administrativeUnits"]
    assert f"[sds-daemon {SOURCE} school 1]" in unit["description"]
    assert [len(group["members"]) for group in state["groups"]] == [26, 26]


async def test_a_lost_record_of_people_and_classes_makes_no_second_ones(education: Tenant) -> None:
    """Names of people and classes are unique in the directory; schools are found by the core, by their anchor."""
    changes = small_school(students=22, classes=1)
    first = await education.apply(changes)
    ledger = MemoryLedger()
    ledger.ids[school()] = first.ids[school()]
    again = await education.apply(changes[1:], ledger)
    assert again.failures() == []
    assert again.ids == first.ids
    assert {outcome.result for outcome in again.outcomes.values()} == {Result.ALREADY}
    state = await education.state()
    assert (len(state["users"]), len(state["groups"])) == (23, 1)
