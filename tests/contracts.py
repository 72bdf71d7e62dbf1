"""Holds requests to Graph against the published contract, where the folder with it lies beside the project."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "contracts"
ABSENT = f"the contract folder {FOLDER} is not there: requests to Graph were not held against it"

counts: Counter[str] = Counter()
"""Requests validated in this process, by method and path of the contract."""


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
    spec.loader.exec_module(module)
    return module.Oracle()


def hold(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Violations among rows of the sandbox's request log (`side` graph). Items of a batch are checked with it."""
    checker = oracle()
    if checker is None:
        return []
    problems: list[str] = []
    for row in rows:
        if row["side"] != "graph" or row["batch"] is not None:
            continue
        path = row["path"].removeprefix("/v1.0")
        url = f"{path}?{row['query']}" if row["query"] else path
        problems += [f"{row['method']} {url}: {problem}" for problem in checker.check(row["method"], url, row["body"])]
        _count(checker, row["method"], path)
        if path == "/$batch" and isinstance(row["body"], dict):
            for item in row["body"].get("requests", []):
                _count(checker, item["method"], "/" + item["url"].partition("?")[0].lstrip("/"))
    return problems


def _count(checker: Any, method: str, path: str) -> None:
    found, _ = checker.find(method, path)
    counts[f"{method} {found or path}"] += 1


def report() -> list[str]:
    """What was validated, a line per method and path."""
    if oracle() is None:
        return [ABSENT]
    return [
        f"{number:>8}  {request}"
        for request, number in sorted(counts.items(), key=lambda entry: entry[0].split()[::-1])
    ]
