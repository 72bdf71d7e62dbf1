"""Schools: made once, kept up to date, never taken away."""

from __future__ import annotations

from sds_daemon.plan.change import Change, ChangeKind, Reason
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.sync.values import school_values
from sds_daemon.sync.world import World, changed_values, school_ref, unchanged_beside


def plan_schools(world: World) -> tuple[list[Change], frozenset[Ref]]:
    """Changes to schools, and the schools that exist or are about to."""
    changes: list[Change] = []
    present: set[Ref] = set()
    links = world.links.some(map(school_ref, world.snapshot.schools))
    for school in world.snapshot.schools.values():
        ref = school_ref(school.id)
        if not school.name.strip():
            world.issues.report(ref, IssueCode.MISSING_ATTRIBUTE, "Name is empty")
            world.blocked.add(ref)
        if ref in world.blocked:
            continue
        present.add(ref)
        values = world.writable(RecordKind.SCHOOL, school_values(school, world.profile, world.source_uuid))
        link = links.get(ref)
        if link is None:
            filled = {name: value for name, value in values.items() if value is not None}
            changes.append(Change(kind=ChangeKind.CREATE_SCHOOL, subject=ref, values=filled))
        elif link.profile == world.profile.name and (changed := changed_values(values, link.written)):
            changes.append(
                Change(
                    kind=ChangeKind.UPDATE_SCHOOL,
                    subject=ref,
                    values=changed,
                    before={name: link.written.get(name) for name in changed},
                    beside=unchanged_beside(RecordKind.SCHOOL, changed, values, link.written),
                    reason=Reason.CHANGED if link.written else Reason.ANCHOR_DUE,
                )
            )
    return changes, frozenset(present)
