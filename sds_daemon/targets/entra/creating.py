"""Making one object, never two: repeats, lost answers, names that are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from sds_daemon.plan.change import Change, ChangeKind, Outcome, Result
from sds_daemon.plan.issues import IssueCode
from sds_daemon.targets.entra.batch import Answer, Item, created_id
from sds_daemon.targets.entra.bodies import BadAttribute
from sds_daemon.targets.entra.errors import Problem
from sds_daemon.targets.entra.find import Found, Seen
from sds_daemon.targets.entra.outcomes import decide, failed, outcome, personal_values, verdict_of
from sds_daemon.targets.entra.requests import read
from sds_daemon.targets.entra.strands import Context

ATTEMPTS = 10
_TAKEN = {
    ChangeKind.CREATE_USER: (IssueCode.UPN_TAKEN, "another account holds the user name or an address made of it"),
    ChangeKind.CREATE_CLASS: (IssueCode.ALIAS_TAKEN, "a group without this section's mark holds the alias"),
    ChangeKind.CREATE_SCHOOL: (IssueCode.REFUSED, "another object holds a value of the school"),
}
_NAME_PROPERTIES = frozenset({"", "userPrincipalName", "mailNickname", "uniqueName", "proxyAddresses", "mail"})


class _Mail(msgspec.Struct):
    mail: str | None = None


async def create(ctx: Context, change: Change, build: Callable[[], Item]) -> tuple[Outcome, Answer | None]:
    """Send a create until it is decided what became of it; the outcome is not settled here.

    `build` makes the request, anew for each attempt. The answer is the last refusal, None for a success.
    """
    lost_since = ctx.unsettled.get(change.subject)
    answer = Answer(status=0, stopped=True)
    for _ in range(ATTEMPTS):
        started = ctx.clock.now()
        try:
            answer = await ctx.send(build())
        except BadAttribute as error:
            return failed(change, IssueCode.INVALID_VALUE, f"the value of {error.name} cannot be sent"), None
        if answer.ok and created_id(answer):
            return _made(ctx, change, answer), None
        if not answer.lost and not answer.ok:
            break
        lost_since = lost_since or started
        found = await _look(ctx, change, lost_since)
        if found.seen is Seen.OURS:
            return _found(ctx, change, found), None
        if found.seen is Seen.UNKNOWN or ctx.stopping:
            break
    if answer.error is not None and not answer.lost and _names_conflict(answer):
        return await _conflict(ctx, change, answer, lost_since), answer
    return outcome(change, answer), answer


def _names_conflict(answer: Answer) -> bool:
    verdict = verdict_of(answer)
    return verdict.problem in (Problem.CONFLICT, Problem.ALREADY_EXISTS) and verdict.target in _NAME_PROPERTIES


async def _look(ctx: Context, change: Change, since: datetime) -> Found:
    async with ctx.pool.parked():
        return await ctx.finder.lost(change, since, ctx.clock.now())


async def _conflict(ctx: Context, change: Change, answer: Answer, lost_since: datetime | None) -> Outcome:
    """The name is held: by the object an earlier attempt made, or by somebody else's.

    An object that cannot be seen yet is waited for: the whole lag horizon when an attempt of ours may have made it.
    """
    found = await ctx.finder.look(change, lost_since)
    if found.seen in (Seen.NOTHING, Seen.UNKNOWN):
        async with ctx.pool.parked():
            found = await ctx.finder.wait_for(change, lost_since, brief=lost_since is None)
    if found.seen is Seen.OURS:
        return _found(ctx, change, found)
    if found.seen is Seen.UNKNOWN:
        detail = "the name is held, by what could not be seen; the next run looks again"
        return Outcome(change=change, result=Result.DEFERRED, detail=detail, status=answer.status)
    code, detail = _TAKEN[change.kind]
    return failed(change, code, detail, status=answer.status)


def _made(ctx: Context, change: Change, answer: Answer) -> Outcome:
    object_id = created_id(answer)
    ctx.executor.born(object_id)
    return Outcome(
        change=change,
        result=Result.DONE,
        object_id=object_id,
        status=answer.status,
        extra=_extra(mail_of(answer)),
    )


def _found(ctx: Context, change: Change, found: Found) -> Outcome:
    ctx.executor.born(found.id)
    detail = "made by an earlier request whose answer was lost"
    return Outcome(change=change, result=Result.ALREADY, object_id=found.id, detail=detail, extra=_extra(found.mail))


def mail_of(answer: Answer) -> str:
    """The `mail` in an answer; "" where there is none."""
    try:
        return msgspec.json.decode(answer.body, type=_Mail).mail or ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _extra(mail: str | None) -> dict[str, str]:
    return {"mail": mail} if mail else {}


async def write(ctx: Context, change: Change, build: Callable[[], list[Item]]) -> Outcome:
    """Send the writes of an update or adoption one after another; the first refusal decides. Nothing to send: ALREADY.

    The outcome is not settled here.
    """
    try:
        items = build()
    except BadAttribute as error:
        return failed(change, IssueCode.INVALID_VALUE, f"the value of {error.name} cannot be sent")
    status = 0
    for item in items:
        answer = await ctx.send(item)
        status = answer.status
        if not answer.ok:
            return outcome(change, answer)
    result = Result.DONE if items else Result.ALREADY
    return Outcome(change=change, result=result, status=status, object_id=change.object_id)


async def restore(ctx: Context, change: Change) -> Outcome:
    """Bring a group back from the recycle bin; one that is not there, but is alive, is back already.

    An outcome with status 404 says that it is gone for good.
    """
    answer = await ctx.send(ctx.requests.restore_group(change))
    if answer.ok or answer.status != 404:
        return outcome(change, answer)
    alive = await ctx.send(read(f"/groups/{change.object_id}", select="id"))
    if alive.ok:
        return Outcome(change=change, result=Result.ALREADY, status=alive.status)
    if answer.attempts > 1:
        detail = "the first answer was lost and the group cannot be seen yet; the next run looks again"
        return Outcome(change=change, result=Result.DEFERRED, detail=detail)
    if alive.status == 404:
        detail = "the group is not in the recycle bin any more; the next run makes it anew"
        return failed(change, IssueCode.OBJECT_DELETED, detail, status=404)
    return outcome(change, alive)


async def finish(ctx: Context, made: Outcome, extras: list[Item], names: Iterable[str]) -> Outcome:
    """The second write of a create, for attributes the first could not carry: `names`.

    `extra["unwritten"]` lists them when it failed: the object is there, they are not.
    """
    for item in extras:
        answer = await ctx.send(item)
        if not answer.ok:
            detail = decide(made.change.kind, answer, hide=personal_values(made.change)).detail
            return msgspec.structs.replace(made, detail=detail, extra={**made.extra, "unwritten": list(names)})
    return made
