"""The PowerSchool server as a whole: tokens, `/ws/v1`, `/ws/schema`, maintenance, injected faults, the request log."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sds_daemon.sandbox import asgi
from sds_daemon.sandbox.asgi import ASGIApp, Request, Response
from sds_daemon.sandbox.clock import SandboxClock
from sds_daemon.sandbox.district import changes, school_day
from sds_daemon.sandbox.district.model import TABLES, District
from sds_daemon.sandbox.faults import Fault, FaultPlan
from sds_daemon.sandbox.journal import Journal
from sds_daemon.sandbox.powerschool import package, query, reply
from sds_daemon.sandbox.powerschool.package import Package
from sds_daemon.sandbox.powerschool.reply import V1Error
from sds_daemon.sandbox.powerschool.schema import Schema
from sds_daemon.sandbox.powerschool.settings import PowerSchoolOptions, Settings
from sds_daemon.sandbox.powerschool.subscriptions import Subscriptions
from sds_daemon.sandbox.powerschool.tokens import Tokens
from sds_daemon.sandbox.powerschool.v1 import V1
from sds_daemon.sandbox.sis_calendar import Calendar

SIDE = "powerschool"
_BASE = "/_sandbox/powerschool/"


class PowerSchoolSandbox:
    """One server with its district. `app` is the ASGI application, `admin` answers `/_sandbox/powerschool/...`.

    Raises ValueError if the plugin of the options cannot be read or enabled.
    """

    def __init__(
        self, district: District, options: PowerSchoolOptions, clock: SandboxClock, faults: FaultPlan, journal: Journal
    ) -> None:
        self.district = district
        self.settings = Settings().changed(options.settings)
        self.tokens = Tokens(options.client_id, options.client_secret, clock)
        self.calendar = Calendar(clock, district.timezone)
        self.subscriptions = Subscriptions()
        self.v1 = V1(district, self.calendar)
        self.schema = Schema(district, self.calendar)
        if options.plugin is not None:
            self._install(package.read(options.plugin))
            if self.schema.installed.problems:
                raise ValueError(f"the plugin cannot be enabled: {'; '.join(self.schema.installed.problems)}")
            self.settings = self.settings.changed(options.settings)
        self.app: ASGIApp = asgi.app(self._serve)
        self._clock = clock
        self._faults = faults
        self._journal = journal

    async def _serve(self, request: Request) -> Response:
        path = _normal(request.path)
        fault = self._faults.pick(SIDE, request.method, path)
        if self.settings.latency:
            await self._clock.real_sleep(self.settings.latency)
        response = await self._before(fault, request, path)
        if response is None:
            response = _after(fault, await self._answer(request, path))
        form = "form" in request.headers.get("content-type", "")
        self._journal.record(
            SIDE, request.method, path, request.query, response.status,
            headers=request.headers, body=request.body, form=form, fault=fault.kind if fault else None,
            http=request.http_version,
        )  # fmt: skip
        return response

    async def _before(self, fault: Fault | None, request: Request, path: str) -> Response | None:
        """Faults that strike before anything is done; None lets the request go on."""
        if fault is None:
            return None
        if fault.kind == "delay":
            await self._clock.real_sleep(fault.seconds)
        elif fault.kind == "expire_token":
            self.tokens.revoke()
        elif fault.kind == "reset":
            return Response(503, breakage="cut")
        elif fault.kind == "html":
            return Response(
                fault.status or 200, {"content-type": reply.HTML_TYPE, **fault.headers}, reply.MAINTENANCE_PAGE
            )
        elif fault.kind == "redirect":
            response = reply.maintenance(request)
            response.headers.update(fault.headers)
            return response
        elif fault.kind == "status":
            return _status(fault, request)
        return None

    async def _answer(self, request: Request, path: str) -> Response:
        if self.settings.maintenance:
            return reply.maintenance(request)
        if path == "/oauth/access_token":
            return self.tokens.answer(request, self.settings)
        if path.startswith("/ws/v1/"):
            return self._v1(request, path.removeprefix("/ws/v1/"))
        if path.startswith("/ws/schema/"):
            return await self._schema(request, path.removeprefix("/ws/schema/"))
        return reply.not_found_page()

    def _v1(self, request: Request, path: str) -> Response:
        if path == "metadata" and request.method == "GET":
            return self.v1.metadata(request, self.settings)
        if path == "time" and request.method == "GET":
            return self.v1.time(request)
        if not self._is_authorized(request):
            return reply.unauthorized(request, self.settings.unauthorized_body)
        if self.settings.checks_access_level and self.settings.v1_access == "NONE":
            return reply.error(request, 401, reply.NO_ACCESS_LEVEL)
        if path == "event_subscription":
            return self.subscriptions.answer(request)
        if request.method == "POST" and path == "student" and self._writes_are_closed():
            return reply.error(request, 403, reply.NO_WRITE_LEVEL)
        if request.method != "GET":
            return reply.error(request, 405, f"{request.method} is not allowed on this resource")
        try:
            return self.v1.answer(request, path, self.settings)
        except V1Error as problem:
            return reply.error(request, problem.status, problem.message)
        except query.QueryError as problem:
            return reply.error(request, 400, str(problem))

    def _writes_are_closed(self) -> bool:
        return self.settings.checks_access_level and self.settings.v1_access != "FULL"

    async def _schema(self, request: Request, path: str) -> Response:
        if not self._is_authorized(request):
            return reply.unauthorized(request, self.settings.unauthorized_body)
        return await self.schema.answer(request, path, self.settings)

    def _is_authorized(self, request: Request) -> bool:
        return self.settings.plugin_enabled and self.tokens.is_valid(request.headers.get("authorization", ""))

    # Administration

    async def admin(self, method: str, path: str, _query: dict[str, str], body: object) -> tuple[int, object]:
        """Answers (status, JSON) for a path below `/_sandbox/powerschool/`; bad input is a 400 with `error`."""
        part = path.removeprefix(_BASE).strip("/")
        try:
            if (method, part) == ("POST", "prerender"):
                return 200, {"answers": await self.schema.write_ahead(body)}
            async with self.schema.quiet:
                return self._administer(method, part, body)
        except (changes.ChangeError, ValueError) as problem:
            return 400, {"error": str(problem)}

    def _administer(self, method: str, part: str, body: object) -> tuple[int, object]:
        match method, part:
            case "GET", "state":
                return 200, state(self.district)
            case "POST", "change":
                return 200, {"results": changes.apply(self.district, _operations(body), self.calendar.today())}
            case "GET", "school-day":
                return 200, {"operations": school_day.school_day(self.district, self.calendar.today())}
            case "GET", "secrets":
                return 200, {"tokens": self.tokens.issued, "secrets": [self.tokens.client_secret]}
            case "GET", "settings":
                return 200, self.settings
            case "POST", "settings":
                return self._set(body)
            case "GET", "plugin":
                return 200, self._plugin()
            case "POST", "plugin":
                return self._set_plugin(body)
        return 404, {"error": f"there is no {method} {_BASE}{part}"}

    def _set(self, body: object) -> tuple[int, object]:
        if not isinstance(body, Mapping):
            raise ValueError("settings are a JSON object")
        values = dict(body)
        if values.pop("revoke_tokens", False):
            self.tokens.revoke()
        self.settings = self.settings.changed(values)
        return 200, self.settings

    def _plugin(self) -> dict[str, Any]:
        return {"enabled": self.settings.plugin_enabled, **self.schema.installed.described()}

    def _set_plugin(self, body: object) -> tuple[int, object]:
        """`{"path": ...}` or `{"files": {name: text}}` installs another plugin, `{"enabled": ...}` switches it."""
        match body:
            case {"path": str(path)}:
                self._install(package.read(Path(path)))
            case {"files": dict(files)}:
                self._install(package.read_files({name: str(text).encode() for name, text in files.items()}))
            case {"enabled": bool(enabled)}:
                if enabled and self.schema.installed.problems:
                    raise ValueError("; ".join(self.schema.installed.problems))
                self.settings = self.settings.changed({"plugin_enabled": enabled})
            case _:
                raise ValueError("the plugin takes path, files or enabled")
        return 200, self._plugin()

    def _install(self, found: Package) -> None:
        """Puts a plugin in the place of the one before. One that cannot be enabled leaves the server without any."""
        installed = self.schema.install(found, self.settings.absent())
        level = found.v1_access if not installed.problems else self.settings.v1_access
        self.settings = self.settings.changed({"v1_access": level, "plugin_enabled": not installed.problems})


def state(district: District) -> dict[str, Any]:
    """All tables as plain JSON values: a list of rows for each."""
    tables: dict[str, Any] = {name: [_plain(row) for row in district.table(name).values()] for name in TABLES}
    table = district.enrollments
    tables["enrollments"] = [_plain(table.view(row)) for row in table.rows()]
    return {"uuid": district.uuid, "name": district.name, "timezone": district.timezone, **tables}


def _plain(row: Any) -> dict[str, Any]:
    values = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    return {name: value.isoformat() if isinstance(value, dt.date) else value for name, value in values.items()}


def _operations(body: object) -> list[Mapping[str, Any]]:
    """One operation, a list of them, or what `school-day` handed out."""
    if isinstance(body, Mapping) and "operations" in body:
        body = body["operations"]
    found: list[object] = body if isinstance(body, list) else [body]
    operations = [operation for operation in found if isinstance(operation, Mapping)]
    if len(operations) != len(found):
        raise ValueError("an operation is a JSON object with the key op")
    return operations


def _normal(path: str) -> str:
    """The path with doubled slashes made single and without the one at its end."""
    return re.sub("/{2,}", "/", path).rstrip("/") or "/"


def _status(fault: Fault, request: Request) -> Response:
    status = fault.status or 500
    if fault.body is None:
        response = reply.error(request, status, f"Injected status {status}")
    elif isinstance(fault.body, str):
        response = Response(status, {"content-type": reply.HTML_TYPE}, fault.body.encode())
    else:
        response = asgi.json_response(fault.body, status)
    response.headers.update({name.lower(): value for name, value in fault.headers.items()})
    return response


def _after(fault: Fault | None, response: Response) -> Response:
    """Faults that spoil an answer which is already made."""
    if fault is None:
        return response
    if fault.kind == "lost_answer":
        return Response(fault.status, fault.headers) if fault.status else Response(200, breakage="cut")
    if fault.kind in ("truncate", "slow"):
        response.breakage, response.seconds = fault.kind, fault.seconds
    return response
