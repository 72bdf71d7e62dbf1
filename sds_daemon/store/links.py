"""Links: which SIS record is which directory object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, SmallInteger, bindparam, delete, func, or_, select, type_coerce, update
from sqlalchemy.exc import IntegrityError

from sds_daemon.errors import StateError
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store.database import Database, chunks, run_many, upsert
from sds_daemon.store.tables import LinkRow, table
from sds_daemon.store.values import from_json, to_json

LINK = table(LinkRow)
RECORD = ("source_uuid", "tenant_id", "kind", "sis_id")


_WRITTEN = update(LINK).where(LINK.c.id == bindparam("key_id")).values(written=bindparam("new_written"))


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A SIS record is a directory object.

    `profile` made the link and owns creation, licences and attributes. `created`: we made the object. `rule`: how it
    was found (for `explain`). `licenses_due`: licences are still to be assigned. `deleted`: the object is in the
    recycle bin or gone. `unread`: what the object holds is to be read before anything is planned for it (see `reset`).
    `written`: neutral attribute names and the values last written.
    """

    ref: Ref
    object_id: str
    profile: str
    created: bool
    rule: str
    licenses_due: bool = False
    deleted: bool = False
    unread: bool = False
    written: dict[str, Any] = {}
    linked_at: datetime


class Head(msgspec.Struct, frozen=True, gc=False):
    """A link as a cycle knows all of them at once: without what was written, which is asked for where it matters.

    `key`: the number under which memberships name the record. `blank`: nothing is known to have been written. The rest
    as in `Link`.
    """

    ref: Ref
    key: int
    object_id: str
    profile: str
    rule: str
    created: bool = False
    licenses_due: bool = False
    deleted: bool = False
    unread: bool = False
    blank: bool = False


_BLANK = (LINK.c.written == "").label("blank")
_HEAD = (
    *(LINK.c[name] for name in ("kind", "sis_id", "id", "object_id", "profile", "rule")),
    *(type_coerce(column, SmallInteger) for column in (LINK.c.created, LINK.c.licenses_due)),
    *(type_coerce(column, SmallInteger) for column in (LINK.c.deleted, LINK.c.unread, _BLANK)),
)
"""In the order of `_head`. A conversion per value and row would cost more than reading them."""


class Links:
    """The links of one source and tenant. Every method is one transaction and may raise StateError."""

    def __init__(self, database: Database, source_uuid: str, tenant_id: str) -> None:
        self._database = database
        self._source_uuid = source_uuid
        self._tenant_id = tenant_id
        self._mine = (LINK.c.source_uuid == source_uuid) & (LINK.c.tenant_id == tenant_id)
        named = (LINK.c.kind == bindparam("its_kind"), LINK.c.sis_id == bindparam("its_id"))
        self._licensed = update(LINK).where(self._mine, *named).values(licenses_due=False)

    def get(self, ref: Ref) -> Link | None:
        """The link of one record."""
        found = self._select((LINK.c.kind == ref.kind.value) & (LINK.c.sis_id == ref.sis_id))
        return found[0] if found else None

    def all(self, kind: RecordKind) -> dict[str, Link]:
        """All links of a kind, whatever profile made them, by SIS ID."""
        return {link.ref.sis_id: link for link in self._select(LINK.c.kind == kind.value)}

    def heads(self) -> Iterator[Head]:
        """All links, whatever profile made them, without what was written."""
        with self._database.read() as connection:
            rows = connection.execution_options(yield_per=5_000).execute(select(*_HEAD).where(self._mine))
            yield from map(_Heads().of, rows)

    def heads_of(self, refs: Iterable[Ref]) -> list[Head]:
        """Those of some records; unlinked ones are left out."""
        heads = _Heads()
        with self._database.read() as connection:
            return [heads.of(row) for row in self._rows_of(connection, refs, _HEAD[2:])]

    def written(self, kind: RecordKind, profile: str) -> Iterator[tuple[str, bool, dict[str, Any]]]:
        """SIS ID, whether we made the object, and what was last written to it, of the links of a kind a profile made.

        Row by row: what was written to a large district's objects is not held in memory at once.
        """
        columns = (LINK.c.sis_id, type_coerce(LINK.c.created, SmallInteger), LINK.c.written)
        query = select(*columns).where(self._mine, LINK.c.kind == kind.value, LINK.c.profile == profile)
        with self._database.read() as connection:
            for sis_id, created, written in connection.execution_options(yield_per=5_000).execute(query):
                yield sis_id, created == 1, from_json(written)

    def some(self, refs: Iterable[Ref]) -> dict[Ref, Link]:
        """The links of some records; unlinked ones are left out."""
        by_kind: dict[RecordKind, list[str]] = {}
        for ref in refs:
            by_kind.setdefault(ref.kind, []).append(ref.sis_id)
        found: list[Link] = []
        for kind, sis_ids in by_kind.items():
            for chunk in chunks(dict.fromkeys(sis_ids)):
                found += self._select((LINK.c.kind == kind.value) & LINK.c.sis_id.in_(chunk))
        return {link.ref: link for link in found}

    def holder(self, object_id: str) -> Ref | None:
        """The record that holds a directory object."""
        found = self._select(LINK.c.object_id == object_id)
        return found[0].ref if found else None

    def count(self, kind: RecordKind) -> int:
        """How many links of a kind there are."""
        query = select(func.count()).select_from(LINK).where(self._mine, LINK.c.kind == kind.value)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def put(self, links: Iterable[Link]) -> None:
        """Insert or replace by record. Raises StateError when another person's record holds one of the accounts."""
        rows = [self._row(link) for link in links]
        statement = upsert(LINK, key=RECORD)
        with self._database.write() as connection:
            try:
                run_many(connection, statement, rows)
            except IntegrityError as error:
                raise StateError(
                    "two person records claim one account; nothing was linked",
                    remedy="this is a defect; please report it. sds-daemon links show names the holder",
                ) from error

    def drop(self, ref: Ref) -> bool:
        """Forget a link and its memberships; false when there was none. The directory is not touched."""
        condition = self._mine & (LINK.c.kind == ref.kind.value) & (LINK.c.sis_id == ref.sis_id)
        with self._database.write() as connection:
            return bool(connection.execute(delete(LINK).where(condition)).rowcount)

    def write(self, ref: Ref, values: Mapping[str, Any]) -> None:
        """Merge values into what was last written to the object; unlinked records are passed over."""
        self.write_many({ref: values})

    def write_many(self, values: Mapping[Ref, Mapping[str, Any]]) -> None:
        """`write` for many records in one transaction."""
        with self._database.write() as connection:
            rows = {
                Ref(RecordKind(row.kind), row.sis_id): row
                for row in self._rows_of(connection, values, (LINK.c.id, LINK.c.written))
            }
            merged = (
                {"key_id": rows[ref].id, "new_written": to_json({**from_json(rows[ref].written), **new})}
                for ref, new in values.items()
                if ref in rows
            )
            run_many(connection, _WRITTEN, merged)

    def licensed(self, refs: Iterable[Ref]) -> None:
        """Licences of these people are no longer due."""
        with self._database.write() as connection:
            run_many(connection, self._licensed, ({"its_kind": ref.kind.value, "its_id": ref.sis_id} for ref in refs))

    def reset(self, profile: str, ref: Ref | None = None) -> int:
        """Forget what was written to one record's object, or to all objects of a profile, until it is read anew.

        Only links the profile made; how many there were. The directory is not touched.
        """
        mine = [self._mine, LINK.c.profile == profile]
        if ref is not None:
            mine += [LINK.c.kind == ref.kind.value, LINK.c.sis_id == ref.sis_id]
        with self._database.write() as connection:
            return connection.execute(update(LINK).where(*mine).values(written="", unread=True)).rowcount

    def mark_deleted(self, object_ids: Iterable[str]) -> None:
        """These objects are deleted in the directory; the links are kept."""
        self._mark(object_ids, deleted=True)

    def mark_present(self, object_ids: Iterable[str]) -> None:
        """These objects are there (again)."""
        self._mark(object_ids, deleted=False)

    def find(self, text: str) -> list[Link]:
        """Links whose SIS ID or object id is this text (case-insensitive for object ids)."""
        return self._select(or_(LINK.c.sis_id == text, func.lower(LINK.c.object_id) == text.lower()))

    def ids(self, connection: Connection, refs: Iterable[Ref]) -> dict[Ref, int]:
        """Row numbers of linked records, within the caller's transaction; unlinked ones are left out."""
        return {
            Ref(RecordKind(row.kind), row.sis_id): int(row.id) for row in self._rows_of(connection, refs, (LINK.c.id,))
        }

    def _rows_of(self, connection: Connection, refs: Iterable[Ref], columns: tuple[Any, ...]) -> list[Any]:
        by_kind: dict[RecordKind, list[str]] = {}
        for ref in refs:
            by_kind.setdefault(ref.kind, []).append(ref.sis_id)
        query = select(LINK.c.kind, LINK.c.sis_id, *columns).where(self._mine)
        rows: list[Any] = []
        for kind, sis_ids in by_kind.items():
            for chunk in chunks(dict.fromkeys(sis_ids)):
                rows += connection.execute(query.where(LINK.c.kind == kind.value, LINK.c.sis_id.in_(chunk)))
        return rows

    def _mark(self, object_ids: Iterable[str], *, deleted: bool) -> None:
        with self._database.write() as connection:
            for ids in chunks(object_ids):
                connection.execute(
                    update(LINK)
                    .where(self._mine, LINK.c.object_id.in_(ids), LINK.c.deleted != deleted)
                    .values(deleted=deleted)
                )

    def _select(self, condition: Any) -> list[Link]:
        query = select(LINK).where(self._mine, condition).order_by(LINK.c.kind, LINK.c.sis_id)
        with self._database.read() as connection:
            return [_link(row) for row in connection.execute(query)]

    def _row(self, link: Link) -> dict[str, Any]:
        return {
            "source_uuid": self._source_uuid,
            "tenant_id": self._tenant_id,
            "kind": link.ref.kind.value,
            "sis_id": link.ref.sis_id,
            "object_id": link.object_id,
            "profile": link.profile,
            "created": link.created,
            "rule": link.rule,
            "licenses_due": link.licenses_due,
            "deleted": link.deleted,
            "unread": link.unread,
            "written": to_json(link.written),
            "linked_at": link.linked_at,
        }


class _Heads:
    """Makes heads of rows; equal profiles and rules are one text."""

    def __init__(self) -> None:
        self._kinds = {kind.value: kind for kind in RecordKind}
        self._texts: dict[str, str] = {}

    def of(self, row: Any) -> Head:
        """The head in a row of `_HEAD`."""
        kind, sis_id, key, object_id, profile, rule, created, due, deleted, unread, blank = row
        text = self._texts.setdefault
        return Head(
            Ref(self._kinds[kind], sis_id),
            key,
            object_id,
            text(profile, profile),
            text(rule, rule),
            bool(created),
            bool(due),
            bool(deleted),
            bool(unread),
            bool(blank),
        )


def _link(row: Any) -> Link:
    return Link(
        ref=Ref(RecordKind(row.kind), row.sis_id),
        object_id=row.object_id,
        profile=row.profile,
        created=row.created,
        rule=row.rule,
        licenses_due=row.licenses_due,
        deleted=row.deleted,
        unread=row.unread,
        written=from_json(row.written),
        linked_at=row.linked_at,
    )
