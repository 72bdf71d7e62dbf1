"""The Entra half of the sandbox in one object: token authority, Graph, and their administration."""

from __future__ import annotations

from functools import partial

from sds_daemon.sandbox.asgi import ASGIApp, app
from sds_daemon.sandbox.clock import SandboxClock
from sds_daemon.sandbox.entra.admin import Administration
from sds_daemon.sandbox.entra.authority import Authority, Tokens
from sds_daemon.sandbox.entra.graph import GraphApp
from sds_daemon.sandbox.entra.group_licensing import members_changed
from sds_daemon.sandbox.entra.options import EntraOptions
from sds_daemon.sandbox.entra.tenant import Tenant
from sds_daemon.sandbox.faults import FaultPlan
from sds_daemon.sandbox.journal import Journal


class EntraSandbox:
    """`authority_app` and `graph_app` are ASGI applications; call `set_urls` with where they are served."""

    def __init__(self, options: EntraOptions, clock: SandboxClock, faults: FaultPlan, journal: Journal) -> None:
        self.options = options
        self.tenant = Tenant(options, clock)
        self.tenant.directory.on_members = partial(members_changed, self.tenant)
        self.tokens = Tokens(self.tenant)
        self.graph = GraphApp(self.tenant, self.tokens, faults, journal)
        self.authority = Authority(self.tenant, self.tokens, faults, journal)
        self.graph_app: ASGIApp = app(self.graph.handle)
        self.authority_app: ASGIApp = app(self.authority.handle)
        self._administration = Administration(self.tenant, self.tokens, self.graph.throttle)
        for user in options.users:
            self._administration.changes.apply({"op": "create_user", **user})

    def set_urls(self, *, graph: str | None = None, authority: str | None = None) -> None:
        """Roots (scheme, host, port) under which clients reach Graph and the authority."""
        if graph is not None:
            self.tenant.graph_url = graph.rstrip("/")
        if authority is not None:
            self.tenant.authority_url = authority.rstrip("/")

    async def admin(self, method: str, path: str, query: dict[str, str], body: object) -> tuple[int, object]:
        """Answer a request below `/_sandbox/entra/` (`path` is the rest): HTTP status and JSON value."""
        return self._administration.answer(method, path.strip("/"), query, body)
