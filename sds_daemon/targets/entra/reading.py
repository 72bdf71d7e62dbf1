"""Bringing the directory cache up to date by delta queries (Graph docs: delta-query-overview).

Rules of delta that hold here: pages come in any order and repeat themselves, a later row wins; a row of an incremental
round may hold only what changed, so rows without their never-empty properties are fetched whole; 400, 404 and 410 on a
link mean "start over".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from sds_daemon.errors import Interrupted, TargetInvalid
from sds_daemon.sources.base import Progress, no_progress
from sds_daemon.targets.base import (
    Anchor,
    DirectoryCache,
    DirectoryGroup,
    DirectorySchool,
    DirectoryUser,
    MembersSeen,
    RefreshReport,
)
from sds_daemon.targets.entra import anchors, wire
from sds_daemon.targets.entra.transport import GraphTransport, refusal

T = TypeVar("T")
Take = Callable[[list[T]], Awaitable[None]]

_USERS = (
    "id",
    "userPrincipalName",
    "mail",
    "mailNickname",
    "displayName",
    "accountEnabled",
    "onPremisesSyncEnabled",
    "createdDateTime",
)
_EDUCATION = ("id", "primaryRole", "externalSource", "externalSourceDetail", "student", "teacher")
_GROUPS = ("id", "displayName", "mailNickname", "mail", "createdDateTime", "groupTypes", "uniqueName")
_GROUPS_AND_MEMBERS = (*_GROUPS, "members", "owners")
_CLASSES = ("id", "externalId", "externalSource", "externalSourceDetail")
_SCHOOLS = ("id", "displayName", "externalId", "externalSource", "externalSourceDetail")
_UNITS = ("id", "displayName", "description")
IDS_PER_FILTER = 15
"""Terms Graph takes in one `in (...)`."""
_START_OVER = frozenset({400, 404, 410})


class Reading:
    """One refresh of one tenant's cache."""

    def __init__(
        self,
        transport: GraphTransport,
        cache: DirectoryCache,
        *,
        education: bool,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress = no_progress,
    ) -> None:
        self._transport = transport
        self._cache = cache
        self._education = education
        self._stop = stop
        self._progress = progress
        self._full: set[str] = set()
        self._changed = 0

    async def refresh(self) -> RefreshReport:
        """Read everything that changed. Raises TargetError, Interrupted."""
        before = self._transport.counts.reads
        parts = [self._users(), self._groups(), self._schools()]
        if self._education:
            parts.append(self._people())
        await _all(parts)
        return RefreshReport(
            reads=self._transport.counts.reads - before, full=tuple(sorted(self._full)), changed=self._changed
        )

    # Users

    async def _users(self) -> None:
        builder = self._transport.builders.users.delta
        await self._delta("users", select(builder, _USERS), wire.USERS, self._take_users)

    async def _take_users(self, rows: list[wire.UserRow]) -> None:
        present, removed = _split(rows)
        partial = [row.id for row in present if row.user_principal_name is msgspec.UNSET]
        if partial and "users" not in self._full:
            whole = await self._by_id(partial, "users", _USERS, wire.USERS)
            present = [row for row in present if row.user_principal_name is not msgspec.UNSET] + whole
        self._cache.put_users(_user(row) for row in present)
        self._forget("user", removed)

    # The education part of users

    async def _people(self) -> None:
        builder = self._transport.builders.education.users.delta
        await self._delta("education", select(builder, _EDUCATION), wire.EDUCATION_USERS, self._take_people)

    async def _take_people(self, rows: list[wire.EducationRow]) -> None:
        present, _ = _split(rows)
        if "education" not in self._full:
            present = [row if _is_whole(row) else await self._person(row) for row in present]
        self._cache.put_education((row.id, anchors.user_anchor(row), anchors.education_values(row)) for row in present)

    async def _person(self, row: wire.EducationRow) -> wire.EducationRow:
        reply = await self._transport.read(f"/education/users/{row.id}?$select={','.join(_EDUCATION)}")
        if reply.status == 404:
            return row
        return self._decoded(reply, wire.ONE_EDUCATION_USER, "GET /education/users/{id}")

    # Groups, with the anchors that classes carry

    async def _groups(self) -> None:
        links = _unpacked(self._cache.cursor("groups"), 2 if self._education else 1)
        if links is None or not await self._changed_groups(links):
            await self._all_groups()

    async def _all_groups(self) -> None:
        self._full.add("groups")
        self._cache.begin_full("groups")
        marks: dict[str, Anchor | None] = {}
        links: list[str] = []

        async def take_classes(rows: list[wire.ClassRow]) -> None:
            marks.update((row.id, anchors.class_anchor(row)) for row in _split(rows)[0])

        async def take_groups(rows: list[wire.GroupRow]) -> None:
            self._cache.observe_members(_members(rows))
            present, removed = _split([row for row in rows if not row.about_members_only])
            self._cache.put_groups(_group(row, marks.get(row.id)) for row in present if _is_unified(row))
            self._forget("group", removed)

        if self._education:
            request = select(self._transport.builders.education.classes.delta, _CLASSES)
            links.append(await self._from_start("groups", request, wire.CLASSES, take_classes))
        request = select(self._transport.builders.groups.delta, _GROUPS_AND_MEMBERS)
        links.append(await self._from_start("groups", request, wire.GROUPS, take_groups))
        self._cache.end("groups", _packed(links))

    async def _changed_groups(self, links: Sequence[str]) -> bool:
        marks: dict[str, Anchor | None] = {}
        groups: dict[str, wire.GroupRow] = {}
        removed: dict[str, wire.GroupRow] = {}

        async def take_classes(rows: list[wire.ClassRow]) -> None:
            marks.update((row.id, anchors.class_anchor(row)) for row in rows if row.removed is None)

        async def take_groups(rows: list[wire.GroupRow]) -> None:
            self._cache.observe_members(_members(rows))
            for row in rows:
                if row.about_members_only:
                    continue
                removed.pop(row.id, None)
                (groups if row.removed is None else removed)[row.id] = row

        following: list[str | None] = []
        if self._education:
            following.append(await self._walk("groups", links[0], wire.CLASSES, take_classes))
        following.append(await self._walk("groups", links[-1], wire.GROUPS, take_groups))
        if None in following:
            return False
        await self._put_changed_groups(groups, removed, marks)
        self._cache.end("groups", _packed([link for link in following if link]))
        return True

    async def _put_changed_groups(
        self, groups: dict[str, wire.GroupRow], removed: dict[str, wire.GroupRow], marks: dict[str, Anchor | None]
    ) -> None:
        wanted = {
            i for i, row in groups.items() if row.group_types is msgspec.UNSET or row.mail_nickname is msgspec.UNSET
        }
        wanted |= marks.keys() - groups.keys() - removed.keys()
        for row in await self._by_id(sorted(wanted), "groups", _GROUPS, wire.GROUPS):
            groups[row.id] = row
        unified = [row for row in groups.values() if row.id not in removed and _is_unified(row)]
        if self._education:
            marks |= await self._unchanged_marks([row for row in unified if row.id not in marks])
        self._cache.put_groups(_group(row, marks.get(row.id)) for row in unified)
        self._forget("group", list(removed.values()))

    async def _unchanged_marks(self, rows: Sequence[wire.GroupRow]) -> dict[str, Anchor | None]:
        """Anchors of groups that changed while their class part did not: as cached, read where there is none cached."""
        cached = self._cache.groups([row.id for row in rows])
        marks = {group_id: group.anchor for group_id, group in cached.items()}
        for row in rows:
            if row.id not in cached and anchors.group_anchor(row) is None:
                marks[row.id] = await self._class_mark(row.id)
        return marks

    async def _class_mark(self, group_id: str) -> Anchor | None:
        """The anchor of a group that is not cached; None for groups that are no class."""
        reply = await self._transport.read(f"/education/classes/{group_id}?$select={','.join(_CLASSES)}")
        if reply.status == 404:
            return None
        return anchors.class_anchor(self._decoded(reply, wire.ONE_CLASS, "GET /education/classes/{id}"))

    # Schools are few: they are listed whole every time

    async def _schools(self) -> None:
        builders = self._transport.builders
        if self._education:
            request = select(builders.education.schools, _SCHOOLS)
        else:
            request = select(builders.directory.administrative_units, _UNITS)
        self._cache.begin_full("schools")

        async def take(rows: list[wire.SchoolRow]) -> None:
            self._cache.put_schools(
                DirectorySchool(id=row.id, display_name=row.display_name or "", anchor=anchors.school_anchor(row))
                for row in rows
            )

        await self._from_start("schools", request, wire.SCHOOLS, take)
        self._cache.end("schools", None)

    # Delta

    async def _delta(self, name: str, request: Any, decoder: Any, take: Take[Any]) -> None:
        cursor = self._cache.cursor(name)
        link = await self._walk(name, cursor, decoder, take) if cursor else None
        if link is None:
            self._full.add(name)
            self._cache.begin_full(name)
            link = await self._from_start(name, request, decoder, take)
        self._cache.end(name, link or None)

    async def _from_start(self, name: str, request: Any, decoder: Any, take: Take[Any]) -> str:
        """A full read; once more from the start where Graph forgets a page link on the way."""
        for _ in range(2):
            link = await self._walk(name, request, decoder, take)
            if link is not None:
                return link
        raise TargetInvalid(f"Graph refused its own page links of {name} twice", remedy="it is tried again next time")

    async def _walk(self, name: str, start: Any, decoder: Any, take: Take[Any]) -> str | None:
        """Read pages from `start` on; the delta link ("" where there is none), or None when a link was refused."""
        link: Any = start
        seen: set[str] = set()
        while True:
            if self._stop():
                raise Interrupted("stopped while reading the directory")
            reply = await self._transport.read(link)
            if not reply.ok:
                if isinstance(link, str) and reply.status in _START_OVER:
                    return None
                raise refusal(reply.error, f"GET {_path(self._transport, link)}")
            page = self._transport.decode(reply, decoder, _path(self._transport, link))
            self._changed += len(page.value)
            await take(page.value)
            self._progress(f"reading {name}", self._changed, None)
            if page.next_link is None:
                return page.delta_link or ""
            if page.next_link in seen:
                raise TargetInvalid(f"Graph sent the same page of {name} twice", remedy="it is tried again next time")
            seen.add(page.next_link)
            link = page.next_link

    async def _by_id(
        self, ids: Sequence[str], collection: str, names: Iterable[str], decoder: msgspec.json.Decoder[wire.Page[T]]
    ) -> list[T]:
        """Objects fetched whole; those that do not exist (any more, or not yet everywhere) are left out."""
        found: list[T] = []
        for part in chunks(ids, IDS_PER_FILTER):
            reply = await self._transport.read(filter_by_ids(collection, part, names))
            found += self._decoded(reply, decoder, f"GET /{collection}").value
        return found

    def _decoded(self, reply: Any, decoder: msgspec.json.Decoder[T], what: str) -> T:
        if not reply.ok:
            raise refusal(reply.error, what)
        return self._transport.decode(reply, decoder, what)

    def _forget(self, kind: str, rows: Sequence[Any]) -> None:
        for purged in (False, True):
            ids = [row.id for row in rows if (row.removed.reason == "deleted") is purged]
            if ids:
                self._cache.forget(kind, ids, purged=purged)


async def _all(parts: Sequence[Any]) -> None:
    """Run parts side by side; the first error ends all of them."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def filter_by_ids(collection: str, ids: Sequence[str], names: Iterable[str]) -> str:
    """The relative URL that lists objects by id."""
    listed = ",".join(f"'{object_id}'" for object_id in ids)
    return f"/{collection}?$filter=id in ({listed})&$select={','.join(names)}".replace(" ", "%20")


def select(builder: Any, names: Iterable[str]) -> Any:
    """A GET of an SDK builder with $select, as RequestInformation."""
    from kiota_abstractions.base_request_configuration import RequestConfiguration

    kinds = {name: kind for name, kind in vars(type(builder)).items() if name.endswith("GetQueryParameters")}
    query = next(iter(kinds.values()))(select=list(names))
    return builder.to_get_request_information(RequestConfiguration(query_parameters=query))


def _split(rows: list[Any]) -> tuple[list[Any], list[Any]]:
    """Rows present and rows removed; of several rows of one object the last counts."""
    last = {row.id: row for row in rows}
    return (
        [row for row in last.values() if row.removed is None],
        [row for row in last.values() if row.removed is not None],
    )


def _user(row: wire.UserRow) -> DirectoryUser:
    return DirectoryUser(
        id=row.id,
        upn=row.user_principal_name or "",
        mail=row.mail or "",
        mail_nickname=row.mail_nickname or "",
        display_name=row.display_name or "",
        enabled=row.account_enabled is not False,
        on_premises=bool(row.on_premises_sync_enabled),
        created=row.created_date_time or "",
    )


def _group(row: wire.GroupRow, mark: Anchor | None) -> DirectoryGroup:
    return DirectoryGroup(
        id=row.id,
        display_name=row.display_name or "",
        mail_nickname=row.mail_nickname or "",
        mail=row.mail or "",
        created=row.created_date_time or "",
        anchor=mark or anchors.group_anchor(row),
    )


def _members(rows: Iterable[wire.GroupRow]) -> Iterator[MembersSeen]:
    """What rows say of members and owners."""
    for row in rows:
        for relation, links in (("members", row.members), ("owners", row.owners)):
            if links:
                yield MembersSeen(
                    id=row.id,
                    relation=relation,
                    present=tuple(link.id for link in links if link.removed is None),
                    removed=tuple(link.id for link in links if link.removed is not None),
                )


def _is_unified(row: wire.GroupRow) -> bool:
    return bool(row.group_types) and "Unified" in (row.group_types or ())


def _is_whole(row: wire.EducationRow) -> bool:
    """Whether an incremental row certainly holds the whole education part."""
    if row.external_source is None or row.external_source_detail is None:
        return False
    return (row.student is not None) if row.primary_role == "student" else row.teacher is not None


def _packed(links: Sequence[str]) -> str | None:
    return msgspec.json.encode(list(links)).decode() if links and all(links) else None


def _unpacked(cursor: str | None, count: int) -> list[str] | None:
    """The links packed into one cursor; None where they are not as many as are needed now."""
    try:
        links = msgspec.json.decode(cursor or "[]", type=list[str])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    return links if len(links) == count else None


def _path(transport: GraphTransport, link: Any) -> str:
    return urlsplit(link if isinstance(link, str) else transport.relative(link)).path


def chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Parts of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
