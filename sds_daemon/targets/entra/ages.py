"""Whether a 404 is about an object that is gone, or about one too new to be seen everywhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sds_daemon.targets.entra.batch import Answer, Item
from sds_daemon.targets.entra.errors import Problem
from sds_daemon.targets.entra.outcomes import verdict_of
from sds_daemon.targets.entra.requests import read


class Ages:
    """Doubts 404s about objects this run did not make itself.

    The run before may have made them a moment ago and been killed. An object that is not in the recycle bin either is
    taken for a new one, once: the executor then repeats the request until the lag horizon has passed.
    """

    def __init__(self, send: Callable[[Item], Awaitable[Answer]], born: Callable[[str], None]) -> None:
        self._send = send
        self._born = born
        self._doubted: set[str] = set()

    async def worth_waiting(self, item: Item, answer: Answer) -> bool:
        """Whether to send a refused write again. Reads and removals are taken at their word."""
        if answer.status != 404 or item.method in ("GET", "DELETE") or item.create:
            return False
        verdict = verdict_of(answer)
        named = (item.objects | item.needs) & {verdict.missing} if verdict.missing else item.objects | item.needs
        new = named - self._doubted
        if verdict.problem is not Problem.NOT_THERE or not new:
            return False
        self._doubted |= new
        if await self._any_deleted(new):
            return False
        for object_id in new:
            self._born(object_id)
        return True

    async def _any_deleted(self, ids: frozenset[str]) -> bool:
        """Whether one of the objects is in the recycle bin (or that cannot be told)."""
        for object_id in ids:
            answer = await self._send(read(f"/directory/deletedItems/{object_id}", select="id"))
            if answer.status != 404:
                return True
        return False
