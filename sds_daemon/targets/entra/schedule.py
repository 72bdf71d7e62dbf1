"""The apply: a strand of work for each directory object the plan touches, run as soon as it can do something."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sds_daemon.plan.change import Change, ChangeKind
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.targets.entra.classes import ClassStrand
from sds_daemon.targets.entra.license_groups import LicenseGroupStrand
from sds_daemon.targets.entra.people import PersonStrand
from sds_daemon.targets.entra.schools import SchoolStrand
from sds_daemon.targets.entra.strands import Context, member_of

MAKING = frozenset(
    {
        ChangeKind.CREATE_SCHOOL,
        ChangeKind.CREATE_USER,
        ChangeKind.ADOPT_USER,
        ChangeKind.CREATE_CLASS,
        ChangeKind.ADOPT_CLASS,
    }
)
AnyStrand = PersonStrand | ClassStrand | SchoolStrand | LicenseGroupStrand
_STRANDS: dict[RecordKind, Callable[[Context, Ref, Sequence[Change]], AnyStrand]] = {
    RecordKind.SCHOOL: SchoolStrand,
    RecordKind.SECTION: ClassStrand,
    RecordKind.STUDENT: PersonStrand,
    RecordKind.TEACHER: PersonStrand,
}


def coming(changes: Sequence[Change]) -> set[Ref]:
    """The records whose directory objects this plan makes or adopts."""
    return {change.subject for change in changes if change.kind in MAKING}


async def run(changes: Sequence[Change], ctx: Context) -> None:
    """Carry the changes out; when it returns or raises, each has been settled once.

    Raises what made going on impossible: TargetError, or what the ledger raised.
    """
    try:
        for strand in _strands(changes, ctx):
            strand.start()
        await ctx.pool.drain(lambda: ctx.stopping)
    except BaseException:
        await ctx.pool.cancel()
        raise
    finally:
        ctx.recorder.close("the run ended before its turn")
    failure = ctx.recorder.failure or ctx.executor.failure
    if failure is not None:
        raise failure


def _strands(changes: Sequence[Change], ctx: Context) -> list[AnyStrand]:
    """One strand per object: teachers' first, since classes wait for them, then students' class by class."""
    groups: dict[str, list[Change]] = {}
    work: dict[Ref, list[Change]] = {
        member_of(change): [] for change in changes if change.kind is ChangeKind.ADD_MEMBER
    }
    for change in changes:
        if change.kind is ChangeKind.JOIN_LICENSE_GROUP:
            groups.setdefault(str(change.values["group"]), []).append(change)
        else:
            work.setdefault(change.subject, []).append(change)
    first = {RecordKind.SCHOOL: 0, RecordKind.TEACHER: 1, RecordKind.SECTION: 3, RecordKind.STUDENT: 2}
    order = sorted((ref for ref in work if work[ref]), key=lambda ref: first[ref.kind])
    joining = [LicenseGroupStrand(ctx, group_id, joins) for group_id, joins in groups.items()]
    return [*(_STRANDS[ref.kind](ctx, ref, work[ref]) for ref in order), *joining]
