"""A PowerSchool sandbox on a real socket, and a small client that knows its tokens."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sds_daemon.sandbox.clock import SandboxClock
from sds_daemon.sandbox.district.generate import generate
from sds_daemon.sandbox.district.model import District
from sds_daemon.sandbox.faults import FaultPlan
from sds_daemon.sandbox.journal import Journal
from sds_daemon.sandbox.powerschool.app import PowerSchoolSandbox
from sds_daemon.sandbox.powerschool.settings import PowerSchoolOptions
from sds_daemon.sandbox.serving import Servers

TODAY = dt.date(2026, 11, 25)
CLIENT = ("b1f2c3d4-plugin", "s3cret")


@dataclass
class Rig:
    """The server, a client for it, and what the client needs to know."""

    sandbox: PowerSchoolSandbox
    http: httpx.AsyncClient
    clock: SandboxClock
    faults: FaultPlan
    journal: Journal
    token: str = ""

    @property
    def district(self) -> District:
        return self.sandbox.district

    async def fetch_token(self, path: str = "/oauth/access_token/", auth: tuple[str, str] = CLIENT) -> httpx.Response:
        answer = await self.http.post(path, auth=auth, data={"grant_type": "client_credentials"})
        if answer.status_code == 200:
            self.token = answer.json()["access_token"]
        return answer

    async def get(self, path: str, accept: str = "application/json", **params: Any) -> httpx.Response:
        if not self.token:
            await self.fetch_token()
        headers = {"authorization": f"Bearer {self.token}", "accept": accept}
        return await self.http.get(path, params=params or None, headers=headers)

    async def json(self, path: str, **params: Any) -> Any:
        answer = await self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def query(self, name: str, body: Any = None, **params: Any) -> httpx.Response:
        """Calls a PowerQuery; `name` may end in /count."""
        if not self.token:
            await self.fetch_token()
        headers = {"authorization": f"Bearer {self.token}", "accept": "application/json"}
        path = f"/ws/schema/query/{name}"
        return await self.http.post(path, params=params, headers=headers, json={} if body is None else body)

    async def records(self, name: str, body: Any = None, **params: Any) -> list[dict[str, Any]]:
        """The rows of a PowerQuery that must succeed, all of them unless `params` say otherwise."""
        answer = await self.query(name, body, **{"pagesize": 0, **params})
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json().get("record", [])
        return rows

    async def plugin(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Administers the plugin."""
        status, answer = await self.sandbox.admin("POST", "/_sandbox/powerschool/plugin", {}, body)
        assert isinstance(answer, dict)
        return status, answer

    async def change(self, *operations: dict[str, Any]) -> list[dict[str, Any]]:
        status, body = await self.sandbox.admin("POST", "/_sandbox/powerschool/change", {}, list(operations))
        assert status == 200, body
        results: list[dict[str, Any]] = body["results"]  # type: ignore[index]
        return results

    async def refused(self, *operations: dict[str, Any]) -> str:
        status, body = await self.sandbox.admin("POST", "/_sandbox/powerschool/change", {}, list(operations))
        assert status == 400, body
        return str(body["error"])  # type: ignore[index]

    async def set(self, **settings: Any) -> None:
        status, body = await self.sandbox.admin("POST", "/_sandbox/powerschool/settings", {}, settings)
        assert status == 200, body


@contextlib.asynccontextmanager
async def running(district: District | None = None, plugin: Path | None = None, **settings: Any) -> AsyncIterator[Rig]:
    """A plain http server for the district (a generated one of 120 students without it), with this plugin if any."""
    clock, faults = SandboxClock(start=dt.datetime.combine(TODAY, dt.time(18), dt.UTC)), FaultPlan()
    journal = Journal(clock)
    district = district or generate(students=120, seed=7, today=TODAY)
    options = PowerSchoolOptions(*CLIENT, settings, plugin)
    sandbox = PowerSchoolSandbox(district, options, clock, faults, journal)
    servers = Servers(Path("unused"))
    url = servers.add(sandbox.app, tls=False)
    await servers.start()
    try:
        async with httpx.AsyncClient(base_url=url) as http:
            yield Rig(sandbox, http, clock, faults, journal)
    finally:
        await servers.stop()


def items(value: Any) -> list[Any]:
    """What an element repeated in XML looks like in the server's JSON, as a list."""
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]
