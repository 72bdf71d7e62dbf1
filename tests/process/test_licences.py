"""Licences through the real program: assigned once at creation, retried until done, never taken away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rig import Rig

from process.answers import SCHOOL, account, config_faults, issue_rows, issues, kinds, scope
from process.town import flat, school, start, student, teacher

pytestmark = pytest.mark.process

STUDENT_SKU = "STANDARDWOFFPACK_STUDENT"
FACULTY_ID = "94763226-9b3c-4e75-a931-5c89701abe66"
STUDENT_ID = "314c4481-f395-4525-be8b-2ec4bb1e9d91"
NO_SEAT = "AzureActiveDirectoryNoLicenseAvailable"


@pytest.fixture(scope="module")
def licensed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Three students and two seats; one teacher with a licence named by id."""
    rig = start(tmp_path_factory.mktemp("licences"))
    try:
        pupils = [student(number, SCHOOL) for number in (8601, 8602, 8603)]
        rig.change_school(*flat(school(SCHOOL), teacher(9601, SCHOOL), pupils))
        rig.change_directory({"op": "set_seats", "sku": STUDENT_SKU, "enabled": 2})
        scope(rig, SCHOOL)
        rig.edit("profiles.district.students", licenses=[STUDENT_SKU.lower()])
        rig.edit("profiles.district.teachers", licenses=[FACULTY_ID.upper()])
        yield rig
    finally:
        rig.stop()


def held(rig: Rig) -> dict[str, list[str]]:
    """Sign-in name -> ids of the licences the account holds."""
    return {user["mailNickname"]: user["licenses"] for user in rig.directory().state["users"]}


def without(rig: Rig) -> list[str]:
    """Students made without a licence so far."""
    return sorted(name for name, skus in held(rig).items() if name.startswith("s") and not skus)


def test_check_counts_seats(licensed: Rig) -> None:
    """check names each licence of the profile with its seats."""
    said = licensed.run("check", "district").expect(0).out
    assert f"{STUDENT_SKU}: 2 of 2 seats free" in said


def test_seats_given_while_they_last(licensed: Rig) -> None:
    """The account is made all the same; who got no seat is an issue with SDS's code."""
    result = licensed.sync(codes=(1,))
    assert result["applied"]["user.create"] == 4
    assert result["applied"]["user.license"] == 3
    assert held(licensed)["t9601"] == [FACULTY_ID]
    left = without(licensed)
    assert len(left) == 1
    assert issues(licensed) == {("student", left[0].removeprefix("s")): NO_SEAT}
    assert "seats" in licensed.run("issues", "list", "district").expect(0).out


def test_still_no_seat_is_still_an_issue(licensed: Rig) -> None:
    """Tried again every cycle, and nothing else is written."""
    mark = licensed.request_mark()
    licensed.sync(codes=(1,))
    assert set(kinds(licensed.writes_since(mark))) == {"POST /users/*/assignLicense"}
    assert list(issues(licensed).values()) == [NO_SEAT]


def test_assigned_when_a_seat_appears(licensed: Rig) -> None:
    """Then done: a further cycle writes nothing, and a licence taken by hand is not given back."""
    licensed.change_directory({"op": "set_seats", "sku": STUDENT_SKU, "enabled": 3})
    licensed.sync(codes=(0,))
    assert without(licensed) == []
    assert issues(licensed) == {}
    licensed.change_directory({"op": "remove_license", "upn": "s8601@contoso.edu", "sku": STUDENT_SKU})
    mark = licensed.request_mark()
    licensed.sync(codes=(0,))
    assert licensed.writes_since(mark) == []


def test_due_after_a_lost_database_where_an_account_of_ours_has_none(licensed: Rig) -> None:
    """Nobody remembers whether it was taken by hand or still to come; an account that has one is left alone."""
    licensed.forget_state()
    mark = licensed.request_mark()
    licensed.sync(codes=(0,))
    assert set(kinds(licensed.writes_since(mark))) == {"POST /users/*/assignLicense"}
    assert [row["path"].split("/")[-2] for row in licensed.writes_since(mark)] == [
        licensed.directory().user("s8601@contoso.edu")["id"]
    ]
    assert without(licensed) == []
    mark = licensed.request_mark()
    licensed.sync(codes=(0,))
    assert licensed.writes_since(mark) == []


def test_never_removed(licensed: Rig) -> None:
    """Neither when the profile names another licence nor when the student is gone from the source."""
    licensed.edit("profiles.district.students", licenses=[STUDENT_ID, FACULTY_ID])
    licensed.change_school({"op": "delete_student", "student": 8602})
    mark = licensed.request_mark()
    licensed.sync()
    assert not [row for row in licensed.writes_since(mark) if row["body"].get("removeLicenses")]
    assert held(licensed)["s8602"] == [STUDENT_ID]
    licensed.change_school(student(8604, SCHOOL))
    licensed.change_directory({"op": "set_seats", "sku": STUDENT_SKU, "enabled": 10})
    licensed.sync(codes=(0,))
    assert sorted(held(licensed)["s8604"]) == sorted([STUDENT_ID, FACULTY_ID]), "several licences in one request"


def test_unknown_licence_and_lost_usage_location(licensed: Rig) -> None:
    """check fails naming what the tenant owns; a sync makes the accounts, reports the licence and assigns it later.

    A refusal for want of a usage location has SDS's code, and the rest goes on.
    """
    licensed.edit("profiles.district.students", licenses=["ENTERPRISEPREMIUM_UNKNOWN"])
    said = licensed.run("check", "district", "--quick").expect(3).out
    assert "does not own ENTERPRISEPREMIUM_UNKNOWN" in said and STUDENT_SKU in said
    licensed.change_school(student(8605, SCHOOL), student(8606, SCHOOL))
    licensed.sync(codes=(1,))
    invalid = "AzureActiveDirectoryInvalidLicense"
    assert issues(licensed) == {("student", "8605"): invalid, ("student", "8606"): invalid}
    assert held(licensed)["s8605"] == []
    licensed.change_directory({"op": "update_user", "upn": "s8606@contoso.edu", "usageLocation": None})
    licensed.edit("profiles.district.students", licenses=[STUDENT_SKU])
    licensed.sync(codes=(1,))
    assert issues(licensed) == {("student", "8606"): "AzureActiveDirectoryInvalidUserUsageLocation"}
    assert held(licensed)["s8605"] == [STUDENT_ID]


REFUSALS = (
    "License assignment failed because service plans 9aaf7827, efb87545 are mutually exclusive",
    "License assignment failed because service plan a depends on the service plan(s) b",
    f"License {STUDENT_ID} does not correspond to a valid company License.",
)


def test_refusals_of_graph(licensed: Rig) -> None:
    """Each message of assignLicense has its outcome, and the next cycle tries again."""
    licensed.change_directory({"op": "update_user", "upn": "s8606@contoso.edu", "usageLocation": "US"})
    licensed.change_school(*[student(number, SCHOOL) for number in (8608, 8609)])
    for message in REFUSALS:
        body = {"error": {"code": "Request_BadRequest", "message": message}}
        fault = {"side": "graph", "kind": "status", "status": 400, "path": "assignLicense$", "times": 1}
        licensed.post("faults", {**fault, "body": body})
    licensed.sync(codes=(1,))
    found = {(row["sis_id"], row["code"]) for row in issue_rows(licensed)}
    assert found == {(number, "AzureActiveDirectoryInvalidLicense") for number in ("8606", "8608", "8609")}
    assert len({row["detail"] for row in issue_rows(licensed)}) == 3, "each refusal is told in its own words"
    licensed.sync(codes=(0,))
    assert all(held(licensed)[name] == [STUDENT_ID] for name in ("s8606", "s8608", "s8609"))


def test_missing_permission_is_named_before_anything_is_read(licensed: Rig) -> None:
    """Preflight: exit code 3, the permission's name and the remedy; nothing is written."""
    licensed.change_directory({"op": "revoke_role", "role": "LicenseAssignment.ReadWrite.All"})
    mark = licensed.request_mark()
    said = licensed.run("sync", "district").expect(3).err
    assert "LicenseAssignment.ReadWrite.All" in said
    assert licensed.writes_since(mark) == []
    assert "LicenseAssignment.ReadWrite.All" in licensed.run("check", "district").expect(3).out
    licensed.change_directory({"op": "grant_role", "role": "LicenseAssignment.ReadWrite.All"})


def test_licences_with_match_are_refused(licensed: Rig) -> None:
    """users = "match" makes no accounts, so licences there are a configuration error."""
    licensed.edit("profiles.district", users="match")
    said = config_faults(licensed)
    assert "profiles.district.students" in said and "licenses" in said
    licensed.edit("profiles.district", users="create")
    licensed.edit("profiles.district.students", usage_location=None)
    assert "usage_location" in config_faults(licensed)


def test_match_or_create_licenses_only_what_it_made(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An account found by the rule keeps what it has."""
    rig = start(tmp_path_factory.mktemp("found"), "--users", "match")
    try:
        rig.change_school(*flat(school(SCHOOL), student(8651, SCHOOL), student(8652, SCHOOL)))
        rig.change_directory(account("s8651", usageLocation="US"))
        scope(rig, SCHOOL)
        rig.edit("profiles.district", users="match_or_create")
        new: dict[str, Any] = {"domain": "contoso.edu", "usage_location": "US"}
        rig.edit("profiles.district.students", **new, licenses=[STUDENT_SKU])
        rig.edit("profiles.district.teachers", **new)
        rig.sync(codes=(0,))
        found = {name: skus for name, skus in held(rig).items() if name in ("s8651", "s8652")}
        assert found == {"s8651": [], "s8652": [STUDENT_ID]}
    finally:
        rig.stop()
