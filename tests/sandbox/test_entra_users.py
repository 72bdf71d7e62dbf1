"""Users: what is refused and with which words, names that must be unique, deletion, on-premises mastering."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from entra_rig import EXTENSION, PASSWORD, entra


async def test_created_user_shows_the_default_set_and_the_rest_on_select(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        made = await rig.send("POST", "/users", rig.user_body("ada", employeeId="17"))
        assert made.status_code == 201
        body = made.json()
        assert body["@odata.context"] == f"{rig.graph}/v1.0/$metadata#users/$entity"
        assert "mailNickname" not in body
        assert "createdDateTime" not in body
        assert made.headers["request-id"]
        chosen = await rig.ok("GET", f"/users/{body['id']}?$select=mailNickname,employeeId,onPremisesSyncEnabled")
        assert {name: chosen[name] for name in ("mailNickname", "employeeId", "onPremisesSyncEnabled")} == {
            "mailNickname": "ada", "employeeId": "17", "onPremisesSyncEnabled": None}  # fmt: skip
        by_upn = await rig.ok("GET", "/users/ADA@contoso.edu")
        assert by_upn["id"] == body["id"]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"nickname": "x"}, "BadRequest", "The property 'nickname' does not exist on type 'microsoft.graph.user'"),
        ({"accountEnabled": "true"}, "BadRequest", "expected type 'Edm.Boolean'"),
        ({"displayName": 5}, "BadRequest", "expected type 'Edm.String'"),
        ({"displayName": None}, "Request_BadRequest", "A value is required for property 'displayName'"),
        ({"displayName": "x" * 257}, "Request_BadRequest", "Invalid value specified for property 'displayName'"),
        (
            {"givenName": ""},
            "Request_BadRequest",
            "Invalid value specified for property 'givenName' of resource 'User'",
        ),
        ({"employeeId": "12345678901234567"}, "Request_BadRequest", "property 'employeeId'"),
        ({"id": "x"}, "Request_BadRequest", "read-only"),
        ({"passwordProfile": None}, "Request_BadRequest", "A password must be specified"),
        (
            {"passwordProfile": {"password": "short1!"}},
            "Request_BadRequest",
            "does not comply with password complexity",
        ),
        ({"passwordProfile": {"password": "alllowercase1"}}, "Request_BadRequest", "password complexity"),
        ({"passwordProfile": {"password": "Unicode1234é"}}, "Request_BadRequest", "password complexity"),
        ({"usageLocation": "USA"}, "Request_BadRequest", "Invalid value specified for property 'usageLocation'"),
        ({"usageLocation": "UK"}, "Request_BadRequest", "Invalid value specified for property 'usageLocation'"),
        ({"mailNickname": "a b"}, "Request_BadRequest", "Invalid value specified for property 'mailNickname'"),
        ({"userPrincipalName": "åsa@contoso.edu"}, "Request_BadRequest", "Property userPrincipalName is invalid."),
        ({"userPrincipalName": "a.@contoso.edu"}, "Request_BadRequest", "Property userPrincipalName is invalid."),
        ({"userPrincipalName": "a" * 65 + "@contoso.edu"}, "Request_BadRequest", "userPrincipalName is invalid"),
        ({"userPrincipalName": "a@fabrikam.edu"}, "Request_BadRequest", "The domain portion of the userPrincipalName"),
        ({"businessPhones": ["1", "2"]}, "Request_BadRequest", "businessPhones"),
        ({"onPremisesImmutableId": "a_b"}, "Request_BadRequest", "onPremisesImmutableId"),
        ({"student": {"externalId": "1"}}, "BadRequest", "The property 'student' does not exist"),
        ({"extension_0123456789abcdef0123456789abcdef_x": "1"}, "Request_BadRequest", "extension property"),
        ({EXTENSION + "NoSuchThing": "1"}, "Request_BadRequest", "does not exist as a declared property"),
    ],
)
async def test_create_refuses(tmp_path: Path, change: dict[str, Any], code: str, words: str) -> None:
    async with entra(tmp_path) as rig:
        error = await rig.refused(400, "POST", "/users", {**rig.user_body("ada"), **change})
        assert error["code"] == code
        assert words in error["message"]
        assert (await rig.state())["users"] == []


async def test_upn_is_unique_among_upns_and_addresses_whatever_the_case(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await rig.user("ada", mail="lovelace@contoso.edu")
        error = await rig.refused(400, "POST", "/users", rig.user_body("ADA"))
        assert error["message"] == "Another object with the same value for property userPrincipalName already exists."
        assert error["details"][0] == {
            "code": "ObjectConflict", "message": error["message"], "target": "userPrincipalName"}  # fmt: skip
        error = await rig.refused(400, "POST", "/users", rig.user_body("lovelace"))
        assert "proxyAddresses" in error["message"]
        await rig.group("algebra")
        assert "proxyAddresses" in (await rig.refused(400, "POST", "/users", rig.user_body("algebra")))["message"]
        other = await rig.user("bob")
        error = await rig.refused(400, "PATCH", f"/users/{other}", {"mail": "Ada@contoso.edu"})
        assert "proxyAddresses" in error["message"]


async def test_two_people_may_share_a_mail_nickname(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await rig.user("ada")
        await rig.user("ada2", mailNickname="ada")
        found = await rig.ok("GET", "/users?$filter=mailNickname eq 'ada'&$select=id")
        assert len(found["value"]) == 2


async def test_patch_answers_204_and_null_clears(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada = await rig.user("ada", department="Grade 9")
        assert (await rig.send("PATCH", f"/users/{ada}", {"department": None, "givenName": "Ada"})).status_code == 204
        assert (await rig.ok("GET", f"/users/{ada}?$select=department,givenName"))["department"] is None
        error = await rig.refused(400, "PATCH", f"/users/{ada}", {"displayName": None})
        assert "displayName" in error["message"]
        error = await rig.refused(400, "PATCH", f"/users/{ada}", {"usageLocation": None})
        assert "usageLocation" in error["message"]


async def test_unknown_user_is_404_naming_the_key(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        error = await rig.refused(404, "GET", "/users/nobody@contoso.edu")
        assert error["code"] == "Request_ResourceNotFound"
        assert error["message"] == (
            "Resource 'nobody@contoso.edu' does not exist or one of its queried reference-property objects are not "
            "present."
        )


async def test_soft_delete_frees_the_upn_and_restore_needs_it_free(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada, group = await rig.user("ada"), await rig.group()
        await rig.ok("POST", f"/groups/{group}/members/$ref", rig.ref(ada))
        await rig.ok("DELETE", f"/users/{ada}")
        await rig.refused(404, "GET", f"/users/{ada}")
        assert (await rig.ok("GET", f"/groups/{group}/members"))["value"] == []
        deleted = (await rig.ok("GET", "/directory/deletedItems/microsoft.graph.user"))["value"]
        assert [item["userPrincipalName"] for item in deleted] == [ada.replace("-", "") + "ada@contoso.edu"]
        second = await rig.user("ada")
        error = await rig.refused(400, "POST", f"/directory/deletedItems/{ada}/restore")
        assert "userPrincipalName" in error["message"]
        await rig.ok("DELETE", f"/users/{second}")
        restored = await rig.ok("POST", f"/directory/deletedItems/{ada}/restore")
        assert restored["id"] == ada
        assert [item["id"] for item in (await rig.ok("GET", f"/groups/{group}/members"))["value"]] == [ada]
        assert (await rig.send("DELETE", f"/directory/deletedItems/{second}")).status_code == 204
        await rig.refused(404, "DELETE", f"/directory/deletedItems/{second}")
        assert len((await rig.state())["users"]) == 1


async def test_deleted_users_are_purged_after_thirty_days(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await rig.ok("DELETE", f"/users/{await rig.user('ada')}")
        rig.clock.advance(29 * 86_400)
        rig.token = ""
        assert len((await rig.ok("GET", "/directory/deletedItems/microsoft.graph.user"))["value"]) == 1
        rig.clock.advance(2 * 86_400)
        rig.token = ""
        assert (await rig.ok("GET", "/directory/deletedItems/microsoft.graph.user"))["value"] == []


async def test_synchronised_users_refuse_mastered_attributes_but_take_education_ones(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        made = await rig.change(
            {"op": "create_user", "userPrincipalName": "ada@contoso.edu", "onPremisesSyncEnabled": True}
        )
        ada = made[0]["id"]
        error = await rig.refused(400, "PATCH", f"/users/{ada}", {"givenName": "Ada", "usageLocation": "US"})
        assert error["message"].startswith(
            "Unable to update the specified properties for on-premises mastered Directory Sync objects"
        )
        await rig.ok("PATCH", f"/users/{ada}", {"usageLocation": "US", EXTENSION + "Grade": "9"})
        await rig.ok("PATCH", f"/education/users/{ada}", {"primaryRole": "student", "student": {"externalId": "7"}})
        await rig.refused(400, "PATCH", f"/education/users/{ada}", {"primaryRole": "student", "surname": "L"})


async def test_extension_attributes_only_in_education_tenants(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada = await rig.user("ada", **{EXTENSION + "ObjectType": "Student"})
        shown = await rig.ok("GET", f"/users/{ada}?$select=id,{EXTENSION}ObjectType,{EXTENSION}Grade")
        assert shown[EXTENSION + "ObjectType"] == "Student"
        assert EXTENSION + "Grade" not in shown
        found = await rig.ok("GET", f"/users?$filter={EXTENSION}ObjectType eq 'Student'")
        assert [item["id"] for item in found["value"]] == [ada]
    async with entra(tmp_path, education=False) as rig:
        body = {**rig.user_body("ada"), EXTENSION + "ObjectType": "Student"}
        for method, path, sent in (
            ("POST", "/users", body), ("GET", f"/users?$select={EXTENSION}ObjectType", None),
            ("GET", f"/users?$filter={EXTENSION}ObjectType eq 'Student'", None), ("GET", "/education/classes", None),
        ):  # fmt: skip
            error = await rig.refused(400, method, path, sent)
            assert "Education_ObjectType" in error["message"]
            assert "does not exist as" in error["message"]


async def test_resetting_a_password_needs_its_own_permission(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada = await rig.user("ada")
        reset = {"passwordProfile": {"password": PASSWORD}}
        error = await rig.refused(403, "PATCH", f"/users/{ada}", reset)
        assert error["code"] == "Authorization_RequestDenied"
        await rig.change({"op": "grant_role", "role": "User-PasswordProfile.ReadWrite.All"})
        rig.token = ""
        await rig.ok("PATCH", f"/users/{ada}", reset)


async def test_directory_quota(tmp_path: Path) -> None:
    async with entra(tmp_path, object_quota=2) as rig:
        first = await rig.user()
        await rig.user()
        error = await rig.refused(403, "POST", "/users", rig.user_body("third"))
        assert error["code"] == "Directory_QuotaExceeded"
        await rig.ok("DELETE", f"/users/{first}")
        await rig.refused(403, "POST", "/users", rig.user_body("third"))
        await rig.ok("DELETE", f"/directory/deletedItems/{first}")
        await rig.user("third")


async def test_state_never_shows_passwords(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await rig.user("ada")
        state = await rig.state()
        assert state["users"][0]["password_set"] is True
        assert PASSWORD not in str(state)
        assert PASSWORD not in str(rig.journal.read())
