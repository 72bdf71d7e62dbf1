"""A scripted server of PowerQueries: rows by query, sent as a stream or in pages, with whatever is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
from ps_rig import Script, ok

from sds_daemon.sources.powerschool.queries import PREFIX, QUERY_ROOT

Rows = list[dict[str, Any]]


class Queries:
    """Answers `POST /ws/schema/query/...` of a Script. `before_answer` is called before each stream or page."""

    def __init__(self, script: Script, **rows: Rows) -> None:
        self.rows: dict[str, Rows] = rows
        self.streams: Callable[[bytes], httpx.Response] | None = None
        self.before_answer: Callable[[], None] = lambda: None
        self.page_limit = 1_000_000
        self.asked: list[tuple[str, dict[str, str]]] = []
        for name in rows:
            script.overrides[f"{QUERY_ROOT}{PREFIX}{name}"] = self._answer
            script.overrides[f"{QUERY_ROOT}{PREFIX}{name}/count"] = self._count

    def _count(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(json.loads(request.content), dict)
        return ok({"count": len(self.rows[_name(request)])})

    def _answer(self, request: httpx.Request) -> httpx.Response:
        name, params = _name(request), dict(request.url.params)
        self.asked.append((name, params))
        self.before_answer()
        rows = self.rows[name]
        if params.get("pagesize") == "0":
            body = written(name, rows)
            return self.streams(body) if self.streams else json_answer(body)
        size = min(int(params["pagesize"]), self.page_limit)
        start = (int(params["page"]) - 1) * size
        return json_answer(written(name, rows[start : start + size]))


def _name(request: httpx.Request) -> str:
    return request.url.path.removesuffix("/count").rpartition(PREFIX)[2]


def written(name: str, rows: Rows) -> bytes:
    """A flattened answer: no `record` for no rows."""
    record = [{"_name": name.upper(), "_id": number, **row} for number, row in enumerate(rows)]
    document = {"name": name, **({"record": record} if rows else {}), "@extensions": ""}
    return json.dumps(document, separators=(",", ":")).encode()


def json_answer(body: bytes) -> httpx.Response:
    return httpx.Response(200, content=body, headers={"Content-Type": "application/json"})
