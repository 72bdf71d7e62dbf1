"""Licences by group: who is put into it and when, and what a group is not good for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from fake_executor import Bench, error, ok, stopped
from writing_rig import STUDENT_SKU, MemoryLedger, Tenant, create_user, join, link, section, student

from sds_daemon.plan.change import Change, Outcome
from sds_daemon.plan.change import ChangeKind as K
from sds_daemon.plan.change import Result as R
from sds_daemon.plan.issues import IssueCode
from sds_daemon.targets.base import LicenseGroup
from sds_daemon.targets.entra.license_groups import standing

GROUP = "aaaaaaaa-0000-4000-8000-000000000001"
SKU = "314c4481-f395-4525-be8b-2ec4bb1e9d91"
EXIST = "One or more added object references already exist for the following modified properties: 'members'."
DENIED = ("Insufficient privileges to complete the operation.", "Authorization_RequestDenied")
FINE: dict[str, Any] = {"displayName": "Pupils", "groupTypes": [], "assignedLicenses": [{"skuId": SKU.upper()}]}


def bench(**looks_like: Any) -> Bench:
    """A tenant whose licence group reads as FINE, with these differences."""
    made = Bench()
    made.executor.on("GET", f"/groups/{GROUP}?", ok(200, **{**FINE, **looks_like}))
    return made


def joins(count: int) -> list[Change]:
    return [join(student(n), GROUP) for n in range(1, count + 1)]


def linked(made: Bench, count: int) -> None:
    made.ledger.ids |= {student(n): f"p{n}" for n in range(1, count + 1)}


def sizes(made: Bench) -> list[int]:
    return [item.adds for item in made.executor.sent("PATCH", f"/groups/{GROUP}")]


# The fewest requests


async def test_new_accounts_come_in_up_to_twenty_at_once_and_are_licensed_no_other_way() -> None:
    made = bench()
    changes = [create_user(student(n)) for n in range(1, 46)]
    ledger = await made.apply([*changes, *joins(45)])
    assert ledger.results() == {R.DONE: 90}
    assert sorted(sizes(made)) == [9, 18, 18], "threes, where that takes no request more"
    assert made.executor.sent("POST", "assignLicense") == []
    assert len(made.executor.sent("GET", f"/groups/{GROUP}?")) == 1


async def test_references_name_the_accounts_as_members() -> None:
    made = bench()
    linked(made, 2)
    await made.apply(joins(2))
    (item,) = made.executor.sent("PATCH", f"/groups/{GROUP}")
    root = "https://graph.microsoft.com/v1.0/directoryObjects"
    assert msgspec.json.decode(item.body or b"") == {"members@odata.bind": [f"{root}/p1", f"{root}/p2"]}
    assert (set(item.objects), set(item.needs)) == ({GROUP}, {"p1", "p2"})


async def test_nobody_waits_for_an_account_that_does_not_come() -> None:
    made = bench()
    linked(made, 3)
    del made.ledger.ids[student(2)]
    made.executor.on("POST", "/education/users", error(400, "Invalid value specified for property 'displayName'"))
    ledger = await made.apply([create_user(student(2)), *joins(3)])
    assert ledger.of(join(student(2), GROUP)).result is R.DEPENDENT
    assert ledger.of(join(student(1), GROUP)).result is R.DONE
    assert sizes(made) == [2]


async def test_two_groups_are_filled_each_by_itself() -> None:
    made, other = bench(), GROUP.replace("1", "2")
    made.executor.on("GET", f"/groups/{other}?", ok(200, **FINE))
    linked(made, 4)
    await made.apply([*joins(2), join(student(3), other), join(student(4), other)])
    assert sizes(made) == [2]
    assert [item.adds for item in made.executor.sent("PATCH", f"/groups/{other}")] == [2]


# What is so already, and what was lost


async def test_who_is_in_it_already_counts_as_done() -> None:
    made = bench()
    linked(made, 5)
    made.executor.on("PATCH", f"/groups/{GROUP}", error(400, EXIST))
    made.executor.on("GET", f"/groups/{GROUP}/members", ok(200, value=[{"id": "p1"}, {"id": "p4"}]))
    ledger = await made.apply(joins(5))
    assert ledger.results() == {R.ALREADY: 2, R.DONE: 3}


async def test_a_group_too_large_to_read_is_asked_person_by_person() -> None:
    """A first page of members that shows none of them leaves single additions, and "already" is success there."""
    made = bench()
    linked(made, 3)
    made.executor.on("PATCH", f"/groups/{GROUP}", error(400, EXIST))
    made.executor.on("POST", f"/groups/{GROUP}/members/$ref", error(400, EXIST))
    ledger = await made.apply(joins(3))
    assert ledger.results() == {R.ALREADY: 1, R.DONE: 2}


async def test_a_deleted_account_does_not_spoil_the_others() -> None:
    made = bench()
    linked(made, 3)
    gone = error(404, "Resource 'p2' does not exist or one of its queried reference-property objects are not present.")
    made.executor.on("PATCH", f"/groups/{GROUP}", gone)
    made.executor.on("GET", "/directory/deletedItems/p2", ok(200, id="p2"))
    ledger = await made.apply(joins(3))
    assert ledger.of(join(student(2), GROUP)).code == IssueCode.OBJECT_DELETED
    assert ledger.results()[R.DONE] == 2


async def test_a_run_that_stops_leaves_them_for_the_next() -> None:
    made = Bench()
    linked(made, 2)
    made.executor.on("GET", f"/groups/{GROUP}?", stopped())
    ledger = await made.apply(joins(2))
    assert ledger.results() == {R.DEFERRED: 2}
    assert sizes(made) == []


async def test_a_group_that_may_not_be_written_to_keeps_nobody_out_of_classes() -> None:
    """Permission refusals are given up after so many in a row: those of a licence group are counted by themselves."""
    made = bench()
    linked(made, 900)
    made.ledger.ids[section(1)] = "g1"
    made.executor.rules.append(lambda item: error(403, *DENIED) if item.url == f"/groups/{GROUP}" else None)
    member = link(K.ADD_MEMBER, section(1), student(1))
    ledger = await made.apply([*joins(900), member])
    assert ledger.of(member).result is R.DONE
    assert {ledger.of(change).code for change in joins(900)} == {IssueCode.REFUSED}
    assert len(sizes(made)) <= 40


# Groups that do not serve


@pytest.mark.parametrize(
    ("differences", "says"),
    [
        ({"groupTypes": ["DynamicMembership"]}, "dynamic membership"),
        ({"groupTypes": ["DynamicMembership", "Unified"], "mailEnabled": True}, "dynamic membership"),
        ({"onPremisesSyncEnabled": True}, "local Active Directory"),
        ({"isAssignableToRole": True}, "assigned to roles"),
        ({"mailEnabled": True}, "mail-enabled"),
        ({"assignedLicenses": []}, "gives no licences"),
        ({"assignedLicenses": None}, "gives no licences"),
    ],
)
async def test_nobody_is_put_into_a_group_that_does_not_serve(differences: dict[str, Any], says: str) -> None:
    made = bench(**differences)
    ledger = await made.apply([create_user(student(1)), *joins(1)])
    assert ledger.of(create_user(student(1))).result is R.DONE
    refused = ledger.of(join(student(1), GROUP))
    assert (refused.result, refused.code) == (R.FAILED, IssueCode.LICENSE_GROUP)
    assert says in refused.detail and GROUP in refused.detail and ";" in refused.detail
    assert sizes(made) == []


async def test_a_group_that_is_not_there_is_an_issue() -> None:
    made = Bench()
    linked(made, 1)
    made.executor.on("GET", f"/groups/{GROUP}?", error(404, f"Resource '{GROUP}' does not exist or one of its queried"))
    ledger = await made.apply(joins(1))
    assert (ledger.of(joins(1)[0]).result, ledger.of(joins(1)[0]).code) == (R.FAILED, IssueCode.LICENSE_GROUP)
    assert "not in the tenant" in ledger.of(joins(1)[0]).detail


async def test_a_group_that_cannot_be_read_now_is_tried_by_the_next_run() -> None:
    made = Bench()
    linked(made, 1)
    made.executor.on("GET", f"/groups/{GROUP}?", error(503, ""))
    ledger = await made.apply(joins(1))
    assert ledger.results() == {R.DEFERRED: 1}


@pytest.mark.parametrize("types", [[], ["Unified"]])
def test_security_and_microsoft_365_groups_serve(types: list[str]) -> None:
    body = msgspec.json.encode({**FINE, "groupTypes": types, "mailEnabled": bool(types)})
    assert standing(GROUP, 200, body) == LicenseGroup(id=GROUP, name="Pupils", skus=(SKU,))


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"groupTypes": 5}'])
def test_an_answer_that_makes_no_sense_is_no_licence(body: bytes) -> None:
    assert "cannot be read" in standing(GROUP, 200, body).fault


# A stateful tenant


async def licensed_group(made: Tenant, **more: Any) -> str:
    group = {"op": "create_group", "mailNickname": "pupils", "groupTypes": [], "licenses": [STUDENT_SKU], "id": GROUP}
    await made.change({**group, **more})
    return GROUP


async def held(made: Tenant) -> list[list[str]]:
    return [user["licenses"] for user in (await made.state())["users"]]


async def test_licences_arrive_through_the_group(education: Tenant) -> None:
    await licensed_group(education)
    changes = [create_user(student(n)) for n in range(1, 31)]
    ledger = await education.apply([*changes, *joins(30)])
    assert ledger.failures() == []
    assert await held(education) == [[SKU]] * 30


async def test_many_go_in_by_few_batches(education: Tenant) -> None:
    """One group takes one write at a time; those for it go one after another within a batch, twenty at once."""
    await licensed_group(education)
    ledger, again = await education.apply([create_user(student(n)) for n in range(400)]), MemoryLedger()
    again.ids = dict(ledger.ids)
    await education.apply([join(student(n), GROUP) for n in range(400)], again)
    counts = education.targets[-1].counts()
    assert (counts.writes, counts.batches) == (20, 2), "a look at the group, then all of it"
    assert await held(education) == [[SKU]] * 400


class Forgetful(MemoryLedger):
    """Dies before it has recorded that anybody was put into the group."""

    def settle(self, outcomes: Any) -> None:
        if any(outcome.change.kind is K.JOIN_LICENSE_GROUP for outcome in outcomes):
            raise RuntimeError("killed")
        super().settle(outcomes)


async def test_what_a_killed_run_did_is_found_done(education: Tenant) -> None:
    await licensed_group(education)
    changes, ledger = [create_user(student(n)) for n in range(1, 24)], Forgetful()
    with pytest.raises(RuntimeError):
        await education.apply([*changes, *joins(23)], ledger)
    assert await held(education) != [[]] * 23
    again = MemoryLedger()
    again.ids = dict(ledger.ids)
    await education.apply(joins(23), again)
    assert again.failures() == []
    assert again.results()[R.ALREADY] >= 5
    assert await held(education) == [[SKU]] * 23


async def test_a_lost_answer_does_no_harm(education: Tenant) -> None:
    await licensed_group(education)
    ledger = await education.apply([create_user(student(n)) for n in range(1, 41)])
    education.faults.add({"side": "graph", "method": "POST", "path": r"^/\$batch$", "kind": "truncate", "times": 1})
    again = MemoryLedger()
    again.ids = dict(ledger.ids)
    await education.apply(joins(40), again)
    assert again.failures() == []
    assert await held(education) == [[SKU]] * 40


async def test_new_accounts_that_show_late_are_waited_for(education: Tenant) -> None:
    await education.set(lag_seconds=1.0)
    await licensed_group(education)
    ledger = await education.apply([*[create_user(student(n)) for n in range(1, 26)], *joins(25)])
    assert ledger.failures() == []
    assert await held(education) == [[SKU]] * 25


async def test_dynamic_missing_and_bare_groups_are_issues_and_accounts_are_made(education: Tenant) -> None:
    await licensed_group(education, groupTypes=["DynamicMembership"])
    found: list[Outcome] = []
    for number, group in ((1, GROUP), (2, GROUP.replace("1", "9"))):
        ledger = await education.apply([create_user(student(number)), join(student(number), group)])
        found.append(ledger.of(join(student(number), group)))
        assert ledger.of(create_user(student(number))).result is R.DONE
    assert [outcome.code for outcome in found] == [IssueCode.LICENSE_GROUP] * 2
    assert (await education.state())["groups"][0]["members"] == []


async def test_the_target_tells_how_groups_stand(education: Tenant) -> None:
    await licensed_group(education)
    missing = GROUP.replace("1", "9")
    found = await education.target(read_only=True).license_groups([GROUP, missing])
    assert found[GROUP] == LicenseGroup(id=GROUP, name="pupils", skus=(SKU,))
    assert found[missing].fault == "is not in the tenant"
