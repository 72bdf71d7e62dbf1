"""The apply: a strand of work for each directory object the plan touches, run as soon as it can do something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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


def coming(changes: Sequence[Change]) -> set[Ref]:
    """The records whose directory objects this plan makes or adopts."""
    return {change.subject for change in changes if change.kind in MAKING}


async def run(changes: Sequence[Change], ctx: Context) -> None:
    """Carry the changes out; when it returns or raises, each has been settled once.

    Raises what made going on impossible: TargetError, or what the ledger raised.
    """
    try:
        _start(changes, ctx)
        await ctx.pool.drain(lambda: ctx.stopping)
    except BaseException:
        await ctx.pool.cancel()
        raise
    finally:
        ctx.recorder.close("the run ended before its turn")
    failure = ctx.recorder.failure or ctx.executor.failure
    if failure is not None:
        raise failure


def _start(changes: Sequence[Change], ctx: Context) -> None:
    """A strand for each object: teachers' first, since classes wait for them, then students' class by class.

    People's are made one by one, as their turn comes.
    """
    groups: dict[str, list[Change]] = {}
    work: dict[Ref, list[Change]] = {
        member_of(change): [] for change in changes if change.kind is ChangeKind.ADD_MEMBER
    }
    for change in changes:
        if change.kind is ChangeKind.JOIN_LICENSE_GROUP:
            groups.setdefault(str(change.values["group"]), []).append(change)
        else:
            work.setdefault(change.subject, []).append(change)
    refs = {kind: [ref for ref, its in work.items() if its and ref.kind is kind] for kind in RecordKind}
    for ref in refs[RecordKind.SCHOOL]:
        SchoolStrand(ctx, ref, work.pop(ref)).start()
    ctx.pool.feed(_people([*refs[RecordKind.TEACHER], *refs[RecordKind.STUDENT]], work, ctx))
    for ref in refs[RecordKind.SECTION]:
        ClassStrand(ctx, ref, work.pop(ref)).start()
    for group_id, joins in groups.items():
        LicenseGroupStrand(ctx, group_id, joins).start()


def _people(refs: Sequence[Ref], work: dict[Ref, list[Change]], ctx: Context) -> Iterator[PersonStrand]:
    for ref in refs:
        if ctx.stopping:
            return
        yield PersonStrand(ctx, ref, work.pop(ref))
