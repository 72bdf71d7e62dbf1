"""Putting people into a group that is there: as many to a request as it takes, and whom it refuses told apart."""

from __future__ import annotations

from collections.abc import Iterable

from sds_daemon.plan.change import Outcome, Result
from sds_daemon.plan.issues import IssueCode
from sds_daemon.targets.entra import wire
from sds_daemon.targets.entra.batch import Answer
from sds_daemon.targets.entra.errors import Problem
from sds_daemon.targets.entra.outcomes import failed, outcome, verdict_of
from sds_daemon.targets.entra.requests import MULTI_ADD, Add, read
from sds_daemon.targets.entra.strands import Context

# One bad reference spoils a multi-add with these; the others are tried one by one.
_SPOILED = frozenset(
    {
        Problem.ALREADY_EXISTS,
        Problem.CONFLICT,
        Problem.FORWARD_LINK_QUOTA,
        Problem.NOT_THERE,
        Problem.INVALID_VALUE,
        Problem.TOO_LARGE,
        Problem.UNKNOWN,
    }
)


def chunk_size(total: int) -> int:
    """How many of so many references go into the next request.

    As few requests as can be; where that leaves a choice, a multiple of three: it may be that three references cost as
    much as one request.
    """
    requests = -(-total // MULTI_ADD)
    thirds = MULTI_ADD - MULTI_ADD % 3
    return min(total, thirds if total - thirds <= MULTI_ADD * (requests - 1) else MULTI_ADD)


async def fill(ctx: Context, group_id: str, chunk: list[Add]) -> list[Add]:
    """Add people to a group in one request, and settle their changes; those returned are to be tried once more."""
    answer = await ctx.send(ctx.requests.add_many(group_id, chunk))
    if answer.ok or answer.stopped or answer.error is None:
        return _settle_all(ctx, chunk, answer)
    verdict = verdict_of(answer)
    if verdict.problem not in _SPOILED or verdict.missing == group_id:
        return _settle_all(ctx, chunk, answer)
    return await _fill_spoiled(ctx, group_id, chunk, answer)


def _settle_all(ctx: Context, chunk: Iterable[Add], answer: Answer) -> list[Add]:
    for add in chunk:
        ctx.recorder.settle(outcome(add.change, answer))
    return []


async def _fill_spoiled(ctx: Context, group_id: str, chunk: list[Add], answer: Answer) -> list[Add]:
    """Nothing of the chunk was added: set aside what spoils it, if that can be told, else go one by one."""
    gone = named(chunk, answer)
    fail_gone(ctx, gone)
    left = [add for add in chunk if add not in gone]
    if verdict_of(answer).problem is Problem.ALREADY_EXISTS:
        left = await _sifted(ctx, group_id, left)
    if len(left) < len(chunk):
        return left
    for add in left:
        ctx.recorder.settle(outcome(add.change, await ctx.send(ctx.requests.add_one(group_id, add))))
    return []


async def _sifted(ctx: Context, group_id: str, chunk: list[Add]) -> list[Add]:
    """What of a chunk is not there already. A first page is enough: whoever it misses is added singly."""
    present = {name: await _ids(ctx, f"/groups/{group_id}/{name}") for name in {add.relation for add in chunk}}
    for add in chunk:
        if add.member_id in present[add.relation]:
            ctx.recorder.settle(Outcome(change=add.change, result=Result.ALREADY))
    return [add for add in chunk if add.member_id not in present[add.relation]]


async def _ids(ctx: Context, url: str) -> frozenset[str]:
    """The ids on the first page of a collection; none where it cannot be read."""
    answer = await ctx.send(read(url, select="id", top="999"))
    page = wire.decode_ids(answer.body) if answer.ok else None
    return frozenset(row.id for row in page.value) if page is not None else frozenset()


def named(adds: Iterable[Add], answer: Answer | None) -> list[Add]:
    """The additions whose account a 404 names."""
    missing = verdict_of(answer).missing if answer is not None and answer.error is not None else ""
    return [add for add in adds if missing and add.member_id == missing]


def fail_gone(ctx: Context, adds: Iterable[Add]) -> None:
    """Settle additions whose account was deleted."""
    for add in adds:
        detail = "the directory no longer has the account"
        ctx.recorder.settle(failed(add.change, IssueCode.OBJECT_DELETED, detail, status=404))
