"""The gates between plan and first write: policy, target limits, approval. (The source limit: measure.py.)"""

from __future__ import annotations

from collections import Counter

import msgspec

from sds_daemon.config.settings import Profile
from sds_daemon.errors import TooManyIssues
from sds_daemon.plan.change import Change, ChangeKind, Plan, Reason, Withheld
from sds_daemon.plan.issues import Severity
from sds_daemon.plan.limits import Extent, hold_excess
from sds_daemon.plan.policy import apply_policy
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import HeldSet, Role, Store
from sds_daemon.store.held import APPLYING, APPROVED, REJECTED, REJECTED_REST, common, difference
from sds_daemon.sync.plan_memberships import keep_last_owners
from sds_daemon.sync.world import IssueList, World

SHOWN = 5
_ROLE_KINDS = {
    Role.MEMBER: ChangeKind.REMOVE_MEMBER,
    Role.OWNER: ChangeKind.REMOVE_OWNER,
    Role.SCHOOL_USER: ChangeKind.REMOVE_SCHOOL_USER,
}


def gate(world: World, changes: list[Change], unproved: list[Withheld], *, first_sync: bool) -> Plan:
    """Policy first, then the last-owner rule, then the limits. What is taken out keeps its reason.

    The last-owner rule is asked again at the end: the new owner may be among what is held.
    """
    allowed, stripped = apply_policy(changes, world.profile.policy)
    allowed, last_owners = keep_last_owners(world, allowed)
    passing, held = hold_excess(allowed, extent_of(world, first_sync=first_sync), world.profile.limits)
    passing, waiting = keep_last_owners(world, passing)
    return Plan(changes=passing, skipped=[*unproved, *stripped, *last_owners, *waiting], held=held)


def extent_of(world: World, *, first_sync: bool) -> Extent:
    """What the percentages of the limits refer to: everything managed and linked."""
    totals: Counter[ChangeKind] = Counter()
    per_container: dict[Ref, int] = {}
    for container, roles in world.managed.counts():
        totals.update({_ROLE_KINDS[role]: count for role, count in roles.items() if role in _ROLE_KINDS})
        per_container[container] = roles.total()
    totals[ChangeKind.UPDATE_USER] = len(world.match.linked)
    totals[ChangeKind.UPDATE_CLASS] = len(world.of_kind(RecordKind.SECTION))
    totals[ChangeKind.UPDATE_SCHOOL] = len(world.of_kind(RecordKind.SCHOOL))
    return Extent(
        totals=totals,
        per_container=per_container,
        courses={s.id: s.course_id for s in world.snapshot.sections.values()},
        first_sync=first_sync,
    )


def refuse_many_issues(issues: IssueList, profile: Profile) -> None:
    """Raises TooManyIssues before anything is written (School Data Sync: 15,000 errors quarantine a profile)."""
    count = sum(1 for issue in issues.all() if issue.severity is Severity.ERROR)
    if count > profile.limits.max_issues:
        raise TooManyIssues(
            f"{count} records cannot be synced, limits.max_issues is {profile.limits.max_issues}; nothing was touched",
            remedy=f"look at: sds-daemon issues list {profile.name}; cure the cause, then: "
            f"sds-daemon profiles resume {profile.name}",
        )


class Release(msgspec.Struct, frozen=True):
    """Held changes a person approved, as computed again by this run."""

    number: int
    changes: list[Change]


class Kept(msgspec.Struct, kw_only=True):
    """A plan after what is held was compared with what was held before.

    `number`: of the set that waits or was approved. `notices`: what differs from an earlier set.
    """

    plan: Plan
    release: Release | None = None
    number: int | None = None
    notices: list[str] = []


def keep_held(store: Store, profile: Profile, run_id: int, plan: Plan) -> Kept:
    """Store what is held under its number; hand back the set if it was approved and is still exactly the same.

    A set that was rejected, and is still the same, asks no more: it counts as skipped.
    """
    before = store.held.current(profile.name)
    plan = _without_rejected(before, plan)
    if not plan.held:
        store.held.clear(profile.name)
        return Kept(plan=plan, notices=_gone(before))
    held = store.held.put(profile.name, run_id, plan.held)
    notices = differences(before, held) if before is not None and before.number != held.number else []
    if held.state == REJECTED:
        rejected = [msgspec.structs.replace(item, reason=Reason.REJECTED) for item in plan.held]
        return Kept(plan=msgspec.structs.replace(plan, skipped=[*plan.skipped, *rejected], held=[]))
    if held.state not in (APPROVED, APPLYING):
        return Kept(plan=plan, number=held.number, notices=notices)
    changes = [item.change for item in plan.held]
    released = msgspec.structs.replace(plan, changes=[*plan.changes, *changes], held=[])
    return Kept(plan=released, release=Release(held.number, changes), number=held.number)


def _without_rejected(before: HeldSet | None, plan: Plan) -> Plan:
    """What a person rejected does not go out because a limit would let it pass by now.

    That is, while the whole set is asked for; of one that a run had begun to apply, what is left of it.
    """
    if before is None or before.state not in (REJECTED, REJECTED_REST):
        return plan
    passing = [Withheld(change=change, reason=Reason.REJECTED) for change in plan.changes]
    asked = common(before.changes, [*plan.held, *passing])
    if before.state == REJECTED and len(asked) < len(before.changes):
        return plan
    kept = {item.change.key for item in common(before.changes, passing)}
    return msgspec.structs.replace(
        plan,
        changes=[change for change in plan.changes if change.key not in kept],
        held=[*plan.held, *(item for item in passing if item.change.key in kept)],
    )


def differences(before: HeldSet, now: HeldSet) -> list[str]:
    """What a set holds that an earlier one did not, and the other way round, in words; ids, not names."""
    added, gone = difference(before.changes, now.changes)
    parts = [f"{len(items)} {word} ({_some(items)})" for word, items in (("more", added), ("fewer", gone)) if items]
    approved = ", which was approved," if before.state == APPROVED else ""
    return [f"what is held has changed since run {before.run_id}{approved}: {'; '.join(parts)}"]


def _gone(before: HeldSet | None) -> list[str]:
    if before is None or before.state in (APPLYING, REJECTED, REJECTED_REST):
        return []
    return [f"the {len(before.changes)} changes held since run {before.run_id} are no longer held"]


def _some(items: list[Withheld]) -> str:
    shown = "; ".join(_place(item.change) for item in items[:SHOWN])
    return f"{shown}; …" if len(items) > SHOWN else shown


def _place(change: Change) -> str:
    return f"{change.kind} {change.member} in {change.subject}" if change.member else f"{change.kind} {change.subject}"
