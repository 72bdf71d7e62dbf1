"""Reading a list whole while others write to it.

v1 pages by offset over live data: a row that is inserted, deleted or re-sorted meanwhile shifts the pages, so that
rows are seen twice or not at all. Nothing in a page tells; the counts around the read and the number of different ids
do, but for one case: a row already read goes and another comes. Where a missed row would count as a leave (`careful`),
a list of several pages therefore has to read the same twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from sds_daemon.errors import SourceInvalid
from sds_daemon.roster.proof import Part, Resource, digest_of
from sds_daemon.sources.powerschool.client import Params, Session
from sds_daemon.sources.powerschool.normalise import Malformed, container, dig, items, whole
from sds_daemon.sources.powerschool.wire import row_id

READINGS = 3
"""A list whose counts moved is read at most this often before its part is left unproved."""

MOST_ROWS = 2_000_000


class ListCall(msgspec.Struct, frozen=True, kw_only=True):
    """A v1 list: its path, the root member of the answer, the member of the items, filters, and the page size.

    `size` is the server's own maximum from /ws/v1/metadata. `count_first` asks for the count before the read, too;
    without it a list costs one call less and is proved by the count after it alone. `careful`: several pages count only
    if two readings in a row give the same ids. `uncounted`: rows the server lists but does not count; they are left
    out.
    """

    path: str
    root: str
    item: str
    size: int
    filters: Params = {}
    expansions: str = ""
    count_first: bool = True
    careful: bool = False
    uncounted: Callable[[Any], bool] = lambda _row: False


class Listing(msgspec.Struct):
    """The rows of a list, each id once, and what the server counted.

    `ids` are the rows' identities in order; `doubled` ids came more than once. `confirmed` is false while a careful
    list of several pages has been read only once alike.
    """

    rows: list[Any]
    pages: int
    doubled: list[str]
    expected_before: int | None
    expected: int
    ids: list[str | bytes] = []
    confirmed: bool = True

    @property
    def settled(self) -> bool:
        """The counts stood still, every row was seen, and seen again where that is asked for."""
        still = self.expected_before is None or self.expected_before == self.expected
        return still and len(self.rows) == self.expected and self.confirmed

    def part(self, resource: Resource, school_id: str | None) -> Part:
        """The proof of this list."""
        return Part(
            resource=resource,
            school_id=school_id,
            received=len(self.rows),
            expected=self.expected,
            expected_before=self.expected_before,
            pages=self.pages,
            digest=digest_of(self.ids),
        )


async def read_list(session: Session, call: ListCall) -> Listing:
    """The list read whole; read again, at most twice, where the counts moved or rows are missing.

    Raises SourceError for a call that failed in the end, Interrupted. A listing that never settled is returned as it
    is: its part is unproved.
    """
    listing = await _read_once(session, call, None)
    listing.confirmed = not call.careful or listing.pages == 1
    for _ in range(READINGS - 1):
        if listing.settled:
            break
        last, listing = listing, await _read_once(session, call, listing.expected)
        listing.confirmed = not call.careful or listing.pages == 1 or listing.ids == last.ids
    return listing


async def _read_once(session: Session, call: ListCall, last_count: int | None) -> Listing:
    before = await read_count(session, call) if call.count_first else None
    collected = _Collected()
    pages = await _turn_pages(session, call, collected, before if before is not None else last_count)
    after = await read_count(session, call)
    rows = [row for row in collected.rows.values() if not call.uncounted(row)]
    return Listing(rows, pages, sorted(collected.doubled), before, after, list(collected.rows))


async def read_count(session: Session, call: ListCall) -> int:
    """The server's own count of a list. Raises SourceError."""
    path = f"{call.path}/count"
    value = await session.get(path, dict(call.filters))
    try:
        count = whole(dig(container(value), "resource", "count"))
    except Malformed:
        count = None
    if count is None or count < 0:
        raise SourceInvalid(f"the answer for {path} holds no count", remedy="check the version of PowerSchool")
    return count


async def _turn_pages(session: Session, call: ListCall, collected: _Collected, expected: int | None) -> int:
    """Reads pages until a short one; goes on after a short one while the count promises more (a smaller true limit).

    A page without a new row ends the list as well: it is empty, or the server does not turn pages.
    """
    pages = 0
    while True:
        pages += 1
        found = _rows(await session.get(call.path, _page_params(call, pages)), call)
        new = collected.add(found)
        if len(collected.rows) > MOST_ROWS:
            raise SourceInvalid(f"{call.path} does not end after {MOST_ROWS} rows")
        short = len(found) < call.size and collected.seen >= (expected or 0)
        if new == 0 or short:
            return pages


def _page_params(call: ListCall, page: int) -> Params:
    params: Params = {**call.filters, "page": page, "pagesize": call.size}
    if call.expansions:
        params["expansions"] = call.expansions
    return params


def _rows(value: Any, call: ListCall) -> list[Any]:
    if not isinstance(value, dict) or call.root not in value:
        raise SourceInvalid(
            f"the answer for {call.path} holds no {call.root!r}",
            remedy="check that url in config.toml leads to a PowerSchool SIS server",
        )
    try:
        return items(container(value[call.root]).get(call.item))
    except Malformed as fault:
        raise SourceInvalid(f"{call.root!r} in the answer for {call.path} {fault}") from None


class _Collected:
    """Rows in the order seen, each id once. A row without an id stands for itself, by its content."""

    def __init__(self) -> None:
        self.rows: dict[str | bytes, Any] = {}
        self.doubled: set[str] = set()
        self.seen = 0

    def add(self, found: list[Any]) -> int:
        """Takes a page; returns how many of its rows are new."""
        known = len(self.rows)
        for row in found:
            self.seen += 1
            identity = row_id(row)
            key: str | bytes = identity or repr(row).encode("utf-8", "backslashreplace")
            if key not in self.rows:
                self.rows[key] = row
            elif identity:
                self.doubled.add(identity)
        return len(self.rows) - known
