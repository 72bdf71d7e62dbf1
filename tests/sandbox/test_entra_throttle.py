"""Quotas: the published buckets, what multi-adds cost, and what a refused request is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from entra_rig import Rig, entra


async def writes(rig: Rig, number: int) -> list[dict[str, object]]:
    items = [
        {"method": "POST", "url": "/users", "body": rig.user_body(f"w{rig.made}x{index}")} for index in range(number)
    ]
    rig.made += 1
    return list((await rig.batch(*items)).values())


async def test_writes_beyond_the_bucket_are_refused_per_item_and_it_refills(tmp_path: Path) -> None:
    async with entra(tmp_path, write_quota=15, write_period=150.0) as rig:
        answers = await writes(rig, 20)
        statuses = sorted(item["status"] for item in answers)  # type: ignore[type-var]
        assert statuses == [201] * 15 + [429] * 5
        refused = next(item for item in answers if item["status"] == 429)
        headers, error = refused["headers"], refused["body"]["error"]  # type: ignore[index]
        options = rig.sandbox.options
        assert headers["x-ms-throttle-information"] == "WriteLimitExceeded"
        assert headers["x-ms-throttle-scope"] == f"Tenant_Application/Write/{options.client_id}/{options.tenant_id}"
        assert 0 < float(headers["Retry-After"]) <= 25
        assert (error["code"], error["innerError"]["code"], error["innerError"]["status"]) == (
            "TooManyRequests", "429", "429")  # fmt: skip
        accepted = [item["headers"].get("x-ms-throttle-limit-percentage") for item in answers if item["status"] == 201]  # type: ignore[attr-defined]
        assert accepted.count(None) == 12
        assert {"0.87", "1.00"} <= {value for value in accepted if value}
        assert len((await rig.state())["users"]) == 15
        rig.clock.advance(150)
        assert [item["status"] for item in await writes(rig, 3)] == [201] * 3


async def test_refused_requests_count_too(tmp_path: Path) -> None:
    async with entra(tmp_path, write_quota=20, write_period=2000.0) as rig:
        await writes(rig, 20)
        await writes(rig, 2)
        rig.clock.advance(200)
        assert [item["status"] for item in await writes(rig, 1)] == [429]
        rig.clock.advance(200)
        assert [item["status"] for item in await writes(rig, 1)] == [201]


@pytest.mark.parametrize(("model", "post", "patch"), [("one", 1, 1), ("thirds", 8, 7)])
async def test_cost_of_adding_twenty(tmp_path: Path, model: str, post: int, patch: int) -> None:
    async with entra(tmp_path, cost_model=model) as rig:
        made = await rig.change(*({"op": "create_user", "userPrincipalName": f"p{n}@contoso.edu"} for n in range(40)))
        ids = [item["id"] for item in made]
        statistics = rig.sandbox.graph.throttle.statistics
        group = await rig.group(**{"members@odata.bind": rig.users_url(*ids[:20])})
        assert statistics.write_cost == post
        await rig.ok("PATCH", f"/groups/{group}", {"members@odata.bind": rig.users_url(*ids[20:])})
        assert statistics.write_cost == post + patch


@pytest.mark.parametrize("counted", [True, False])
async def test_education_writes_count_or_not(tmp_path: Path, counted: bool) -> None:
    async with entra(tmp_path, education_counted=counted, write_quota=2, write_period=10_000.0) as rig:
        statuses = [
            (await rig.send("POST", "/education/schools", {"displayName": f"S{n}"})).status_code for n in range(4)
        ]
        assert statuses == ([201, 201, 429, 429] if counted else [201] * 4)


@pytest.mark.parametrize(
    ("style", "shape"), [("integer", r"^[1-9]\d*$"), ("fractional", r"^\d+\.\d+$"), ("absent", None)]
)
async def test_retry_after_comes_in_three_ways(tmp_path: Path, style: str, shape: str | None) -> None:
    import re

    async with entra(tmp_path, retry_after=style, write_quota=1) as rig:
        await rig.user()
        answer = await rig.send("POST", "/users", rig.user_body("second"))
        assert answer.status_code == 429
        value = answer.headers.get("retry-after")
        assert value is None if shape is None else re.match(shape, value or "")


async def test_reads_cost_units_by_kind_and_options(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        group = await rig.group()
        for path, units in (
            ("/users", "2"), ("/users?$select=id", "1"), (f"/groups/{group}/members", "3"),
            (f"/groups/{group}/members?$select=id", "2"), ("/subscribedSkus", "3"), ("/groups", "1"),
            ("/users?$select=id&$top=5", "1"),
        ):  # fmt: skip
            assert (await rig.send("GET", path)).headers["x-ms-resource-unit"] == units
        answer = await rig.send("POST", "/directoryObjects/getByIds?$select=id", {"ids": [group]})
        assert answer.headers["x-ms-resource-unit"] == "2"
        assert (await rig.send("POST", "/directoryObjects/getByIds", {"ids": [group]})).headers[
            "x-ms-resource-unit"
        ] == "5"


async def test_units_run_out_by_tenant_size_and_the_tenant_has_a_cap_of_its_own(tmp_path: Path) -> None:
    async with entra(tmp_path, tenant_write_quota=1, tenant_write_period=1000.0) as rig:
        await rig.user()
        answer = await rig.send("POST", "/users", rig.user_body("second"))
        assert answer.headers["x-ms-throttle-scope"].startswith("Tenant/Write/")
    async with entra(tmp_path, tenant_size="S") as rig:
        bucket = rig.sandbox.graph.throttle
        answers = await rig.batch(*({"method": "GET", "url": "/subscribedSkus"} for _ in range(20)))
        assert all(item["status"] == 200 for item in answers.values())
        assert bucket.statistics.resource_units == 60


async def test_quota_scales_with_time(tmp_path: Path) -> None:
    async with entra(tmp_path, write_quota=2, write_period=1e6, scale=5.0) as rig:
        statuses = [item["status"] for item in await writes(rig, 12)]
        assert statuses.count(201) == 10


async def test_statistics(tmp_path: Path) -> None:
    async with entra(tmp_path, write_quota=3, write_period=1e6) as rig:
        await writes(rig, 5)
        await rig.ok("GET", "/users")
        status, found = await rig.sandbox.admin("GET", "statistics", {}, None)
        assert status == 200
        assert isinstance(found, dict)
        assert (found["write_cost"], found["refused"], found["by_kind"]) == (3, 2, {"POST /users": 3})
        assert found["batch_items"] == 5
        assert found["first_write"] <= found["last_write"]


@pytest.mark.parametrize("wrong", [{"cost_model": "two"}, {"nothing": 1}, {"write_quota": "many"}, {"education": 1}])
async def test_wrong_settings_change_nothing(tmp_path: Path, wrong: dict[str, object]) -> None:
    async with entra(tmp_path) as rig:
        before = await rig.sandbox.admin("GET", "settings", {}, None)
        status, _ = await rig.sandbox.admin("POST", "settings", {}, {"lag_seconds": 9, **wrong})
        assert status == 400
        assert await rig.sandbox.admin("GET", "settings", {}, None) == before
