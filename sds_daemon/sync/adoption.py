"""Objects that carry our mark are ours, whatever became of the database: they are linked, never made again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from sds_daemon.clock import Clock
from sds_daemon.plan.drift import Drift
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Link, Membership, Role
from sds_daemon.sync.hand_edits import unexplained
from sds_daemon.sync.matching import ANCHOR_RULE
from sds_daemon.sync.plan_memberships import Demand, section_demand
from sds_daemon.sync.values import anchor_values
from sds_daemon.sync.world import World, school_ref, section_ref
from sds_daemon.targets.base import DirectoryGroup, DirectorySchool, Target

Anchored = Mapping[str, Sequence[DirectoryGroup | DirectorySchool]]


def adopt_anchored(world: World, clock: Clock) -> None:
    """Link schools and sections without a link to the one object that carries their anchor (design, section 5).

    Two objects with one anchor are an issue, and neither is used. Links whose object was deleted by hand are reported
    and blocked: nothing is made in its place, unless the profile says so for groups (recreate_deleted_groups).
    """
    schools = world.directory.schools_by_anchor(world.source_uuid)
    groups = world.directory.groups_by_anchor(world.source_uuid)
    _adopt(world, clock, [school_ref(school) for school in world.snapshot.schools], schools)
    _adopt(world, clock, [section_ref(section) for section in world.snapshot.sections], groups)
    _heed_deleted_groups(world)
    schools_deleted = _deleted(world, RecordKind.SCHOOL, "school")
    _block(world, schools_deleted)


def _adopt(world: World, clock: Clock, refs: list[Ref], anchored: Anchored) -> None:
    links = []
    for ref in refs:
        candidates = anchored.get(ref.sis_id, [])
        if not candidates or ref in world.known:
            continue
        if len(candidates) > 1:
            world.blocked.add(ref)
            world.issues.report(ref, IssueCode.DUPLICATE_TARGET, f"{len(candidates)} directory objects carry its mark")
            continue
        links.append(
            Link(
                ref=ref,
                object_id=candidates[0].id,
                profile=world.profile.name,
                created=True,
                rule=ANCHOR_RULE,
                licenses_due=False,
                written={},
                linked_at=clock.now(),
            )
        )
    world.links.put(links)
    world.known.update((link.ref, link) for link in links)


def _deleted(world: World, kind: RecordKind, object_kind: str) -> list[Link]:
    links = world.of_kind(kind)
    deleted = world.directory.deleted(object_kind, [link.object_id for link in links.values()])
    return [link for link in links.values() if link.object_id in deleted]


def _block(world: World, links: Iterable[Link]) -> None:
    for link in links:
        world.blocked.add(link.ref)
        world.issues.report(link.ref, IssueCode.OBJECT_DELETED, "its directory object was deleted by hand")


def _heed_deleted_groups(world: World) -> None:
    """Report deleted groups; where told to, restore them, or have those gone for good made anew."""
    deleted = _deleted(world, RecordKind.SECTION, "group")
    gone = {link.object_id for link in deleted}
    world.returned = {
        ref: link.object_id
        for ref, link in world.of_kind(RecordKind.SECTION).items()
        if link.deleted and link.object_id not in gone
    }
    world.links.mark_deleted(link.object_id for link in deleted if not link.deleted)
    ours = [link for link in deleted if world.profile.recreate_deleted_groups and link.profile == world.profile.name]
    purged = world.directory.purged("group", [link.object_id for link in ours])
    for link in ours:
        if link.object_id in purged:
            world.links.drop(link.ref)
            del world.known[link.ref]
        else:
            world.restorable[link.ref] = link.object_id
            world.blocked.add(link.ref)
    _block(world, [link for link in deleted if link not in ours])


async def recall_written(world: World, target: Target) -> None:
    """What objects linked by their mark hold counts as written, so that a lost database costs no write.

    Where directory and source differ, nobody can tell any more a change by hand from one at the source: it is written.
    """
    fresh = {
        ref: link
        for ref, link in world.known.items()
        if link.rule == ANCHOR_RULE and not link.written and link.profile == world.profile.name
    }
    if not fresh:
        return
    held = await target.held_values({ref: link.object_id for ref, link in fresh.items()})
    links = [
        msgspec.structs.replace(fresh[ref], written={**values, **anchor_values(ref.sis_id, world.source_uuid)})
        for ref, values in held.items()
    ]
    world.links.put(links)
    world.known.update((link.ref, link) for link in links)


async def record_found_memberships(world: World, target: Target, run_id: int) -> list[Drift]:
    """For linked classes and schools without any recorded membership, read who is in already, and record the demanded.

    This is what makes an adopted class, a lost database and a crash between creating and recording cost no write.
    Returns the memberships in classes that nothing explains.
    """
    recorded = world.memberships.by_container(world.profile.name)
    demands = {ref: demand for ref, demand in demands_of(world).items() if ref not in recorded and demand}
    linked = {ref: link.object_id for ref in demands if (link := world.known.get(ref)) is not None}
    classes = {ref: oid for ref, oid in linked.items() if ref.kind is RecordKind.SECTION and ref not in world.blocked}
    schools = {ref: oid for ref, oid in linked.items() if ref.kind is RecordKind.SCHOOL and ref not in world.blocked}
    found: list[Membership] = []
    strange: list[Drift] = []
    members = await target.group_members(sorted(classes.values())) if classes else {}
    for ref, object_id in classes.items():
        if object_id in members:
            inside = {Role.OWNER: members[object_id].owners, Role.MEMBER: members[object_id].members}
            found += present_rows(world, ref, demands[ref], inside)
            strange += unexplained(world, ref, demands[ref], inside)
    attached = await target.school_members(sorted(schools.values())) if schools else {}
    for ref, object_id in schools.items():
        everyone = attached.get(object_id, frozenset())
        found += present_rows(world, ref, demands[ref], {Role.SCHOOL_USER: everyone, Role.SCHOOL_CLASS: everyone})
    world.memberships.add(found, run_id)
    return strange


def demands_of(world: World) -> dict[Ref, Demand]:
    """What the source asks for in each school and section that is not frozen, of people who are linked."""
    reachable = frozenset(world.match.linked)
    demands: dict[Ref, Demand] = {school_ref(school): set() for school in world.snapshot.schools}
    for section in world.snapshot.sections.values():
        if not section.frozen:
            demands[section_ref(section.id)] = section_demand(section, reachable)
            demands.get(school_ref(section.school_id), set()).add((Role.SCHOOL_CLASS, section_ref(section.id)))
    for ref in reachable:
        for home in _homes(world, ref):
            demands.get(school_ref(home), set()).add((Role.SCHOOL_USER, ref))
    return demands


def _homes(world: World, ref: Ref) -> tuple[str, ...]:
    if ref.kind is RecordKind.STUDENT:
        student = world.snapshot.students.get(ref.sis_id)
        return (student.school_id,) if student is not None else ()
    teacher = world.snapshot.teachers.get(ref.sis_id)
    return teacher.school_ids if teacher is not None else ()


def present_rows(
    world: World, container: Ref, demand: Demand, inside: Mapping[Role, frozenset[str]]
) -> list[Membership]:
    """Those of the demanded memberships that are there. `inside`: object ids by role."""
    found = []
    for role, member in demand:
        link = world.known.get(member)
        if link is not None and link.object_id in inside.get(role, frozenset()):
            found.append(Membership(container=container, member=member, role=role))
    return found
