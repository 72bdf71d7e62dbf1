"""A sandbox tenant over TLS on loopback, and our transport to it with real azure-identity credentials."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from sds_daemon.clock import Clock
from sds_daemon.config.secrets import Secret
from sds_daemon.config.settings import TenantSettings
from sds_daemon.sandbox.clock import SandboxClock
from sds_daemon.sandbox.entra import EntraOptions, EntraSandbox
from sds_daemon.sandbox.faults import FaultPlan
from sds_daemon.sandbox.journal import Journal
from sds_daemon.sandbox.serving import Servers
from sds_daemon.targets.entra.transport import GraphTransport

SOURCE = "7f2c1a5e-0d3b-4e86-9a41-c2b7d5e81f30"


@dataclass
class Live:
    """The sandbox, its URLs, and settings that reach it."""

    sandbox: EntraSandbox
    faults: FaultPlan
    journal: Journal
    settings: TenantSettings

    def transport(self, *, read_only: bool = False, **changes: Any) -> GraphTransport:
        return GraphTransport(self.settings.model_copy(update=changes), Clock(), read_only=read_only)

    async def change(self, *operations: dict[str, Any]) -> list[dict[str, Any]]:
        status, body = await self.sandbox.admin("POST", "change", {}, list(operations))
        assert status == 200, body
        assert isinstance(body, dict)
        results: list[dict[str, Any]] = body["results"]
        return results

    async def option(self, **values: Any) -> None:
        status, body = await self.sandbox.admin("POST", "settings", {}, values)
        assert status == 200, body

    async def state(self) -> Any:
        return (await self.sandbox.admin("GET", "state", {}, None))[1]

    def requests(self, path: str) -> int:
        """How often a Graph path was asked for, outside batches."""
        return sum(row["path"] == path and row["batch"] is None for row in self.journal.read("graph")["requests"])


@contextlib.asynccontextmanager
async def live(folder: Path, *, http2: bool = False, **options: Any) -> AsyncIterator[Live]:
    """A running sandbox without lag unless `options` say otherwise."""
    pem, ca_file = folder / "server.pem", folder / "ca.pem"
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    authority.cert_pem.write_to_path(ca_file)
    clock = SandboxClock(1.0)
    faults, journal = FaultPlan(), Journal(clock)
    chosen = EntraOptions(**{"lag_seconds": 0.0, "service_seconds": 0.0, "delta_page_size": 7, **options})
    sandbox = EntraSandbox(chosen, clock, faults, journal)
    servers = Servers(pem)
    graph = servers.add(sandbox.graph_app, tls=True, http2=http2)
    login = servers.add(sandbox.authority_app, tls=True)
    sandbox.set_urls(graph=graph, authority=login)
    await servers.start()
    tenant = TenantSettings(
        name="contoso",
        tenant_id=chosen.tenant_id,
        client_id=chosen.client_id,
        client_secret=Secret(chosen.client_secret),
        cloud="custom",
        authority=login,
        graph_url=graph,
        ca_file=ca_file,
        lag_horizon=0.9,
    )
    try:
        yield Live(sandbox, faults, journal, tenant)
    finally:
        await servers.stop()


def person(number: int, **more: Any) -> dict[str, Any]:
    """A `create_user` operation; every third one is a teacher."""
    role = "teacher" if number % 3 == 0 else "student"
    return {
        "op": "create_user",
        "userPrincipalName": f"p{number}@contoso.edu",
        "mailNickname": f"p{number}",
        "displayName": f"Person {number}",
        "education": {
            "primaryRole": role,
            "externalSource": "sis",
            "externalSourceDetail": SOURCE,
            role: {"externalId": str(number), "grade": "07"} if role == "student" else {"externalId": str(number)},
        },
        **more,
    }
