"""PowerQueries over HTTP: pages, streams, counts, filters, grants, errors, and what changes in the district."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from plugin_files import FIELDS, QUERY, SQL, files, plugin_xml, query_xml, written
from powerschool_rig import TODAY, running

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.generate import generate

UNORDERED = SQL.replace("ORDER BY cc.dcid", "")


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    return written(tmp_path / "plugin", files())


def package(folder: Path, query: str, *fields: str) -> Path:
    return written(folder, files(query, plugin_xml((*FIELDS, *fields))))


async def test_a_stream_has_every_row_as_text_in_order_and_no_length(plugin: Path) -> None:
    async with running(plugin=plugin) as rig:
        answer = await rig.query(QUERY, pagesize=0, page=7)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/json")
        assert answer.headers["transfer-encoding"] == "chunked" and "content-length" not in answer.headers
        body = answer.json()
        table = rig.district.enrollments
        views = [table.view(row) for row in table.rows()]
        assert body == {
            "name": "CC", "@extensions": "",
            "record": [
                {"_name": "CC", "_id": v.dcid, "id": str(v.dcid), "section": str(v.section), "entry": str(v.entry_date)}
                for v in views
            ],
        }  # fmt: skip


async def test_pages_put_together_are_the_stream(plugin: Path) -> None:
    async with running(plugin=plugin) as rig:
        whole = await rig.records(QUERY)
        pages: list[dict[str, Any]] = []
        for page in range(1, 100):
            answer = await rig.query(QUERY, pagesize=37, page=page)
            assert "content-length" in answer.headers
            if "record" not in answer.json():
                break
            pages += answer.json()["record"]
        assert pages == whole and len(whole) > 37
        assert len((await rig.query(QUERY)).json()["record"]) == 100


async def test_a_page_size_is_not_bounded_by_the_plugins(plugin: Path) -> None:
    async with running(plugin=plugin, table_page_size=10) as rig:
        assert len((await rig.query(QUERY, pagesize=500)).json()["record"]) == 500


async def test_counts_come_alone_and_with_the_rows(plugin: Path) -> None:
    async with running(plugin=plugin) as rig:
        count = len(rig.district.enrollments)
        assert (await rig.query(f"{QUERY}/count")).json() == {"count": count}
        assert (await rig.query(QUERY, pagesize=1, count="true")).json()["count"] == count
        assert (await rig.query(QUERY, pagesize=0, count="true")).json()["count"] == count
        assert "count" not in (await rig.query(QUERY, pagesize=1)).json()
        await rig.set(count_drift=2)
        assert (await rig.query(f"{QUERY}/count")).json() == {"count": count + 2}
        assert (await rig.query(QUERY, pagesize=0, count="true")).json()["count"] == count


async def test_no_rows_leave_no_record_key_and_one_row_is_still_a_list(tmp_path: Path) -> None:
    sql = "SELECT cc.dcid, cc.dcid, cc.dcid FROM cc WHERE cc.dcid BETWEEN :first AND :last ORDER BY cc.dcid"
    args = '<arg name="first" required="true"/><arg name="last" required="true"/>'
    async with running(plugin=package(tmp_path, query_xml(sql, args=args))) as rig:
        nothing = {"first": 1, "last": 2}
        assert (await rig.query(QUERY, nothing)).json() == {"@extensions": ""}
        assert (await rig.query(QUERY, nothing, pagesize=0)).json() == {}
        assert (await rig.query(QUERY, nothing, count="true")).json() == {"count": 0, "@extensions": ""}
        assert (await rig.query(QUERY, {"first": 5001, "last": 5001})).json()["record"][0]["id"] == "5001"
        assert len(await rig.records(QUERY, {"first": "5001", "last": "5003"})) == 3


async def test_rows_that_are_not_flattened_lie_below_their_tables(tmp_path: Path) -> None:
    columns = (("CC.DCID", "dcid"), ("SECTIONS.DCID", "sections.dcid"), ("CC.DATEENROLLED", "cc.entry"))
    async with running(plugin=package(tmp_path, query_xml(columns=columns, flattened=False))) as rig:
        body = (await rig.query(QUERY, pagesize=1)).json()
        section = str(rig.district.enrollments.section[0])
        tables = {"cc": {"dcid": "5001", "entry": "2026-07-01"}, "sections": {"dcid": section}}
        assert body == {"name": "CC", "record": [{"id": 5001, "name": "cc", "tables": tables}], "@extensions": ""}


async def test_nulls_and_empty_texts_are_left_out(tmp_path: Path) -> None:
    sql = "SELECT s.dcid, s.middle_name, s.last_name FROM students s ORDER BY s.dcid"
    columns = (("STUDENTS.DCID", "id"), ("STUDENTS.MIDDLE_NAME", "middle"), ("STUDENTS.LAST_NAME", "last"))
    fields = ("students.dcid", "students.middle_name", "students.last_name")
    async with running(plugin=package(tmp_path, query_xml(sql, columns, core="students"), *fields)) as rig:
        for row in await rig.records(QUERY):
            student = rig.district.students[int(row["id"])]
            assert row.get("middle", "") == student.middle_name and row["last"] == student.last_name
            assert "middle" not in row or row["middle"]


async def test_pages_without_an_order_overlap_and_leave_gaps(tmp_path: Path) -> None:
    async with running(plugin=package(tmp_path, query_xml(UNORDERED))) as rig:
        whole = {row["id"] for row in await rig.records(QUERY)}
        paged = [
            row["id"] for page in range(1, 21) for row in (await rig.query(QUERY, page=page)).json().get("record", [])
        ]
        assert len(paged) == len(whole) and set(paged) < whole
        ordered = [
            row["id"]
            for page in range(1, 21)
            for row in (await rig.query(QUERY, page=page, order="CC.DCID;desc")).json().get("record", [])
        ]
        assert set(ordered) == whole and ordered == sorted(ordered, key=int, reverse=True)


async def test_rows_level_in_the_order_change_places_from_call_to_call(tmp_path: Path) -> None:
    sql = SQL.replace("ORDER BY cc.dcid", "ORDER BY s.dcid")
    async with running(plugin=package(tmp_path, query_xml(sql))) as rig:
        answers = [await rig.records(QUERY) for _ in range(12)]
        assert all([row["section"] for row in rows] == [row["section"] for row in answers[0]] for rows in answers)
        assert any(rows != answers[0] for rows in answers)


async def test_filter_order_and_projection(plugin: Path) -> None:
    async with running(plugin=plugin) as rig:
        whole = await rig.records(QUERY)
        section = whole[0]["section"]
        body = {"$q": f"section=={section};id=gt=5003", "projection": "id;cc.dateenrolled"}
        found = await rig.records(QUERY, body, order="id;desc")
        wanted = [row for row in whole if row["section"] == section and int(row["id"]) > 5003]
        assert [(row["id"], row["entry"]) for row in found] == [(r["id"], r["entry"]) for r in reversed(wanted)]
        assert found and "section" not in found[0]
        assert (await rig.query(f"{QUERY}/count", {"$q": "entry==2026-07-*"})).json()["count"] > 0
        assert await rig.records(QUERY, {"$q": "entry==\0"}) == []


@pytest.mark.parametrize(
    ("body", "params"),
    [
        ({"$q": "id==(1,2)"}, {}),
        ({"$q": "id==1,id==2"}, {}),
        ({"$q": "nothing==1"}, {}),
        ({"$q": "id==x"}, {}),
        ({"$q": 5}, {}),
        ({"projection": "nothing"}, {}),
        ({"surplus": 1}, {}),
        ({"$dataversion": "0", "$dataversion_applicationname": "nobody"}, {}),
        ({}, {"order": "nothing"}),
        ({}, {"order": "id;down"}),
        ({}, {"pagesize": "-1"}),
        ({}, {"pagesize": "ten"}),
        ({}, {"page": "0"}),
        ([], {}),
        ("text", {}),
    ],
)
async def test_calls_that_make_no_sense_are_400(plugin: Path, body: Any, params: dict[str, str]) -> None:
    async with running(plugin=plugin) as rig:
        answer = await rig.query(QUERY, body, **params)
        assert answer.status_code == 400 and answer.json()["message"]


async def test_arguments_are_required_typed_and_have_defaults(tmp_path: Path) -> None:
    sql = """SELECT c.dcid, c.dcid, c.dcid FROM cc c JOIN sections s ON s.id = c.sectionid
        WHERE s.dcid IN (:sections) AND c.dcid >= :least AND UPPER(:word) = :word"""
    args = (
        '<arg name="sections" type="array" required="true"/><arg name="least" default="5002"/>'
        '<arg name="word" default="up" casing="upper"/>'
    )
    async with running(plugin=package(tmp_path, query_xml(sql, args=args))) as rig:
        table = rig.district.enrollments
        section = table.section[0]
        rows = [row["id"] for row in await rig.records(QUERY, {"sections": [section]}, order="id")]
        live = [row for row in table.of_section(section) if table.state[row] == model.LIVE]
        assert rows == [str(row + 5001) for row in live if row > 0]
        assert len(await rig.records(QUERY, {"sections": [section], "least": 1})) == len(live)
        assert (await rig.query(QUERY, {})).status_code == 400
        assert (await rig.query(QUERY, {"sections": section})).status_code == 400
        assert (await rig.query(QUERY, {"sections": [section], "least": [1]})).status_code == 400
        assert (await rig.query(QUERY, {"sections": [section], "least": {}})).status_code == 400
        too_long = await rig.query(QUERY, {"sections": list(range(1001))})
        assert too_long.status_code == 500 and "ORA-01795" in too_long.json()["message"]


async def test_methods_bodies_and_names(plugin: Path) -> None:
    async with running(plugin=plugin) as rig:
        path = f"/ws/schema/query/{QUERY}"
        assert (await rig.get(path)).status_code == 405
        assert (await rig.query(f"{QUERY}x")).status_code == 404
        headers = {"authorization": f"Bearer {rig.token}", "accept": "application/json"}
        empty = await rig.http.post(path, headers={**headers, "content-type": "application/json"})
        assert empty.status_code == 400
        assert (await rig.http.post(path, headers=headers, content=b"{}")).status_code == 415
        assert (await rig.http.post(path, json={})).status_code == 401


async def test_a_grant_that_is_missing_is_named(plugin: Path) -> None:
    async with running(plugin=plugin, revoked=["CC.DateEnrolled", "sections.id"]) as rig:
        answer = await rig.query(QUERY)
        assert answer.status_code == 403
        assert answer.json() == {
            "message": "Validation Failed",
            "errors": [
                {"resource": QUERY, "field": "cc.dateenrolled", "code": "No access to the field"},
                {"resource": QUERY, "field": "sections.id", "code": "No access to the field"},
            ],
        }
        await rig.set(revoked=[])
        assert (await rig.query(QUERY)).status_code == 200


async def test_a_column_that_vanishes_under_a_running_plugin_fails_the_call(plugin: Path) -> None:
    async with running(plugin=plugin) as rig:
        await rig.query(QUERY)
        await rig.set(missing_columns=["cc.dateenrolled"])
        answer = await rig.query(QUERY)
        assert answer.status_code == 500 and 'ORA-00904: "CC.DATEENROLLED"' in answer.json()["message"]
        absent = await rig.get("/ws/schema/table/cc", projection="dateenrolled")
        assert absent.status_code == 400 and "not valid column" in absent.json()["message"]


async def test_disabled_plugins_answer_nothing(plugin: Path) -> None:
    async with running(plugin=plugin) as rig:
        await rig.query(QUERY)
        await rig.plugin({"enabled": False})
        assert (await rig.query(QUERY)).status_code == 401
        await rig.plugin({"enabled": True})
        assert (await rig.query(QUERY)).status_code == 200


async def test_counts_and_rows_follow_the_district(plugin: Path) -> None:
    async with running(plugin=plugin) as rig:
        before = (await rig.query(f"{QUERY}/count")).json()["count"]
        first = await rig.records(QUERY)
        student, section = next(iter(rig.district.students)), int(first[-1]["section"])
        made = await rig.change({"op": "add_student", "school": rig.district.sections[section].school,
                                 "first_name": "A", "last_name": "B", "sections": [section]})  # fmt: skip
        after = await rig.records(QUERY)
        assert len(after) == before + 1 and after[-1]["id"] == str(made[0]["enrollments"][0])
        await rig.change({"op": "delete_student", "student": student})
        left = [
            row
            for row in range(len(rig.district.enrollments.section))
            if rig.district.enrollments.student[row] == student
        ]
        gone = {row["id"] for row in after} - {row["id"] for row in await rig.records(QUERY)}
        assert gone == {str(row + 5001) for row in left}
        await rig.change({"op": "delete_section", "section": section})
        assert all(row["section"] != str(section) for row in await rig.records(QUERY))


async def test_a_change_while_a_page_is_being_read_moves_the_pages(plugin: Path) -> None:
    async with running(plugin=plugin) as rig:
        one = (await rig.query(QUERY, pagesize=10, page=1)).json()["record"]
        await rig.change({"op": "delete_student", "student": rig.district.enrollments.student[0]})
        two = (await rig.query(QUERY, pagesize=10, page=2)).json()["record"]
        assert int(two[0]["id"]) > int(one[-1]["id"]) + 1


@pytest.mark.parametrize("kind", ["truncate", "reset", "lost_answer", "slow"])
async def test_faults_strike_streams_as_well(plugin: Path, kind: str) -> None:
    async with running(plugin=plugin) as rig:
        whole = await rig.records(QUERY)
        rig.faults.add({"side": "powerschool", "kind": kind, "path": "/query/", "times": 1, "seconds": 0.02})
        if kind == "slow":
            assert await rig.records(QUERY) == whole
        else:
            with pytest.raises(httpx.HTTPError):
                await rig.query(QUERY, pagesize=0)
        assert await rig.records(QUERY) == whole


async def test_prerendering_makes_the_answers_asked_for_before(plugin: Path) -> None:
    async with running(plugin=plugin) as rig:
        await rig.query(QUERY)
        await rig.change({"op": "delete_student", "student": next(iter(rig.district.students))})
        status, answer = await rig.sandbox.admin("POST", "/_sandbox/powerschool/prerender", {}, None)
        assert (status, answer) == (200, {"answers": 1})
        assert len(await rig.records(QUERY)) == len(rig.district.enrollments)


async def test_prerendering_takes_queries_nobody_has_asked_yet(plugin: Path) -> None:
    async with running(plugin=plugin) as rig:
        path = "/_sandbox/powerschool/prerender"
        assert await rig.sandbox.admin("POST", path, {}, {QUERY: {}}) == (200, {"answers": 1})
        for wrong in ({"no.such.query": {}}, {QUERY: {"surplus": 1}}, {QUERY: []}):
            status, answer = await rig.sandbox.admin("POST", path, {}, wrong)
            assert status == 400 and answer["error"]  # type: ignore[index]


async def test_queries_and_changes_at_once_get_along(plugin: Path) -> None:
    async with running(generate(students=400, seed=2, today=TODAY), plugin=plugin) as rig:
        await rig.fetch_token()
        students = list(rig.district.students)[:10]
        changes = [rig.change({"op": "delete_student", "student": student}) for student in students]
        calls = [rig.records(QUERY) for _ in range(10)]
        await asyncio.gather(*(job for pair in zip(changes, calls, strict=True) for job in pair))
        assert len(await rig.records(QUERY)) == len(rig.district.enrollments)
