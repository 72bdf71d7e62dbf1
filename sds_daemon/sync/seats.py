"""Licence seats a plan would use, against those that are free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from sds_daemon.plan.change import Change, ChangeKind
from sds_daemon.targets.base import LicenseGroup, Sku

_NO_GROUPS: Mapping[str, LicenseGroup] = {}


class SeatForecast(msgspec.Struct, frozen=True, kw_only=True):
    """One licence. `free` is never negative; `short`: people who would get none. `sku`: empty where it is not owned."""

    sku: str
    part_number: str
    needed: int
    free: int
    short: int


def groups_named(changes: Iterable[Change]) -> list[str]:
    """Ids of the licence groups a plan puts people into."""
    return sorted(_joining(changes))


def forecast_seats(
    changes: Sequence[Change], skus: Mapping[str, Sku], groups: Mapping[str, LicenseGroup] = _NO_GROUPS
) -> list[SeatForecast]:
    """Per licence the planned assignments and the free seats, by part number; through `groups` as well.

    A licence the tenant does not own, or that is not enabled, has no free seat.
    """
    owned = {key.lower(): sku for sku in skus.values() for key in (sku.id, sku.part_number)}
    needed: Counter[str] = Counter()
    for change in changes:
        if change.kind is ChangeKind.ASSIGN_LICENSE:
            names = {str(name) for name in change.values["licenses"]}
            needed.update({owned[name.lower()].id if name.lower() in owned else name for name in names})
    for group_id, count in _joining(changes).items():
        for name in groups[group_id].skus if group_id in groups else ():
            needed[owned[name.lower()].id if name.lower() in owned else name] += count
    found = [_forecast(name, number, owned.get(name.lower())) for name, number in needed.items()]
    return sorted(found, key=lambda each: each.part_number)


def seats_not_told(changes: Iterable[Change], groups: Mapping[str, LicenseGroup]) -> list[str]:
    """A sentence for each licence group in the plan that gives nothing as it stands: its seats cannot be counted."""
    return [
        f"how many seats new accounts need ({count} to license) cannot be told: the licence group {group_id} "
        f"{groups[group_id].fault}"
        for group_id, count in sorted(_joining(changes).items())
        if group_id in groups and groups[group_id].fault
    ]


def _joining(changes: Iterable[Change]) -> Counter[str]:
    joins = (change for change in changes if change.kind is ChangeKind.JOIN_LICENSE_GROUP)
    return Counter(str(change.values["group"]) for change in joins)


def _forecast(name: str, needed: int, sku: Sku | None) -> SeatForecast:
    free = max(0, sku.seats_free) if sku is not None and sku.enabled else 0
    return SeatForecast(
        sku=sku.id if sku is not None else "",
        part_number=sku.part_number if sku is not None else name,
        needed=needed,
        free=free,
        short=max(0, needed - free),
    )
