"""What a snapshot and the directory showed of single records, in the form `explain` keeps and reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from sds_daemon.plan.change import Plan
from sds_daemon.plan.issues import Issue
from sds_daemon.plan.sighting import Sighting
from sds_daemon.roster.proof import Part, Resource
from sds_daemon.roster.records import Absence, RecordKind, Ref, Section, Student, Teacher
from sds_daemon.store import Store
from sds_daemon.sync.matching import ANCHOR_RULE, FEW, UserKey
from sds_daemon.sync.naming import account_names
from sds_daemon.sync.people import PERSON_KINDS, view_of
from sds_daemon.sync.world import World

_ABSENCES = {
    Absence.INACTIVE: "the student is not active in the source",
    Absence.OTHER_SCHOOL: "the student's home school is outside the profile",
    Absence.UNKNOWN: "enrollments name the student, but the source has no such student",
}
_NOWHERE = {
    RecordKind.STUDENT: "not among the active students of the profile's schools",
    RecordKind.TEACHER: "not among the teachers of the profile's schools",
    RecordKind.SECTION: "not among the sections that are taken up at the profile's schools",
    RecordKind.SCHOOL: "not among the profile's schools",
}
_RESOURCES = {
    RecordKind.STUDENT: Resource.STUDENTS,
    RecordKind.TEACHER: Resource.STAFF,
    RecordKind.SECTION: Resource.SECTIONS,
    RecordKind.SCHOOL: Resource.SCHOOLS,
}


def concerned(plan: Plan, issues: Iterable[Issue]) -> set[Ref]:
    """Records with a change, planned or withheld, or an issue."""
    changes = [*plan.changes, *(item.change for item in (*plan.skipped, *plan.held))]
    refs = {change.subject for change in changes}
    refs |= {change.member for change in changes if change.member is not None}
    return refs | {issue.ref for issue in issues}


def record_sightings(world: World, plan: Plan, store: Store, run_id: int) -> None:
    """Keep what was seen of records that were concerned, have vanished from the source, or are back."""
    name = world.profile.name
    issues = world.issues.all()
    refs = concerned(plan, issues)
    known_absent = store.sightings.absent(name)
    refs |= {ref for ref in _vanished(world) if ref not in known_absent}
    refs |= {ref for ref in known_absent if in_snapshot(world, ref)}
    in_question = {issue.ref for issue in issues if issue.ref.kind in PERSON_KINDS}
    store.sightings.record(name, run_id, sightings_of(world, refs, in_question))


def _vanished(world: World) -> Iterator[Ref]:
    """Records of the profile's own links that the source did not give."""
    for kind in RecordKind:
        links = world.known.all(kind)
        for sis_id in links.keys() - records_of(world, kind).keys():
            if links[sis_id].profile == world.profile.name:
                yield links[sis_id].ref


def in_snapshot(world: World, ref: Ref) -> bool:
    """Whether the source gave the record this time."""
    return ref.sis_id in records_of(world, ref.kind)


def records_of(world: World, kind: RecordKind) -> Mapping[str, object]:
    """The snapshot's records of a kind by SIS ID."""
    snapshot = world.snapshot
    tables: dict[RecordKind, Mapping[str, object]] = {
        RecordKind.SCHOOL: snapshot.schools,
        RecordKind.SECTION: snapshot.sections,
        RecordKind.STUDENT: snapshot.students,
        RecordKind.TEACHER: snapshot.teachers,
    }
    return tables[kind]


def sightings_of(world: World, refs: Iterable[Ref], in_question: Collection[Ref]) -> Iterator[tuple[Ref, Sighting]]:
    """What was seen of records. `in_question`: people whose accounts are looked up again, to name the candidates."""
    parts = {(part.resource, part.school_id): part for part in world.snapshot.proof.parts}
    problems = {problem.ref: problem.detail for problem in world.snapshot.problems}
    matched = _matched(world) | _candidates(world, in_question)
    for ref in sorted(refs):
        record = records_of(world, ref.kind).get(ref.sis_id)
        if record is None:
            yield ref, Sighting(absent=_absence(world, ref, problems))
        else:
            yield ref, _sighting(world, ref, record, parts, matched.get(ref, Sighting()))


def _absence(world: World, ref: Ref, problems: Mapping[Ref, str]) -> str:
    if ref in problems:
        return f"the record could not be used: {problems[ref]}"
    if ref.kind is RecordKind.STUDENT and ref.sis_id in world.snapshot.absences:
        return _ABSENCES[world.snapshot.absences[ref.sis_id]]
    return _NOWHERE[ref.kind]


def _sighting(
    world: World, ref: Ref, record: object, parts: Mapping[tuple[Resource, str | None], Part], matched: Sighting
) -> Sighting:
    schools = _schools(ref, record)
    part = _part(parts, _RESOURCES[ref.kind], schools[0] if schools else None)
    seen = msgspec.structs.replace(
        matched,
        call=_call(world, ref.kind.value, ref, schools),
        received=part.received if part else 0,
        expected=part.expected if part else None,
        doubt=_doubt(part, ref.sis_id),
        schools=schools,
    )
    if isinstance(record, Section):
        return _with_roster(world, ref, record, parts, seen)
    if isinstance(record, Student | Teacher):
        view = view_of(record, world.profile)
        value, target = view.value, str(view.rules.target_property)
        if world.profile.users == "create":
            names = account_names(record, view.rules, replace=world.profile.replace_invalid_characters)
            value, target = getattr(names, "user_principal_name", ""), "userPrincipalName"
        return msgspec.structs.replace(seen, value=value, target=target)
    return seen


def _with_roster(
    world: World, ref: Ref, section: Section, parts: Mapping[tuple[Resource, str | None], Part], seen: Sighting
) -> Sighting:
    roster = _part(parts, Resource.ENROLLMENTS, section.school_id)
    return msgspec.structs.replace(
        seen,
        roster_call=_call(world, "roster", ref, seen.schools),
        roster_doubt=_doubt(roster, section.id),
        start=section.term.start.isoformat(),
        end=section.term.end.isoformat(),
        teachers=tuple(entry.teacher_id for entry in section.teachers),
        students=section.students,
    )


def _schools(ref: Ref, record: object) -> tuple[str, ...]:
    if isinstance(record, Teacher):
        return record.school_ids
    if isinstance(record, Student | Section):
        return (record.school_id,)
    return (ref.sis_id,)


def _call(world: World, kind: str, ref: Ref, schools: tuple[str, ...]) -> str:
    template = world.snapshot.origins.get(kind, "")
    return template.replace("{school}", schools[0] if schools else "").replace("{id}", ref.sis_id)


def _part(parts: Mapping[tuple[Resource, str | None], Part], resource: Resource, school: str | None) -> Part | None:
    return parts.get((resource, school)) or parts.get((resource, None))


def _doubt(part: Part | None, sub_part: str) -> str:
    if part is None:
        return "it was not counted"
    return part.reason or part.gaps.get(sub_part, "")


def _matched(world: World) -> dict[Ref, Sighting]:
    """People linked or to be made just now: what was found is known without looking again."""
    found = {create.ref: Sighting(candidates=()) for create in world.match.creates}
    for each in world.match.matched:
        ids = (each.object_id,)
        by_mark = each.rule == ANCHOR_RULE
        found[each.ref] = Sighting(marked=ids) if by_mark else Sighting(candidates=ids)
    return found


def _candidates(world: World, people: Collection[Ref]) -> dict[Ref, Sighting]:
    """Accounts that have the compared value, or our mark, of people in question; one look-up a property."""
    values = {ref: compared for ref in people if (compared := _compared(world, ref)) is not None}
    wanted: defaultdict[UserKey, set[str]] = defaultdict(set)
    for target, value in values.values():
        wanted[target].add(value.lower())
    users = {target: world.directory.users_by(target, sorted(texts)) for target, texts in wanted.items()}
    few = {ref.sis_id for ref in values} if len(values) <= FEW else None
    marked = world.directory.users_by_anchor(world.source_uuid, few) if values else {}
    return {
        ref: Sighting(
            candidates=tuple(user.id for user in users[target].get(value.lower(), [])),
            marked=tuple(user.id for user in marked.get((ref.kind, ref.sis_id), [])),
        )
        for ref, (target, value) in values.items()
    }


def _compared(world: World, ref: Ref) -> tuple[UserKey, str] | None:
    person = records_of(world, ref.kind).get(ref.sis_id)
    if not isinstance(person, Student | Teacher):
        return None
    view = view_of(person, world.profile)
    if world.profile.users != "create":
        return view.rules.target_property, view.value
    names = account_names(person, view.rules, replace=world.profile.replace_invalid_characters)
    return "userPrincipalName", getattr(names, "user_principal_name", "")
