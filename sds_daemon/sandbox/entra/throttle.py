"""Graph's quotas (Graph docs: throttling-limits): token buckets for writes and resource units, and what a 429 says.

A quota is a number per period. Time scaling makes periods shorter and quotas larger alike, so that an application sees
`quota * scale` per unscaled period. Refused requests are charged too, down to a tenth of the quota below zero.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sds_daemon.sandbox.entra.errors import GraphError
from sds_daemon.sandbox.entra.tenant import Tenant

_UNITS = {"S": 3500, "M": 5000, "L": 8000}
_UNIT_PERIOD = 10.0
_WARN_FROM = 0.8


@dataclass(slots=True)
class Bucket:
    """Tokens that refill steadily; starts full."""

    spent: float = 0.0
    at: float = 0.0

    def settle(self, now: float, rate: float) -> None:
        """Refill up to `now`; `rate` is tokens per sandbox second."""
        self.spent = max(0.0, self.spent - (now - self.at) * rate)
        self.at = now


@dataclass(slots=True)
class Price:
    """What a request costs: resource units, writes, and whether it is an /education request."""

    units: int
    writes: int
    education: bool = False


@dataclass
class Statistics:
    """What the quota let through and refused. Times are real Unix seconds."""

    write_cost: int = 0
    writes: int = 0
    education_writes: int = 0
    reads: int = 0
    refused: int = 0
    refused_writes: int = 0
    resource_units: int = 0
    first_write: float | None = None
    last_write: float | None = None
    by_kind: Counter[str] = field(default_factory=Counter)
    outer_requests: int = 0
    batches: int = 0
    batch_items: int = 0
    failed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Everything, for the administration."""
        return {**vars(self), "by_kind": dict(sorted(self.by_kind.items()))}


class Throttle:
    """The buckets of one application in one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.statistics = Statistics()
        self.reset()

    def reset(self) -> None:
        """Fill all buckets."""
        now = self._tenant.now()
        self._writes, self._tenant_writes = Bucket(at=now), Bucket(at=now)
        self._units, self._education = Bucket(at=now), Bucket(at=now)

    def charge(self, price: Price) -> dict[str, str]:
        """Book a request; returns the headers for its answer, or raises 429 with Graph's headers and body."""
        options = self._tenant.options
        if not options.throttling:
            return {"x-ms-resource-unit": str(price.units)}
        checks = self._due(price)
        now, scale = self._tenant.now(), self._tenant.clock.scale
        fullest, refusal = 0.0, None
        for bucket, cost, quota, period, scope in checks:
            rate, capacity = quota / period, quota * scale
            bucket.settle(now, rate)
            over = bucket.spent + cost - capacity
            fullest = max(fullest, (bucket.spent + cost) / capacity)
            if over > 1e-9 and refusal is None:
                refusal = (over / (rate * scale), scope)
        for bucket, cost, quota, _, _ in checks:
            bucket.spent = min(bucket.spent + cost, quota * scale * 1.1)
        headers = {"x-ms-resource-unit": str(price.units)}
        if fullest > _WARN_FROM:
            headers["x-ms-throttle-limit-percentage"] = f"{min(fullest, 1.8):.2f}"
        if refusal is not None:
            raise self._refusal(refusal[0], refusal[1], headers, price)
        return headers

    def _due(self, price: Price) -> list[tuple[Bucket, int, int, float, str]]:
        options = self._tenant.options
        due: list[tuple[Bucket, int, int, float, str]] = []
        if price.education:
            due.append((self._education, 1, options.education_quota, options.education_period, "units"))
            if not options.education_counted:
                return due
        due.append((self._units, price.units, self._unit_quota(), _UNIT_PERIOD, "units"))
        if price.writes:
            due.append((self._writes, price.writes, options.write_quota, options.write_period, "writes"))
            due.append(
                (self._tenant_writes, price.writes, options.tenant_write_quota, options.tenant_write_period, "tenant")
            )
        return due

    def _unit_quota(self) -> int:
        size = self._tenant.options.tenant_size
        if size == "auto":
            users = len(self._tenant.directory.users.by_id)
            size = "S" if users < 50 else "M" if users <= 500 else "L"
        return _UNITS[size]

    def _refusal(self, seconds: float, scope: str, headers: dict[str, str], price: Price) -> GraphError:
        options = self._tenant.options
        self.statistics.refused += 1
        self.statistics.refused_writes += 1 if price.writes else 0
        who = "Tenant" if scope == "tenant" else "Tenant_Application"
        kind = "ReadWrite" if scope == "units" else "Write"
        headers["x-ms-throttle-scope"] = f"{who}/{kind}/{options.client_id}/{options.tenant_id}"
        headers["x-ms-throttle-information"] = "ResourceUnitLimitExceeded" if scope == "units" else "WriteLimitExceeded"
        if options.retry_after == "fractional":
            headers["retry-after"] = f"{max(seconds, 0.001):.3f}"
        elif options.retry_after == "integer":
            headers["retry-after"] = str(max(1, math.ceil(seconds)))
        return GraphError(
            429, "TooManyRequests", "Too many requests", headers=headers,
            inner={"code": "429", "message": "Please retry after", "status": "429"},
        )  # fmt: skip

    def accepted(self, kind: str, price: Price, status: int) -> None:
        """Count a request that passed the quota; `kind` is "POST /users" and the like."""
        statistics = self.statistics
        statistics.resource_units += price.units
        statistics.failed += 1 if status >= 400 else 0
        if not price.writes:
            statistics.reads += 1
            return
        statistics.by_kind[kind] += 1
        statistics.last_write = time.time()
        if statistics.first_write is None:
            statistics.first_write = statistics.last_write
        if price.education and not self._tenant.options.education_counted:
            statistics.education_writes += 1
            return
        statistics.writes += 1
        statistics.write_cost += price.writes
