"""What a look at groups and schools says about managed memberships: rows seen absent, rows seen again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from sds_daemon.store.database import by_chunks, run_many
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
_ROLES = {"members": Role.MEMBER, "owners": Role.OWNER, "users": Role.SCHOOL_USER, "classes": Role.SCHOOL_CLASS}

Key = tuple[int, int, int]
"""A membership row: container, member, role."""


class Observer:
    """Takes in what was seen of one tenant's groups and schools, within the caller's transactions.

    During a full read everything seen of linked groups is remembered; `close_full` then marks what it did not show.
    """

    def __init__(self, tenant_id: str, lag: timedelta) -> None:
        self._tenant_id = tenant_id
        self._lag = lag
        self._whole: set[int] | None = None
        self._containers: set[int] = set()

    def begin_full(self) -> None:
        """A full read of the groups starts."""
        self._whole = set()
        self._containers = set()

    def observe(self, connection: Connection, seen: Sequence[MembersSeen], now: datetime) -> None:
        """Rows seen absent are marked, rows seen present are unmarked; objects that are not linked are passed over."""
        containers = self._links(connection, (each.id for each in seen), ("section", "school"))
        known = [each for each in seen if each.id in containers]
        if not known:
            return
        self._containers |= {key for each in known for key, _ in containers[each.id]}
        absent = _absent_rows(connection, self._containers_of(known, containers))
        wanted = {
            member
            for each in known
            for member in (*each.removed, *(each.present if self._needs(each, containers, absent) else ()))
        }
        members = self._links(connection, wanted, ("student", "teacher", "section"))
        self._store(connection, known, containers, members, absent, now)

    def close_full(self, connection: Connection, now: datetime) -> None:
        """The full read has ended: rows of the groups it brought that it did not show are absent."""
        whole, self._whole = self._whole, None
        if whole is None:
            return
        rows = by_chunks(
            map(str, sorted(self._containers)),
            lambda chunk: connection.execute(
                select(ROW.c.container_id, ROW.c.member_id, ROW.c.role).where(
                    ROW.c.container_id.in_([int(key) for key in chunk]),
                    ROW.c.role.in_((CODES[Role.MEMBER], CODES[Role.OWNER])),
                )
            ),
        )
        missing = [key for c, m, r in rows if _packed(key := (c, m, r)) not in whole]
        self._mark(connection, missing, now)

    def _needs(self, each: MembersSeen, containers: dict[str, list[tuple[int, str]]], absent: set[Key]) -> bool:
        """Whether it matters who is present: for a full read or a complete list, or where somebody was absent."""
        if each.complete or self._whole is not None:
            return True
        mine = {key for key, _ in containers[each.id]}
        return any(container in mine for container, _, _ in absent)

    def _store(
        self,
        connection: Connection,
        known: Sequence[MembersSeen],
        containers: dict[str, list[tuple[int, str]]],
        members: dict[str, list[tuple[int, str]]],
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
                    self._whole.update(map(_packed, present))
                    self._whole.difference_update(map(_packed, gone))
                for key in present:
                    missing.pop(key, None)
                    back[key] = None
                for key in gone:
                    back.pop(key, None)
                    missing[key] = None
        run_many(connection, _BACK, (_named(key) for key in back if key in absent))
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

    def _links(
        self, connection: Connection, object_ids: Iterable[str], kinds: tuple[str, ...]
    ) -> dict[str, list[tuple[int, str]]]:
        """Row number and source of the links to each object: two sources may share one."""
        query = select(LINK.c.object_id, LINK.c.id, LINK.c.source_uuid).where(
            LINK.c.tenant_id == self._tenant_id, LINK.c.kind.in_(kinds)
        )
        found: dict[str, list[tuple[int, str]]] = {}
        rows = by_chunks(object_ids, lambda chunk: connection.execute(query.where(LINK.c.object_id.in_(chunk))))
        for object_id, key, source in rows:
            found.setdefault(object_id, []).append((key, source))
        return found

    @staticmethod
    def _containers_of(known: Sequence[MembersSeen], containers: dict[str, list[tuple[int, str]]]) -> set[int]:
        return {key for each in known for key, _ in containers[each.id]}


def _packed(key: Key) -> int:
    """A third of the memory: a large tenant has more than a million memberships."""
    return key[0] << 36 | key[1] << 4 | key[2]


def _keys(
    container: int, source: str, role: int, object_ids: Iterable[str], members: dict[str, list[tuple[int, str]]]
) -> set[Key]:
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
