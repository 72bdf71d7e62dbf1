"""Holds requests to Graph against the published contract, where the folder with it lies beside the project.

Requests of this process are seen on their way through the transport (`listen`), those of other processes in the
sandbox's request log (`hold`).
"""

from __future__ import annotations

import functools
import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "contracts"
ABSENT = f"the contract folder {FOLDER} is not there: requests to Graph were not held against it"

counts: Counter[str] = Counter()
"""Requests validated so far, by method and path of the contract."""
violations: list[str] = []
"""Every problem found so far."""


@cache
def oracle() -> Any:
    """The contract's checker (`check(method, url, body) -> problems`), or None where the folder is absent."""
    path = FOLDER / "check_graph.py"
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location("check_graph", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    return module.Oracle()


def template(method: str, url: str) -> str:
    """ "GET /users/{user-id}" for a request that lies below the service root, as the contract writes it."""
    path = urlsplit(url).path.replace("/microsoft.graph.", "/graph.")
    found, _ = oracle().find(method, path)
    return f"{method} {found or path}"


def check(method: str, url: str, body: Any) -> list[str]:
    """Problems of one request, its path beginning below /v1.0. Items of a $batch are checked and counted with it."""
    if oracle() is None:
        return []
    problems = [f"{method} {url}: {problem}" for problem in oracle().check(method, url, body)]
    counts[template(method, url)] += 1
    if urlsplit(url).path == "/$batch" and isinstance(body, dict):
        for item in body.get("requests", []):
            counts[template(item["method"], "/" + item["url"].lstrip("/"))] += 1
    violations.extend(problems)
    return problems


def hold(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Problems among rows of the sandbox's request log."""
    problems: list[str] = []
    for row in rows:
        if row["side"] == "graph" and row["batch"] is None:
            path = row["path"].removeprefix("/v1.0")
            problems += check(row["method"], f"{path}?{row['query']}" if row["query"] else path, row["body"])
    return problems


def hold_log(admin: str) -> list[str]:
    """Problems among all requests a running sandbox has served; `admin` is its administration's URL."""
    log = httpx.get(f"{admin}/_sandbox/requests", params={"side": "graph"}, timeout=60, trust_env=False).json()
    return hold(log["requests"])


def listen() -> Callable[[], None]:
    """Check what the transport sends in this process from now on; the result ends that."""
    from sds_daemon.targets.entra.transport import GraphTransport

    original = GraphTransport.request

    @functools.wraps(original)
    async def request(self: GraphTransport, method: str, url: str, content: bytes | None = None, **more: Any) -> Any:
        below = url.removeprefix(self.cloud.base)
        if below.startswith("/"):
            check(method, below, None if content is None else json.loads(content))
        return await original(self, method, url, content, **more)

    GraphTransport.request = request  # type: ignore[method-assign]
    return functools.partial(setattr, GraphTransport, "request", original)


def report() -> list[str]:
    """What was validated, a line per method and path, and what was wrong."""
    if oracle() is None:
        return [ABSENT]
    ordered = sorted(counts.items(), key=lambda entry: entry[0].split()[::-1])
    wrong = [f"VIOLATION {problem}" for problem in dict.fromkeys(violations)]
    return [f"{number:>8}  {request}" for request, number in ordered] + wrong
