"""$batch: its envelope, dependencies, per-item answers, injected faults inside and outside, and the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from entra_rig import Rig, entra

JSON = {"Content-Type": "application/json"}


def get(item_id: str, **more: Any) -> dict[str, Any]:
    return {"id": item_id, "method": "GET", "url": "/users", **more}


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [get(str(number)) for number in range(21)],
        [get("a"), get("A")],
        [{"method": "GET", "url": "/users"}],
        [{"id": "1", "method": "POST", "url": "/users", "body": {"a": 1}}],
        [{"id": "1", "method": "POST", "url": "/users", "headers": JSON}],
        [get("1"), get("2", dependsOn=["3"])],
        [get("1"), get("2"), get("3", dependsOn=["1"]), get("4", dependsOn=["2"])],
        "nonsense",
    ],
)
async def test_malformed_batches_are_refused_whole(tmp_path: Path, requests: Any) -> None:
    async with entra(tmp_path) as rig:
        error = await rig.refused(400, "POST", "/$batch", {"requests": requests})
        assert error["code"] == "BadRequest"
        assert rig.sandbox.graph.throttle.statistics.batch_items == 0


async def test_items_answer_by_id_with_their_own_status(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        answers = await rig.batch(
            {"method": "POST", "url": "/users", "body": rig.user_body("ada")},
            {"method": "GET", "url": "users/nobody"},
            {"method": "GET", "url": "/v1.0/users"},
            {"method": "GET", "url": "https://graph.microsoft.com/v1.0/users"},
            {"method": "PUT", "url": "/users", "body": {}},
            {"method": "POST", "url": "/$batch", "body": {"requests": []}},
        )
        assert {key: item["status"] for key, item in answers.items()} == {
            "1": 201, "2": 404, "3": 400, "4": 400, "5": 405, "6": 400}  # fmt: skip
        assert answers["1"]["body"]["userPrincipalName"] == "ada@contoso.edu"
        assert "does not exist or one of its queried" in answers["2"]["body"]["error"]["message"]
        assert answers["3"]["body"]["error"]["message"] == "Resource not found for the segment 'v1.0'."
        ada = answers["1"]["body"]["id"]
        done = (await rig.batch({"method": "PATCH", "url": f"/users/{ada}", "body": {"givenName": "Ada"}}))["1"]
        assert done["status"] == 204
        assert "body" not in done


async def test_answers_come_in_any_order(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        sent = [get(str(number)) for number in range(20)]
        answer = await rig.ok("POST", "/$batch", {"requests": sent})
        order = [item["id"] for item in answer["responses"]]
        assert sorted(order) == sorted(item["id"] for item in sent)
        assert order != [item["id"] for item in sent]


async def test_a_failed_prerequisite_fails_its_dependants(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        ada = await rig.user("ada")
        path = f"/users/{ada}"
        answers = await rig.batch(
            {"method": "PATCH", "url": path, "body": {"givenName": "A"}},
            {"method": "PATCH", "url": path, "body": {"usageLocation": "XX"}, "dependsOn": ["1"]},
            {"method": "PATCH", "url": path, "body": {"givenName": "B"}, "dependsOn": ["2"]},
            {"method": "PATCH", "url": path, "body": {"givenName": "C"}, "dependsOn": ["3"]},
        )
        assert [answers[key]["status"] for key in "1234"] == [204, 400, 424, 424]
        assert answers["3"]["body"]["error"]["code"] == "FailedDependency"
        assert (await rig.user_state(ada))["givenName"] == "A"


async def test_the_log_has_a_row_for_the_batch_and_one_for_each_item(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await rig.batch(get("x"), {"method": "POST", "url": "/users", "body": rig.user_body("ada")})
        rows = rig.journal.read(side="graph")["requests"]
        assert [(row["method"], row["path"], row["item"], row["status"]) for row in rows] == [
            ("POST", "/$batch", None, 200), ("GET", "/users", "x", 200), ("POST", "/users", "2", 201)]  # fmt: skip
        assert rows[1]["batch"] == rows[2]["batch"] == rows[0]["n"]
        assert rows[2]["body"]["passwordProfile"] == {"password": "[hidden]"}
        assert rows[0]["body"]["requests"][1]["body"]["passwordProfile"] == {"password": "[hidden]"}


async def faulty(rig: Rig, **fault: Any) -> None:
    rig.faults.add({"side": "graph", **fault})


async def test_faults_strike_single_items(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await faulty(rig, kind="status", status=503, method="POST", path="^/users$", times=1)
        await faulty(rig, kind="lost_answer", method="POST", path="^/users$", times=1)
        bodies = [{"method": "POST", "url": "/users", "body": rig.user_body(name)} for name in ("a", "b", "c")]
        answers = await rig.batch(*bodies)
        assert [answers[key]["status"] for key in "123"] == [503, 504, 201]
        made = sorted(user["userPrincipalName"] for user in (await rig.state())["users"])
        assert made == ["b@contoso.edu", "c@contoso.edu"]
        assert rig.faults.list()[0]["hits_by"] == {"POST /users": 1}
        assert [row["fault"] for row in rig.journal.read()["requests"] if row["batch"]] == [
            "status",
            "lost_answer",
            None,
        ]


async def test_an_answer_lost_after_the_batch_was_carried_out(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await faulty(rig, kind="lost_answer", path="batch", inner=False, times=1)
        with pytest.raises(httpx.RemoteProtocolError):
            await rig.batch({"method": "POST", "url": "/users", "body": rig.user_body("ada")})
        assert len((await rig.state())["users"]) == 1
        await faulty(rig, kind="reset", path="batch", inner=False, times=1)
        with pytest.raises(httpx.RemoteProtocolError):
            await rig.batch({"method": "POST", "url": "/users", "body": rig.user_body("bob")})
        assert len((await rig.state())["users"]) == 1


@pytest.mark.parametrize("kind", ["truncate", "html", "redirect", "expire_token", "slow", "delay"])
async def test_other_faults_on_outer_requests(tmp_path: Path, kind: str) -> None:
    async with entra(tmp_path, scale=10.0) as rig:
        await faulty(rig, kind=kind, path="^/users", times=1, seconds=0.5)
        if kind == "truncate":
            with pytest.raises(httpx.RemoteProtocolError):
                await rig.send("GET", "/users")
        else:
            answer = await rig.send("GET", "/users")
            wanted = {"html": 503, "redirect": 302, "expire_token": 401, "slow": 200, "delay": 200}
            assert answer.status_code == wanted[kind]
            if kind == "slow":
                assert answer.json()["value"] == []
        await rig.ok("GET", "/users")


async def test_faults_are_counted_skipped_and_refused_when_wrong(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await faulty(rig, kind="status", status=500, after=1, times=1)
        assert [(await rig.send("GET", "/users")).status_code for _ in range(3)] == [200, 500, 200]
        for wrong in ({"kind": "nope"}, {"kind": "status", "colour": 1}, {"kind": "status", "path": "("}):
            with pytest.raises(ValueError, match=r"kind|keys|path"):
                await faulty(rig, **wrong)
