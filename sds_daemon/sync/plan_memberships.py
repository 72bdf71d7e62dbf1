"""Memberships: who is to be put into which class and school, and whose row has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from sds_daemon.config.settings import Profile
from sds_daemon.plan.change import Change, ChangeKind, Reason, Withheld
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import Absence, RecordKind, Ref, RosterRole, Section
from sds_daemon.store import Role
from sds_daemon.sync.known import People
from sds_daemon.sync.world import World, school_ref, section_ref, student_ref, teacher_ref

ADD = {
    Role.MEMBER: ChangeKind.ADD_MEMBER,
    Role.OWNER: ChangeKind.ADD_OWNER,
    Role.SCHOOL_USER: ChangeKind.ADD_SCHOOL_USER,
    Role.SCHOOL_CLASS: ChangeKind.ADD_SCHOOL_CLASS,
}
REMOVE = {
    Role.MEMBER: ChangeKind.REMOVE_MEMBER,
    Role.OWNER: ChangeKind.REMOVE_OWNER,
    Role.SCHOOL_USER: ChangeKind.REMOVE_SCHOOL_USER,
}
ROLE_OF = {kind: role for table in (ADD, REMOVE) for role, kind in table.items()}

Demand = set[tuple[Role, Ref]]


def plan_memberships(
    world: World, classes: frozenset[Ref], schools: frozenset[Ref]
) -> tuple[list[Change], list[Withheld]]:
    """Changes and unproved removals for the classes and schools that exist or are about to.

    Only managed memberships are ever removed, and only because the row itself ended (design, section 6). Demanded and
    managed memberships are compared as numbers; what differs alone is looked at as records.
    """
    reachable = world.reachable()
    pupils = {sis_id: world.managed.number(Role.MEMBER, student_ref(sis_id)) for sis_id in reachable.students}
    changes: list[Change] = []
    unproved: list[Withheld] = []
    for section in world.snapshot.sections.values():
        ref = section_ref(section.id)
        if section.frozen or ref in world.blocked or ref not in classes:
            continue
        wanted = _section_numbers(world, section, pupils, reachable)
        managed = world.managed.numbers(ref)
        changes += _adds(world, ref, wanted, managed)
        if not managed <= wanted:
            for removal in _section_removals(world, section, managed - wanted):
                _sort_in(removal, _doubt(world, section, removal), changes, unproved)
    _plan_school_memberships(world, classes, schools, reachable, changes, unproved)
    report_unreachable(world, reachable)
    return changes, unproved


def section_demand(section: Section, reachable: People, profile: Profile) -> Demand:
    """What a section asks for: its teachers, and students as members."""
    members = {(Role.MEMBER, student_ref(each)) for each in section.students if each in reachable.students}
    return members | teacher_demand(section, reachable, profile)


def teacher_demand(section: Section, reachable: People, profile: Profile) -> Demand:
    """The part of the teachers: owners and members (Graph docs: educationClass); co-teachers as `co_teachers` says."""
    demanded: Demand = set()
    for entry in section.teachers:
        if entry.teacher_id not in reachable.teachers:
            continue
        seat = profile.co_teachers if entry.role is RosterRole.CO_TEACHER else "owner"
        ref = teacher_ref(entry.teacher_id)
        if seat != "ignore":
            demanded.add((Role.MEMBER, ref))
        if seat == "owner":
            demanded.add((Role.OWNER, ref))
    return demanded


def _section_numbers(world: World, section: Section, pupils: Mapping[str, int], reachable: People) -> set[int]:
    """`section_demand` in numbers. `pupils`: of reachable students as members."""
    found = set(map(pupils.get, section.students))
    found.discard(None)
    wanted = cast("set[int]", found)
    wanted.update(world.managed.number(role, ref) for role, ref in teacher_demand(section, reachable, world.profile))
    return wanted


def _adds(world: World, container: Ref, wanted: set[int], managed: set[int]) -> list[Change]:
    if wanted == managed and container not in world.absent:
        return []
    changes = [
        Change(kind=ADD[role], subject=container, member=member)
        for role, member in world.managed.pairs(wanted - managed)
    ]
    if world.profile.hand_removals == "restore":
        changes += [
            Change(kind=ADD[role], subject=container, member=member, reason=Reason.RESTORED)
            for role, member in sorted(world.absent.get(container, frozenset()))
            if world.managed.number(role, member) in wanted
        ]
    return changes


def _section_removals(world: World, section: Section, undemanded: set[int]) -> Iterator[Change]:
    """Managed memberships whose row is gone: a person still on the roster but not synced is never taken out."""
    students = set(section.students)
    teachers = {entry.teacher_id for entry in section.teachers}
    ref = section_ref(section.id)
    for role, member in world.managed.pairs(undemanded):
        if role is Role.SCHOOL_USER or role is Role.SCHOOL_CLASS:
            continue
        if member.kind is RecordKind.STUDENT and member.sis_id not in students:
            yield Change(kind=REMOVE[role], subject=ref, member=member, reason=Reason.LEFT_SECTION)
        if member.kind is RecordKind.TEACHER and member.sis_id not in teachers:
            yield Change(kind=REMOVE[role], subject=ref, member=member, reason=Reason.TEACHER_LEFT)


def _doubt(world: World, section: Section, removal: Change) -> str | None:
    if removal.reason is Reason.TEACHER_LEFT:
        return world.doubt_of_teachers(section)
    return world.doubt(Resource.ENROLLMENTS, section.school_id, section.id)


def _sort_in(removal: Change, doubt: str | None, changes: list[Change], unproved: list[Withheld]) -> None:
    if doubt is None:
        changes.append(removal)
    else:
        unproved.append(Withheld(change=removal, reason=Reason.UNPROVED, detail=doubt))


def _plan_school_memberships(
    world: World,
    classes: frozenset[Ref],
    schools: frozenset[Ref],
    reachable: People,
    changes: list[Change],
    unproved: list[Withheld],
) -> None:
    demanded = _school_numbers(world, classes, schools, reachable)
    for school in sorted(demanded):
        ref = school_ref(school)
        managed = world.managed.numbers(ref)
        changes += _adds(world, ref, demanded[school], managed)
        for removal, home in _movers(world, ref, managed - demanded[school], reachable):
            _sort_in(removal, _doubt_of_move(world, ref, home), changes, unproved)


def _school_numbers(
    world: World, classes: frozenset[Ref], schools: frozenset[Ref], reachable: People
) -> dict[str, set[int]]:
    """Who and which classes are to be attached to each school, in numbers."""
    snapshot, number = world.snapshot, world.managed.number
    demanded: dict[str, set[int]] = {school.sis_id: set() for school in schools if school not in world.blocked}
    for student in snapshot.students.values():
        if student.school_id in demanded and student.id in reachable.students:
            demanded[student.school_id].add(number(Role.SCHOOL_USER, student_ref(student.id)))
    for teacher in snapshot.teachers.values():
        for school_id in teacher.school_ids if teacher.id in reachable.teachers else ():
            if school_id in demanded:
                demanded[school_id].add(number(Role.SCHOOL_USER, teacher_ref(teacher.id)))
    for section in snapshot.sections.values():
        ref = section_ref(section.id)
        if section.school_id in demanded and ref in classes and ref not in world.blocked and not section.frozen:
            demanded[section.school_id].add(number(Role.SCHOOL_CLASS, ref))
    return demanded


def _movers(world: World, school: Ref, undemanded: set[int], reachable: People) -> Iterator[tuple[Change, Ref]]:
    """Students attached to a school who were read at another one, and that one: the only reason to detach anybody."""
    for role, member in world.managed.pairs(undemanded):
        if role is not Role.SCHOOL_USER or member.kind is not RecordKind.STUDENT or member not in reachable:
            continue
        student = world.snapshot.students.get(member.sis_id)
        if student is not None and student.school_id != school.sis_id:
            kind, reason = ChangeKind.REMOVE_SCHOOL_USER, Reason.CHANGED_SCHOOL
            yield Change(kind=kind, subject=school, member=member, reason=reason), school_ref(student.school_id)


def _doubt_of_move(world: World, left: Ref, joined: Ref) -> str | None:
    return world.doubt(Resource.STUDENTS, left.sis_id) or world.doubt(Resource.STUDENTS, joined.sis_id)


def keep_last_owners(world: World, changes: Iterable[Change]) -> tuple[list[Change], list[Withheld]]:
    """Take out removals that would leave a class without an owner: Graph refuses them."""
    changes = list(changes)
    leaving: dict[Ref, set[Ref]] = {}
    arriving: set[Ref] = set()
    for change in changes:
        if change.kind is ChangeKind.REMOVE_OWNER and change.member is not None:
            leaving.setdefault(change.subject, set()).add(change.member)
        if change.kind is ChangeKind.ADD_OWNER:
            arriving.add(change.subject)
    kept: dict[Ref, Ref] = {}
    for section, members in leaving.items():
        there = world.managed.get(section, frozenset()) - world.absent.get(section, frozenset())
        owners = {member for role, member in there if role is Role.OWNER}
        if owners and section not in arriving and owners <= members:
            kept[section] = max(owners)
            world.issues.report(section, IssueCode.LAST_OWNER, "its last owner no longer teaches it and was kept")
    passing = [c for c in changes if not _concerns(c, kept)]
    return passing, [Withheld(change=c, reason=Reason.LAST_OWNER) for c in changes if _concerns(c, kept)]


def _concerns(change: Change, kept: dict[Ref, Ref]) -> bool:
    removals = {ChangeKind.REMOVE_OWNER, ChangeKind.REMOVE_MEMBER}
    return change.kind in removals and change.member is not None and kept.get(change.subject) == change.member


def report_unreachable(world: World, reachable: People) -> None:
    """Count the rows of people who did not sync under the person: one issue, not a thousand."""
    rows: Counter[str] = Counter()
    for section in world.snapshot.sections.values():
        if not section.frozen and not reachable.students.issuperset(section.students):
            rows.update(student for student in section.students if student not in reachable.students)
    for sis_id, count in sorted(rows.items()):
        ref = student_ref(sis_id)
        known = world.issues.about(ref)
        if known:
            world.issues.recount(known[0], count)
        else:
            _report_absence(world, ref, count)


_ABSENCES = {
    Absence.INACTIVE: (IssueCode.INACTIVE_PERSON, "the student is not active but has active enrollments"),
    Absence.OTHER_SCHOOL: (IssueCode.HOME_SCHOOL, "the student's home school is in no profile that has synced"),
    Absence.UNKNOWN: (IssueCode.INVALID_REFERENCE, "enrollments name a student who does not exist"),
}


def _report_absence(world: World, ref: Ref, count: int) -> None:
    absence = world.snapshot.absences.get(ref.sis_id, Absence.UNKNOWN)
    code, detail = _ABSENCES[absence]
    world.issues.report(ref, code, detail)
    world.issues.recount(world.issues.about(ref)[0], count)
