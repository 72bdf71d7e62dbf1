"""Delta queries: full pass, changes, links, removals, $select, minimal answers, expiry, lag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from entra_rig import Rig, entra


async def follow(rig: Rig, url: str, **headers: str) -> tuple[list[dict[str, Any]], str]:
    """All items of a delta round and the link for the next."""
    items: list[dict[str, Any]] = []
    while True:
        page = await rig.ok("GET", url, **headers)
        items += page["value"]
        if "@odata.deltaLink" in page:
            assert "@odata.nextLink" not in page
            return items, page["@odata.deltaLink"]
        url = page["@odata.nextLink"]


async def test_full_pass_then_changes_only(tmp_path: Path) -> None:
    async with entra(tmp_path, delta_page_size=2) as rig:
        ids = [await rig.user(f"u{n}") for n in range(5)]
        items, link = await follow(rig, "/users/delta?$select=id,userPrincipalName,givenName")
        assert [item["id"] for item in items] == ids
        assert "givenName" not in items[0]
        assert link.startswith(f"{rig.graph}/v1.0/users/delta?$deltatoken=")
        assert await follow(rig, link) != ([], link)
        await rig.ok("PATCH", f"/users/{ids[0]}", {"givenName": "Ada"})
        await rig.ok("PATCH", f"/users/{ids[1]}", {"department": "unselected"})
        await rig.ok("DELETE", f"/users/{ids[2]}")
        new = await rig.user("new")
        items, link = await follow(rig, link)
        by_id = {item["id"]: item for item in items}
        assert set(by_id) == {ids[0], ids[2], new}
        assert by_id[ids[0]] == {"id": ids[0], "userPrincipalName": "u0@contoso.edu", "givenName": "Ada"}
        assert by_id[ids[2]] == {"id": ids[2], "@removed": {"reason": "changed"}}
        await rig.ok("DELETE", f"/directory/deletedItems/{ids[2]}")
        items, link = await follow(rig, link)
        assert items == [{"id": ids[2], "@removed": {"reason": "deleted"}}]
        assert (await follow(rig, link))[0] == []


async def test_minimal_answers_name_only_what_changed(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada = await rig.user("ada")
        _, link = await follow(rig, "/users/delta")
        await rig.ok("PATCH", f"/users/{ada}", {"givenName": "Ada"})
        items, _ = await follow(rig, link, Prefer="return=minimal")
        assert items == [{"id": ada, "givenName": "Ada"}]


async def test_links_of_groups(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada, bob = await rig.user("ada"), await rig.user("bob")
        group = await rig.school_class("algebra")
        await rig.ok("PATCH", f"/groups/{group}", {
            "members@odata.bind": rig.users_url(ada), "owners@odata.bind": rig.users_url(bob)})  # fmt: skip
        items, link = await follow(rig, "/groups/delta?$select=displayName,members,owners")
        person = {"@odata.type": "#microsoft.graph.user"}
        assert items == [{"id": group, "displayName": "algebra", "members@delta": [{**person, "id": ada}],
                          "owners@delta": [{**person, "id": bob}]}]  # fmt: skip
        await rig.ok("POST", f"/groups/{group}/members/$ref", rig.ref(bob))
        await rig.ok("DELETE", f"/groups/{group}/members/{ada}/$ref")
        items, link = await follow(rig, link)
        changes = {entry["id"]: entry.get("@removed") for entry in items[0]["members@delta"]}
        assert changes == {ada: {"reason": "deleted"}, bob: None}
        assert "owners@delta" not in items[0]
        _, named = await follow(rig, "/groups/delta?$select=displayName")
        await rig.ok("POST", f"/groups/{group}/owners/$ref", rig.ref(ada))
        assert (await follow(rig, named))[0] == []
        assert [entry["id"] for entry in (await follow(rig, link))[0][0]["owners@delta"]] == [ada]


async def test_purging_a_user_shows_in_the_groups(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada = await rig.user("ada")
        await rig.group(**{"members@odata.bind": rig.users_url(ada)})
        _, link = await follow(rig, "/groups/delta?$select=members")
        await rig.change({"op": "purge_user", "id": ada})
        items, _ = await follow(rig, link)
        assert items[0]["members@delta"][0]["@removed"] == {"reason": "deleted"}


async def test_latest_starts_from_now(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await rig.user("ada")
        items, link = await follow(rig, "/users/delta?$deltatoken=latest")
        assert items == []
        bob = await rig.user("bob")
        assert [item["id"] for item in (await follow(rig, link))[0]] == [bob]


@pytest.mark.parametrize("kind", ["schools", "classes", "users"])
async def test_education_delta(tmp_path: Path, kind: str) -> None:
    async with entra(tmp_path) as rig:
        await rig.group("plain")
        await rig.ok("POST", "/directory/administrativeUnits", {"displayName": "plain"})
        school = (await rig.ok("POST", "/education/schools", {"displayName": "S", "externalId": "1"}))["id"]
        made = {"schools": school, "classes": await rig.school_class("c"), "users": await rig.user("ada")}
        items, link = await follow(rig, f"/education/{kind}/delta")
        assert [item["id"] for item in items] == [made[kind]]
        change = {"schools": {"phone": "1"}, "classes": {"grade": "9"}, "users": {"primaryRole": "teacher"}}[kind]
        await rig.ok("PATCH", f"/education/{kind}/{made[kind]}", change)
        items, _ = await follow(rig, link)
        assert change.items() <= items[0].items()


async def test_tokens_end(tmp_path: Path) -> None:
    async with entra(tmp_path, token_lifetime=10_000_000) as rig:
        await rig.user("ada")
        _, link = await follow(rig, "/users/delta?$select=id")
        await rig.settings(expire_delta=True)
        answer = await rig.send("GET", link)
        assert answer.status_code == 410
        assert answer.json()["error"]["code"] == "resyncRequired"
        items, link = await follow(rig, answer.headers["location"])
        assert len(items) == 1
        rig.clock.advance(8 * 86_400)
        assert (await rig.refused(400, "GET", link))["code"] == "syncStateNotFound"
        await rig.refused(400, "GET", "/users/delta?$deltatoken=nonsense")
        await rig.refused(400, "GET", "/users/delta?$top=5")
        other = (await follow(rig, "/groups/delta"))[1].partition("?")[2]
        await rig.refused(400, "GET", f"/users/delta?{other}")


async def test_a_change_not_yet_spread_comes_later_and_is_never_lost(tmp_path: Path) -> None:
    async with entra(tmp_path, token_lifetime=100_000) as rig:
        _, link = await follow(rig, "/users/delta?$select=id,givenName")
        await rig.settings(lag_seconds=3000.0)
        ada = await rig.user("ada")
        items, link = await follow(rig, link)
        assert items == []
        rig.clock.advance(3001)
        items, link = await follow(rig, link)
        assert [item["id"] for item in items] == [ada]
        await rig.ok("PATCH", f"/users/{ada}", {"givenName": "Ada"})
        assert (await follow(rig, link))[0] == []
        rig.clock.advance(3001)
        assert (await follow(rig, link))[0] == [{"id": ada, "givenName": "Ada"}]


async def test_filter_by_ids(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada = await rig.user("ada")
        await rig.user("bob")
        items, _ = await follow(rig, f"/users/delta?$filter=id eq '{ada}'")
        assert [item["id"] for item in items] == [ada]
        await rig.refused(400, "GET", "/users/delta?$filter=displayName eq 'ada'")
