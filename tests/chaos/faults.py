"""Every fault of the sandbox by name, and where it can strike."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from rig import Rig

GONE = {"error": {"code": "resyncRequired", "message": "Resync required. Replace existing deltas."}}
WRITES = ("POST", "PATCH", "DELETE")
WITH_ID = "/[0-9a-f]{8}-[0-9a-f]{4}-"
ANSWERS: dict[str, dict[str, Any]] = {
    "429 with Retry-After": {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
    "429 without Retry-After": {"kind": "status", "status": 429},
    "429 fractional": {"kind": "status", "status": 429, "headers": {"Retry-After": "0.05"}},
    "500": {"kind": "status", "status": 500},
    "502": {"kind": "status", "status": 502},
    "503": {"kind": "status", "status": 503},
    "504": {"kind": "status", "status": 504},
    "expired token": {"kind": "expire_token"},
}
OF_WRITES = {
    **ANSWERS,
    "409 concurrency": {"kind": "status", "status": 409},
    "404 lag": {"kind": "status", "status": 404, "path": WITH_ID},
    "lost answer": {"kind": "lost_answer", "status": 504},  # the last: what was carried out is not sent again
}
BROKEN = {
    "reset": {"kind": "reset"},
    "cut answer": {"kind": "lost_answer"},
    "truncated": {"kind": "truncate"},
    "slow": {"kind": "slow", "seconds": 5},
}
OF_REQUESTS = {**ANSWERS, **BROKEN}
ENDPOINTS = {
    "POST /education/schools": "^/education/schools$",
    "POST /education/users": "^/education/users$",
    "POST /education/classes": "^/education/classes$",
    "PATCH /groups/{id}": "^/groups/[^/]+$",
    "DELETE /groups/{id}/members/{id}/$ref": r"^/groups/[^/]+/members/[^/]+/\$ref$",
    "POST /education/schools/{id}/users/$ref": r"^/education/schools/[^/]+/users/\$ref$",
    "POST /education/schools/{id}/classes/$ref": r"^/education/schools/[^/]+/classes/\$ref$",
    "POST /users/{id}/assignLicense": "/assignLicense$",
}
"""Every write endpoint this district makes use of, and how to name it to the sandbox."""


class Storm:
    """Faults in force under names, and how often each has hit which endpoint."""

    def __init__(self, rig: Rig) -> None:
        self.hits: Counter[tuple[str, str]] = Counter()
        self._rig = rig
        self._names: dict[str, str] = {}

    def add(self, name: str, side: str, spec: dict[str, Any], **more: Any) -> None:
        """Put a fault in force."""
        body = {"side": side, "probability": 0.1, **spec, **more}
        if side == "powerschool" and "Retry-After" in body.get("headers", {}):
            body["headers"] = {"Retry-After": "0"}  # seconds there are real ones
        if body["kind"] == "slow" and side == "powerschool":
            body["seconds"] = 0.2
        self._names[str(self._rig.post("faults", body)["id"])] = name if side == "graph" else f"{side}: {name}"

    def end(self) -> None:
        """Take all out of force and keep their counts."""
        for row in self._rig.get("faults")["faults"]:
            for endpoint, count in row["hits_by"].items():
                self.hits[self._names[row["id"]], endpoint] += count
        self._rig.delete("faults")
        self._names.clear()

    def left(self) -> int:
        """How many of the faults that strike a number of times have not struck so often yet."""
        return sum(row["hits"] < (row["times"] or 0) for row in self._rig.get("faults")["faults"])


def let_loose(storm: Storm, chance: random.Random, reads: int) -> None:
    """Everything at 10 % at once on the writes of Graph: on each item, and on each batch as a whole.

    On readings so many kinds at a time, drawn anew: with all of them at once no reading would ever end, and nothing
    would be written.
    """
    for name in chance.sample(sorted(OF_WRITES), len(OF_WRITES)):
        for method in WRITES:
            storm.add(name, "graph", OF_WRITES[name], method=method)
    for name in chance.sample(sorted(OF_REQUESTS), len(OF_REQUESTS)):
        storm.add(name, "graph", OF_REQUESTS[name], path=r"^/\$batch$", inner=False)
    for side in ("graph", "powerschool"):
        for name in chance.sample(sorted(OF_REQUESTS), reads):
            storm.add(name, side, OF_REQUESTS[name], method="GET")
    storm.add("410 on delta", "graph", {"kind": "status", "status": 410, "body": GONE}, path="/delta$", method="GET")
    for name in ("429 fractional", "503", "reset"):
        storm.add(name, "authority", OF_REQUESTS[name])


def sweep(storm: Storm) -> None:
    """Each fault once at each write endpoint, all in force at once."""
    for endpoint, path in ENDPOINTS.items():
        for name, spec in OF_WRITES.items():
            if name == "404 lag" and "{id}" not in endpoint:
                continue  # what is made anew refers to nothing that could lag
            storm.add(name, "graph", {**spec, "path": path}, method=endpoint.split()[0], probability=1.0, times=1)
