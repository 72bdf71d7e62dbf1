"""Lists: paging, filters by index and by scan, advanced queries, licences, tenant-wide objects, replication lag."""

from __future__ import annotations

from pathlib import Path

import pytest
from entra_rig import FACULTY_SKU, STUDENT_SKU, Rig, entra


async def names(rig: Rig, query: str, **headers: str) -> list[str]:
    found = await rig.ok("GET", f"/users?{query}", **headers)
    return sorted(item["displayName"] for item in found["value"])


async def test_pages_follow_the_next_link_to_the_end(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await rig.change(*({"op": "create_user", "userPrincipalName": f"u{n}@contoso.edu"} for n in range(250)))
        url, seen, pages = "/users?$select=id&$top=100", [], 0
        while url:
            page = await rig.ok("GET", url)
            seen += [item["id"] for item in page["value"]]
            url, pages = page.get("@odata.nextLink", ""), pages + 1
            assert not url or url.startswith(f"{rig.graph}/v1.0/users?")
        assert (len(set(seen)), len(seen), pages) == (250, 250, 3)
        assert len((await rig.ok("GET", "/users"))["value"]) == 100
        first = await rig.ok("GET", "/users?$top=1")
        await rig.change({"op": "expire_pages"})
        assert (await rig.refused(400, "GET", first["@odata.nextLink"]))["code"] == "Directory_ExpiredPageToken"


async def test_filters(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await rig.user("ada", givenName="Ada", department="Grade 9", mail="ada.l@contoso.edu")
        await rig.user("o'hara", givenName="Ann", department="grade 9", accountEnabled=False)
        await rig.user("bob", employeeId="7")
        for query, wanted in (
            ("$filter=userPrincipalName eq 'ADA@contoso.edu'", ["ada"]),
            ("$filter=userPrincipalName in ('ada@contoso.edu','BOB@contoso.edu','nobody@contoso.edu')", ["ada", "bob"]),
            ("$filter=mail eq 'Ada.L@contoso.edu'", ["ada"]),
            ("$filter=userPrincipalName eq 'o''hara@contoso.edu'", ["o'hara"]),
            ("$filter=startswith(givenName,'a')", ["ada", "o'hara"]),
            ("$filter=department eq 'Grade 9' and accountEnabled eq true", ["ada"]),
            ("$filter=employeeId eq '7' or givenName eq 'Ada'", ["ada", "bob"]),
            ("$filter=(employeeId eq '7' or givenName eq 'Ada') and mailNickname eq 'bob'", ["bob"]),
            ("$filter=mailNickname eq 'bob' or mailNickname eq 'ada'", ["ada", "bob"]),
            ("$filter=proxyAddresses/any(p:p eq 'SMTP:ada.l@contoso.edu')", ["ada"]),
        ):  # fmt: skip
            assert await names(rig, query) == wanted, query


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("$filter=nickname eq 'x'", "BadRequest"),
        ("$filter=userPrincipalName eq ada", "BadRequest"),
        ("$filter=userPrincipalName eq", "BadRequest"),
        ("$filter=aboutMe eq 'x'", "Request_UnsupportedQuery"),
        ("$filter=endswith(mail,'x')", "Request_UnsupportedQuery"),
        ("$filter=givenName ne 'x'", "Request_UnsupportedQuery"),
        ("$filter=not(givenName eq 'x')", "Request_UnsupportedQuery"),
        ("$filter=id in (" + ",".join(f"'{n}'" for n in range(16)) + ")", "Request_UnsupportedQuery"),
        ("$filter=" + " or ".join(f"id eq '{n}'" for n in range(16)), "Request_UnsupportedQuery"),
        ("$select=nickname", "BadRequest"),
        ("$top=1000", "BadRequest"),
        ("$top=0", "BadRequest"),
        ("$skip=5", "Request_UnsupportedQuery"),
        ("$colour=blue", "BadRequest"),
    ],
)
async def test_queries_graph_refuses(tmp_path: Path, query: str, code: str) -> None:
    async with entra(tmp_path) as rig:
        assert (await rig.refused(400, "GET", f"/users?{query}"))["code"] == code


async def test_fifteen_terms_and_advanced_queries_work_with_their_header(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await rig.user("ada")
        await rig.user("bob")
        fifteen = ",".join(f"'{n}@contoso.edu'" for n in ["ada", *range(14)])
        assert await names(rig, f"$filter=userPrincipalName in ({fifteen})") == ["ada"]
        query = "$filter=endswith(userPrincipalName,'a@contoso.edu')&$count=true"
        await rig.refused(400, "GET", f"/users?{query}")
        assert await names(rig, query, ConsistencyLevel="eventual") == ["ada"]
        counted = await rig.ok("GET", "/users?$count=true&$top=1", ConsistencyLevel="eventual")
        assert (counted["@odata.count"], len(counted["value"])) == (2, 1)
        await rig.refused(400, "GET", "/users/$count")
        answer = await rig.send("GET", "/users/$count", ConsistencyLevel="eventual")
        assert answer.text == "2"


async def test_ids_in_bulk_and_one_by_one(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada, group = await rig.user("ada"), await rig.group()
        body = {"ids": [ada, group, "00000000-0000-4000-8000-000000000000"]}
        found = (await rig.ok("POST", "/directoryObjects/getByIds", body))["value"]
        assert {item["@odata.type"] for item in found} == {"#microsoft.graph.user", "#microsoft.graph.group"}
        found = (await rig.ok("POST", "/directoryObjects/getByIds", {**body, "types": ["user"]}))["value"]
        assert [item["id"] for item in found] == [ada]
        await rig.refused(400, "POST", "/directoryObjects/getByIds", {"ids": [ada] * 1001})
        tenant = (await rig.ok("GET", "/organization"))["value"][0]
        assert [domain["name"] for domain in tenant["verifiedDomains"]] == ["contoso.edu", "contoso.onmicrosoft.com"]
        assert tenant["onPremisesSyncEnabled"] is None


async def test_licences(tmp_path: Path) -> None:
    async with entra(tmp_path, exclusive_skus=True) as rig:
        await rig.change({"op": "set_seats", "sku": "STANDARDWOFFPACK_STUDENT", "enabled": 1})
        ada, bob = await rig.user("ada"), await rig.user("bob")
        nowhere = await rig.user("carl", usageLocation=None)

        def add(*skus: str) -> dict[str, object]:
            return {"addLicenses": [{"skuId": sku} for sku in skus], "removeLicenses": []}

        path = "/users/{}/assignLicense"
        assert (await rig.send("POST", path.format(ada), add(STUDENT_SKU))).status_code == 200
        shown = await rig.ok("GET", f"/users/{ada}?$select=mail,assignedLicenses,assignedPlans")
        assert shown["mail"] == "ada@contoso.edu"
        assert shown["assignedLicenses"] == [{"skuId": STUDENT_SKU, "disabledPlans": []}]
        assert "exchange" in {plan["service"] for plan in shown["assignedPlans"]}
        details = (await rig.ok("GET", f"/users/{ada}/licenseDetails"))["value"]
        assert [item["skuPartNumber"] for item in details] == ["STANDARDWOFFPACK_STUDENT"]
        for user, body, words in (
            (bob, add(STUDENT_SKU), f"Subscription with SKU {STUDENT_SKU} does not have any available licenses."),
            (nowhere, add(FACULTY_SKU), "License assignment cannot be done for user with invalid usage location."),
            (bob, add(ada), f"License {ada} does not correspond to a valid company License."),
            (ada, add(FACULTY_SKU), "License assignment failed because service plans"),
            (bob, {"addLicenses": [], "removeLicenses": [FACULTY_SKU]}, "User does not have a corresponding license."),
            (bob, {"addLicenses": []}, "The parameter 'removeLicenses' is required"),
        ):  # fmt: skip
            assert (await rig.refused(400, "POST", path.format(user), body))["message"].startswith(words)
        seats = {
            item["skuPartNumber"]: item["consumedUnits"] for item in (await rig.ok("GET", "/subscribedSkus"))["value"]
        }
        assert seats == {"STANDARDWOFFPACK_STUDENT": 1, "STANDARDWOFFPACK_FACULTY": 0}
        await rig.ok("POST", path.format(ada), {"addLicenses": [], "removeLicenses": [STUDENT_SKU]})
        await rig.ok("POST", path.format(bob), add(STUDENT_SKU))
        await rig.ok("DELETE", f"/users/{bob}")
        assert (await rig.state())["subscribedSkus"][0]["consumedUnits"] == 0


async def test_young_objects_are_not_seen_but_their_names_are_taken(tmp_path: Path) -> None:
    async with entra(tmp_path, token_lifetime=100_000) as rig:
        old = await rig.group()
        await rig.settings(lag_seconds=3000.0)
        ada, section = await rig.user("ada"), await rig.school_class("Section_9", externalId="9")
        for path in (f"/users/{ada}", "/users/ada@contoso.edu", f"/groups/{section}", f"/education/classes/{section}"):
            await rig.refused(404, "GET", path)
        assert await names(rig, "$filter=userPrincipalName eq 'ada@contoso.edu'") == []
        assert (await rig.ok("GET", "/education/classes?$filter=externalId eq '9'"))["value"] == []
        error = await rig.refused(404, "PATCH", f"/groups/{old}", {"members@odata.bind": rig.users_url(ada)})
        assert ada in error["message"]
        await rig.refused(404, "PATCH", f"/groups/{section}", {"description": "x"})
        assert "userPrincipalName" in (await rig.refused(400, "POST", "/users", rig.user_body("ada")))["message"]
        body = {"displayName": "x", "mailNickname": "Section_9"}
        assert "mailNickname" in (await rig.refused(400, "POST", "/education/classes", body))["message"]
        assert len((await rig.state())["users"]) == 1
        rig.clock.advance(3001)
        await rig.ok("PATCH", f"/groups/{old}", {"members@odata.bind": rig.users_url(ada)})
        assert (await rig.ok("GET", f"/groups/{old}/members"))["value"] == []
        error = await rig.refused(400, "POST", f"/groups/{old}/members/$ref", rig.ref(ada))
        assert "already exist" in error["message"]
        await rig.ok("PATCH", f"/users/{ada}", {"givenName": "Ada"})
        assert (await rig.ok("GET", f"/users/{ada}"))["givenName"] is None
        rig.clock.advance(3001)
        assert (await rig.ok("GET", f"/users/{ada}"))["givenName"] == "Ada"
        assert len((await rig.ok("GET", f"/groups/{old}/members"))["value"]) == 1


async def test_licences_by_group(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await rig.change({"op": "set_seats", "sku": "STANDARDWOFFPACK_STUDENT", "enabled": 1})
        ada, bob, group = await rig.user("ada"), await rig.user("bob"), await rig.group("students")
        path = f"/groups/{group}"
        await rig.ok("POST", f"{path}/members/$ref", rig.ref(ada))
        answer = await rig.send(
            "POST", f"{path}/assignLicense", {"addLicenses": [{"skuId": STUDENT_SKU}], "removeLicenses": []}
        )
        assert answer.status_code == 202
        await rig.ok("POST", f"{path}/members/$ref", rig.ref(bob))
        states = {
            user: (await rig.ok("GET", f"/users/{user}?$select=licenseAssignmentStates"))["licenseAssignmentStates"][0]
            for user in (ada, bob)
        }
        assert [states[user]["error"] for user in (ada, bob)] == ["None", "CountViolation"]
        assert states[ada]["assignedByGroup"] == group
        failed = (await rig.ok("GET", f"{path}/membersWithLicenseErrors"))["value"]
        assert [user["id"] for user in failed] == [bob]
        body = {"addLicenses": [], "removeLicenses": [STUDENT_SKU]}
        error = await rig.refused(400, "POST", f"/users/{ada}/assignLicense", body)
        assert "inherited from a group membership" in error["message"]
        await rig.refused(400, "DELETE", path)
        await rig.ok("DELETE", f"{path}/members/{ada}/$ref")
        await rig.ok("POST", f"/users/{bob}/reprocessLicenseAssignment")
        assert (await rig.user_state(bob))["licenses"] == [STUDENT_SKU]
        assert (await rig.user_state(ada))["licenses"] == []
        assert (await rig.state())["subscribedSkus"][0]["consumedUnits"] == 1
