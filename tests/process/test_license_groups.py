"""Licences by group through the real program: told in advance, given at creation, and never taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import Rig

from process.answers import SCHOOL, config_faults, issue_rows, issues, kinds, scope
from process.crashes import BATCH, LONG, Moment, add_fault, crash, when_struck
from process.town import Operation, flat, school, start, student, teacher

pytestmark = pytest.mark.process

SKU, SKU_ID = "STANDARDWOFFPACK_STUDENT", "314c4481-f395-4525-be8b-2ec4bb1e9d91"
GROUP = "aaaaaaaa-0000-4000-8000-000000000001"
UNUSABLE = "LicenseGroupUnusable"
FIRST = range(8401, 8426)


def made(**more: Any) -> Operation:
    """A security group that gives one licence, as an administrator makes it."""
    return {"op": "create_group", "id": GROUP, "mailNickname": "pupils", "groupTypes": [], "licenses": [SKU], **more}


def begin(folder: Path, *pupils: int) -> Rig:
    """A school whose students are licensed by GROUP, which is yet to be made, and whose teacher is not licensed."""
    rig = start(folder)
    rig.change_school(*flat(school(SCHOOL), teacher(9401, SCHOOL), [student(number, SCHOOL) for number in pupils]))
    scope(rig, SCHOOL)
    rig.edit("profiles.district.students", license_group=GROUP.upper())
    return rig


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """25 students, 20 seats."""
    rig = begin(tmp_path_factory.mktemp("town"), *FIRST)
    try:
        rig.change_directory({"op": "set_seats", "sku": SKU, "enabled": 20}, made())
        yield rig
    finally:
        rig.stop()


def licensed(rig: Rig) -> set[str]:
    """Accounts that hold the licence."""
    return {user["mailNickname"] for user in rig.directory().state["users"] if SKU_ID in user["licenses"]}


def inside(rig: Rig) -> set[str]:
    """Accounts in the group."""
    directory = rig.directory()
    return {directory.users[member]["mailNickname"] for member in directory.groups[GROUP]["members"]}


def names(*numbers: int) -> set[str]:
    return {f"s{number}" for number in numbers}


def test_check_names_the_group_and_its_seats(town: Rig) -> None:
    said = town.run("check", "district").expect(0).out
    assert f"the licence group pupils gives {SKU}" in said
    assert f"{SKU}: 20 of 20 seats free" in said


def test_preview_counts_seats_through_the_group(town: Rig) -> None:
    plan = town.preview()
    assert [(row["part_number"], row["needed"], row["short"]) for row in plan["seats"]] == [(SKU, 25, 5)]
    assert plan["planned"]["user.license_group"] == 25
    said = town.run("preview", "district").expect(0).out
    assert "accounts to put into their licence group" in said and "5 too few" in said


def test_new_accounts_get_their_licence_by_the_group(town: Rig) -> None:
    """Two requests for 25 people, no assignLicense, and no permission for that is needed; the teacher gets none.

    Accepted ones: an account made a moment ago may not be visible yet, and a request that names it is then sent again.
    """
    town.change_directory({"op": "revoke_role", "role": "LicenseAssignment.ReadWrite.All"})
    town.change_directory({"op": "set_seats", "sku": SKU, "enabled": 100})
    mark = town.request_mark()
    result = town.sync(codes=(0,))
    assert result["applied"]["user.license_group"] == 25
    accepted = [row for row in town.writes_since(mark) if row["status"] < 400]
    assert kinds(accepted)["PATCH /groups/*"] == 2
    assert not [row for row in town.writes_since(mark) if row["path"].endswith("/assignLicense")]
    assert inside(town) == licensed(town) == names(*FIRST)


def test_done_is_done(town: Rig) -> None:
    """Nothing is written again, also for somebody taken out of the group by hand, and nobody is ever taken out."""
    user = town.directory().user("s8401@contoso.edu")["id"]
    town.change_directory({"op": "remove_member", "group": GROUP, "user": user})
    town.change_school({"op": "delete_student", "student": 8402})
    mark = town.request_mark()
    town.sync()
    assert town.writes_since(mark) == []
    assert inside(town) == names(*FIRST) - {"s8401"}


def test_a_group_that_gives_nothing_is_an_issue_until_it_does(town: Rig) -> None:
    """The account is made; check and preview say so; the issue has its remedy and is gone once the group serves."""
    other = GROUP.replace("1", "2")
    town.change_directory({**made(), "id": other, "mailNickname": "bare", "licenses": []})
    town.edit("profiles.district.students", license_group=other)
    town.change_school(student(8431, SCHOOL))
    assert f"the licence group {other} gives no licences" in town.run("check", "district", "--quick").expect(3).out
    assert "cannot be told" in town.run("preview", "district").expect(0).out
    town.sync(codes=(1,))
    assert issues(town) == {("student", "8431"): UNUSABLE}
    assert "gives no licences" in issue_rows(town)[0]["detail"]
    assert "sds-daemon check says more" in town.run("issues", "list", "district").expect(0).out
    assert town.directory().groups[other]["members"] == []
    town.sync(codes=(1,))
    assert issues(town) == {("student", "8431"): UNUSABLE}
    town.edit("profiles.district.students", license_group=GROUP)
    town.sync(codes=(0,))
    assert issues(town) == {}
    assert "s8431" in licensed(town)


def test_explain_follows_the_licence(town: Rig) -> None:
    said = town.run("explain", "8431").expect(0).out
    assert f"user.license_group student 8431 into group {GROUP}" in said


def test_dynamic_and_missing_groups_are_issues_and_no_crash(town: Rig) -> None:
    dynamic, missing = GROUP.replace("1", "3"), GROUP.replace("1", "9")
    town.change_directory({**made(), "id": dynamic, "mailNickname": "rule", "groupTypes": ["DynamicMembership"]})
    for number, group, says in ((8432, dynamic, "dynamic membership"), (8433, missing, "not in the tenant")):
        town.edit("profiles.district.students", license_group=group)
        town.change_school(student(number, SCHOOL))
        town.sync(codes=(1,))
        assert issues(town)["student", str(number)] == UNUSABLE
        assert all(says in row["detail"] for row in issue_rows(town))
    town.edit("profiles.district.students", license_group=GROUP)
    town.sync(codes=(0,))
    assert names(8432, 8433) <= licensed(town)


def test_one_way_or_the_other(town: Rig) -> None:
    town.edit("profiles.district.students", licenses=[SKU])
    said = config_faults(town)
    assert "[profiles.district.students] license_group: stands beside licenses" in said and "keep one" in said
    town.edit("profiles.district.students", licenses=None, usage_location=None)
    assert "usage_location" in config_faults(town)
    town.edit("profiles.district.students", usage_location="US", license_group="pupils")
    assert "is not the id of a group" in config_faults(town)
    town.edit("profiles.district.students", license_group=GROUP)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_killed_with_an_answer_under_way_they_are_all_in_it_once(tmp_path: Path, after: int) -> None:
    """The batch is carried out and its answer never heard, whichever of them it is."""
    rig = begin(tmp_path, *FIRST)
    try:
        rig.change_directory({"op": "set_seats", "sku": SKU, "enabled": 100}, made())
        fault = {**BATCH, "kind": "delay", "seconds": LONG, "times": 1, "after": after}
        crash(rig, Moment("after a batch", when_struck(fault)))
        rig.sync(codes=(0,))
        assert inside(rig) == licensed(rig) == names(*FIRST)
        assert issues(rig) == {}
        mark = rig.request_mark()
        assert rig.sync(codes=(0,))["status"] == "nothing_to_do"
        assert rig.writes_since(mark) == []
    finally:
        rig.stop()


def test_answers_lost_on_the_way_do_no_harm(tmp_path: Path) -> None:
    rig = begin(tmp_path, *FIRST)
    try:
        rig.change_directory({"op": "set_seats", "sku": SKU, "enabled": 100}, made())
        add_fault(rig, {"side": "graph", "kind": "lost_answer", "method": "PATCH", "path": "/groups/", "times": 2})
        rig.sync(codes=(0,))
        assert inside(rig) == licensed(rig) == names(*FIRST)
    finally:
        rig.stop()
