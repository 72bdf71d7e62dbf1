"""The Graph application: authentication, quota, permissions, per-object concurrency, faults, $batch, and the log."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import unquote

import msgspec

from sds_daemon.sandbox.asgi import JSON_TYPE, Request, Response
from sds_daemon.sandbox.entra import batch, education, errors, routes
from sds_daemon.sandbox.entra.authority import Tokens
from sds_daemon.sandbox.entra.call import Call, Result
from sds_daemon.sandbox.entra.errors import GraphError
from sds_daemon.sandbox.entra.query import Query
from sds_daemon.sandbox.entra.tenant import Tenant
from sds_daemon.sandbox.entra.throttle import Throttle
from sds_daemon.sandbox.faults import Fault, FaultPlan
from sds_daemon.sandbox.injury import decoded, injured, pause, plain
from sds_daemon.sandbox.journal import Journal

_VERSION = "/v1.0"


@dataclass(slots=True)
class Outcome:
    """The answer to one request or batch item; `body` is a JSON value, bytes for text, None for nothing."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    fault: Fault | None = None


class GraphApp:
    """Serves Graph v1.0. A write holds its object until its batch or request is answered; others meanwhile get 409."""

    def __init__(self, tenant: Tenant, tokens: Tokens, faults: FaultPlan, journal: Journal) -> None:
        self._tenant = tenant
        self._tokens = tokens
        self._faults = faults
        self._journal = journal
        self._busy: set[str] = set()
        self._random = Random(tenant.options.seed)
        self.throttle = Throttle(tenant)

    async def handle(self, request: Request) -> Response:
        """Answer one HTTP request."""
        path = request.path
        inside = path[len(_VERSION) :] if path.startswith(_VERSION + "/") else path
        self.throttle.statistics.outer_requests += 1
        self._tenant.directory.sweep()
        number = self._journal.reserve()
        fault = self._faults.pick("graph", request.method, inside)
        status = 500
        try:
            response = await injured(fault, self._tenant.clock, lambda: self._answer(request, inside, number, fault))
            status = response.status
        finally:
            self._journal.record(
                "graph", request.method, inside, request.query, status, n=number, headers=request.headers,
                body=request.body, fault=fault.kind if fault else None, http=request.http_version,
            )  # fmt: skip
        return response

    async def _answer(self, request: Request, path: str, number: int, fault: Fault | None) -> Response:
        request_id = str(uuid.uuid4())
        client_id = request.headers.get("client-request-id", request_id)
        try:
            if not request.path.startswith(_VERSION + "/"):
                raise errors.segment_not_found(request.path.strip("/").split("/")[0])
            if fault is not None and fault.kind == "expire_token":
                raise errors.unauthorized("Lifetime validation failed, the token is expired.")
            roles = self._tokens.roles(request.headers.get("authorization"))
            if path == "/$batch":
                outcome = await self._batch(request, roles, number, client_id)
            else:
                raw = request.raw_path.removeprefix(_VERSION)
                item = batch.Item("", request.method, raw, request.query, request.headers, request.body or None)
                outcome = (await self._wave([item], roles, False))[0]
        except GraphError as error:
            outcome = Outcome(error.status, error, error.headers)
        return self._response(outcome, request_id, client_id)

    def _response(self, outcome: Outcome, request_id: str, client_id: str) -> Response:
        headers = {
            "request-id": request_id,
            "client-request-id": client_id,
            "date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
            "cache-control": "no-cache",
            "odata-version": "4.0",
            "x-ms-ags-diagnostic": '{"ServerInfo":{"DataCenter":"Sandbox","Slice":"E","Ring":"1"}}',
        }
        body = outcome.body
        if isinstance(body, GraphError):
            body = body.body(self._date(), request_id, client_id)
        if body is None:
            return Response(outcome.status, {**headers, **outcome.headers})
        if isinstance(body, bytes):
            return Response(outcome.status, {**headers, **outcome.headers}, body)
        return Response(
            outcome.status, {"content-type": JSON_TYPE, **headers, **outcome.headers}, msgspec.json.encode(body)
        )

    def _date(self) -> str:
        return self._tenant.clock.now().strftime("%Y-%m-%dT%H:%M:%S")

    # $batch

    async def _batch(self, request: Request, roles: frozenset[str], number: int, client_id: str) -> Outcome:
        if request.method != "POST":
            raise errors.method_not_allowed()
        items = batch.read(request.body)
        self.throttle.statistics.batches += 1
        self.throttle.statistics.batch_items += len(items)
        status: dict[str, int] = {}
        responses: list[dict[str, Any]] = []
        for wave in batch.waves(items):
            outcomes = await self._wave(wave, roles, True, status)
            for item, outcome in zip(wave, outcomes, strict=True):
                status[item.id.lower()] = outcome.status
                responses.append(self._item_response(item, outcome, client_id))
                self._record(item, outcome, number)
        self._random.shuffle(responses)
        return Outcome(200, {"responses": responses})

    def _item_response(self, item: batch.Item, outcome: Outcome, client_id: str) -> dict[str, Any]:
        headers = {_canonical(name): value for name, value in outcome.headers.items()}
        shown: dict[str, Any] = {"id": item.id, "status": outcome.status, "headers": headers}
        body = outcome.body
        if isinstance(body, GraphError):
            request_id = str(uuid.uuid4())
            client_id = item.headers.get("client-request-id", request_id)
            body = body.body(self._date(), request_id, client_id)
        if isinstance(body, bytes):
            body = decoded(body)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
            shown["body"] = body
        return shown

    def _record(self, item: batch.Item, outcome: Outcome, number: int) -> None:
        fault = outcome.fault.kind if outcome.fault else None
        self._journal.record(
            "graph", item.method, unquote(item.path), item.query, outcome.status, batch=number, item=item.id,
            headers=item.headers, body=item.body, fault=fault,
        )  # fmt: skip

    # Items that run together

    async def _wave(
        self, items: list[batch.Item], roles: frozenset[str], inner: bool, done: dict[str, int] | None = None
    ) -> list[Outcome]:
        """Carry out items in parallel: all writes hold their objects from before the first until after the last."""
        held: list[str] = []
        late = 0.0
        try:
            outcomes = []
            for item in items:
                failed = any((done or {}).get(other, 200) >= 400 for other in item.depends_on)
                outcome = Outcome(424, _failed_dependency()) if failed else self._injured(item, roles, inner, held)
                if outcome.fault is not None and outcome.fault.kind in ("delay", "slow"):
                    late = max(late, outcome.fault.seconds)
                outcomes.append(outcome)
            seconds = self._tenant.options.service_seconds if held else 0.0
            await pause((seconds + late) / self._tenant.clock.scale)
            return outcomes
        finally:
            self._busy.difference_update(held)

    def _injured(self, item: batch.Item, roles: frozenset[str], inner: bool, held: list[str]) -> Outcome:
        fault = self._faults.pick("graph", item.method, unquote(item.path), inner=True) if inner else None
        if fault is None:
            return self._execute(item, roles, held)
        if fault.kind == "expire_token":
            refusal = errors.unauthorized("Lifetime validation failed, the token is expired.")
            return Outcome(401, refusal, dict(refusal.headers), fault)
        if fault.kind in ("delay", "slow"):
            outcome = self._execute(item, roles, held)
            outcome.fault = fault
            return outcome
        if fault.kind in ("lost_answer", "truncate"):
            self._execute(item, roles, held)
            fault = msgspec.structs.replace(fault, status=fault.status or 504)
        response = plain(fault)
        return Outcome(response.status, decoded(response.body), response.headers, fault)

    def _execute(self, item: batch.Item, roles: frozenset[str], held: list[str]) -> Outcome:
        call = Call(self._tenant, item.method, item.path, item.query, item.headers, item.body, roles)
        headers: dict[str, str] = {}
        try:
            route, call.args = routes.find(item.method, item.path)
            call.query = Query.parse(item.query)
            price = routes.price(route, call, self._tenant.options)
            headers = self.throttle.charge(price)
            outcome = self._permitted(route, call, held)
            self.throttle.accepted(route.kind, price, outcome.status)
        except GraphError as error:
            outcome = Outcome(error.status, error, dict(error.headers))
        outcome.headers = {**headers, **outcome.headers}
        return outcome

    def _permitted(self, route: routes.Route, call: Call, held: list[str]) -> Outcome:
        try:
            if call.roles.isdisjoint(route.roles):
                raise errors.forbidden(route.education)
            if route.education:
                education.available(call)
            if route.lock:
                self._hold(call, held)
            result: Result = route.operation(call)
        except GraphError as error:
            return Outcome(error.status, error, dict(error.headers))
        return Outcome(result.status, result.body, result.headers)

    def _hold(self, call: Call, held: list[str]) -> None:
        key = call.args[0]
        if "@" in key:
            user = self._tenant.user_by_key(key)
            key = user.id if user is not None else key
        key = key.lower()
        if key in self._busy:
            raise errors.concurrent()
        self._busy.add(key)
        held.append(key)


def _failed_dependency() -> GraphError:
    return GraphError(424, "FailedDependency", "The request failed because a request it depends on failed.")


def _canonical(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-")) if not name.startswith("x-") else name
