"""Groups and their links: inline references, caps, all-or-nothing, last owner, concurrency across batches."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from entra_rig import EXTENSION, Rig, entra

MISSING = "00000000-0000-4000-8000-000000000000"


async def people(rig: Rig, number: int) -> list[str]:
    made = await rig.change(
        *({"op": "create_user", "userPrincipalName": f"p{rig.made}-{index}@contoso.edu"} for index in range(number))
    )
    rig.made += 1
    return [item["id"] for item in made]


async def test_create_binds_up_to_twenty_in_sum(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ids = await people(rig, 21)
        owner, members = ids[0], ids
        group = await rig.group("algebra", **{
            "owners@odata.bind": rig.users_url(owner), "members@odata.bind": rig.users_url(*members[:19]),
            "visibility": "HiddenMembership", EXTENSION + "ObjectType": "Section",
        })  # fmt: skip
        state = await rig.group_state(group)
        assert (state["owners"], state["members"]) == ([owner], sorted(members[:19]))
        assert state["mail"] == "algebra@contoso.edu"
        too_many: dict[str, Any] = {
            "displayName": "x", "mailEnabled": True, "mailNickname": "x", "securityEnabled": False,
            "groupTypes": ["Unified"], "owners@odata.bind": rig.users_url(owner),
            "members@odata.bind": rig.users_url(*members[:20]),
        }  # fmt: skip
        assert "20" in (await rig.refused(400, "POST", "/groups", too_many))["message"]
        assert len((await rig.state())["groups"]) == 1


async def test_patch_adds_all_or_none(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ids = await people(rig, 21)
        group = await rig.group()
        patch = f"/groups/{group}"
        await rig.ok("PATCH", patch, {"members@odata.bind": rig.users_url(ids[0])})
        error = await rig.refused(400, "PATCH", patch, {"members@odata.bind": rig.users_url(*ids[:3])})
        assert error["message"] == (
            "One or more added object references already exist for the following modified properties: 'members'."
        )
        error = await rig.refused(404, "PATCH", patch, {"members@odata.bind": rig.users_url(ids[1], MISSING)})
        assert MISSING in error["message"]
        await rig.refused(400, "PATCH", patch, {"members@odata.bind": rig.users_url(*ids)})
        await rig.refused(
            400, "PATCH", patch, {"members@odata.bind": ["https://elsewhere.example/v1.0/users/" + ids[1]]}
        )
        await rig.refused(
            400, "PATCH", patch,
            {"owners@odata.bind": rig.users_url(ids[1]), "members@odata.bind": rig.users_url(ids[0]),
             "description": "n"},
        )  # fmt: skip
        state = await rig.group_state(group)
        assert (state["members"], state["owners"], state["description"]) == ([ids[0]], [], None)


async def test_single_references(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada, bob = await people(rig, 2)
        group = await rig.group()
        for relation in ("members", "owners"):
            path = f"/groups/{group}/{relation}"
            assert (await rig.send("POST", f"{path}/$ref", rig.ref(ada, "directoryObjects"))).status_code == 204
            error = await rig.refused(400, "POST", f"{path}/$ref", rig.ref(ada))
            assert f"already exist for the following modified properties: '{relation}'" in error["message"]
            assert MISSING in (await rig.refused(404, "POST", f"{path}/$ref", rig.ref(MISSING)))["message"]
            assert bob in (await rig.refused(404, "DELETE", f"{path}/{bob}/$ref"))["message"]
        error = await rig.refused(400, "DELETE", f"/groups/{group}/owners/{ada}/$ref")
        assert error["message"] == "The group must have at least one owner, hence this owner cannot be removed."
        await rig.ok("POST", f"/groups/{group}/owners/$ref", rig.ref(bob))
        await rig.ok("DELETE", f"/groups/{group}/owners/{ada}/$ref")
        await rig.ok("DELETE", f"/groups/{group}/members/{ada}/$ref")
        state = await rig.group_state(group)
        assert (state["owners"], state["members"]) == ([bob], [])


async def test_a_hundred_owners_and_the_quota_speaks_before_the_duplicate(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ids = await people(rig, 110)
        made = await rig.change({"op": "create_group", "mailNickname": "big", "owners": ids[:81]})
        group = made[0]["id"]
        error = await rig.refused(403, "PATCH", f"/groups/{group}", {"owners@odata.bind": rig.users_url(*ids[75:95])})
        assert error["code"] == "Directory_QuotaExceeded"
        assert error["message"] == (
            "Unable to perform operation as '101' would exceed the maximum quota count '100' for forward-link 'owners'."
        )
        await rig.ok("PATCH", f"/groups/{group}", {"owners@odata.bind": rig.users_url(*ids[81:100])})
        await rig.refused(403, "POST", f"/groups/{group}/owners/$ref", rig.ref(ids[105]))


@pytest.mark.parametrize("nickname", ["a b", "a.b", "a@b", "ä", "a,b", "x" * 65])
async def test_nicknames_with_forbidden_characters(tmp_path: Path, nickname: str) -> None:
    async with entra(tmp_path) as rig:
        body = {"displayName": "x", "mailEnabled": True, "mailNickname": nickname, "securityEnabled": False,
                "groupTypes": ["Unified"]}  # fmt: skip
        error = await rig.refused(400, "POST", "/groups", body)
        assert "mailNickname" in error["message"]


async def test_nickname_is_unique_until_the_group_is_deleted(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        first = await rig.group("algebra")
        body = {"displayName": "x", "mailNickname": "Algebra"}
        error = await rig.refused(400, "POST", "/education/classes", body)
        assert error["message"] == "Another object with the same value for property mailNickname already exists."
        await rig.ok("DELETE", f"/groups/{first}")
        await rig.school_class("algebra")
        error = await rig.refused(400, "POST", f"/directory/deletedItems/{first}/restore")
        assert "mailNickname" in error["message"]


async def test_some_properties_only_at_creation_and_some_only_later(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        group = await rig.group()
        for change in (
            {"resourceBehaviorOptions": ["WelcomeEmailDisabled"]}, {"visibility": "HiddenMembership"},
            {"creationOptions": ["classAssignments"]}, {"mail": "a@contoso.edu"},
        ):  # fmt: skip
            await rig.refused(400, "PATCH", f"/groups/{group}", change)
        await rig.ok("PATCH", f"/groups/{group}", {"hideFromAddressLists": True})
        body = {"displayName": "x", "mailEnabled": True, "mailNickname": "x", "securityEnabled": False,
                "groupTypes": ["Unified"]}  # fmt: skip
        await rig.refused(400, "POST", "/groups", {**body, "hideFromAddressLists": True})
        await rig.refused(400, "POST", "/groups", {**body, "resourceBehaviorOptions": ["NoSuch"]})
        await rig.refused(400, "POST", "/groups", {**body, "groupTypes": []})


async def test_hidden_members_need_their_own_permission(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada = (await people(rig, 1))[0]
        group = await rig.group(visibility="HiddenMembership", **{"members@odata.bind": rig.users_url(ada)})
        assert len((await rig.ok("GET", f"/groups/{group}/members"))["value"]) == 1
        await rig.change({"op": "revoke_role", "role": "Member.Read.Hidden"})
        assert (await rig.refused(401, "GET", f"/groups/{group}"))["code"] == "InvalidAuthenticationToken"
        rig.token = ""
        assert (await rig.ok("GET", f"/groups/{group}/members"))["value"] == []


async def test_delete_without_ref_deletes_the_person(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada = await rig.user("ada")
        group = await rig.group(**{"members@odata.bind": rig.users_url(ada)})
        await rig.ok("DELETE", f"/groups/{group}/members/{ada}")
        assert (await rig.user_state(ada))["deleted"] is True


async def test_writes_to_one_object_collide_in_and_across_batches(tmp_path: Path) -> None:
    async with entra(tmp_path, service_seconds=0.2) as rig:
        ids = await people(rig, 4)
        group, other = await rig.group(), await rig.group()
        path = f"/groups/{group}/members/$ref"
        answers = await rig.batch(
            {"method": "POST", "url": path, "body": rig.ref(ids[0])},
            {"method": "POST", "url": path, "body": rig.ref(ids[1])},
            {"method": "POST", "url": f"/groups/{other}/members/$ref", "body": rig.ref(ids[1])},
        )
        assert {key: item["status"] for key, item in answers.items()} == {"1": 204, "2": 409, "3": 204}
        assert answers["2"]["body"]["error"]["code"] == "Directory_ConcurrencyViolation"
        assert answers["2"]["body"]["error"]["message"] == (
            "Error due to concurrent requests being made to the tenant. Please wait briefly and retry."
        )
        both = await asyncio.gather(
            rig.batch({"method": "POST", "url": path, "body": rig.ref(ids[2])}),
            rig.batch({"method": "POST", "url": path, "body": rig.ref(ids[3])}),
        )
        assert sorted(answer["1"]["status"] for answer in both) == [204, 409]
        assert len((await rig.group_state(group))["members"]) == 2


async def test_units_hold_users_and_groups_and_an_object_is_in_thirty_at_most(tmp_path: Path) -> None:
    async with entra(tmp_path, max_units=2) as rig:
        ada, group = await rig.user("ada"), await rig.group()
        units = [
            (await rig.ok("POST", "/directory/administrativeUnits", {"displayName": f"U{n}"}))["id"] for n in range(3)
        ]
        add = "/directory/administrativeUnits/{}/members/$ref"
        await rig.ok("POST", add.format(units[0]), rig.ref(ada))
        await rig.ok("POST", add.format(units[0]), rig.ref(group, "groups"))
        members = (await rig.ok("GET", f"/directory/administrativeUnits/{units[0]}/members?$select=id"))["value"]
        assert [(item["@odata.type"], item["id"]) for item in members] == [
            ("#microsoft.graph.user", ada), ("#microsoft.graph.group", group)]  # fmt: skip
        assert "conflicting object" in (await rig.refused(400, "POST", add.format(units[0]), rig.ref(ada)))["message"]
        await rig.ok("POST", add.format(units[1]), rig.ref(ada))
        await rig.refused(403, "POST", add.format(units[2]), rig.ref(ada))
        await rig.ok("DELETE", f"/directory/administrativeUnits/{units[0]}/members/{ada}/$ref")
        await rig.refused(404, "DELETE", f"/directory/administrativeUnits/{units[0]}/members/{ada}/$ref")
        memberships = (await rig.ok("GET", f"/users/{ada}/memberOf"))["value"]
        assert [item["id"] for item in memberships] == [units[1]]


async def test_a_rule_alone_decides_who_is_in_a_dynamic_group(tmp_path: Path) -> None:
    """Members can be added neither singly nor together; owners can."""
    async with entra(tmp_path) as rig:
        (someone,) = await people(rig, 1)
        group = await rig.group("seniors", groupTypes=["Unified", "DynamicMembership"])
        path = f"/groups/{group}"
        await rig.refused(403, "POST", f"{path}/members/$ref", rig.ref(someone))
        await rig.refused(403, "PATCH", path, {"members@odata.bind": rig.users_url(someone)})
        await rig.ok("POST", f"{path}/owners/$ref", rig.ref(someone))
        assert (await rig.group_state(group))["members"] == []


async def test_the_licences_of_a_group_are_shown_to_who_asks_for_them(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        made = {
            "op": "create_group",
            "mailNickname": "pupils",
            "groupTypes": [],
            "licenses": ["STANDARDWOFFPACK_STUDENT"],
        }
        group = (await rig.change(made))[0]["id"]
        shown = await rig.ok("GET", f"/groups/{group}?$select=id,assignedLicenses")
        assert [each["skuId"] for each in shown["assignedLicenses"]] == ["314c4481-f395-4525-be8b-2ec4bb1e9d91"]
        assert "assignedLicenses" not in await rig.ok("GET", f"/groups/{group}")
