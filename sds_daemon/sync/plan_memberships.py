"""Memberships: who is to be put into which class and school, and whose row has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from sds_daemon.plan.change import Change, ChangeKind, Reason, Withheld
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import Absence, RecordKind, Ref, Section
from sds_daemon.store import Role
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

    Only managed memberships are ever removed, and only because the row itself ended (design, section 6).
    """
    reachable = world.reachable()
    changes: list[Change] = []
    unproved: list[Withheld] = []
    for section in world.snapshot.sections.values():
        ref = section_ref(section.id)
        if section.frozen or ref in world.blocked or ref not in classes:
            continue
        demanded = section_demand(section, reachable)
        changes += _adds(world, ref, demanded)
        for removal in _section_removals(world, section, demanded):
            _sort_in(removal, _doubt(world, section, removal), changes, unproved)
    _plan_school_memberships(world, classes, schools, reachable, changes, unproved)
    report_unreachable(world, reachable)
    return changes, unproved


def section_demand(section: Section, reachable: frozenset[Ref]) -> Demand:
    """What a section asks for: teachers as owners and members (Graph docs: educationClass), students as members."""
    demanded: Demand = {(Role.MEMBER, ref) for ref in map(student_ref, section.students) if ref in reachable}
    for entry in section.teachers:
        ref = teacher_ref(entry.teacher_id)
        if ref in reachable:
            demanded |= {(Role.OWNER, ref), (Role.MEMBER, ref)}
    return demanded


def _adds(world: World, container: Ref, demanded: Demand) -> list[Change]:
    missing = demanded - world.managed.get(container, frozenset())
    changes = [Change(kind=ADD[role], subject=container, member=member) for role, member in sorted(missing)]
    if world.profile.hand_removals == "restore":
        changes += [
            Change(kind=ADD[role], subject=container, member=member, reason=Reason.RESTORED)
            for role, member in sorted(demanded & world.absent.get(container, frozenset()))
        ]
    return changes


def _section_removals(world: World, section: Section, demanded: Demand) -> Iterator[Change]:
    """Managed memberships whose row is gone: a person still on the roster but not synced is never taken out."""
    students = set(section.students)
    teachers = {entry.teacher_id for entry in section.teachers}
    ref = section_ref(section.id)
    for role, member in sorted(world.managed.get(ref, frozenset()) - demanded):
        if role is Role.SCHOOL_USER or role is Role.SCHOOL_CLASS:
            continue
        if member.kind is RecordKind.STUDENT and member.sis_id not in students:
            yield Change(kind=REMOVE[role], subject=ref, member=member, reason=Reason.LEFT_SECTION)
        if member.kind is RecordKind.TEACHER and member.sis_id not in teachers:
            yield Change(kind=REMOVE[role], subject=ref, member=member, reason=Reason.TEACHER_LEFT)


def _doubt(world: World, section: Section, removal: Change) -> str | None:
    resource = Resource.ENROLLMENTS if removal.reason is Reason.LEFT_SECTION else Resource.SECTIONS
    return world.doubt(resource, section.school_id, section.id)


def _sort_in(removal: Change, doubt: str | None, changes: list[Change], unproved: list[Withheld]) -> None:
    if doubt is None:
        changes.append(removal)
    else:
        unproved.append(Withheld(change=removal, reason=Reason.UNPROVED, detail=doubt))


def _plan_school_memberships(
    world: World,
    classes: frozenset[Ref],
    schools: frozenset[Ref],
    reachable: frozenset[Ref],
    changes: list[Change],
    unproved: list[Withheld],
) -> None:
    demanded: dict[Ref, Demand] = {school: set() for school in schools if school not in world.blocked}
    homes: dict[Ref, Ref] = {}
    for student in world.snapshot.students.values():
        ref, home = student_ref(student.id), school_ref(student.school_id)
        if ref in reachable:
            homes[ref] = home
            demanded.get(home, set()).add((Role.SCHOOL_USER, ref))
    for teacher in world.snapshot.teachers.values():
        ref = teacher_ref(teacher.id)
        for school_id in teacher.school_ids if ref in reachable else ():
            demanded.get(school_ref(school_id), set()).add((Role.SCHOOL_USER, ref))
    for section in world.snapshot.sections.values():
        ref = section_ref(section.id)
        if ref in classes and ref not in world.blocked and not section.frozen:
            demanded.get(school_ref(section.school_id), set()).add((Role.SCHOOL_CLASS, ref))
    for school in sorted(demanded):
        changes += _adds(world, school, demanded[school])
        for removal, home in _movers(world, school, homes):
            _sort_in(removal, _doubt_of_move(world, school, home), changes, unproved)


def _movers(world: World, school: Ref, homes: dict[Ref, Ref]) -> Iterator[tuple[Change, Ref]]:
    """Students attached to a school who were read at another one, and that one: the only reason to detach anybody."""
    for role, member in sorted(world.managed.get(school, frozenset())):
        if role is Role.SCHOOL_USER and member in homes and homes[member] != school:
            kind, reason = ChangeKind.REMOVE_SCHOOL_USER, Reason.CHANGED_SCHOOL
            yield Change(kind=kind, subject=school, member=member, reason=reason), homes[member]


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


def report_unreachable(world: World, reachable: frozenset[Ref]) -> None:
    """Count the rows of people who did not sync under the person: one issue, not a thousand."""
    rows: Counter[Ref] = Counter()
    for section in world.snapshot.sections.values():
        if not section.frozen:
            rows.update(ref for ref in map(student_ref, section.students) if ref not in reachable)
    for ref, count in sorted(rows.items()):
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
