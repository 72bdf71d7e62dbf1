"""A scripted Graph behind httpx.MockTransport, and what the tests of the transport share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx

from sds_daemon.clock import FixedClock
from sds_daemon.config.secrets import Secret
from sds_daemon.config.settings import TenantSettings
from sds_daemon.targets.entra.batch import Item
from sds_daemon.targets.entra.executor import BatchExecutor
from sds_daemon.targets.entra.governor import Governor, Lane
from sds_daemon.targets.entra.transport import GraphTransport

TENANT = "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1"
NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)


def settings(**more: Any) -> TenantSettings:
    """A tenant in the global cloud whose back-offs are a thousandth of the real ones."""
    return TenantSettings(
        **{
            "name": "contoso",
            "tenant_id": TENANT,
            "client_id": "app",
            "client_secret": Secret("s"),
            "lag_horizon": 0.9,
            **more,
        }
    )


class FakeTokens:
    """Tokens that can be counted: "token-1", and the next one after each renewal."""

    def __init__(self) -> None:
        self.number = 1
        self.failure: Exception | None = None

    async def token(self) -> str:
        if self.failure is not None:
            raise self.failure
        return f"token-{self.number}"

    async def renew(self, refused: str) -> None:
        if refused == f"token-{self.number}":
            self.number += 1

    async def close(self) -> None: ...


Script = Callable[[httpx.Request], httpx.Response]


class ScriptedTransport(GraphTransport):
    """A transport whose requests are made up by the tests, so that nothing holds them against the contract."""

    request = GraphTransport.request


def transport(script: Script, **more: Any) -> GraphTransport:
    """A transport over a script; pauses are skipped and noted in `.pauses`."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    keywords = {"tokens": FakeTokens(), "sleep": sleep, **more}
    built = ScriptedTransport(
        keywords.pop("settings", None) or settings(), FixedClock(NOW), http=httpx.MockTransport(script), **keywords
    )
    built.pauses = pauses  # type: ignore[attr-defined]
    return built


def error_body(code: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "innerError": {"request-id": "r-1"}, **more}}


def response(identifier: str, status: int, body: Any = None, **headers: str) -> dict[str, Any]:
    """One answer of a $batch."""
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"id": identifier, "status": status, "headers": shown, **({} if body is None else {"body": body})}


class BatchGraph:
    """Answers $batch posts.

    `answer(method, url, times)` gives an item its (status, body, headers); `times` counts from 1.

    `outer` may answer, or fail, a whole batch instead: it gets the number of the batch, from 1.
    """

    def __init__(
        self,
        answer: Callable[[str, str, int], tuple[int, Any, dict[str, str]]] | None = None,
        outer: Callable[[int], httpx.Response | None] = lambda number: None,
    ) -> None:
        self._answer = answer or (lambda method, url, times: (204, None, {}))
        self._outer = outer
        self.batches: list[list[dict[str, Any]]] = []
        self.tokens: list[str] = []
        self.seen: Counter[str] = Counter()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1.0/$batch", request.url
        items = json.loads(request.content)["requests"]
        assert 1 <= len(items) <= 20
        self.batches.append(items)
        self.tokens.append(request.headers["authorization"])
        whole = self._outer(len(self.batches))
        if whole is not None:
            return whole
        return httpx.Response(200, json={"responses": [self._one(item) for item in reversed(items)]})

    def _one(self, item: dict[str, Any]) -> dict[str, Any]:
        self.seen[f"{item['method']} {item['url']}"] += 1
        status, body, headers = self._answer(item["method"], item["url"], self.seen[f"{item['method']} {item['url']}"])
        return {"id": item["id"], "status": status, "headers": headers, **({} if body is None else {"body": body})}


def executor(graph: Script, *, quota: int = 1_000_000, **more: Any) -> BatchExecutor:
    """An executor over a scripted Graph with a quota that does not bind unless told otherwise."""
    built = more.pop("transport", None) or transport(graph)
    return BatchExecutor(built, Governor(quota), Lane("test"), lag_horizon=more.pop("lag_horizon", 0.9), **more)


def patch(number: int | str, **more: Any) -> Item:
    """A repeatable write to an object of its own."""
    return Item(
        **{
            "method": "PATCH",
            "url": f"/users/{number}",
            "body": b'{"department":"x"}',
            "objects": frozenset({str(number)}),
            **more,
        }
    )


def create(number: int | str, **more: Any) -> Item:
    """A create."""
    return Item(
        **{
            "method": "POST",
            "url": f"/users?n={number}",
            "body": b'{"displayName":"x"}',
            "objects": frozenset({f"upn:{number}"}),
            "create": True,
            **more,
        }
    )
