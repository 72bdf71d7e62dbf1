"""Objects that carry our mark are ours, whatever became of the database: they are linked, never made again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from sds_daemon.clock import Clock
from sds_daemon.plan.drift import Drift
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Head, Link, Membership, Role
from sds_daemon.sync.hand_edits import unexplained
from sds_daemon.sync.known import People
from sds_daemon.sync.matching import ANCHOR_RULE, FEW
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
    schools = [school for school in world.snapshot.schools if school not in world.known.all(RecordKind.SCHOOL)]
    sections = [section for section in world.snapshot.sections if section not in world.known.all(RecordKind.SECTION)]
    if schools:
        anchored = world.directory.schools_by_anchor(world.source_uuid, _if_few(schools))
        _adopt(world, clock, map(school_ref, schools), anchored)
    if sections:
        groups = world.directory.groups_by_anchor(world.source_uuid, _if_few(sections))
        _adopt(world, clock, map(section_ref, sections), groups)
    _heed_deleted_groups(world)
    schools_deleted = _deleted(world, RecordKind.SCHOOL, "school")
    _block(world, schools_deleted)


def _if_few(sis_ids: list[str]) -> list[str] | None:
    return sis_ids if len(sis_ids) <= FEW else None


def _adopt(world: World, clock: Clock, refs: Iterable[Ref], anchored: Anchored) -> None:
    links = []
    for ref in refs:
        candidates = anchored.get(ref.sis_id, [])
        if not candidates:
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
    world.keep_links(links)


def _deleted(world: World, kind: RecordKind, object_kind: str) -> list[Head]:
    links = world.of_kind(kind)
    deleted = world.directory.deleted(object_kind, [link.object_id for link in links])
    return [link for link in links if link.object_id in deleted]


def _block(world: World, links: Iterable[Head]) -> None:
    for link in links:
        world.blocked.add(link.ref)
        world.issues.report(link.ref, IssueCode.OBJECT_DELETED, "its directory object was deleted by hand")


def _heed_deleted_groups(world: World) -> None:
    """Report deleted groups; where told to, restore them, or have those gone for good made anew."""
    deleted = _deleted(world, RecordKind.SECTION, "group")
    gone = {link.object_id for link in deleted}
    world.returned = {
        link.ref: link.object_id
        for link in world.of_kind(RecordKind.SECTION)
        if link.deleted and link.object_id not in gone
    }
    world.links.mark_deleted(link.object_id for link in deleted if not link.deleted)
    ours = [link for link in deleted if world.profile.recreate_deleted_groups and link.profile == world.profile.name]
    purged = world.directory.purged("group", [link.object_id for link in ours])
    for link in ours:
        if link.object_id in purged:
            world.drop_link(link.ref)
        else:
            world.restorable[link.ref] = link.object_id
            world.blocked.add(link.ref)
    _block(world, [link for link in deleted if link not in ours])


async def recall_written(world: World, target: Target) -> None:
    """What objects linked by their mark hold counts as written, so that a lost database costs no write.

    Where directory and source differ, nobody can tell any more a change by hand from one at the source: it is written.
    """
    fresh = {
        link.ref: link.object_id
        for link in world.known.heads()
        if link.blank and link.rule == ANCHOR_RULE and link.profile == world.profile.name
    }
    if not fresh:
        return
    held = await target.held_values(fresh)
    links = world.links.some(held)
    world.keep_links(
        [
            msgspec.structs.replace(links[ref], written={**values, **anchor_values(ref.sis_id, world.source_uuid)})
            for ref, values in held.items()
        ]
    )


async def record_found_memberships(world: World, target: Target, run_id: int) -> list[Drift]:
    """For linked classes and schools without any recorded membership, read who is in already, and record the demanded.

    This is what makes an adopted class, a lost database and a crash between creating and recording cost no write.
    Returns the memberships in classes that nothing explains.
    """
    empty = {ref for ref in world.memberships.empty_containers(world.profile.name) if ref in world.known}
    if not empty:
        return []
    demands = {ref: demand for ref, demand in demands_of(world, empty).items() if demand}
    linked = {ref: world.known[ref].object_id for ref in demands}
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


def demands_of(world: World, containers: Collection[Ref]) -> dict[Ref, Demand]:
    """What the source asks for in these schools and sections, unless frozen, of people who are linked."""
    linked = People(world.match.linked)
    schools = {ref.sis_id for ref in containers if ref.kind is RecordKind.SCHOOL} & world.snapshot.schools.keys()
    demands: dict[Ref, Demand] = {school_ref(school): set() for school in schools}
    for section in world.snapshot.sections.values():
        ref = section_ref(section.id)
        if section.frozen:
            continue
        if ref in containers:
            demands[ref] = section_demand(section, linked, world.profile)
        if section.school_id in schools:
            demands[school_ref(section.school_id)].add((Role.SCHOOL_CLASS, ref))
    for ref in world.match.linked if schools else ():
        for home in schools.intersection(_homes(world, ref)):
            demands[school_ref(home)].add((Role.SCHOOL_USER, ref))
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
