"""The administration of both servers: an application of its own, JSON in and out, on a port of its own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from sds_daemon.sandbox import asgi
from sds_daemon.sandbox.asgi import ASGIApp, Request, Response
from sds_daemon.sandbox.clock import SandboxClock
from sds_daemon.sandbox.district.changes import described as district_operations
from sds_daemon.sandbox.entra.changes import described as tenant_operations
from sds_daemon.sandbox.faults import FaultPlan
from sds_daemon.sandbox.journal import Journal

_BASE = "/_sandbox/"
Answer = tuple[int, object]


class Side(Protocol):
    """A server that answers its own part of the administration."""

    async def admin(self, method: str, path: str, query: dict[str, str], body: object) -> Answer:
        """Status and JSON value; `path` is what follows `/_sandbox/entra/` or the like."""
        ...


class Machines(Protocol):
    """The servers as processes that can crash and be started again."""

    async def take_down(self, spared: str) -> None:
        """Let all crash but the one at this URL."""
        ...

    async def put_up(self) -> None:
        """Start them again."""
        ...


class Administration:
    """`/_sandbox/...`: health, request log, faults and clock here; the rest is handed to the side it names."""

    def __init__(
        self,
        sides: Mapping[str, Side],
        clock: SandboxClock,
        faults: FaultPlan,
        journal: Journal,
        machines: Machines | None = None,
    ) -> None:
        self._machines = machines
        self.app: ASGIApp = asgi.app(self._serve)
        self._sides = sides
        self._clock = clock
        self._faults = faults
        self._journal = journal

    async def _serve(self, request: Request) -> Response:
        try:
            body = request.json() if request.body else None
            own = f"http://{request.headers.get('host', '')}"
            status, value = await self._answer(request.method, request.path.rstrip("/"), request.params(), body, own)
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError, TypeError) as problem:
            status, value = 400, {"error": str(problem)}
        return asgi.json_response(value, status)

    async def _answer(self, method: str, path: str, query: dict[str, str], body: Any, own: str) -> Answer:
        part = path.removeprefix(_BASE)
        side, _, rest = part.partition("/")
        if path != part and side in self._sides:
            return await self._sides[side].admin(method, rest, query, body)
        match method, part:
            case "GET", "" | "/_sandbox":
                return 200, _CONTENTS
            case "GET", "health":
                return 200, {"ok": True}
            case "GET", "requests":
                limit = int(query["limit"]) if "limit" in query else None
                return 200, self._journal.read(query.get("side"), int(query.get("since", 0)), limit)
            case "DELETE", "requests":
                self._journal.clear()
                return 200, {"ok": True}
            case "GET" | "POST", "clock":
                return 200, self._set_clock(body if method == "POST" else None)
            case "POST", "servers":
                return 200, await self._set_servers(_object(body), own)
        return self._answer_faults(method, part, body)

    def _answer_faults(self, method: str, part: str, body: Any) -> Answer:
        name, _, fault = part.partition("/")
        if name == "faults":
            if method == "GET":
                return 200, {"faults": self._faults.list()}
            if method == "DELETE":
                self._faults.clear(fault or None)
                return 200, {"ok": True}
            if method == "POST":
                return 200, {"id": self._faults.add(_object(body))}
        return 404, {"error": f"there is no {method} {_BASE}{part}"}

    async def _set_servers(self, body: Mapping[str, Any], own: str) -> object:
        """`{"up": false}`: every server but this one crashes; `{"up": true}`: they are started again."""
        if self._machines is None or set(body) != {"up"}:
            raise ValueError('a whole sandbox takes {"up": true or false}')
        await (self._machines.put_up() if body["up"] else self._machines.take_down(own))
        return {"up": bool(body["up"])}

    def _set_clock(self, body: Any) -> object:
        values = dict(_object(body)) if body is not None else {}
        scale, now, advance = (values.pop(name, None) for name in ("scale", "now", "advance_seconds"))
        if values:
            raise ValueError(f"the clock knows scale, now and advance_seconds, not {', '.join(values)}")
        if scale is not None:
            self._clock.scale = float(scale)
        if now is not None:
            self._clock.set_now(dt.datetime.fromisoformat(str(now)))
        if advance is not None:
            self._clock.advance(float(advance))
        return {"now": self._clock.now().isoformat(), "scale": self._clock.scale}


_CONTENTS: Mapping[str, object] = {
    "GET /_sandbox/powerschool/state": "all tables of the district",
    "POST /_sandbox/powerschool/change": {
        "body": 'an operation, or a list of them done all together or not at all: [{"op": NAME, ARGUMENTS}]',
        "operations": district_operations(),
    },
    "GET /_sandbox/powerschool/school-day": "operations of a school day, to be posted to change as they are",
    "GET, POST /_sandbox/powerschool/settings": "how the server behaves, such as maintenance and the v1 access level",
    "GET, POST /_sandbox/powerschool/plugin": "the installed plugin; "
    '{"path": ...} or {"files": {name: text}} puts another in its place, {"enabled": false} switches it off',
    "POST /_sandbox/powerschool/prerender": "write the answers of all queries asked for so far, as the tables are "
    "now, and those of {QUERY: {ARGUMENTS}}",
    "GET /_sandbox/entra/state": "users, groups with owners and members, schools, licences",
    "GET /_sandbox/entra/sizes": "how many users, groups by owners and members, schools and their members",
    "POST /_sandbox/entra/change": {
        "body": 'an operation, or a list of them: [{"op": NAME, ARGUMENTS}]',
        "operations": tenant_operations(),
    },
    "GET, POST /_sandbox/entra/settings": "how the tenant behaves, such as lag and write quota",
    "GET, DELETE /_sandbox/entra/statistics": "counts of requests, by cost",
    "GET /_sandbox/{powerschool|entra}/secrets": "secrets and tokens handed out, to look for where they must not be",
    "GET, DELETE /_sandbox/requests": "the log of all requests; ?side= ?since= ?limit=",
    "GET, POST, DELETE /_sandbox/faults": "faults to inject: status, delay, answers lost, lag",
    "GET, POST /_sandbox/clock": "now, advance_seconds, scale",
    "POST /_sandbox/servers": '{"up": false} lets every server crash, {"up": true} starts them again',
    "GET /_sandbox/health": "whether it runs",
}


def _object(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise ValueError("a JSON object is expected")
    return body
