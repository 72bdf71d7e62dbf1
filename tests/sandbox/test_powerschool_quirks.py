"""JSON that is transliterated XML, XML itself, tokens, refusals, maintenance and injected faults."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from powerschool_rig import CLIENT, Rig, running

from sds_daemon.sandbox.powerschool import xmlish


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("7", "7"), ("0", "0"), ("-5", "-5"), ("07", '"07"'), ("00", '"00"'), ("-0", '"-0"'), ("1.5", "1.5"),
        ("1.50", '"1.50"'), ("0.00", '"0.00"'), ("1E5", '"1E5"'), ("true", '"true"'), ("+1", '"+1"'), ("", '""'),
        ("12345678901234567890123", "12345678901234567890123"), ("12a", '"12a"'), ("٣", '"٣"'),
    ],
)  # fmt: skip
def test_text_that_reads_as_a_number_becomes_one(text: str, shown: str) -> None:
    import msgspec

    assert msgspec.json.encode(xmlish.to_json(text)).decode() == shown


def test_lists_collapse_at_every_depth() -> None:
    tree = {"@e": "a, b", "x": [{"y": [], "z": [{"w": ["1"]}]}], "none": None, "empty": {}, "two": ["1", "02"]}
    assert xmlish.to_json(tree) == {"@e": "a, b", "x": {"z": {"w": 1}}, "empty": "", "two": [1, "02"]}
    assert xmlish.to_json({"@e": "5", "x": []}) == {"@e": "5"}


async def test_one_row_is_an_object_many_are_an_array_none_is_no_member() -> None:
    async with running() as rig:
        section = next(iter(rig.district.sections))
        path = f"/ws/v1/section/{section}/section_enrollment"
        many = (await rig.json(path))["section_enrollments"]["section_enrollment"]
        assert isinstance(many, list)
        one = (await rig.json(path, pagesize=1))["section_enrollments"]["section_enrollment"]
        assert isinstance(one, dict) and one["dropped"] is False
        empty = next(s for s in rig.district.sections if not rig.district.enrollments.of_section(s))
        nothing = await rig.json(f"/ws/v1/section/{empty}/section_enrollment")
        assert list(nothing["section_enrollments"]) == ["@extensions"]


async def test_numeric_usernames_numbers_and_sections_lose_their_type() -> None:
    async with running() as rig:
        numeric = next(s for s in rig.district.students.values() if s.username.isdigit() and s.username[0] != "0")
        leading = next(s for s in rig.district.students.values() if s.username.startswith("00"))
        assert (await rig.json(f"/ws/v1/student/{numeric.dcid}"))["student"]["student_username"] == int(
            numeric.username
        )
        assert (await rig.json(f"/ws/v1/student/{leading.dcid}"))["student"]["student_username"] == leading.username
        await rig.change({"op": "update_section", "section": 1502, "number": "5"})
        assert (await rig.json("/ws/v1/section/1502"))["section"]["section_number"] == 5
        await rig.change({"op": "update_section", "section": 1502, "number": "05"})
        assert (await rig.json("/ws/v1/section/1502"))["section"]["section_number"] == "05"


async def test_absent_values_are_missing_and_empty_elements_are_empty_text() -> None:
    async with running() as rig:
        orphan = next(s for s in rig.district.sections.values() if s.staff is None)
        assert "staff_id" not in (await rig.json(f"/ws/v1/section/{orphan.dcid}"))["section"]
        mute = next(row for row in rig.district.staff.values() if not rig.district.users[row.user].email)
        record = (await rig.json(f"/ws/v1/staff/{mute.dcid}", expansions="emails,addresses,phones"))["staff"]
        assert (record["emails"], record["addresses"], record["phones"]) == ("", "", "")
        assert "null" not in (await rig.get("/ws/v1/district/student")).text


@pytest.mark.parametrize("accept", ["*/*", "application/xml", "text/html"])
async def test_xml_is_the_default(accept: str) -> None:
    async with running() as rig:
        answer = await rig.get("/ws/v1/district/school", accept=accept)
        assert answer.headers["content-type"].startswith("application/xml")
        root = ElementTree.fromstring(answer.text)
        assert root.tag == "schools" and root.get("expansions")
        assert [school.findtext("id") for school in root.findall("school")]
        missing = await rig.get("/ws/v1/student/1", accept=accept)
        assert ElementTree.fromstring(missing.text).findtext("message")


async def test_accept_is_case_insensitive() -> None:
    async with running() as rig:
        assert "district" in (await rig.get("/ws/v1/district", accept="Application/JSON;q=0.9")).json()


@pytest.mark.parametrize("path", ["/oauth/access_token", "/oauth/access_token/"])
async def test_the_same_token_is_handed_back_with_its_remaining_life(path: str) -> None:
    async with running() as rig:
        first = (await rig.fetch_token(path)).json()
        assert first["token_type"] == "Bearer" and first["expires_in"] == str(30 * 86400)
        rig.clock.advance(86400)
        second = (await rig.fetch_token(path)).json()
        assert second["access_token"] == first["access_token"]
        assert int(second["expires_in"]) <= 29 * 86400
        rig.clock.advance(29 * 86400)
        third = (await rig.fetch_token(path)).json()
        assert third["access_token"] != first["access_token"]


async def test_expires_in_can_be_an_integer() -> None:
    async with running(expires_in="integer", token_seconds=60) as rig:
        assert 58 <= (await rig.fetch_token()).json()["expires_in"] <= 60


async def test_token_requests_that_must_fail() -> None:
    async with running() as rig:
        wrong = await rig.fetch_token(auth=(CLIENT[0], "guess"))
        assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
        unsigned = await rig.http.post("/oauth/access_token", data={"grant_type": "client_credentials"})
        assert (unsigned.status_code, unsigned.json()["error"]) == (401, "invalid_client")
        garbage = await rig.http.post("/oauth/access_token", headers={"authorization": "Basic %%%"}, data={"a": "b"})
        assert garbage.status_code == 401
        grant = await rig.http.post("/oauth/access_token", auth=CLIENT, data={"grant_type": "password"})
        assert (grant.status_code, grant.json()["error"]) == (400, "unsupported_grant_type")
        body = await rig.http.post("/oauth/access_token", auth=CLIENT, json={"grant_type": "client_credentials"})
        assert body.status_code == 400
        assert (await rig.http.get("/oauth/access_token", auth=CLIENT)).status_code == 405
        await rig.set(plugin_enabled=False)
        assert (await rig.fetch_token()).status_code == 401


async def test_tokens_fetched_too_often_are_refused_with_a_wait() -> None:
    async with running(token_limit=3, token_window=60.0) as rig:
        assert [(await rig.fetch_token()).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert 1 <= int((await rig.fetch_token()).headers["retry-after"]) <= 60
        rig.clock.advance(61)
        assert (await rig.fetch_token()).status_code == 200


@pytest.mark.parametrize("style", ["json", "empty", "html"])
async def test_missing_wrong_and_expired_bearers_are_401(style: str) -> None:
    async with running(token_seconds=100, unauthorized_body=style) as rig:
        assert (await rig.http.get("/ws/v1/district")).status_code == 401
        wrong = await rig.http.get("/ws/v1/district", headers={"authorization": "Bearer nonsense"})
        assert wrong.status_code == 401
        assert "accessLevelV1Api" not in wrong.text
        assert (await rig.get("/ws/v1/district")).status_code == 200
        rig.clock.advance(101)
        assert (await rig.get("/ws/v1/district")).status_code == 401


async def test_v1_is_closed_from_25_2_on_without_the_access_level_but_metadata_stays_open() -> None:
    async with running(v1_access="NONE", version="25.2.0.0") as rig:
        closed = await rig.get("/ws/v1/district")
        assert closed.status_code == 401
        assert closed.json() == {
            "errorMessage": {"message": "Plugin is missing required accessLevelV1Api READ permission"}
        }
        assert (await rig.get("/ws/v1/metadata")).status_code == 200
        assert (await rig.http.get("/ws/v1/metadata", headers={"accept": "application/json"})).status_code == 200
        assert (await rig.http.get("/ws/v1/time")).status_code == 200
        await rig.set(version="25.1.0.0")
        assert (await rig.get("/ws/v1/district")).status_code == 200


async def test_maintenance_redirects_elsewhere_with_html() -> None:
    async with running(maintenance=True) as rig:
        for answer in (await rig.http.get("/ws/v1/metadata"), await rig.fetch_token()):
            assert answer.status_code == 302
            assert answer.headers["location"].startswith("https://message.powerschool.com/?server=127.0.0.1")
            assert answer.headers["content-type"].startswith("text/html")
            assert "PowerSchool page unavailable" in answer.text


async def test_doubled_slashes_are_tolerated() -> None:
    async with running() as rig:
        await rig.fetch_token()
        url = f"{rig.http.base_url}//ws/v1/district".replace("///", "//")
        headers = {"authorization": f"Bearer {rig.token}", "accept": "application/json"}
        async with httpx.AsyncClient() as plain:
            assert (await plain.get(url, headers=headers)).json()["district"]["uuid"] == rig.district.uuid
            assert plain.build_request("GET", url).url.path == "//ws/v1/district"


async def test_v1_is_read_only_and_other_paths_do_not_exist() -> None:
    async with running() as rig:
        await rig.fetch_token()
        headers = {"authorization": f"Bearer {rig.token}", "accept": "application/json"}
        assert (await rig.http.post("/ws/v1/student", headers=headers, json={})).status_code == 403
        assert (await rig.http.post("/ws/v1/section/1502", headers=headers, json={})).status_code == 405
        assert (await rig.http.delete("/ws/v1/student/1001", headers=headers)).status_code == 405
        page = await rig.get("/admin/home.html")
        assert page.status_code == 404 and page.headers["content-type"].startswith("text/html")


async def fault(rig: Rig, **spec: Any) -> None:
    rig.faults.add({"side": "powerschool", **spec})


async def test_injected_statuses_carry_their_headers_and_end_after_their_times() -> None:
    async with running() as rig:
        await rig.fetch_token()
        await fault(rig, kind="status", status=503, path="/district$", times=2, headers={"Retry-After": "1.5"})
        answers = [await rig.get("/ws/v1/district") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [503, 503, 200]
        assert answers[0].headers["retry-after"] == "1.5"
        assert rig.faults.list()[0]["hits"] == 2
        logged = rig.journal.read("powerschool")["requests"][-3:]
        assert [(row["status"], row["fault"]) for row in logged] == [(503, "status"), (503, "status"), (200, None)]


@pytest.mark.parametrize("kind", ["reset", "lost_answer", "truncate"])
async def test_injected_breakages_reach_the_client_as_network_errors(kind: str) -> None:
    async with running() as rig:
        await rig.fetch_token()
        await fault(rig, kind=kind, path="/district$", times=1)
        with pytest.raises(httpx.TransportError):
            await rig.get("/ws/v1/district")
        assert (await rig.get("/ws/v1/district")).status_code == 200


async def test_injected_html_redirect_and_lost_token() -> None:
    async with running() as rig:
        await rig.fetch_token()
        await fault(rig, kind="html", path="/district$", times=1)
        page = await rig.get("/ws/v1/district")
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        await fault(rig, kind="redirect", path="/district$", times=1)
        assert (await rig.get("/ws/v1/district")).status_code == 302
        await fault(rig, kind="expire_token", path="/district$", times=1)
        assert (await rig.get("/ws/v1/district")).status_code == 401
        assert (await rig.get("/ws/v1/district")).status_code == 401
        await rig.fetch_token()
        assert (await rig.get("/ws/v1/district")).status_code == 200


async def test_no_secret_and_no_token_in_the_request_log() -> None:
    async with running() as rig:
        token = (await rig.fetch_token()).json()["access_token"]
        await rig.get("/ws/v1/district")
        text = json.dumps(rig.journal.read())
        assert CLIENT[1] not in text and token not in text
        assert "/oauth/access_token" in text


async def test_settings_are_checked_and_change_nothing_when_wrong() -> None:
    async with running() as rig:
        before = rig.sandbox.settings
        for wrong in (
            {"v1_access": "SOME"},
            {"page_sizes": {"pupil": 5}},
            {"colour": 1},
            {"page_sizes": {"student": 0}},
        ):
            status, body = await rig.sandbox.admin("POST", "/_sandbox/powerschool/settings", {}, wrong)
            assert status == 400 and "error" in body  # type: ignore[operator]
        assert rig.sandbox.settings == before


async def test_tables_count_without_grants_and_probe_columns() -> None:
    async with running() as rig:
        table = "/ws/schema/table"
        assert await rig.json(f"{table}/students/count") == {"count": len(rig.district.students)}
        assert await rig.json(f"{table}/CC/count") == {"count": len(rig.district.enrollments)}
        absent = await rig.get(f"{table}/students", projection="zzz")
        assert absent.status_code == 400
        assert absent.json()["message"] == "Invalid field specified: zzz is not valid column for table: Students"
        closed = await rig.get(f"{table}/students", projection="id,SchoolID")
        assert closed.status_code == 403
        assert closed.json()["message"] == "At least one column lacks sufficient permission"
        assert {"code": "NoAccess", "field": "SchoolID", "resource": "Students"} in closed.json()["errors"]
        assert (await rig.get(f"{table}/teachers", projection="id")).status_code == 405
        assert (await rig.get(f"{table}/zebras/count")).status_code == 404


async def test_granted_columns_can_be_read_as_text() -> None:
    async with running(grants=["STUDENTS.DCID", "Students.Last_Name", "students.schoolid"], table_page_size=10) as rig:
        answer = await rig.json("/ws/schema/table/students", projection="dcid,last_name,schoolid", pagesize=500)
        assert answer["name"] == "Students" and len(answer["record"]) == 10
        first = answer["record"][0]["tables"]["students"]
        student = rig.district.students[int(first["dcid"])]
        assert first["last_name"] == student.last_name
        assert first["schoolid"] == str(rig.district.schools[student.school].number)
        single = await rig.json("/ws/schema/table/students", projection="dcid", pagesize=1)
        assert isinstance(single["record"], list)


async def test_event_subscriptions_are_replaced_as_a_whole() -> None:
    async with running() as rig:
        await rig.fetch_token()
        headers = {"authorization": f"Bearer {rig.token}", "accept": "application/json"}
        path = "/ws/v1/event_subscription"
        one = {"resource": "/ws/v1/student/*", "event_type": "INSERT"}
        body = {"key": "k1", "callback_url": "https://daemon.example/events", "event_subscription": [one]}
        assert (await rig.http.put(path, headers=headers, json={"event_subscriptions": body})).status_code == 201
        shown = (await rig.json(path))["event_subscriptions"]
        assert shown == {**body, "event_subscription": one}
        assert (await rig.http.put(path, headers=headers, json={"event_subscriptions": body})).status_code == 204
        for wrong in (
            {},
            {**body, "event_subscription": [{**one, "event_type": "EXPLODE"}]},
            {**body, "callback_url": ""},
        ):
            answer = await rig.http.put(path, headers=headers, json={"event_subscriptions": wrong})
            assert answer.status_code == 500
        assert (await rig.http.put(path, headers=headers, content=b"<x/>")).status_code == 415
        assert (await rig.http.delete(path, headers=headers)).status_code == 204
        assert (await rig.http.delete(path, headers=headers)).status_code == 404
