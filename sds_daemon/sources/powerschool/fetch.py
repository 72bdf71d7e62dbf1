"""One PowerQuery read whole, and the proof that it was: streamed, or in pages where a stream does not come through.

A stream is one statement of the database, so it shows one moment; the counts before and after say whether it came
whole, and whether that moment still stands. Pages are cut out of an ordered list over and over while others write to
it: they count only when two readings in a row give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from sds_daemon.errors import SourceDown, SourceInvalid, SourceRefused, SourceUnreachable
from sds_daemon.sources.powerschool.answers import REINSTALL
from sds_daemon.sources.powerschool.client import Session
from sds_daemon.sources.powerschool.normalise import Malformed, container, whole
from sds_daemon.sources.powerschool.pages import MOST_ROWS, READINGS
from sds_daemon.sources.powerschool.queries import Arguments, PowerQuery, Range
from sds_daemon.sources.powerschool.rows import read_rows
from sds_daemon.sources.powerschool.spool import Spool

PAGE = 10_000
"""Rows a page; the page limit of the plugin is not one for PowerQueries, and a server that cuts them is noticed."""


class Call(msgspec.Struct, frozen=True):
    """A query with its arguments. `schools`: the range it is asked for, None for all."""

    query: PowerQuery
    arguments: Arguments = {}
    schools: Range | None = None


class Batch(msgspec.Struct):
    """What one call gave. `rows` were received, `expected_before` and `expected` counted before and after.

    `moving`: pages that never read the same twice. `doubled`: rows whose id another row has as well, known once they
    are decoded; each may stand where a row is missing, so that the counts still fit.
    """

    call: Call
    spool: Spool
    rows: int
    expected_before: int
    expected: int
    moving: bool = False
    doubled: int = 0

    @property
    def reason(self) -> str | None:
        """Why it proves nothing; None when it was read whole."""
        name = self.call.query.name
        if self.moving:
            return f"the pages of {name} moved while they were read"
        if self.expected_before != self.expected:
            return f"the count of {name} moved from {self.expected_before} to {self.expected} during the read"
        if self.rows != self.expected:
            return f"{self.rows} of {self.expected} rows of {name} were received"
        if not self.spool.ended:
            return f"the answer of {name} ends too early"
        if self.doubled:
            return f"{self.doubled} of {self.rows} rows of {name} have the id of another row"
        return None


def fingerprint(facts: Iterable[str], batches: Iterable[Batch]) -> str:
    """The digest of everything a snapshot is made from; empty where something was not read whole."""
    digest = hashlib.blake2b(digest_size=32)
    for fact in facts:
        digest.update(fact.encode("utf-8", "surrogatepass") + b"\0")
    for batch in batches:
        if batch.reason is not None:
            return ""
        line = f"{batch.call.query.name} {sorted(batch.call.arguments.items())} {batch.expected} {batch.spool.digest}"
        digest.update(line.encode() + b"\0")
    return digest.hexdigest()


async def read_query_count(session: Session, call: Call) -> int:
    """The server's own count of a query's rows. Raises SourceError; SourceRefused for a query that is not there."""
    path = f"{call.query.path}/count"
    value = await session.post(path, dict(call.arguments))
    if value is None:
        raise missing(call.query)
    try:
        count = whole(container(value).get("count"))
    except Malformed:
        count = None
    if count is None or count < 0:
        raise SourceInvalid(f"the answer for {path} holds no count", remedy="check the version of PowerSchool")
    return count


def missing(query: PowerQuery) -> SourceRefused:
    """The error for a query the server does not know."""
    return SourceRefused(
        f"PowerSchool has no PowerQuery {query.path.rpartition('/')[2]} (HTTP 404)",
        remedy=REINSTALL,
    )


async def fetch(session: Session, call: Call, before: int) -> Batch:
    """The rows of a query, read again, at most twice, where they do not fit the counts. Raises SourceError.

    `before`: the count made before. A batch that never fitted is returned as it is: it proves nothing.
    """
    batch, streams = await _streamed(session, call, before)
    for _ in range(READINGS - 1):
        if batch is not None and batch.reason is None:
            return batch
        last = batch.expected if batch is not None else before
        if batch is not None:
            batch.spool.close()
        if not streams:
            return await _paged(session, call, last)
        batch, streams = await _streamed(session, call, last)
    return batch if batch is not None else await _paged(session, call, before)


async def _streamed(session: Session, call: Call, before: int) -> tuple[Batch | None, bool]:
    """One stream, and whether another is worth trying: not where it broke off, or gave fewer rows than there are."""
    try:
        spool = await session.download(call.query.path, {"pagesize": 0}, dict(call.arguments))
    except (SourceUnreachable, SourceInvalid, SourceDown):
        return None, False
    if spool is None:
        raise missing(call.query)
    batch = Batch(call, spool, _count(spool), before, await read_query_count(session, call))
    return batch, batch.rows >= min(batch.expected_before, batch.expected) and spool.ended


async def _paged(session: Session, call: Call, before: int) -> Batch:
    """All pages, until two readings in a row are the same."""
    batch = await _turned(session, call, before)
    for _ in range(READINGS - 1):
        again = await _turned(session, call, batch.expected)
        again.moving = again.spool.digest != batch.spool.digest
        batch.spool.close()
        batch = again
        if batch.reason is None:
            break
    return batch


async def _turned(session: Session, call: Call, before: int) -> Batch:
    """One reading of all pages: until one is empty, repeats the last, or is short and completes the count."""
    spool = Spool()
    rows = number = 0
    last = ""
    while True:
        number += 1
        page = await session.download(call.query.path, {"page": number, "pagesize": PAGE}, dict(call.arguments))
        if page is None:
            raise missing(call.query)
        found, digest = _count(page), page.digest
        if found and digest != last:
            spool.take(page)
            rows += found
        page.close()
        if rows > MOST_ROWS:
            raise SourceInvalid(f"{call.query.path} does not end after {MOST_ROWS} rows")
        if not found or digest == last or (found < PAGE and rows >= before):
            break
        last = digest
    return Batch(call, spool, rows, before, await read_query_count(session, call))


class _Row(msgspec.Struct):
    id: str = ""


def _count(spool: Spool) -> int:
    """The rows of a spool: as seen in passing, else by reading it."""
    if spool.rows:
        return spool.rows
    try:
        return sum(len(rows) for rows in read_rows(spool, _Row))
    except Malformed:
        return 0
