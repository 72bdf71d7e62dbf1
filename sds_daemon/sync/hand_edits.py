"""What people did to our classes by hand: respected or put back, and always reported (design, section 6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping

from loguru import logger

from sds_daemon.clock import Clock
from sds_daemon.plan.drift import Drift, DriftCode
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import DriftReport, Membership, Role, Store
from sds_daemon.sync.sightings import in_snapshot
from sds_daemon.sync.world import World
from sds_daemon.targets.base import Members, MembersSeen, Target

PERSON_KINDS = frozenset({RecordKind.STUDENT, RecordKind.TEACHER})


async def heed_hand_edits(world: World, target: Target, clock: Clock) -> None:
    """Learn which managed memberships are missing, and forget those that no longer matter.

    A missing one is forgotten when its row at the source has ended as well (should it begin anew, it is added), or when
    the person's account was deleted (should that be restored, the person is put back).
    """
    await _reread_returned(world, target)
    absent = world.memberships.absent(world.profile.name, clock.now())
    gone = _without_account(world, absent)
    over = {row for row in absent if row in gone or _has_ended(world, row)}
    world.memberships.remove(sorted(over))
    rows: defaultdict[Ref, set[tuple[Role, Ref]]] = defaultdict(set)
    for row in absent.keys() - over:
        rows[row.container].add((row.role, row.member))
    world.absent = {container: frozenset(found) for container, found in rows.items()}


async def _reread_returned(world: World, target: Target) -> None:
    """Classes that were deleted and are back: whoever is not in them any more was taken out by hand."""
    if not world.returned:
        return
    members = await target.group_members(sorted(world.returned.values()))
    world.directory.observe_members(seen for group, found in members.items() for seen in seen_whole(group, found))
    world.links.mark_present(members)


def seen_whole(group: str, found: Members) -> tuple[MembersSeen, MembersSeen]:
    """Complete lists of a group's owners and members, as the cache takes them."""
    return (
        MembersSeen(id=group, relation="owners", present=tuple(found.owners), complete=True),
        MembersSeen(id=group, relation="members", present=tuple(found.members), complete=True),
    )


def _without_account(world: World, rows: Iterable[Membership]) -> set[Membership]:
    objects = {
        row: link.object_id
        for row in rows
        if row.member.kind in PERSON_KINDS and (link := world.known.get(row.member)) is not None
    }
    deleted = world.directory.deleted("user", set(objects.values())) if objects else set()
    return {row for row, object_id in objects.items() if object_id in deleted}


def _has_ended(world: World, row: Membership) -> bool:
    """Whether a proved part of the source says that the row is over; never true for what was not read, nor at a school
    that looks odd."""
    if row.container.kind is RecordKind.SCHOOL:
        return _has_moved(world, row)
    section = world.snapshot.sections.get(row.container.sis_id)
    if section is None or section.frozen or row.container in world.blocked:
        return False
    if row.member.kind is RecordKind.STUDENT:
        doubt = world.doubt(Resource.ENROLLMENTS, section.school_id, section.id)
        return doubt is None and row.member.sis_id not in section.students
    teachers = {entry.teacher_id for entry in section.teachers}
    return world.doubt_of_teachers(section) is None and row.member.sis_id not in teachers


def _has_moved(world: World, row: Membership) -> bool:
    student = world.snapshot.students.get(row.member.sis_id) if row.member.kind is RecordKind.STUDENT else None
    if student is None or student.school_id == row.container.sis_id:
        return False
    return not any(world.doubt(Resource.STUDENTS, at) for at in (row.container.sis_id, student.school_id))


def unexplained(
    world: World, container: Ref, wanted: Iterable[tuple[Role, Ref]], inside: Mapping[Role, frozenset[str]]
) -> list[Drift]:
    """People of this source who are in a class though nothing of ours put them there: by hand, or a record was lost.

    `wanted`: what is demanded or managed. `inside`: object ids by role. People without a record are nobody's concern.
    """
    wanted = set(wanted)
    strangers: dict[str, set[Role]] = defaultdict(set)
    for role, object_ids in inside.items():
        known = {link.object_id for each, ref in wanted if each is role and (link := world.known.get(ref)) is not None}
        for object_id in object_ids - known:
            strangers[object_id].add(role)
    refs = _records_of(world, strangers)
    return [
        Drift(code=DriftCode.UNEXPLAINED, subject=container, member=ref, name=role.value)
        for object_id, ref in sorted(refs.items())
        for role in sorted(strangers[object_id])
    ]


def _records_of(world: World, object_ids: Iterable[str]) -> dict[str, Ref]:
    """The person records of accounts, by link or by mark."""
    found: dict[str, Ref] = {}
    wanted = set(object_ids)
    if not wanted:
        return found
    for object_id, user in world.directory.users(wanted).items():
        if user.anchor is not None and user.anchor.source_uuid == world.source_uuid:
            found[object_id] = Ref(user.anchor.kind, user.anchor.sis_id)
    found.update(
        (link.object_id, ref)
        for ref, link in world.known.items()
        if ref.kind in PERSON_KINDS and link.object_id in wanted
    )
    return found


def report_drift(world: World, store: Store, found: Iterable[Drift]) -> list[str]:
    """Keep what the cycle knows of drift; sentences for what is new. `found`: memberships nobody can explain."""
    report = store.drift.record(world.profile.name, absences(world), codes={DriftCode.REMOVED})
    deleted = [
        Drift(code=DriftCode.DELETED, subject=issue.ref)
        for issue in world.issues.all()
        if issue.code is IssueCode.OBJECT_DELETED
    ]
    store.drift.record(world.profile.name, deleted, codes={DriftCode.DELETED}, subjects=_InScope(world))
    lost = store.drift.record(world.profile.name, found, codes=())
    log_drift(world.profile.name, report, lost)
    return [*_say_removed(world, report), *_say_unexplained(lost)]


def absences(world: World) -> list[Drift]:
    """Managed memberships that are missing though their class or school is there."""
    return [
        Drift(code=DriftCode.REMOVED, subject=container, member=member, name=role.value)
        for container, rows in sorted(world.absent.items())
        if container not in world.blocked
        for role, member in sorted(rows)
    ]


class _InScope(Container[Ref]):
    """The records the source gave this time."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __contains__(self, ref: object) -> bool:
        return isinstance(ref, Ref) and in_snapshot(self._world, ref)


def _say_removed(world: World, report: DriftReport) -> list[str]:
    if not report.new:
        return []
    what = "put back" if world.profile.hand_removals == "restore" else "respected until the source row changes"
    return [f"removed by hand, and {what}: {counted(len(report.new), 'membership')}; see sds-daemon drift list"]


def _say_unexplained(report: DriftReport) -> list[str]:
    if not report.new:
        return []
    return [f"in classes, but not from the source: {counted(len(report.new), 'membership')}; see sds-daemon drift list"]


def counted(number: int, noun: str) -> str:
    """ "1 membership", "2 memberships"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def log_drift(profile: str, *reports: DriftReport) -> None:
    """A line for each new drift and each that is gone: ids, never values."""
    bound = logger.bind(profile=profile)
    for report in reports:
        for drift in report.new:
            bound.bind(action="drift").warning("drift {}: {}", drift.code, place(drift))
        for drift in report.resolved:
            bound.bind(action="drift_resolved").info("drift is gone: {}: {}", drift.code, place(drift))


def place(drift: Drift) -> str:
    """Where a drift is, in ids: "member student 8 of section 9", "grade of student 8"."""
    if drift.member is not None:
        return f"{drift.name} {drift.member} of {drift.subject}"
    return f"{drift.name} of {drift.subject}" if drift.name else str(drift.subject)
