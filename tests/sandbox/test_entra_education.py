"""/education: classes are groups, schools are administrative units, people are users with an education side."""

from __future__ import annotations

from pathlib import Path

from entra_rig import EXTENSION, PASSWORD, entra


async def test_a_class_is_a_unified_group_of_the_same_id(tmp_path: Path) -> None:
    async with entra(tmp_path, group_mail_domain="groups.contoso.edu") as rig:
        body = {
            "displayName": "Algebra", "mailNickname": "Section_7", "externalId": "7", "externalSource": "sis",
            "externalSourceDetail": "district", "classCode": "A1",
            "course": {"displayName": "Algebra", "externalId": "c"},
            "term": {"displayName": "S1", "startDate": "2026-08-01", "endDate": "2026-12-20", "externalId": "t"},
        }  # fmt: skip
        made = await rig.ok("POST", "/education/classes", body)
        assert body.items() <= made.items()
        group = await rig.ok("GET", f"/groups/{made['id']}")
        assert (group["groupTypes"], group["mail"]) == (["Unified"], "Section_7@groups.contoso.edu")
        patched = await rig.send(
            "PATCH", f"/education/classes/{made['id']}", {"displayName": "Algebra I", "grade": "9"}
        )
        assert (patched.status_code, patched.json()["displayName"]) == (200, "Algebra I")
        assert (await rig.ok("GET", f"/groups/{made['id']}"))["displayName"] == "Algebra I"
        state = await rig.group_state(made["id"])
        assert (state["externalId"], state["is_class"], state["term"]["startDate"]) == ("7", True, "2026-08-01")
        await rig.ok("DELETE", f"/education/classes/{made['id']}")
        await rig.refused(404, "GET", f"/groups/{made['id']}")
        assert (await rig.ok("GET", "/education/classes?$filter=externalId eq '7'"))["value"] == []


async def test_plain_groups_are_no_classes(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        group = await rig.group()
        await rig.refused(404, "GET", f"/education/classes/{group}")
        assert (await rig.ok("GET", "/education/classes"))["value"] == []


async def test_closed_types_and_enumerations(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        body = {"displayName": "x", "mailNickname": "x"}
        for wrong in (
            {EXTENSION + "Period": "1"}, {"visibility": "Private"},
            {"externalSource": "lms"}, {"term": {"startDate": "1/8/2026"}},
            {"term": {"name": "S1"}}, {"course": "Algebra"},
        ):  # fmt: skip
            assert (await rig.refused(400, "POST", "/education/classes", {**body, **wrong}))["code"] == "BadRequest"
        made = await rig.ok("POST", "/education/classes", {**body, "externalSource": "SIS"})
        assert made["externalSource"] == "sis"


async def test_teachers_are_owners_and_not_thereby_members(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada, section = await rig.user("ada"), await rig.school_class()
        path = f"/education/classes/{section}"
        await rig.ok("POST", f"{path}/teachers/$ref", rig.ref(ada, "education/users"))
        state = await rig.group_state(section)
        assert (state["owners"], state["members"]) == ([ada], [])
        await rig.ok("POST", f"{path}/members/$ref", rig.ref(ada, "education/users"))
        error = await rig.refused(400, "POST", f"{path}/members/$ref", rig.ref(ada, "education/users"))
        assert "already exist" in error["message"]
        assert [item["id"] for item in (await rig.ok("GET", f"{path}/teachers"))["value"]] == [ada]
        assert [item["id"] for item in (await rig.ok("GET", f"/education/users/{ada}/taughtClasses"))["value"]] == [
            section
        ]
        error = await rig.refused(400, "DELETE", f"{path}/teachers/{ada}/$ref")
        assert "at least one owner" in error["message"]
        await rig.ok("DELETE", f"{path}/members/{ada}/$ref")
        error = await rig.refused(400, "DELETE", f"{path}/members/{ada}/$ref")
        assert error["message"].startswith("One or more removed object references do not exist")


async def test_a_school_is_an_administrative_unit(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        school = await rig.ok("POST", "/education/schools", {"displayName": "North", "externalId": "10", "phone": "1"})
        unit = await rig.ok("GET", f"/directory/administrativeUnits/{school['id']}")
        assert unit["displayName"] == "North"
        ada, section = await rig.user("ada"), await rig.school_class()
        path = f"/education/schools/{school['id']}"
        await rig.ok("POST", f"{path}/users/$ref", rig.ref(ada, "education/users"))
        await rig.ok("POST", f"{path}/classes/$ref", rig.ref(section, "education/classes"))
        error = await rig.refused(400, "POST", f"{path}/users/$ref", rig.ref(ada, "education/users"))
        assert error["message"].startswith("A conflicting object with one or more of the specified property values")
        assert [item["id"] for item in (await rig.ok("GET", f"{path}/classes"))["value"]] == [section]
        assert [item["id"] for item in (await rig.ok("GET", f"{path}/users"))["value"]] == [ada]
        assert [item["id"] for item in (await rig.ok("GET", f"/education/classes/{section}/schools"))["value"]] == [
            school["id"]
        ]
        state = (await rig.state())["schools"][0]
        assert (state["users"], state["classes"], state["externalId"]) == ([ada], [section], "10")
        plain = await rig.group()
        await rig.refused(404, "POST", f"{path}/classes/$ref", rig.ref(plain, "education/classes"))
        await rig.ok("DELETE", f"{path}/users/{ada}/$ref")
        assert (await rig.state())["schools"][0]["users"] == []


async def test_people(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        body = {
            "accountEnabled": True, "displayName": "Ada", "mailNickname": "ada", "primaryRole": "student",
            "userPrincipalName": "ada@contoso.edu", "passwordProfile": {"password": PASSWORD},
            "student": {"externalId": "7", "grade": "9"}, "externalSource": "sis",
        }  # fmt: skip
        error = await rig.refused(400, "POST", "/education/users", {**body, "primaryRole": None})
        assert "primaryRole" in error["message"]
        error = await rig.refused(400, "POST", "/education/users", {**body, "jobTitle": "x"})
        assert error["code"] == "BadRequest"
        made = await rig.ok("POST", "/education/users", body)
        assert made["student"] == {"externalId": "7", "grade": "9"}
        assert (await rig.ok("GET", f"/users/{made['id']}"))["displayName"] == "Ada"
        answer = await rig.send("PATCH", f"/education/users/{made['id']}", {"student": {"grade": "10"}})
        assert answer.status_code == 200
        state = await rig.user_state(made["id"])
        assert state["education"]["primaryRole"] == "student"
        plain = await rig.user("bob")
        assert (await rig.ok("GET", f"/education/users/{plain}"))["primaryRole"] == "none"


async def test_no_education_in_national_clouds(tmp_path: Path) -> None:
    async with entra(tmp_path, education_api=False) as rig:
        error = await rig.refused(400, "GET", "/education/schools")
        assert error["message"] == "Resource not found for the segment 'education'."
