"""Managed memberships: rows an accepted snapshot demanded and that are believed present in the directory."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Text, bindparam, cast, delete, exists, func, select, true, update

from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store.database import Database, any_of, insert_new, run_many
from sds_daemon.store.links import LINK
from sds_daemon.store.tables import MembershipRow, table
from sds_daemon.store.values import to_json

ROW = table(MembershipRow)


class Role(StrEnum):
    """In what way the member belongs to the container."""

    MEMBER = "member"
    OWNER = "owner"
    SCHOOL_USER = "school_user"
    SCHOOL_CLASS = "school_class"


CODES = {Role.MEMBER: 1, Role.OWNER: 2, Role.SCHOOL_USER: 3, Role.SCHOOL_CLASS: 4}
_ROLES = {code: role for role, code in CODES.items()}
_ROLE_BITS = 3
_ROLE_MASK = (1 << _ROLE_BITS) - 1


def packed(key: int, role: Role) -> int:
    """A member and its role as one number: a large district has more than a million of them."""
    return key << _ROLE_BITS | CODES[role]


def unpacked(number: int) -> tuple[int, Role]:
    """The member's link, by its row number, and the role."""
    return number >> _ROLE_BITS, _ROLES[number & _ROLE_MASK]


def counted(numbers: Iterable[int]) -> Counter[Role]:
    """How many packed numbers there are of each role."""
    return Counter({_ROLES[code]: count for code, count in Counter(n & _ROLE_MASK for n in numbers).items()})


class Membership(msgspec.Struct, frozen=True, order=True):
    """One managed membership: a person or section in a section or school."""

    container: Ref
    member: Ref
    role: Role


class Memberships:
    """The managed memberships of one source and tenant. Every method is one transaction and may raise StateError."""

    def __init__(self, database: Database, source_uuid: str, tenant_id: str) -> None:
        self._database = database
        self._source_uuid = source_uuid
        self._tenant_id = tenant_id
        self._mine = (LINK.c.source_uuid == source_uuid) & (LINK.c.tenant_id == tenant_id)
        container, member = self._key_of("container"), self._key_of("member")
        listed = LINK.c.sis_id.in_(any_of("member_sis_ids"))
        members = (
            select(LINK.c.id).where(self._mine, LINK.c.kind == bindparam("member_kind"), listed).subquery("members")
        )
        keys = select(container.c.id, members.c.id, bindparam("role"), bindparam("run_id")).select_from(
            container.join(members, true())
        )
        self._insert = insert_new(ROW).from_select(["container_id", "member_id", "role", "run_id"], keys.where(true()))
        self._return = (
            update(ROW)
            .where(*_row_named(container, member), ROW.c.absent_since.is_not(None))
            .values(absent_since=None, run_id=bindparam("new_run_id"))
        )
        self._delete = delete(ROW).where(*_row_named(container, member))

    def add(self, memberships: Iterable[Membership], run_id: int) -> int:
        """Store rows; those there already stay as they are, or are no longer absent. Returns how many are new.

        Rows of unlinked records (a link was dropped meanwhile) are passed over: the next run adds them again.
        """
        given = list(memberships)
        with self._database.write() as connection:
            new = run_many(connection, self._insert, ({**row, "run_id": run_id} for row in _together(given)))
            if new < len(given):
                back = ({**_names(row), "row_role": CODES[row.role], "new_run_id": run_id} for row in given)
                run_many(connection, self._return, back)
            return new

    def remove(self, memberships: Iterable[Membership]) -> int:
        """Forget rows; unknown ones are passed over. Returns how many were there."""
        with self._database.write() as connection:
            rows = ({**_names(row), "row_role": CODES[row.role]} for row in memberships)
            return run_many(connection, self._delete, rows)

    def packed(self, profile: str) -> dict[int, array[int]]:
        """Everything in the containers whose link this profile made, members and roles as numbers (`packed`).

        By row number of the container's link; containers without rows are left out.
        """
        owned = select(LINK.c.id).where(self._mine, LINK.c.profile == profile)
        numbers = func.aggregate_strings(cast(ROW.c.member_id * (1 << _ROLE_BITS) + ROW.c.role, Text), ",")
        query = select(ROW.c.container_id, numbers).where(ROW.c.container_id.in_(owned)).group_by(ROW.c.container_id)
        with self._database.read() as connection:
            rows = connection.execution_options(yield_per=1_000).execute(query)
            return {container: array("q", map(int, text.split(","))) for container, text in rows}

    def empty_containers(self, profile: str) -> set[Ref]:
        """Schools and sections whose link this profile made, and of which no row is recorded."""
        query = select(LINK.c.kind, LINK.c.sis_id).where(
            self._mine,
            LINK.c.profile == profile,
            LINK.c.kind.in_((RecordKind.SCHOOL, RecordKind.SECTION)),
            ~exists().where(ROW.c.container_id == LINK.c.id),
        )
        with self._database.read() as connection:
            return {Ref(RecordKind(kind), sis_id) for kind, sis_id in connection.execute(query)}

    def absent(self, profile: str, at: datetime) -> dict[Membership, datetime]:
        """Rows of this profile's containers that the directory was seen without by then, with since when.

        An absence of a row written within the replication lag counts from the end of that lag on.
        """
        container, member = LINK.alias("container"), LINK.alias("member")
        query = (
            select(container.c.kind, container.c.sis_id, member.c.kind, member.c.sis_id, ROW.c.role, ROW.c.absent_since)
            .join(container, container.c.id == ROW.c.container_id)
            .join(member, member.c.id == ROW.c.member_id)
            .where(container.c.source_uuid == self._source_uuid, container.c.tenant_id == self._tenant_id)
            .where(container.c.profile == profile, ROW.c.absent_since.is_not(None), ROW.c.absent_since <= at)
        )
        with self._database.read() as connection:
            return {
                Membership(Ref(RecordKind(ck), ci), Ref(RecordKind(mk), mi), _ROLES[role]): since
                for ck, ci, mk, mi, role, since in connection.execute(query)
            }

    def absent_later(self, profile: str, at: datetime) -> bool:
        """Whether a row of this profile's containers was seen absent, but counts as that only from a later instant."""
        owned = select(LINK.c.id).where(self._mine, LINK.c.profile == profile)
        later = (ROW.c.absent_since.is_not(None), ROW.c.absent_since > at, ROW.c.container_id.in_(owned))
        with self._database.read() as connection:
            return connection.execute(select(ROW.c.container_id).where(*later).limit(1)).first() is not None

    def of_run(self, run_id: int) -> set[Membership]:
        """Rows that were last written by this run and are managed still."""
        container, member = LINK.alias("container"), LINK.alias("member")
        query = (
            select(container.c.kind, container.c.sis_id, member.c.kind, member.c.sis_id, ROW.c.role)
            .join(container, container.c.id == ROW.c.container_id)
            .join(member, member.c.id == ROW.c.member_id)
            .where(container.c.source_uuid == self._source_uuid, container.c.tenant_id == self._tenant_id)
            .where(ROW.c.run_id == run_id)
        )
        with self._database.read() as connection:
            return {
                Membership(Ref(RecordKind(ck), ci), Ref(RecordKind(mk), mi), _ROLES[role])
                for ck, ci, mk, mi, role in connection.execute(query)
            }

    def of(self, container: Ref) -> frozenset[tuple[Role, Ref]]:
        """What is in one container."""
        member = LINK.alias("member")
        query = (
            select(ROW.c.role, member.c.kind, member.c.sis_id)
            .join(LINK, LINK.c.id == ROW.c.container_id)
            .join(member, member.c.id == ROW.c.member_id)
            .where(self._mine, LINK.c.kind == container.kind.value, LINK.c.sis_id == container.sis_id)
        )
        with self._database.read() as connection:
            return frozenset(
                (_ROLES[role], Ref(RecordKind(kind), key)) for role, kind, key in connection.execute(query)
            )

    def of_member(self, member: Ref) -> list[Membership]:
        """Where one person or section is, sorted."""
        container = LINK.alias("container")
        query = (
            select(ROW.c.role, container.c.kind, container.c.sis_id)
            .join(LINK, LINK.c.id == ROW.c.member_id)
            .join(container, container.c.id == ROW.c.container_id)
            .where(self._mine, LINK.c.kind == member.kind.value, LINK.c.sis_id == member.sis_id)
        )
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return sorted(Membership(Ref(RecordKind(kind), key), member, _ROLES[role]) for role, kind, key in found)

    def count(self, profile: str) -> int:
        """Rows in the containers whose link this profile made."""
        owned = select(LINK.c.id).where(self._mine, LINK.c.profile == profile)
        query = select(func.count()).select_from(ROW).where(ROW.c.container_id.in_(owned))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def _key_of(self, role: str) -> Any:
        """The row number of a link whose record is named by the parameters of `_names`."""
        found = select(LINK.c.id).where(
            self._mine, LINK.c.kind == bindparam(f"{role}_kind"), LINK.c.sis_id == bindparam(f"{role}_sis_id")
        )
        return found.subquery(role)


def _row_named(container: Any, member: Any) -> tuple[Any, Any, Any]:
    """The row named by the parameters of `_names` and `row_role`."""
    return (
        ROW.c.container_id == select(container.c.id).scalar_subquery(),
        ROW.c.member_id == select(member.c.id).scalar_subquery(),
        ROW.c.role == bindparam("row_role"),
    )


def _together(rows: Iterable[Membership]) -> Iterator[dict[str, Any]]:
    """Those that differ in the member alone, as one."""
    found: dict[tuple[Ref, RecordKind, Role], list[str]] = {}
    for row in rows:
        found.setdefault((row.container, row.member.kind, row.role), []).append(row.member.sis_id)
    for (container, member_kind, role), ids in found.items():
        yield {
            "container_kind": container.kind.value,
            "container_sis_id": container.sis_id,
            "member_kind": member_kind.value,
            "member_sis_ids": to_json(ids),
            "role": CODES[role],
        }


def _names(row: Membership) -> dict[str, str]:
    return {
        "container_kind": row.container.kind.value,
        "container_sis_id": row.container.sis_id,
        "member_kind": row.member.kind.value,
        "member_sis_id": row.member.sis_id,
    }
