"""Classes: one per section, made once, kept up to date, never taken away."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sds_daemon.plan.change import Change, ChangeKind, Reason
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.records import RecordKind, Ref, Section
from sds_daemon.store import Role
from sds_daemon.sync.known import People
from sds_daemon.sync.plan_memberships import teacher_demand
from sds_daemon.sync.values import class_attributes, class_name, class_values
from sds_daemon.sync.world import World, changed_values, section_ref, unchanged_beside
from sds_daemon.targets.base import DirectoryGroup


def plan_classes(world: World) -> tuple[list[Change], frozenset[Ref]]:
    """Changes to classes, and the classes that exist or are about to (those an approval decides left out)."""
    changes: list[Change] = []
    present: set[Ref] = set()
    wanted: dict[Ref, dict[str, Any]] = {}
    linked: set[str] = set()
    reachable = world.reachable()
    for section in world.snapshot.sections.values():
        ref = section_ref(section.id)
        if ref in world.restorable and not section.frozen:
            changes.append(_restore(ref, world.restorable[ref]))
        if section.frozen or ref in world.blocked or not _complete(world, section):
            continue
        if section.id in world.known.all(RecordKind.SECTION):
            present.add(ref)
            linked.add(section.id)
        elif _may_be_made(world, section, reachable):
            values = class_values(section, world.snapshot, world.profile, world.source_uuid)
            writable = world.writable(RecordKind.SECTION, values)
            wanted[ref] = {name: value for name, value in writable.items() if value is not None}
    changes += sorted(_updates(world, linked), key=lambda change: change.subject)
    taken = world.directory.groups_by_alias(str(values["mail_nickname"]) for values in wanted.values())
    for ref, values in wanted.items():
        change = _create(world, ref, values, taken.get(str(values["mail_nickname"]).lower()))
        if change is not None:
            changes.append(change)
            if change.kind is ChangeKind.CREATE_CLASS:
                present.add(ref)
    return changes, frozenset(present)


def _restore(ref: Ref, object_id: str) -> Change:
    """Back from the recycle bin with everything in it; the next cycle looks who that is."""
    return Change(kind=ChangeKind.RESTORE_CLASS, subject=ref, object_id=object_id, reason=Reason.DELETED_BY_HAND)


def _complete(world: World, section: Section) -> bool:
    """School Data Sync's required attributes of a section: number, course id, course name."""
    ref = section_ref(section.id)
    missing = [
        field
        for field, value in (
            ("Section Number", section.number),
            ("Course SIS ID", section.course_id),
            ("Course Name", section.course.name if section.course else ""),
        )
        if not value.strip()
    ]
    if missing:
        world.issues.report(ref, IssueCode.MISSING_ATTRIBUTE, f"{' and '.join(missing)} missing")
        world.blocked.add(ref)
    return not missing


def _may_be_made(world: World, section: Section, reachable: People) -> bool:
    """Graph may leave a group without an owner unprovisioned (group-post-groups): such a section is held back."""
    if world.profile.teacherless == "create":
        return True
    if any(role is Role.OWNER for role, _ in teacher_demand(section, reachable, world.profile)):
        return True
    detail = "its teacher did not sync" if section.teachers else "it has no teacher"
    world.issues.report(section_ref(section.id), IssueCode.NO_TEACHER, f"{detail}; the class is not made yet")
    return False


def _create(world: World, ref: Ref, values: dict[str, Any], holder: DirectoryGroup | None) -> Change | None:
    if holder is None:
        return Change(kind=ChangeKind.CREATE_CLASS, subject=ref, values=values)
    foreign = holder.anchor is None or holder.anchor.source_uuid != world.source_uuid
    if world.profile.adopt_existing and foreign:
        return Change(
            kind=ChangeKind.ADOPT_CLASS, subject=ref, values=values, reason=Reason.ADOPTABLE, object_id=holder.id
        )
    world.issues.report(
        ref, IssueCode.ALIAS_TAKEN, f"the alias {values['mail_nickname']} is held by a group without our mark"
    )
    return None


def _updates(world: World, linked: Collection[str]) -> Iterator[Change]:
    """Attributes of these classes, as far as they are the profile's own, that differ from those last written.

    The alias is never changed, the name where the profile says so.
    """
    sections, profile = world.snapshot.sections, world.profile
    for sis_id, _, written in world.links.written(RecordKind.SECTION, profile.name):
        if sis_id in linked:
            values = class_attributes(sections[sis_id], world.snapshot, profile, world.source_uuid)
            if profile.class_name_updates:
                values["display_name"] = class_name(sections[sis_id], world.snapshot, profile)
            yield from _update(world, section_ref(sis_id), world.writable(RecordKind.SECTION, values), written)


def _update(world: World, ref: Ref, values: Mapping[str, Any], written: Mapping[str, Any]) -> Iterator[Change]:
    changed = changed_values(values, written)
    if changed:
        yield Change(
            kind=ChangeKind.UPDATE_CLASS,
            subject=ref,
            values=changed,
            before={name: written.get(name) for name in changed},
            beside=unchanged_beside(RecordKind.SECTION, changed, values, written),
            reason=Reason.CHANGED if written else Reason.ANCHOR_DUE,
        )
