"""An Entra sandbox on real sockets, and a small client that fetches its own token."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trustme

from sds_daemon.sandbox.clock import SandboxClock
from sds_daemon.sandbox.entra import EntraOptions, EntraSandbox
from sds_daemon.sandbox.faults import FaultPlan
from sds_daemon.sandbox.journal import Journal
from sds_daemon.sandbox.serving import Servers

PASSWORD = "xY12345678!"
STUDENT_SKU = "314c4481-f395-4525-be8b-2ec4bb1e9d91"
FACULTY_SKU = "94763226-9b3c-4e75-a931-5c89701abe66"
EXTENSION = "extension_fe2174665583431c953114ff7268b7b3_Education_"


@dataclass
class Rig:
    """The servers' URLs, the sandbox behind them, and a client."""

    sandbox: EntraSandbox
    http: httpx.AsyncClient
    graph: str
    authority: str
    clock: SandboxClock
    faults: FaultPlan
    journal: Journal
    token: str = ""
    made: int = 0

    async def fetch_token(self, **changes: str) -> httpx.Response:
        options = self.sandbox.options
        form = {
            "grant_type": "client_credentials",
            "client_id": options.client_id,
            "client_secret": options.client_secret,
            "scope": f"{self.graph}/.default",
            **changes,
        }
        form = {name: value for name, value in form.items() if value}
        tenant = form.pop("tenant", options.tenant_id)
        return await self.http.post(f"{self.authority}/{tenant}/oauth2/v2.0/token", data=form)

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        if not self.token:
            self.token = (await self.fetch_token()).json()["access_token"]
        url = path if path.startswith("http") else f"{self.graph}/v1.0{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(
            method, url, json=body, headers={"Authorization": f"Bearer {self.token}", **named}
        )

    async def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = await self.send(method, path, body, **headers)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def refused(self, status: int, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """The `error` of an answer that must have this status."""
        answer = await self.send(method, path, body, **headers)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        error: dict[str, Any] = answer.json()["error"]
        return error

    async def batch(self, *items: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Send a batch; answers by id. Items without id are numbered from 1, bodies get their content type."""
        requests = []
        for number, item in enumerate(items, 1):
            headers = {"headers": {"Content-Type": "application/json"}} if "body" in item else {}
            requests.append({"id": str(number), **headers, **item})
        answer = await self.ok("POST", "/$batch", {"requests": requests})
        return {item["id"]: item for item in answer["responses"]}

    def user_body(self, name: str, **more: Any) -> dict[str, Any]:
        return {
            "accountEnabled": True,
            "displayName": name,
            "mailNickname": name,
            "userPrincipalName": f"{name}@contoso.edu",
            "usageLocation": "US",
            "passwordProfile": {"password": PASSWORD},
            **more,
        }

    async def user(self, name: str = "", **more: Any) -> str:
        self.made += 1
        made: str = (await self.ok("POST", "/users", self.user_body(name or f"user{self.made}", **more)))["id"]
        return made

    async def group(self, nickname: str = "", **more: Any) -> str:
        self.made += 1
        nickname = nickname or f"Section_{self.made}"
        body = {"displayName": nickname, "mailEnabled": True, "mailNickname": nickname, "securityEnabled": False,
                "groupTypes": ["Unified"], **more}  # fmt: skip
        made: str = (await self.ok("POST", "/groups", body))["id"]
        return made

    async def school_class(self, nickname: str = "", **more: Any) -> str:
        self.made += 1
        nickname = nickname or f"Section_{self.made}"
        body = {"displayName": nickname, "mailNickname": nickname, **more}
        made: str = (await self.ok("POST", "/education/classes", body))["id"]
        return made

    def users_url(self, *ids: str) -> list[str]:
        return [f"{self.graph}/v1.0/users/{object_id}" for object_id in ids]

    def ref(self, object_id: str, collection: str = "users") -> dict[str, str]:
        return {"@odata.id": f"{self.graph}/v1.0/{collection}/{object_id}"}

    async def change(self, *operations: dict[str, Any]) -> list[dict[str, Any]]:
        status, body = await self.sandbox.admin("POST", "change", {}, list(operations))
        assert status == 200, body
        assert isinstance(body, dict)
        results: list[dict[str, Any]] = body["results"]
        return results

    async def settings(self, **values: Any) -> None:
        status, body = await self.sandbox.admin("POST", "settings", {}, values)
        assert status == 200, body

    async def state(self) -> dict[str, Any]:
        status, body = await self.sandbox.admin("GET", "state", {}, None)
        assert status == 200
        assert isinstance(body, dict)
        return body

    async def group_state(self, group_id: str) -> dict[str, Any]:
        found: dict[str, Any] = next(group for group in (await self.state())["groups"] if group["id"] == group_id)
        return found

    async def user_state(self, user_id: str) -> dict[str, Any]:
        found: dict[str, Any] = next(user for user in (await self.state())["users"] if user["id"] == user_id)
        return found


@contextlib.asynccontextmanager
async def entra(
    folder: Path, *, tls: bool = False, scale: float = 1.0, http2: bool = False, **options: Any
) -> AsyncIterator[Rig]:
    """A running sandbox; without lag and holding times unless `options` say otherwise."""
    pem, ca_file = folder / "server.pem", folder / "ca.pem"
    if tls or http2:
        authority = trustme.CA()
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
        authority.cert_pem.write_to_path(ca_file)
    clock = SandboxClock(scale)
    faults, journal = FaultPlan(), Journal(clock)
    sandbox = EntraSandbox(
        EntraOptions(**{"lag_seconds": 0.0, "service_seconds": 0.0, **options}), clock, faults, journal
    )
    servers = Servers(pem)
    graph = servers.add(sandbox.graph_app, tls=tls or http2, http2=http2)
    login = servers.add(sandbox.authority_app, tls=tls or http2)
    sandbox.set_urls(graph=graph, authority=login)
    await servers.start()
    context = ssl.create_default_context(cafile=ca_file) if tls or http2 else False
    try:
        async with httpx.AsyncClient(verify=context, http2=http2, timeout=20) as http:
            yield Rig(sandbox, http, graph, login, clock, faults, journal)
    finally:
        await servers.stop()
