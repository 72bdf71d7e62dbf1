"""People: accounts to be made, attributes to be written, licences to be assigned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from sds_daemon.config.settings import PersonRules
from sds_daemon.plan.attributes import EDUCATION_ATTRIBUTES
from sds_daemon.plan.change import Change, ChangeKind, Reason
from sds_daemon.plan.issues import Issue, IssueCode, Severity
from sds_daemon.roster.records import RecordKind, Ref, Student, Teacher
from sds_daemon.sync.known import People
from sds_daemon.sync.naming import person_names
from sds_daemon.sync.people import PERSON_KINDS
from sds_daemon.sync.values import student_values, teacher_values
from sds_daemon.sync.world import World, changed_values, student_ref, unchanged_beside

Person = Student | Teacher


def plan_people(world: World) -> list[Change]:
    """Changes to accounts of students and teachers this profile owns."""
    _check_schools(world)
    changes: list[Change] = []
    for create in world.match.creates:
        changes += _create(world, create.ref, _people(world, create.ref.kind)[create.ref.sis_id], create.names.values())
    return [*changes, *_licenses_due(world), *_without_mastered(world, _updates(world))]


def _people(world: World, kind: RecordKind) -> Mapping[str, Person]:
    return world.snapshot.students if kind is RecordKind.STUDENT else world.snapshot.teachers


def _rules(world: World, kind: RecordKind) -> PersonRules:
    return world.profile.students if kind is RecordKind.STUDENT else world.profile.teachers


def _check_schools(world: World) -> None:
    for student in world.snapshot.students.values():
        if student.school_id not in world.snapshot.schools:
            world.issues.report(
                student_ref(student.id),
                IssueCode.INVALID_REFERENCE,
                f"its school {student.school_id} is not in the profile",
            )


def _licenses_due(world: World) -> Iterator[Change]:
    for kind in PERSON_KINDS:
        people, rules = _people(world, kind), _rules(world, kind)
        for sis_id, link in world.known.all(kind).items() if rules.gives_licenses else ():
            mine = link.licenses_due and link.profile == world.profile.name
            if mine and sis_id in people and link.ref in world.match.linked:
                yield _license(link.ref, rules)


def _updates(world: World) -> dict[Ref, Change]:
    """Attributes that differ from those last written, by record. Row by row: see `Links.written`."""
    updates: dict[Ref, Change] = {}
    linked = People(world.match.linked)
    for kind in PERSON_KINDS:
        people = _people(world, kind)
        for sis_id, created, written in world.links.written(kind, world.profile.name):
            person = people.get(sis_id)
            if person is None or sis_id not in linked.of(kind):
                continue
            update = _update(world, Ref(kind, sis_id), person, written, created=created)
            if update is not None:
                updates[update.subject] = update
    return updates


def desired_values(world: World, person: Person) -> dict[str, Any]:
    """Anchor and chosen attributes, as far as this tenant can hold them; unset ones are None."""
    if isinstance(person, Student):
        values = student_values(person, world.snapshot, world.profile, world.source_uuid)
        return world.writable(RecordKind.STUDENT, values)
    values = teacher_values(person, world.snapshot, world.profile, world.source_uuid)
    return world.writable(RecordKind.TEACHER, values)


def _create(world: World, ref: Ref, person: Person, names: dict[str, str]) -> list[Change]:
    filled = {name: value for name, value in desired_values(world, person).items() if value is not None}
    changes = [Change(kind=ChangeKind.CREATE_USER, subject=ref, values={**filled, **names})]
    rules = _rules(world, ref.kind)
    if rules.gives_licenses:
        changes.append(_license(ref, rules))
    return changes


def _license(ref: Ref, rules: PersonRules) -> Change:
    if rules.license_group:
        return Change(
            kind=ChangeKind.JOIN_LICENSE_GROUP,
            subject=ref,
            values={"group": rules.license_group},
            reason=Reason.LICENSE_DUE,
        )
    return Change(
        kind=ChangeKind.ASSIGN_LICENSE,
        subject=ref,
        values={"licenses": list(rules.licenses)},
        reason=Reason.LICENSE_DUE,
    )


def _update(world: World, ref: Ref, person: Person, written: Mapping[str, Any], *, created: bool) -> Change | None:
    desired = desired_values(world, person)
    if created:
        desired |= _current_names(world, person)
    changed = changed_values(desired, written)
    if not changed:
        return None
    return Change(
        kind=ChangeKind.UPDATE_USER,
        subject=ref,
        values=changed,
        before={name: written.get(name) for name in changed},
        beside=unchanged_beside(ref.kind, changed, desired, written),
        reason=Reason.ANCHOR_DUE if "external_id" in changed else Reason.CHANGED,
    )


def _current_names(world: World, person: Person) -> dict[str, Any]:
    """Names follow the source on accounts we made; a name that became illegal is an issue and is not written."""
    names = person_names(person, replace=world.profile.replace_invalid_characters)
    if isinstance(names, Issue):
        world.issues.add(names)
        return {}
    return dict(names)


def _without_mastered(world: World, updates: dict[Ref, Change]) -> list[Change]:
    """Leave attributes mastered on premises alone: Graph refuses them; said once, as a note."""
    objects = {ref: object_id for ref in updates if (object_id := world.match.linked.get(ref)) is not None}
    users = world.directory.users(objects.values())
    kept: list[Change] = []
    for ref, change in sorted(updates.items()):
        user = users.get(objects.get(ref, ""))
        if user is None or not user.on_premises:
            kept.append(change)
            continue
        values = {name: value for name, value in change.values.items() if name in EDUCATION_ATTRIBUTES}
        mastered = sorted(set(change.values) - set(values))
        if mastered:
            world.issues.report(
                ref,
                IssueCode.ON_PREMISES,
                f"left alone, mastered on premises: {', '.join(mastered)}",
                severity=Severity.NOTE,
            )
        if values:
            kept.append(_reduced(change, values))
    return kept


def _reduced(change: Change, values: dict[str, Any]) -> Change:
    before = {name: value for name, value in change.before.items() if name in values}
    return msgspec.structs.replace(change, values=values, before=before)
