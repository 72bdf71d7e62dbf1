"""Licence seats a plan would use, against those that are free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from sds_daemon.plan.change import Change, ChangeKind
from sds_daemon.targets.base import Sku


class SeatForecast(msgspec.Struct, frozen=True, kw_only=True):
    """One licence. `free` is never negative; `short`: people who would get none. `sku`: empty where it is not owned."""

    sku: str
    part_number: str
    needed: int
    free: int
    short: int


def forecast_seats(changes: Iterable[Change], skus: Mapping[str, Sku]) -> list[SeatForecast]:
    """Per licence the planned assignments and the free seats, by part number.

    A licence the tenant does not own, or that is not enabled, has no free seat.
    """
    owned = {key.lower(): sku for sku in skus.values() for key in (sku.id, sku.part_number)}
    needed: Counter[str] = Counter()
    for change in changes:
        if change.kind is ChangeKind.ASSIGN_LICENSE:
            names = {str(name) for name in change.values["licenses"]}
            needed.update({owned[name.lower()].id if name.lower() in owned else name for name in names})
    found = [_forecast(name, number, owned.get(name.lower())) for name, number in needed.items()]
    return sorted(found, key=lambda each: each.part_number)


def _forecast(name: str, needed: int, sku: Sku | None) -> SeatForecast:
    free = max(0, sku.seats_free) if sku is not None and sku.enabled else 0
    return SeatForecast(
        sku=sku.id if sku is not None else "",
        part_number=sku.part_number if sku is not None else name,
        needed=needed,
        free=free,
        short=max(0, needed - free),
    )
