"""Reading many small things by $batch: members of groups and schools, service plans of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from sds_daemon.errors import Interrupted
from sds_daemon.targets.base import Members
from sds_daemon.targets.entra import wire
from sds_daemon.targets.entra.batch import Answer, Item
from sds_daemon.targets.entra.errors import GraphError
from sds_daemon.targets.entra.executor import BatchExecutor
from sds_daemon.targets.entra.governor import Governor, Lane
from sds_daemon.targets.entra.reading import IDS_PER_FILTER, chunks, filter_by_ids
from sds_daemon.targets.entra.transport import GraphTransport, refusal

T = TypeVar("T")
_DOCUMENT = msgspec.json.Decoder(dict[str, Any])


class BatchReader:
    """Collections read 20 to a batch, page by page. Raises TargetError and Interrupted; one reading per reader."""

    def __init__(
        self, transport: GraphTransport, governor: Governor, lane: Lane, *, stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._transport = transport
        self._executor = BatchExecutor(transport, governor, lane, stop=stop, lag_horizon=transport.settings.lag_horizon)

    async def rows(self, urls: Sequence[str], decoder: msgspec.json.Decoder[wire.Page[T]]) -> dict[str, list[T] | None]:
        """The rows of each collection, by its URL; None for one that does not exist."""
        found: dict[str, list[T] | None] = {url: [] for url in urls}
        waiting = {url: url for url in urls}
        try:
            while waiting:
                waiting = await self._round(waiting, found, decoder)
        finally:
            await self._executor.close()
        return found

    async def ids(self, urls: Sequence[str]) -> dict[str, frozenset[str] | None]:
        """The ids in each collection, by its URL; None for one that does not exist."""
        found = await self.rows(urls, wire.IDS)
        return {url: None if rows is None else frozenset(row.id for row in rows) for url, rows in found.items()}

    async def documents(self, urls: Sequence[str]) -> dict[str, dict[str, Any] | None]:
        """Single objects, by their URL; None for one that does not exist."""
        try:
            futures = {url: self._executor.submit(Item(method="GET", url=url, writes=0)) for url in dict.fromkeys(urls)}
            answers = {url: await future for url, future in futures.items()}
        finally:
            await self._executor.close()
        return {
            url: None if answer.status == 404 else self._page(answer, url, _DOCUMENT) for url, answer in answers.items()
        }

    async def _round(
        self,
        waiting: dict[str, str],
        found: dict[str, list[T] | None],
        decoder: msgspec.json.Decoder[wire.Page[T]],
    ) -> dict[str, str]:
        """Fetch one page of each; what is left to fetch, as collection -> next page."""
        futures = {
            name: self._executor.submit(Item(method="GET", url=page, writes=0, units=2))
            for name, page in waiting.items()
        }
        following: dict[str, str] = {}
        for name, future in futures.items():
            answer = await future
            if answer.status == 404:
                found[name] = None
                continue
            page = self._page(answer, name, decoder)
            rows = found[name]
            if rows is not None:
                rows += page.value
            if page.next_link:
                following[name] = self._transport.link(page.next_link)
        return following

    def _page(self, answer: Answer, url: str, decoder: msgspec.json.Decoder[T]) -> T:
        what = f"GET {url.split('?')[0]}"
        if answer.stopped:
            raise self._executor.failure or Interrupted("stopped while reading members")
        if not answer.ok:
            raise refusal(answer.error or GraphError(status=answer.status), what)
        try:
            return decoder.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise refusal(GraphError(status=answer.status, code="Unreadable"), what) from None


async def group_members(reader: BatchReader, ids: Sequence[str]) -> dict[str, Members]:
    """Owners and members of groups; groups that are gone are left out."""
    owners = {i: f"/groups/{i}/owners?$select=id&$top=999" for i in ids}
    members = {i: f"/groups/{i}/members?$select=id&$top=999" for i in ids}
    found = await reader.ids([*owners.values(), *members.values()])
    result: dict[str, Members] = {}
    for i in ids:
        have, hold = found[owners[i]], found[members[i]]
        if have is not None and hold is not None:
            result[i] = Members(owners=have, members=hold)
    return result


async def school_members(reader: BatchReader, ids: Sequence[str], *, education: bool) -> dict[str, frozenset[str]]:
    """Users and classes attached to schools; schools that are gone are left out.

    Classes made by /groups are no education classes: only the school's administrative unit lists them.
    """
    if education:
        urls = {i: [f"/education/schools/{i}/{part}?$select=id" for part in ("users", "classes")] for i in ids}
    else:
        urls = {i: [f"/directory/administrativeUnits/{i}/members?$select=id&$top=999"] for i in ids}
    found = await reader.ids([url for parts in urls.values() for url in parts])
    return {
        i: frozenset().union(*(found[url] or frozenset() for url in parts))
        for i, parts in urls.items()
        if any(found[url] is not None for url in parts)
    }


async def plans_of(reader: BatchReader, ids: Sequence[str]) -> dict[str, frozenset[str]]:
    """Service names of the enabled plans of users, as Graph spells them ("exchange", "SharePoint")."""
    urls = [filter_by_ids("users", part, ("id", "assignedPlans")) for part in chunks(ids, IDS_PER_FILTER)]
    found = await reader.rows(urls, wire.PLANS)
    return {
        row.id: frozenset(plan.service for plan in row.assigned_plans if plan.capability_status == "Enabled")
        for rows in found.values()
        for row in rows or ()
    }
