"""The cache of a tenant's directory, fed by delta reads; matching asks it instead of Graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import timedelta
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Table, bindparam, func, or_, select, update
from sqlalchemy import insert as plain_insert

from sds_daemon.clock import Clock
from sds_daemon.roster.records import RecordKind
from sds_daemon.store.database import Database, by_chunks, chunks, insert_new, run_many, uncounted, upsert
from sds_daemon.store.observed import Observer
from sds_daemon.store.tables import (
    DirectoryCursorRow,
    DirectoryGroupRow,
    DirectoryRow,
    DirectorySchoolRow,
    DirectoryUserRow,
    table,
)
from sds_daemon.store.values import from_json, to_json
from sds_daemon.targets.base import Anchor, DirectoryGroup, DirectorySchool, DirectoryUser, MembersSeen

DIRECTORY = table(DirectoryRow)
CURSOR = table(DirectoryCursorRow)
USER = table(DirectoryUserRow)
GROUP = table(DirectoryGroupRow)
SCHOOL = table(DirectorySchoolRow)

PART_ONLY, PRESENT, DELETED, PURGED = 0, 1, 2, 3
LAG = timedelta(minutes=15)
MANY = 5_000

_TABLES = {"user": USER, "group": GROUP, "school": SCHOOL}
_COLLECTIONS = {"users": USER, "education": USER, "groups": GROUP, "schools": SCHOOL}
_EDUCATION = ("anchor_source", "anchor_kind", "anchor_id", "education", "education_scan")
_NO_EDUCATION = {"anchor_source": None, "anchor_kind": None, "anchor_id": None, "education": ""}
_USER_KEYS = {"userPrincipalName": USER.c.upn_key, "mail": USER.c.mail_key, "mailNickname": USER.c.nickname_key}

# Asked for every batch that makes something: building it anew each time costs more than running it.
_SCAN = select(CURSOR.c.scan, CURSOR.c.scanning).where(
    CURSOR.c.directory == bindparam("of"), CURSOR.c.name == bindparam("called")
)

UserKey = Literal["userPrincipalName", "mail", "mailNickname"]
T = TypeVar("T")


class Directory:
    """One tenant's cache; implements `targets.base.DirectoryCache` and adds what matching asks.

    Deleted objects stay as marks without being found by any search, so that links to them can be told from links to
    objects never seen. Every method is one transaction and may raise StateError.
    """

    def __init__(self, database: Database, clock: Clock, tenant_id: str, *, lag: timedelta = LAG) -> None:
        self._database = database
        self._clock = clock
        self._lag = lag
        self._number = _directory_number(database, tenant_id)
        self._observer = Observer(tenant_id, lag)
        self._listed: set[str] = set()

    def cursor(self, name: str) -> str | None:
        """The delta link of a collection; None before the first whole read and after one that was broken off."""
        query = select(CURSOR.c.cursor).where(CURSOR.c.directory == self._number, CURSOR.c.name == name)
        with self._database.read() as connection:
            found: str | None = connection.execute(query).scalar()
        return found

    def begin_full(self, name: str) -> None:
        """A full read of "users", "education", "groups" or "schools" starts; until `end` there is no delta link."""
        _collection(name)
        row = {"directory": self._number, "name": name, "cursor": None, "scan": 0, "scanning": True}
        with self._database.write() as connection:
            connection.execute(insert_new(CURSOR), row)
            self._move_cursor(connection, name, cursor=None, scanning=True, scan=CURSOR.c.scan + 1)
        if name == "groups":
            self._observer.begin_full()
        if name == "schools":
            self._listed = set()

    def end(self, name: str, cursor: str | None) -> None:
        """Store the delta link; after `begin_full`, what the read did not bring is gone.

        Spared are objects this program made within the replication lag: a full read may not show them yet.
        """
        collection = _collection(name)
        row = {"directory": self._number, "name": name, "cursor": cursor, "scan": 0, "scanning": False}
        with self._database.write() as connection:
            connection.execute(insert_new(CURSOR), row)
            scan, scanning = self._scan(connection, name)
            if scanning:
                self._sweep(connection, name, collection, scan)
            if name == "groups":
                self._observer.close_full(connection, self._clock.now())
            self._move_cursor(connection, name, cursor=cursor, scanning=False)

    def restart(self) -> None:
        """Forget every delta link: the next refresh reads the whole directory."""
        with self._database.write() as connection:
            connection.execute(update(CURSOR).where(CURSOR.c.directory == self._number).values(cursor=None))

    def put_users(self, users: Iterable[DirectoryUser]) -> None:
        """Insert or replace by id. The education part is kept when a user comes without one."""
        self._put_users(users, remembered=False)

    def remember_users(self, users: Iterable[DirectoryUser]) -> None:
        """Put users this program just made."""
        self._put_users(users, remembered=True)

    def put_education(self, rows: Iterable[tuple[str, Anchor | None, dict[str, str]]]) -> None:
        """Set the education part of users by id; parts of unknown ids wait for their user."""
        statement = upsert(USER, keep=[column.name for column in USER.columns if column.name not in _EDUCATION])
        with self._database.write() as connection:
            scan, _ = self._scan(connection, "education")
            blank = {"directory": self._number, "state": PART_ONLY, "scan": 0, "remembered": None, **_BLANK_USER}
            run_many(
                connection,
                statement,
                (
                    {**blank, "id": key, **_anchor_row(anchor), "education": to_json(part), "education_scan": scan}
                    for key, anchor, part in rows
                ),
            )

    def put_groups(self, groups: Iterable[DirectoryGroup]) -> None:
        """Insert or replace by id."""
        self._put(GROUP, "groups", (_group_row(group) for group in groups), remembered=False)

    def remember_groups(self, groups: Iterable[DirectoryGroup]) -> None:
        """Put groups this program just made."""
        self._put(GROUP, "groups", (_group_row(group) for group in groups), remembered=True)

    def put_schools(self, schools: Iterable[DirectorySchool]) -> None:
        """Insert or replace by id; those that are as before are left alone: schools are listed whole every time."""
        given = {school.id: school for school in schools}
        self._listed |= given.keys()
        known = self.schools(given)
        changed = (_school_row(school) for school in given.values() if known.get(school.id) != school)
        self._put(SCHOOL, "schools", changed, remembered=False)

    def remember_schools(self, schools: Iterable[DirectorySchool]) -> None:
        """Put schools this program just made."""
        self._put(SCHOOL, "schools", (_school_row(school) for school in schools), remembered=True)

    def observe_members(self, seen: Iterable[MembersSeen]) -> None:
        """Take in who is in groups or schools: managed memberships seen absent are marked, others unmarked."""
        for part in chunks(seen, 200):
            with self._database.write() as connection:
                self._observer.observe(connection, part, self._clock.now())

    def forget(self, kind: str, ids: Iterable[str], *, purged: bool) -> None:
        """Mark objects of kind "user", "group" or "school" as deleted (purged: for good). Unknown ids are noted too."""
        target = _TABLES[kind]
        blank = {column.name: None for column in target.columns} | _BLANKS[kind] | {"directory": self._number}
        gone = upsert(target, keep=[column.name for column in target.columns if column.name != "state"])
        state = PURGED if purged else DELETED
        with self._database.write() as connection:
            run_many(connection, gone, ({**blank, "id": key, "state": state} for key in ids))

    def revive(self, kind: str, ids: Iterable[str]) -> None:
        """Objects this program brought back from the recycle bin: as they were, whatever reads show for a while."""
        target = _TABLES[kind]
        with self._database.write() as connection:
            for part in chunks(ids):
                mine = (target.c.directory == self._number) & target.c.id.in_(part)
                connection.execute(update(target).where(mine).values(state=PRESENT, remembered=self._clock.now()))

    def users_by(self, key: UserKey, values: Iterable[str]) -> dict[str, list[DirectoryUser]]:
        """Present users by userPrincipalName, mail or mailNickname: whole values, case-insensitive.

        Keyed by the value in lower case; values nobody has are left out.
        """
        column = _USER_KEYS[key]
        return self._grouped(USER, column, (value.lower() for value in values if value), _user)

    def users(self, ids: Iterable[str]) -> dict[str, DirectoryUser]:
        """Present users by id; others are left out."""
        return self._by_id(USER, ids, _user)

    def groups(self, ids: Iterable[str]) -> dict[str, DirectoryGroup]:
        """Present groups by id; others are left out."""
        return self._by_id(GROUP, ids, _group)

    def schools(self, ids: Iterable[str]) -> dict[str, DirectorySchool]:
        """Present schools by id; others are left out."""
        return self._by_id(SCHOOL, ids, _school)

    def users_by_anchor(
        self, source_uuid: str, sis_ids: Collection[str] | None = None
    ) -> dict[tuple[RecordKind, str], list[DirectoryUser]]:
        """Present users that carry our mark for a source, by kind and SIS ID; `sis_ids` (a few) narrows the search."""
        found: dict[tuple[RecordKind, str], list[DirectoryUser]] = {}
        for user in self._anchored(USER, source_uuid, _user, sis_ids):
            if user.anchor is not None:
                found.setdefault((user.anchor.kind, user.anchor.sis_id), []).append(user)
        return found

    def groups_by_anchor(
        self, source_uuid: str, sis_ids: Collection[str] | None = None
    ) -> dict[str, list[DirectoryGroup]]:
        """Present groups that carry our mark for a source, by the section's SIS ID; `sis_ids` as for users."""
        return _by_sis_id(self._anchored(GROUP, source_uuid, _group, sis_ids))

    def schools_by_anchor(
        self, source_uuid: str, sis_ids: Collection[str] | None = None
    ) -> dict[str, list[DirectorySchool]]:
        """Present schools that carry our mark for a source, by the school's SIS ID; `sis_ids` as for users."""
        return _by_sis_id(self._anchored(SCHOOL, source_uuid, _school, sis_ids))

    def groups_by_alias(self, aliases: Iterable[str]) -> dict[str, DirectoryGroup]:
        """Present groups by mailNickname in lower case (unique in a tenant)."""
        found = self._grouped(GROUP, GROUP.c.nickname_key, (alias.lower() for alias in aliases if alias), _group)
        return {alias: groups[0] for alias, groups in found.items()}

    def deleted(self, kind: str, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are known to be deleted or purged."""
        return self._in_state(kind, ids, (DELETED, PURGED))

    def purged(self, kind: str, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are known to be gone for good."""
        return self._in_state(kind, ids, (PURGED,))

    def count(self, kind: str) -> int:
        """Present objects of kind "user", "group" or "school"."""
        target = _TABLES[kind]
        query = select(func.count()).select_from(target).where(*self._present(target))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def _present(self, target: Table) -> tuple[Any, Any]:
        return (target.c.directory == self._number, target.c.state == PRESENT)

    def _put_users(self, users: Iterable[DirectoryUser], *, remembered: bool) -> None:
        whole = upsert(USER, keep=() if remembered else ("remembered",))
        partial = upsert(USER, keep=(*_EDUCATION,) if remembered else (*_EDUCATION, "remembered"))
        with self._database.write() as connection:
            scan, _ = self._scan(connection, "users")
            part, _ = self._scan(connection, "education")
            common = {"directory": self._number, "state": PRESENT, "scan": scan, **self._made(remembered)}
            for batch in chunks(users, 5_000):
                marked = [user for user in batch if user.anchor is not None or user.education]
                bare = [user for user in batch if user.anchor is None and not user.education]
                run_many(connection, whole, ({**common, **_user_row(user), "education_scan": part} for user in marked))
                run_many(connection, partial, ({**common, **_user_row(user), "education_scan": 0} for user in bare))

    def _put(self, target: Table, name: str, rows: Iterable[dict[str, Any]], *, remembered: bool) -> None:
        statement = upsert(target, keep=() if remembered else ("remembered",))
        with self._database.write() as connection:
            scan, _ = self._scan(connection, name)
            common = {"directory": self._number, "state": PRESENT, "scan": scan, **self._made(remembered)}
            run_many(connection, statement, ({**common, **row} for row in rows))

    def _made(self, remembered: bool) -> dict[str, Any]:
        return {"remembered": self._clock.now() if remembered else None}

    def _scan(self, connection: Connection, name: str) -> tuple[int, bool]:
        row = connection.execute(_SCAN, {"of": self._number, "called": name}).first()
        return (0, False) if row is None else (int(row.scan), bool(row.scanning))

    def _move_cursor(self, connection: Connection, name: str, **values: Any) -> None:
        mine = (CURSOR.c.directory == self._number) & (CURSOR.c.name == name)
        with uncounted(connection):
            connection.execute(update(CURSOR).where(mine).values(values))

    def _sweep(self, connection: Connection, name: str, target: Table, scan: int) -> None:
        seen = target.c.education_scan if name == "education" else target.c.scan
        unseen = (
            target.c.directory == self._number,
            seen < scan,
            or_(target.c.remembered.is_(None), target.c.remembered < self._clock.now() - self._lag),
        )
        if name == "education":
            marked = or_(target.c.anchor_source.is_not(None), target.c.education != "")
            connection.execute(update(target).where(*unseen, marked).values(_NO_EDUCATION))
            return
        gone = (*unseen, target.c.state == PRESENT)
        if name != "schools":
            connection.execute(update(target).where(*gone).values(state=DELETED))
            return
        missing = set(connection.scalars(select(target.c.id).where(*gone))) - self._listed
        for part in chunks(sorted(missing)):
            mine = (target.c.directory == self._number) & target.c.id.in_(part)
            connection.execute(update(target).where(mine).values(state=DELETED))

    def _grouped(self, target: Table, column: Any, keys: Iterable[str], make: Callable[[Any], T]) -> dict[str, list[T]]:
        query = select(target).where(*self._present(target)).order_by(target.c.id)
        found: dict[str, list[T]] = {}
        with self._database.read() as connection:
            for row in by_chunks(keys, lambda chunk: connection.execute(query.where(column.in_(chunk)))):
                found.setdefault(getattr(row, column.name), []).append(make(row))
        return found

    def _by_id(self, target: Table, ids: Iterable[str], make: Callable[[Any], T]) -> dict[str, T]:
        query = select(target).where(*self._present(target))
        with self._database.read() as connection:
            rows = by_chunks(ids, lambda chunk: connection.execute(query.where(target.c.id.in_(chunk))))
            return {row.id: make(row) for row in rows}

    def _anchored(
        self, target: Table, source_uuid: str, make: Callable[[Any], T], sis_ids: Collection[str] | None = None
    ) -> Iterator[T]:
        query = select(target).where(*self._present(target), target.c.anchor_source == source_uuid)
        if sis_ids is not None:
            query = query.where(target.c.anchor_id.in_(sis_ids))
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=1_000).execute(query.order_by(target.c.id)):
                yield make(row)

    def _in_state(self, kind: str, ids: Iterable[str], states: tuple[int, ...]) -> set[str]:
        target = _TABLES[kind]
        wanted = set(ids)
        query = select(target.c.id).where(target.c.directory == self._number, target.c.state.in_(states))
        with self._database.read() as connection:
            if len(wanted) > MANY:  # one look through the table, rather than one for each of them
                return wanted.intersection(connection.scalars(query))
            rows = by_chunks(wanted, lambda chunk: connection.execute(query.where(target.c.id.in_(chunk))))
            return {row.id for row in rows}


def _directory_number(database: Database, tenant_id: str) -> int:
    query = select(DIRECTORY.c.id).where(DIRECTORY.c.tenant_id == tenant_id)
    with database.read() as connection:
        found = connection.execute(query).scalar()
    if found is None:
        with database.write() as connection:
            found = connection.execute(query).scalar()  # another process may have been first
            if found is None:
                key = connection.execute(plain_insert(DIRECTORY), {"tenant_id": tenant_id}).inserted_primary_key
                assert key is not None
                found = key[0]
    return int(found)


def _collection(name: str) -> Table:
    return _COLLECTIONS[name]


def _anchor_row(anchor: Anchor | None) -> dict[str, Any]:
    if anchor is None:
        return {"anchor_source": None, "anchor_kind": None, "anchor_id": None}
    return {"anchor_source": anchor.source_uuid, "anchor_kind": anchor.kind.value, "anchor_id": anchor.sis_id}


def _anchor(row: Any) -> Anchor | None:
    if row.anchor_source is None:
        return None
    return Anchor(row.anchor_source, RecordKind(row.anchor_kind), row.anchor_id)


def _user_row(user: DirectoryUser) -> dict[str, Any]:
    return {
        "id": user.id,
        "upn": user.upn,
        "upn_key": user.upn.lower(),
        "mail": user.mail,
        "mail_key": user.mail.lower() or None,
        "mail_nickname": user.mail_nickname,
        "nickname_key": user.mail_nickname.lower() or None,
        "display_name": user.display_name,
        "enabled": user.enabled,
        "on_premises": user.on_premises,
        "created": user.created,
        **_anchor_row(user.anchor),
        "education": to_json(user.education),
    }


def _group_row(group: DirectoryGroup) -> dict[str, Any]:
    return {
        "id": group.id,
        "display_name": group.display_name,
        "mail_nickname": group.mail_nickname,
        "nickname_key": group.mail_nickname.lower(),
        "mail": group.mail,
        "created": group.created,
        **_anchor_row(group.anchor),
    }


def _school_row(school: DirectorySchool) -> dict[str, Any]:
    return {
        "id": school.id,
        "display_name": school.display_name,
        "name_key": school.display_name.lower(),
        **_anchor_row(school.anchor),
    }


def _user(row: Any) -> DirectoryUser:
    return DirectoryUser(
        id=row.id,
        upn=row.upn,
        mail=row.mail,
        mail_nickname=row.mail_nickname,
        display_name=row.display_name,
        enabled=row.enabled,
        on_premises=row.on_premises,
        created=row.created,
        anchor=_anchor(row),
        education=from_json(row.education),
    )


def _group(row: Any) -> DirectoryGroup:
    return DirectoryGroup(
        id=row.id,
        display_name=row.display_name,
        mail_nickname=row.mail_nickname,
        mail=row.mail,
        created=row.created,
        anchor=_anchor(row),
    )


def _school(row: Any) -> DirectorySchool:
    return DirectorySchool(id=row.id, display_name=row.display_name, anchor=_anchor(row))


G = TypeVar("G", DirectoryGroup, DirectorySchool)


def _by_sis_id(objects: Iterable[G]) -> dict[str, list[G]]:
    found: dict[str, list[G]] = {}
    for item in objects:
        if item.anchor is not None:
            found.setdefault(item.anchor.sis_id, []).append(item)
    return found


_BLANK_USER = {key: value for key, value in _user_row(DirectoryUser(id="", upn="")).items() if key not in _EDUCATION}
_BLANKS: dict[str, dict[str, Any]] = {
    "user": _user_row(DirectoryUser(id="", upn="")) | {"scan": 0, "education_scan": 0},
    "group": _group_row(DirectoryGroup(id="")) | {"scan": 0},
    "school": _school_row(DirectorySchool(id="")) | {"scan": 0},
}
