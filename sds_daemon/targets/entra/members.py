"""Reading many small things by $batch: members of groups and schools, service plans of users."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from sds_daemon.errors import Interrupted
from sds_daemon.targets.base import Members
from sds_daemon.targets.entra import wire
from sds_daemon.targets.entra.batch import Answer, Item
from sds_daemon.targets.entra.errors import GraphError
from sds_daemon.targets.entra.executor import BatchExecutor
from sds_daemon.targets.entra.governor import Governor, Lane
from sds_daemon.targets.entra.reading import chunks
from sds_daemon.targets.entra.transport import GraphTransport, refusal

_IDS_AT_ONCE = 1000


class MemberReader:
    """Collections of ids, read 20 to a batch, page by page. A collection that does not exist is None."""

    def __init__(
        self, transport: GraphTransport, governor: Governor, lane: Lane, *, stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._transport = transport
        self._executor = BatchExecutor(transport, governor, lane, stop=stop, lag_horizon=transport.settings.lag_horizon)

    async def collect(self, urls: Sequence[str]) -> dict[str, frozenset[str] | None]:
        """The ids in each collection, by its URL. Raises TargetError, Interrupted."""
        found: dict[str, set[str] | None] = {url: set() for url in urls}
        waiting = {url: url for url in urls}
        try:
            while waiting:
                waiting = await self._round(waiting, found)
        finally:
            await self._executor.close()
        return {url: None if ids is None else frozenset(ids) for url, ids in found.items()}

    async def _round(self, waiting: dict[str, str], found: dict[str, set[str] | None]) -> dict[str, str]:
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
            page = self._page(answer, name)
            ids = found[name]
            if ids is not None:
                ids.update(row.id for row in page.value)
            if page.next_link:
                following[name] = self._transport.link(page.next_link)
        return following

    def _page(self, answer: Answer, url: str) -> wire.Page[wire.IdRow]:
        if answer.stopped:
            raise self._executor.failure or Interrupted("stopped while reading members")
        if not answer.ok:
            raise refusal(answer.error or GraphError(status=answer.status), f"GET {url.split('?')[0]}")
        try:
            return wire.IDS.decode(answer.body)
        except msgspec.DecodeError:
            raise refusal(GraphError(status=answer.status, code="Unreadable"), f"GET {url.split('?')[0]}") from None


async def group_members(reader: MemberReader, ids: Sequence[str]) -> dict[str, Members]:
    """Owners and members of groups; groups that are gone are left out."""
    owners = {i: f"/groups/{i}/owners?$select=id&$top=999" for i in ids}
    members = {i: f"/groups/{i}/members?$select=id&$top=999" for i in ids}
    found = await reader.collect([*owners.values(), *members.values()])
    result: dict[str, Members] = {}
    for i in ids:
        have, hold = found[owners[i]], found[members[i]]
        if have is not None and hold is not None:
            result[i] = Members(owners=have, members=hold)
    return result


async def school_members(reader: MemberReader, ids: Sequence[str], *, education: bool) -> dict[str, frozenset[str]]:
    """Users and classes attached to schools; schools that are gone are left out."""
    if education:
        urls = {i: [f"/education/schools/{i}/{part}?$select=id" for part in ("users", "classes")] for i in ids}
    else:
        urls = {i: [f"/directory/administrativeUnits/{i}/members?$select=id&$top=999"] for i in ids}
    found = await reader.collect([url for parts in urls.values() for url in parts])
    return {
        i: frozenset().union(*(found[url] or frozenset() for url in parts))
        for i, parts in urls.items()
        if any(found[url] is not None for url in parts)
    }


async def plans_of(transport: GraphTransport, ids: Iterable[str]) -> dict[str, frozenset[str]]:
    """Service names of the enabled plans of users, as Graph spells them. Raises TargetError."""
    found: dict[str, frozenset[str]] = {}
    url = "/directoryObjects/getByIds?$select=id,assignedPlans"
    for part in chunks(list(ids), _IDS_AT_ONCE):
        reply = await transport.read(url, msgspec.json.encode({"ids": list(part), "types": ["user"]}))
        if not reply.ok:
            raise refusal(reply.error, "POST /directoryObjects/getByIds")
        for row in transport.decode(reply, wire.PLANS, url).value:
            found[row.id] = frozenset(p.service for p in row.assigned_plans if p.capability_status == "Enabled")
    return found
