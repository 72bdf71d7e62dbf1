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
    taken for a new one, once: the executor then repeats requests until the lag horizon has passed.
    """

    def __init__(self, send: Callable[[Item], Awaitable[Answer]], born: Callable[[str], None]) -> None:
        self._send = send
        self._born = born
        self._deleted: dict[str, bool] = {}

    async def awaited(self, item: Item, answer: Answer) -> frozenset[str]:
        """The objects for whose sake a refused write is worth sending again.

        Reads and removals are taken at their word. A 404 names one object; when that is visible, it may name the next.
        """
        if answer.status != 404 or item.method in ("GET", "DELETE") or item.create:
            return frozenset()
        verdict = verdict_of(answer)
        named = (item.objects | item.needs) & {verdict.missing} if verdict.missing else item.objects | item.needs
        if verdict.problem is not Problem.NOT_THERE or any([await self._is_deleted(object_id) for object_id in named]):
            return frozenset()
        return named

    async def _is_deleted(self, object_id: str) -> bool:
        """Whether an object is in the recycle bin, or that cannot be told. One that is not counts as new from now."""
        if object_id not in self._deleted:
            answer = await self._send(read(f"/directory/deletedItems/{object_id}", select="id"))
            if object_id not in self._deleted and answer.status == 404:
                self._born(object_id)
            self._deleted[object_id] = answer.status != 404
        return self._deleted[object_id]
