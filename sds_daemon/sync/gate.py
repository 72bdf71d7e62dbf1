"""The gates between plan and first write: source limit, policy, target limits, approval."""

from __future__ import annotations

from collections import Counter

import msgspec

from sds_daemon.config.settings import LimitSettings, Profile
from sds_daemon.errors import SafetyStop
from sds_daemon.plan.change import Change, ChangeKind, Plan, Reason, Withheld
from sds_daemon.plan.limits import Extent, hold_excess, shrinkages
from sds_daemon.plan.policy import apply_policy
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import RecordKind, Ref, Snapshot
from sds_daemon.store import Baseline, Role, Store
from sds_daemon.store.held import APPROVED, REJECTED
from sds_daemon.sync.plan_memberships import keep_last_owners
from sds_daemon.sync.world import World

_ROLE_KINDS = {
    Role.MEMBER: ChangeKind.REMOVE_MEMBER,
    Role.OWNER: ChangeKind.REMOVE_OWNER,
    Role.SCHOOL_USER: ChangeKind.REMOVE_SCHOOL_USER,
}

_COUNTED_WHOLE = frozenset({Resource.SCHOOLS, Resource.STAFF})


def baseline_of(snapshot: Snapshot, accepted: Baseline | None = None) -> Baseline:
    """Row counts of a snapshot, compared with the next one's.

    A part that was not proved to be read whole has not shrunk: it counts at least as many rows as were accepted.
    """
    rows: Counter[tuple[Resource, str | None]] = Counter()
    rows[Resource.SCHOOLS, None] = len(snapshot.schools)
    rows[Resource.STAFF, None] = len(snapshot.teachers)
    for student in snapshot.students.values():
        rows[Resource.STUDENTS, student.school_id] += 1
    for section in snapshot.sections.values():
        rows[Resource.SECTIONS, section.school_id] += 1
        rows[Resource.ENROLLMENTS, section.school_id] += len(section.students)
    now = Baseline(school_year=snapshot.year.start_year, source_uuid=snapshot.source_uuid, rows=dict(rows))
    if accepted is not None and (accepted.source_uuid, accepted.school_year) == (now.source_uuid, now.school_year):
        unproved = {(part.resource, part.school_id) for part in snapshot.proof.unproved()}
        unproved |= {(resource, None) for resource, _ in unproved if resource in _COUNTED_WHOLE}
        for key in unproved & accepted.rows.keys():
            now.rows[key] = max(accepted.rows[key], now.rows.get(key, 0))
    return now


def _totals(baseline: Baseline) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for (resource, _), count in baseline.rows.items():
        totals[resource.value] += count
    return totals


def check_source_limit(
    snapshot: Snapshot, accepted: Baseline | None, limits: LimitSettings, *, accept_shrink: bool = False
) -> list[str]:
    """Notices to announce; raises SafetyStop when the snapshot shrank against the last accepted one.

    A new school year starts a new baseline. Another district's data is refused, whatever its size.
    """
    now = baseline_of(snapshot, accepted)
    if accepted is None:
        return []
    if accepted.source_uuid != now.source_uuid:
        raise SafetyStop(
            "the server answers with another district's data than before (its district uuid changed)",
            remedy="check the source's url; for a server that really was replaced, use a new profile name",
        )
    if accepted.school_year != now.school_year:
        return [f"school year {snapshot.year} begins: its first snapshot is the new measure, and nothing is removed"]
    shrunk = shrinkages(_totals(accepted), _totals(now), limits)
    if shrunk and not accept_shrink:
        lost = ", ".join(f"{s.resource} {s.before} to {s.now}" for s in shrunk)
        raise SafetyStop(
            f"the source shrank: {lost}; nothing was touched",
            remedy="look at PowerSchool; if it is right, run: sds-daemon sync PROFILE --accept-shrink",
        )
    return [f"accepted a smaller source: {s.resource} {s.before} to {s.now}" for s in shrunk]


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
    for container, rows in world.managed.items():
        totals.update(_ROLE_KINDS[role] for role, _ in rows if role in _ROLE_KINDS)
        per_container[container] = len(rows)
    totals[ChangeKind.UPDATE_USER] = len(world.match.linked)
    totals[ChangeKind.UPDATE_CLASS] = len(world.of_kind(RecordKind.SECTION))
    totals[ChangeKind.UPDATE_SCHOOL] = len(world.of_kind(RecordKind.SCHOOL))
    return Extent(
        totals=totals,
        per_container=per_container,
        courses={s.id: s.course_id for s in world.snapshot.sections.values()},
        first_sync=first_sync,
    )


class Release(msgspec.Struct, frozen=True):
    """Held changes a person approved, as computed again by this run."""

    number: int
    changes: list[Change]


def keep_held(store: Store, profile: Profile, run_id: int, plan: Plan) -> tuple[Plan, Release | None, int | None]:
    """Store what is held under its number; hand back the set if it was approved and is still exactly the same.

    A set that was rejected, and is still the same, asks no more: it counts as skipped.
    """
    if not plan.held:
        store.held.clear(profile.name)
        return plan, None, None
    held = store.held.put(profile.name, run_id, plan.held)
    if held.state == REJECTED:
        rejected = [msgspec.structs.replace(item, reason=Reason.REJECTED) for item in plan.held]
        return msgspec.structs.replace(plan, skipped=[*plan.skipped, *rejected], held=[]), None, None
    if held.state != APPROVED:
        return plan, None, held.number
    changes = [item.change for item in plan.held]
    released = msgspec.structs.replace(plan, changes=[*plan.changes, *changes], held=[])
    return released, Release(held.number, changes), held.number
