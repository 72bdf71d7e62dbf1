"""Taking somebody out of a collection: a 404 is believed once the collection itself has been looked through."""

from __future__ import annotations

from sds_daemon.plan.change import Change, Outcome, Result
from sds_daemon.targets.entra import wire
from sds_daemon.targets.entra.batch import Item
from sds_daemon.targets.entra.outcomes import outcome
from sds_daemon.targets.entra.requests import collection_of, read
from sds_daemon.targets.entra.strands import Context

PAGES = 100
"""Pages looked through at most: more than the largest school has."""


async def remove(ctx: Context, change: Change, removal: Item, member_id: str) -> Outcome:
    """Send a removal. Taken for done by mistake, it would be forgotten, and the member stay for good."""
    answer = await ctx.send(removal)
    if answer.status != 404:
        return outcome(change, answer)
    listed = await lists(ctx, collection_of(removal), member_id)
    if listed is None:
        detail = "said not to be there, which could not be checked; the next run tries again"
        return Outcome(change=change, result=Result.DEFERRED, detail=detail, status=404)
    if listed:
        return Outcome(change=change, result=Result.DEFERRED, detail="said not to be there, but listed", status=404)
    return outcome(change, answer)


async def lists(ctx: Context, collection: str, object_id: str) -> bool | None:
    """Whether a collection holds an object; None where that cannot be told. One that is gone itself holds nothing.

    Raises TargetInvalid for a page link that leaves this Graph.
    """
    item = read(collection, select="id", top="999")
    for _ in range(PAGES):
        answer = await ctx.send(item)
        if answer.status == 404:
            return False
        page = wire.decode_ids(answer.body) if answer.ok else None
        if page is None:
            return None
        if any(row.id == object_id for row in page.value):
            return True
        if not page.next_link:
            return False
        item = read(ctx.link(page.next_link))
    return None
