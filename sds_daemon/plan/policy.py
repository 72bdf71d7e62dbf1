"""Policies: which kinds of change are allowed. A filter over the plan; what it strips stays visible."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from sds_daemon.plan.change import REMOVALS, Change, ChangeKind, Reason, Withheld
from sds_daemon.roster.records import RecordKind

PolicyName = Literal["sds", "add-only", "mirror"]


def _sds_keeps(change: Change) -> bool:
    if change.kind is ChangeKind.REMOVE_MEMBER:
        return change.member is not None and change.member.kind is RecordKind.TEACHER
    return change.kind in REMOVALS


def _add_only_keeps(change: Change) -> bool:
    return change.kind in REMOVALS


def _mirror_keeps(_: Change) -> bool:
    return False


KEEPS: dict[str, Callable[[Change], bool]] = {"sds": _sds_keeps, "add-only": _add_only_keeps, "mirror": _mirror_keeps}
"""For each policy: whether it keeps what the change would take away (design: the rule table, docs/rules.md)."""


def apply_policy(changes: Iterable[Change], policy: PolicyName) -> tuple[list[Change], list[Withheld]]:
    """Split changes into those the policy allows and those it strips, in the order given."""
    keeps = KEEPS[policy]
    allowed: list[Change] = []
    stripped: list[Withheld] = []
    for change in changes:
        if keeps(change):
            stripped.append(Withheld(change=change, reason=Reason.POLICY_KEEPS, detail=f"policy {policy}"))
        else:
            allowed.append(change)
    return allowed, stripped
