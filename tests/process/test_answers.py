"""Graph answering badly: lost answers, lag, quota, expired tokens and its error catalogue. Never two of anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from rig import Rig

from process.answers import SCHOOL, issue_rows, issues, scope
from process.town import flat, school, section, start, student, teacher

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

PUPILS = range(8001, 8031)
SKU = "STANDARDWOFFPACK_STUDENT"


def fault(path: str, kind: str = "status", **more: Any) -> dict[str, Any]:
    """A fault on a path of Graph, once unless `times` says more."""
    return {"side": "graph", "kind": kind, "path": path, "times": 1, **more}


def lost(path: str, method: str = "POST", **more: Any) -> list[dict[str, Any]]:
    """The request is carried out and answered 504, and another one's connection is cut."""
    answered = fault(path, "lost_answer", method=method, status=504, **more)
    return [answered, fault(path, "lost_answer", method=method, **more)]


STORM = [
    *lost("^/(education/)?users$"),
    *lost("^/education/schools$|^/directory/administrativeUnits$"),
    *lost("^/education/classes$|^/groups$"),
    *lost("^/groups/[^/]+$", "PATCH"),
    *lost("/(users|classes|members)/\\$ref$"),
    *lost("/assignLicense$"),
    fault("^/groups/[^/]+$", status=409, times=2),
    fault("^/(education/)?users$", status=429, headers={"Retry-After": "0.249"}, times=3),
    fault("/assignLicense$", status=503, times=2),
    fault("^/\\$batch$", "expire_token", after=2),
    fault("^/\\$batch$", "lost_answer", after=4, times=2),
    fault("^/\\$batch$", status=502, after=7),
]


def folder_options(tenant: str) -> tuple[str, ...]:
    """How the sandbox is started for a kind of tenant; everything new stays unseen for up to 20 sandbox seconds."""
    return ("--lag", "20", *(("--no-education",) if tenant == "plain" else ()))


@pytest.mark.parametrize("tenant", ["education", "groups", "plain"])
def test_a_storm_leaves_one_of_everything(tmp_path_factory: pytest.TempPathFactory, tenant: str) -> None:
    """Answers lost after the commit at every kind of write: accounts, school, classes, members, licences."""
    rig = start(tmp_path_factory.mktemp(tenant), *folder_options(tenant))
    try:
        halves = (PUPILS[:22], PUPILS[22:])
        classes = [section(7001 + n, SCHOOL, 9001 + n, *half) for n, half in enumerate(halves)]
        staff = [teacher(9001, SCHOOL), teacher(9002, SCHOOL)]
        rig.change_school(*flat(school(SCHOOL), staff, [student(n, SCHOOL) for n in PUPILS], *classes))
        scope(rig, SCHOOL)
        if tenant == "groups":
            rig.edit("profiles.district", class_api="groups")
        rig.edit("profiles.district.students", licenses=[SKU])
        for each in STORM:
            rig.post("faults", each)
        for _ in range(3):
            if rig.run("sync", "district").expect(0, 1, 3).code == 0 and not issues(rig):
                break
        struck = {each["path"] for each in rig.get("faults")["faults"] if each["hits"]}
        assert len(struck) >= 7, f"the storm missed: only {struck}"
        rig.delete("faults")
        rig.sync(codes=(0,))
        assert_one_of_everything(rig, halves)
        mark = rig.request_mark()
        rig.sync(codes=(0,))
        assert rig.writes_since(mark) == []
    finally:
        rig.stop()


def assert_one_of_everything(rig: Rig, halves: tuple[range, range]) -> None:
    """The directory holds exactly what an undisturbed sync makes."""
    directory = rig.directory()
    names = {key: user["mailNickname"] for key, user in directory.users.items()}
    pupils = {f"s{n}" for n in PUPILS}
    assert Counter(names.values()) == Counter({*pupils, "t9001", "t9002"})
    groups = {group["mailNickname"]: group for group in directory.state["groups"]}
    assert len(directory.state["groups"]) == 2
    for n, half in enumerate(halves):
        group = groups[f"Section_{7001 + n}"]
        assert {names[key] for key in group["owners"]} == {f"t{9001 + n}"}
        assert {names[key] for key in group["members"]} == {f"t{9001 + n}", *(f"s{number}" for number in half)}
    [unit] = directory.state["administrativeUnits"]
    assert set(unit["members"]) == {*names, *(group["id"] for group in groups.values())}
    assert all(user["licenses"] for user in directory.state["users"] if user["mailNickname"] in pupils)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A school to be synced while Graph answers with its catalogue of errors."""
    rig = start(tmp_path_factory.mktemp("catalogue"))
    try:
        rig.change_school(
            *flat(school(SCHOOL), teacher(9001, SCHOOL), [student(n, SCHOOL) for n in PUPILS],
                  section(7001, SCHOOL, 9001, *PUPILS))
        )  # fmt: skip
        scope(rig, SCHOOL)
        yield rig
    finally:
        rig.stop()


INVALID = "AzureActiveDirectoryInvalidPropertyValue"
BAD = "Request_BadRequest"
ANOTHER = "Another object with the same value for property userPrincipalName already exists."
# status, code, message -> the issue it becomes for the account it strikes; None: overcome within the cycle.
CREATE_ERRORS: list[tuple[int, str, str, str | None]] = [
    (400, BAD, ANOTHER, "UserPrincipalNameTaken"),
    (400, BAD, "One or more properties contains invalid values.", INVALID),
    (400, BAD, "Invalid value specified for property 'givenName' of resource 'User'.", INVALID),
    (400, BAD, "Property userPrincipalName is invalid.", INVALID),
    (400, BAD, "The domain portion of the userPrincipalName property is invalid. You must use one of the verified "
     "domain names in your organization.", INVALID),
    (400, "BadRequest", "The property 'x' does not exist on type 'microsoft.graph.user'.", "RequestRefused"),
    (400, "Request_UnsupportedQuery", "Unsupported or invalid query filter clause.", "RequestRefused"),
    (403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.", "RequestRefused"),
    (405, BAD, "Specified HTTP method is not allowed for the request target.", "RequestRefused"),
    (413, "RequestEntityTooLarge", "", "RequestRefused"),
    (418, "Teapot", "Something nobody has seen before.", "RequestRefused"),
    (400, BAD, "The specified password does not comply with password complexity requirements. Please provide a "
     "different password.", None),
    (408, "RequestTimeout", "", None),
    (409, "Directory_ConcurrencyViolation", "Error due to concurrent requests being made to the tenant.", None),
    (423, "Locked", "", None),
    (429, "TooManyRequests", "", None),
    (500, "Service_InternalServerError", "", None),
    (502, "BadGateway", "", None),
    (503, "Service_Unavailable", "", None),
    (504, "UnknownError", "", None),
]  # fmt: skip


def body_of(code: str, message: str) -> dict[str, Any]:
    """An error as Graph writes it."""
    details = [{"code": "ObjectConflict", "message": message, "target": "userPrincipalName"}]
    found: dict[str, Any] = {"code": code, "message": message, "innerError": {"date": "2026-10-14T00:00:00"}}
    return {"error": {**found, "details": details} if message == ANOTHER else found}


def test_every_refusal_of_a_create_has_an_outcome(catalogue: Rig) -> None:
    """Each strikes one account: refused ones are issues of that account alone, passing ones are overcome."""
    for status, code, message, _ in CREATE_ERRORS:
        catalogue.post("faults", fault("^/education/users$", status=status, body=body_of(code, message)))
    catalogue.sync(codes=(1,))
    assert all(each["hits"] == 1 for each in catalogue.get("faults")["faults"])
    catalogue.delete("faults")
    rows = issue_rows(catalogue)
    expected = Counter(issue for *_, issue in CREATE_ERRORS if issue is not None)
    assert Counter(row["code"] for row in rows) == expected
    assert all(row["detail"] and "@" not in row["detail"] for row in rows), "no sign-in names in sentences"
    made = [user for user in catalogue.directory().state["users"] if user["education"]["primaryRole"] != "none"]
    assert len(made) == len(PUPILS) + 1 - sum(expected.values())


def test_the_next_cycle_makes_up_for_it(catalogue: Rig) -> None:
    """Nothing stays behind: accounts, memberships, no issue left, no object twice."""
    catalogue.sync(codes=(0,))
    assert issues(catalogue) == {}
    directory = catalogue.directory()
    assert len({user["userPrincipalName"] for user in directory.state["users"]}) == len(PUPILS) + 1
    group = directory.class_of("7001")
    assert group is not None
    assert len(group["members"]) == len(PUPILS) + 1


MEMBERS_THERE = "One or more added object references already exist for the following modified properties: 'members'."
NOT_THERE = "One or more removed object references do not exist for the following modified properties: 'members'."


def test_memberships_that_are_so_already(catalogue: Rig) -> None:
    """Somebody else was quicker: added by hand before, removed by hand before, and Graph says so."""
    catalogue.change_school(student(8040, SCHOOL, 7001), student(8041, SCHOOL, 7001),
                            {"op": "drop", "student": 8001, "section": 7001})  # fmt: skip
    catalogue.post("faults", fault("^/groups/[^/]+$", status=400, body=body_of(BAD, MEMBERS_THERE)))
    catalogue.post("faults", fault("^/groups/.*/members/.*/\\$ref$", "lost_answer", method="DELETE", status=504))
    catalogue.sync(codes=(0,))
    catalogue.delete("faults")
    directory = catalogue.directory()
    group = directory.class_of("7001")
    assert group is not None
    inside = {directory.users[key]["mailNickname"] for key in group["members"]}
    assert inside == {"t9001", "s8040", "s8041", *(f"s{n}" for n in PUPILS)} - {"s8001"}
    mark = catalogue.request_mark()
    catalogue.sync(codes=(0,))
    assert catalogue.writes_since(mark) == []


def test_expired_delta_and_token_cost_no_write(catalogue: Rig) -> None:
    """410 on every delta link and a token that ends in the middle: everything is read anew, nothing is written."""
    catalogue.change_directory({"op": "expire_delta"}, {"op": "expire_pages"})
    catalogue.post("faults", fault("/delta", "expire_token", after=1))
    mark = catalogue.request_mark()
    result = catalogue.sync(codes=(0,))
    assert result["status"] == "nothing_to_do"
    assert catalogue.writes_since(mark) == []
    catalogue.delete("faults")


def test_object_quota_stops_creating_alone(catalogue: Rig) -> None:
    """Directory_QuotaExceeded: what is not under way yet is not sent any more, everything else goes on."""
    text = "The directory object quota limit for the Tenant has been exceeded. Please ask your administrator."
    refusal = fault("^/education/users$", status=403, times=1000, body=body_of("Directory_QuotaExceeded", text))
    catalogue.change_school(*[student(number, SCHOOL) for number in range(8100, 8400)],
                            {"op": "drop", "student": 8002, "section": 7001})  # fmt: skip
    catalogue.post("faults", refusal)
    result = catalogue.sync(codes=(1,))
    [struck] = catalogue.get("faults")["faults"]
    catalogue.delete("faults")
    assert struck["hits"] < 250
    assert set(issues(catalogue).values()) == {"DirectoryQuotaExceeded"}
    assert result["applied"] == {"member.remove": 1}


AUTHORITY = {
    "AADSTS7000215": "secret",
    "AADSTS7000222": "secret",
    "AADSTS700016": "client_id",
    "AADSTS90002": "tenant",
    "AADSTS65001": "consent",
}


def test_refusals_of_the_token_authority(catalogue: Rig) -> None:
    """Exit code 3, a sentence of our own with the code in it, and what to look at; never a traceback."""
    for code, word in AUTHORITY.items():
        answer = {"error": "invalid_client", "error_description": f"{code}: as Entra says it. Trace ID: x"}
        catalogue.post("faults", {"side": "authority", "kind": "status", "status": 401, "body": answer})
        said = catalogue.run("check", "district", "--quick").expect(3)
        assert code.removeprefix("AADSTS") in said.out or word in said.out.lower()
        assert word in said.out.lower(), f"{code}: {said.out}"
        catalogue.delete("faults")


def test_an_app_nobody_consented_to(catalogue: Rig) -> None:
    """401 that no new token cures ends the run at once."""
    text = "The identity of the calling application could not be established."
    catalogue.post(
        "faults", fault("", status=401, times=1000, body={"error": {"code": "Unauthorized", "message": text}})
    )
    said = catalogue.run("sync", "district").expect(3).err
    [struck] = catalogue.get("faults")["faults"]
    catalogue.delete("faults")
    assert struck["hits"] <= 3
    assert "consent" in said
