"""Injected faults: which requests go wrong, how, and how often they did."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

KINDS = frozenset(
    {"status", "delay", "lost_answer", "reset", "truncate", "slow", "html", "redirect", "expire_token"}
)  # fmt: skip
SIDES = frozenset({"powerschool", "authority", "graph"})
_GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|(?<=/)\d+(?=/|$)")
_KEYS = frozenset(
    {"side", "method", "path", "kind", "status", "headers", "body", "seconds", "probability", "times", "after", "inner"}
)  # fmt: skip


class Fault(msgspec.Struct):
    """One fault to inject. `seconds` are sandbox seconds; `times` None means without end; `after` skips matches.

    `inner` (Graph): True matches $batch items and ordinary requests, and the $batch request itself only where `path`
    names it; False matches outer requests only, $batch included.
    """

    id: str
    side: str
    kind: str
    method: str | None = None
    path: str | None = None
    status: int | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    body: Any = None
    seconds: float = 1.0
    probability: float = 1.0
    times: int | None = None
    after: int = 0
    inner: bool = True
    matches: int = 0
    hits: int = 0
    hits_by: Counter[str] = msgspec.field(default_factory=Counter)

    def covers(self, side: str, method: str, path: str, inner: bool) -> bool:
        """Whether the request is of the sort this fault is meant for, whatever chance and counts say."""
        if side != self.side or (self.method is not None and method != self.method):
            return False
        if self.path is not None and not re.search(self.path, path):
            return False
        if inner:
            return self.inner
        return path != "/$batch" or not self.inner or "batch" in (self.path or "")


class FaultPlan:
    """All faults in force. The random choices come from `seed`, so a run can be repeated."""

    def __init__(self, seed: int = 1) -> None:
        self._faults: dict[str, Fault] = {}
        self._random = random.Random(seed)
        self._next = 1

    def add(self, spec: Mapping[str, Any]) -> str:
        """Put a fault in force and return its id; ValueError says what is wrong with `spec`."""
        _check(spec)
        fault_id = str(self._next)
        fault = msgspec.convert({**spec, "id": fault_id}, Fault)
        if fault.method is not None:
            fault.method = fault.method.upper()
        self._next += 1
        self._faults[fault_id] = fault
        return fault_id

    def clear(self, fault_id: str | None = None) -> None:
        """Take one fault, or all, out of force."""
        if fault_id is None:
            self._faults.clear()
        else:
            self._faults.pop(fault_id, None)

    def list(self) -> list[dict[str, Any]]:
        """Every fault as JSON with its `hits` and `hits_by` ("POST /users": n; ids shown as {id})."""
        return [msgspec.to_builtins(fault) for fault in self._faults.values()]

    def pick(self, side: str, method: str, path: str, inner: bool = False) -> Fault | None:
        """The fault that strikes this request, counted as a hit, or None. The oldest matching fault wins."""
        if not self._faults:
            return None
        for fault in self._faults.values():
            if fault.covers(side, method, path, inner) and self._strikes(fault):
                fault.hits += 1
                fault.hits_by[f"{method} {_GUID.sub('{id}', path)}"] += 1
                return fault
        return None

    def _strikes(self, fault: Fault) -> bool:
        if fault.times is not None and fault.hits >= fault.times:
            return False
        fault.matches += 1
        if fault.matches <= fault.after:
            return False
        return fault.probability >= 1 or self._random.random() < fault.probability


def _check(spec: Mapping[str, Any]) -> None:
    unknown = set(spec) - _KEYS
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}; known are {sorted(_KEYS)}")
    if spec.get("kind") not in KINDS:
        raise ValueError(f"kind must be one of {sorted(KINDS)}")
    if spec.get("side") not in SIDES:
        raise ValueError(f"side must be one of {sorted(SIDES)}")
    try:
        re.compile(spec.get("path") or "")
    except re.error as error:
        raise ValueError(f"path is not a regular expression: {error}") from error
