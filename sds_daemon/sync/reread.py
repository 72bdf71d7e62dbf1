"""Records that were reset: what their objects hold is read back before anything is planned for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

import msgspec

from sds_daemon.plan.attributes import ACCOUNT_IDENTITY
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Link, Membership, Role
from sds_daemon.sync.adoption import demands_of, present_rows
from sds_daemon.sync.known import Managed
from sds_daemon.sync.people import PERSON_KINDS
from sds_daemon.sync.world import World, school_ref, section_ref
from sds_daemon.targets.base import Target

Inside = Mapping[Ref, Mapping[Role, frozenset[str]]]
Wanted = Mapping[Ref, frozenset[Ref] | None]
"""Containers to compare, and whose rows in them; None: everybody's."""


async def reread_reset(world: World, target: Target, run_id: int) -> None:
    """What the objects of reset records hold counts as written; their memberships become those that are there.

    A membership that is gone is no longer ours, so that it is put back if the source asks for it. One that is there
    stays managed even when the source no longer asks for it: else nobody would ever take it out.
    """
    own = {
        link.ref: link.object_id for link in world.known.heads() if link.unread and link.profile == world.profile.name
    }
    if not own:
        return
    held = await target.held_values(own)
    await _compare_memberships(world, target, _containers(world, held.keys()), run_id)
    links = world.links.some(held)
    world.keep_links([_read_back(links[ref], values) for ref, values in held.items()])


def _read_back(link: Link, values: Mapping[str, str]) -> Link:
    kept = {name: value for name, value in values.items() if link.ref.kind not in PERSON_KINDS or _is_written(name)}
    return msgspec.structs.replace(link, written=kept, unread=False)


def _is_written(name: str) -> bool:
    return name not in ACCOUNT_IDENTITY


def _containers(world: World, refs: Collection[Ref]) -> Wanted:
    """Reset sections and schools whole; of other ones the rows of reset people, recorded or demanded."""
    whole = {ref for ref in refs if ref.kind not in PERSON_KINDS}
    people = {ref for ref in refs if ref.kind in PERSON_KINDS}
    some: defaultdict[Ref, set[Ref]] = defaultdict(set)
    if people:
        for table in (_recorded(world), demands_of(world, _containers_read(world))):
            for container, rows in table.items():
                some[container] |= {member for _, member in rows if member in people}
    found: dict[Ref, frozenset[Ref] | None] = {ref: frozenset(members) for ref, members in some.items() if members}
    found.update(dict.fromkeys(whole))
    return {ref: members for ref, members in found.items() if ref in world.known and ref not in world.blocked}


def _recorded(world: World) -> Managed:
    return Managed(world.memberships.packed(world.profile.name), world.known)


def _containers_read(world: World) -> set[Ref]:
    return {*map(school_ref, world.snapshot.schools), *map(section_ref, world.snapshot.sections)}


async def _compare_memberships(world: World, target: Target, wanted: Wanted, run_id: int) -> None:
    inside = await _inside(world, target, wanted)
    recorded = _recorded(world)
    demands = demands_of(world, inside.keys())
    gone: list[Membership] = []
    found: list[Membership] = []
    for container, people in inside.items():
        whose = wanted[container]
        mine = {row for row in recorded.get(container, ()) if whose is None or row[1] in whose}
        due = {row for row in demands.get(container, ()) if whose is None or row[1] in whose}
        there = present_rows(world, container, mine | due, people)
        gone += [row for role, member in mine if (row := Membership(container, member, role)) not in there]
        found += there
    world.memberships.remove(gone)
    world.memberships.add(found, run_id)


async def _inside(world: World, target: Target, wanted: Wanted) -> Inside:
    """Object ids by role in each class and school that is there."""
    objects = {ref: world.known[ref].object_id for ref in wanted}
    groups = {ref: key for ref, key in objects.items() if ref.kind is RecordKind.SECTION}
    schools = {ref: key for ref, key in objects.items() if ref.kind is RecordKind.SCHOOL}
    found: dict[Ref, Mapping[Role, frozenset[str]]] = {}
    members = await target.group_members(sorted(groups.values())) if groups else {}
    for ref, key in groups.items():
        if key in members:
            found[ref] = {Role.OWNER: members[key].owners, Role.MEMBER: members[key].members}
    attached = await target.school_members(sorted(schools.values())) if schools else {}
    for ref, key in schools.items():
        if key in attached:
            found[ref] = {Role.SCHOOL_USER: attached[key], Role.SCHOOL_CLASS: attached[key]}
    return found
