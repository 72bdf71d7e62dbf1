"""What a look at groups and schools says about managed memberships: rows seen absent, rows seen again."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from sds_daemon.store.database import by_chunks, chunks, run_many
from sds_daemon.store.memberships import CODES, ROW, Role
from sds_daemon.store.runs import RUN
from sds_daemon.store.tables import LinkRow, table
from sds_daemon.targets.base import MembersSeen

LINK = table(LinkRow)
_ROW_KEY = (
    ROW.c.container_id == bindparam("key_container"),
    ROW.c.member_id == bindparam("key_member"),
    ROW.c.role == bindparam("key_role"),
)
_MISSING = update(ROW).where(*_ROW_KEY, ROW.c.absent_since.is_(None)).values(absent_since=bindparam("at"))
_BACK = update(ROW).where(*_ROW_KEY).values(absent_since=None)
_MEMBER_KINDS = ("student", "teacher", "section")
_ROLES = {"members": Role.MEMBER, "owners": Role.OWNER, "users": Role.SCHOOL_USER, "classes": Role.SCHOOL_CLASS}

Key = tuple[int, int, int]
"""A membership row: container, member, role."""
Found = Mapping[str, Sequence[tuple[int, str]]]
"""Row number and source of the links to each object: two sources may share one."""


class _Shown:
    """What a full read has shown so far: who is in which container, as numbers. A million take some ten megabytes."""

    def __init__(self) -> None:
        self._rows: dict[int, array[int]] = {}
        self.members: Found | None = None
        self._newest = 0

    def know(self, members: Found) -> Found:
        """Links to members, as they were when the read began: nobody who was linked later can be missed by it."""
        self.members = members
        self._newest = max((key for found in members.values() for key, _ in found), default=0)
        return members

    def containers(self) -> list[int]:
        """All that were named."""
        return sorted(self._rows)

    def name(self, containers: Iterable[int]) -> None:
        """Containers the read has brought, with or without anybody in them."""
        for container in containers:
            self._rows.setdefault(container, array("q"))

    def show(self, container: int, keys: Iterable[Key]) -> None:
        """These rows of it were shown."""
        self._rows[container].extend(map(_number, keys))

    def hide(self, container: int, keys: Iterable[Key]) -> None:
        """These rows of it were shown, and then taken back."""
        gone = set(map(_number, keys))
        if gone:
            self._rows[container] = array("q", (number for number in self._rows[container] if number not in gone))

    def without(self, rows: Iterable[Key]) -> list[Key]:
        """Those of the rows, given container by container, that were not shown."""
        missing: list[Key] = []
        for container, mine in groupby(rows, key=itemgetter(0)):
            shown = set(self._rows[container])
            missing += [key for key in mine if key[1] <= self._newest and _number(key) not in shown]
        return missing


class Observer:
    """Takes in what was seen of one tenant's groups and schools, within the caller's transactions.

    During a full read everything seen of linked groups is remembered; `close_full` then marks what it did not show.
    """

    def __init__(self, tenant_id: str, lag: timedelta) -> None:
        self._tenant_id = tenant_id
        self._lag = lag
        self._whole: _Shown | None = None

    def begin_full(self) -> None:
        """A full read of the groups starts."""
        self._whole = _Shown()

    def observe(self, connection: Connection, seen: Sequence[MembersSeen], now: datetime) -> None:
        """Rows seen absent are marked, rows seen present are unmarked; objects that are not linked are passed over."""
        containers = self._links(connection, (each.id for each in seen), ("section", "school"))
        known = [each for each in seen if each.id in containers]
        if not known:
            return
        if self._whole is not None:
            self._whole.name(self._containers_of(known, containers))
        absent = _absent_rows(connection, self._containers_of(known, containers))
        wanted = {
            member
            for each in known
            for member in (*each.removed, *(each.present if self._needs(each, containers, absent) else ()))
        }
        members = self._members(connection, wanted)
        self._store(connection, known, containers, members, absent, now)

    def close_full(self, connection: Connection, now: datetime) -> None:
        """The full read has ended: rows of the groups it brought that it did not show are absent."""
        whole, self._whole = self._whole, None
        if whole is None:
            return
        query = select(ROW.c.container_id, ROW.c.member_id, ROW.c.role).order_by(ROW.c.container_id)
        query = query.where(ROW.c.role.in_((CODES[Role.MEMBER], CODES[Role.OWNER])))
        missing: list[Key] = []
        for part in chunks(whole.containers()):
            rows = connection.execute(query.where(ROW.c.container_id.in_(part)))
            missing += whole.without((c, m, r) for c, m, r in rows)
        self._mark(connection, missing, now)

    def _needs(self, each: MembersSeen, containers: Found, absent: set[Key]) -> bool:
        """Whether it matters who is present: for a full read or a complete list, or where somebody was absent."""
        if each.complete or self._whole is not None:
            return True
        mine = {key for key, _ in containers[each.id]}
        return any(container in mine for container, _, _ in absent)

    def _store(
        self,
        connection: Connection,
        known: Sequence[MembersSeen],
        containers: Found,
        members: Found,
        absent: set[Key],
        now: datetime,
    ) -> None:
        missing: dict[Key, None] = {}
        back: dict[Key, None] = {}
        for each in known:
            role = CODES[_ROLES[each.relation]]
            for container, source in containers[each.id]:
                present = _keys(container, source, role, each.present, members)
                gone = _keys(container, source, role, each.removed, members)
                if each.complete:
                    gone |= _rows_of(connection, container, role) - present
                if self._whole is not None:
                    self._whole.show(container, present)
                    self._whole.hide(container, gone)
                for key in present.intersection(missing):
                    del missing[key]
                back.update(dict.fromkeys(present & absent))
                for key in gone:
                    back.pop(key, None)
                    missing[key] = None
        run_many(connection, _BACK, (_named(key) for key in back))
        self._mark(connection, list(missing), now)

    def _mark(self, connection: Connection, missing: Sequence[Key], now: datetime) -> None:
        """Mark rows as absent; those written within the lag only from its end on: they may be about to show."""
        if not missing:
            return
        late = or_(RUN.c.finished.is_(None), RUN.c.finished > now - self._lag)
        young = set(connection.scalars(select(RUN.c.id).where(and_(late, RUN.c.kind != "preview"))))
        runs = _runs_of(connection, missing) if young else {}
        rows = ({**_named(key), "at": now + self._lag if runs.get(key) in young else now} for key in missing)
        run_many(connection, _MISSING, rows)

    def _members(self, connection: Connection, object_ids: Iterable[str]) -> Found:
        """Links of people and classes to these objects; for a full read all of them are looked up once."""
        if self._whole is None:
            return self._links(connection, object_ids, _MEMBER_KINDS)
        if self._whole.members is None:
            query = self._query(_MEMBER_KINDS).execution_options(yield_per=5_000)
            return self._whole.know(_by_object(connection.execute(query)))
        return self._whole.members

    def _links(self, connection: Connection, object_ids: Iterable[str], kinds: tuple[str, ...]) -> Found:
        query = self._query(kinds)
        return _by_object(
            by_chunks(object_ids, lambda chunk: connection.execute(query.where(LINK.c.object_id.in_(chunk))))
        )

    def _query(self, kinds: tuple[str, ...]) -> Any:
        query = select(LINK.c.object_id, LINK.c.id, LINK.c.source_uuid)
        return query.where(LINK.c.tenant_id == self._tenant_id, LINK.c.kind.in_(kinds))

    @staticmethod
    def _containers_of(known: Sequence[MembersSeen], containers: Found) -> set[int]:
        return {key for each in known for key, _ in containers[each.id]}


def _number(key: Key) -> int:
    return key[1] << 3 | key[2]


def _by_object(rows: Iterable[Any]) -> Found:
    found: dict[str, tuple[tuple[int, str], ...]] = {}
    sources: dict[str, str] = {}
    for object_id, key, source in rows:
        found[object_id] = (*found.get(object_id, ()), (key, sources.setdefault(source, source)))
    return found


def _keys(container: int, source: str, role: int, object_ids: Iterable[str], members: Found) -> set[Key]:
    return {
        (container, member, role)
        for object_id in object_ids
        for member, of_source in members.get(object_id, ())
        if of_source == source
    }


def _rows_of(connection: Connection, container: int, role: int) -> set[Key]:
    query = select(ROW.c.member_id).where(ROW.c.container_id == container, ROW.c.role == role)
    return {(container, member, role) for member in connection.scalars(query)}


def _absent_rows(connection: Connection, containers: set[int]) -> set[Key]:
    query = select(ROW.c.container_id, ROW.c.member_id, ROW.c.role).where(ROW.c.absent_since.is_not(None))
    return {(c, m, r) for c, m, r in connection.execute(query) if c in containers}


def _runs_of(connection: Connection, keys: Sequence[Key]) -> dict[Key, int]:
    query = select(ROW.c.container_id, ROW.c.member_id, ROW.c.role, ROW.c.run_id)
    containers = {str(container) for container, _, _ in keys}
    wanted = set(keys)
    rows = by_chunks(
        containers,
        lambda chunk: connection.execute(query.where(ROW.c.container_id.in_([int(key) for key in chunk]))),
    )
    return {(c, m, r): run for c, m, r, run in rows if (c, m, r) in wanted}


def _named(key: Key) -> dict[str, Any]:
    return {"key_container": key[0], "key_member": key[1], "key_role": key[2]}
