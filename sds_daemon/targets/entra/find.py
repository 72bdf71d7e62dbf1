"""Looking up what a create may have made: by natural key, and ours only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from sds_daemon.clock import Clock
from sds_daemon.plan.change import Change, ChangeKind
from sds_daemon.roster.records import RecordKind
from sds_daemon.targets.entra.batch import Answer, Item
from sds_daemon.targets.entra.bodies import unique_name, unit_mark
from sds_daemon.targets.entra.requests import read

CLOCK_SKEW = timedelta(minutes=5)
_FULL_HORIZON = 900.0
_BRIEF = 2 / 15

_T = TypeVar("_T")
Send = Callable[[Item], Awaitable[Answer]]


class Seen(StrEnum):
    """What a lookup showed."""

    OURS = "ours"
    FOREIGN = "foreign"
    NOTHING = "nothing"
    UNKNOWN = "unknown"  # the lookup itself failed or was stopped


class Found(msgspec.Struct, frozen=True):
    """The result of a lookup. `id` and `mail` are set for our own object alone."""

    seen: Seen
    id: str = ""
    mail: str = ""


_NOTHING = Found(Seen.NOTHING)
_FOREIGN = Found(Seen.FOREIGN)
_UNKNOWN = Found(Seen.UNKNOWN)


class _Part(msgspec.Struct, rename="camel"):
    external_id: str | None = None


class _Object(msgspec.Struct, rename="camel"):
    """The union of what the lookups select."""

    id: str = ""
    created_date_time: str | None = None
    mail: str | None = None
    description: str | None = None
    unique_name: str | None = None
    external_id: str | None = None
    external_source_detail: str | None = None
    student: _Part | None = None
    teacher: _Part | None = None


class _List(msgspec.Struct):
    value: list[_Object] = []


_ONE = msgspec.json.Decoder(_Object)
_MANY = msgspec.json.Decoder(_List)


class Finder:
    """Looks objects up for creates. `send` carries one GET; `horizon` is how long a new object may stay invisible."""

    def __init__(
        self,
        send: Send,
        clock: Clock,
        *,
        education: bool,
        class_api: str,
        horizon: float,
        stop: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._send = send
        self._clock = clock
        self._education = education
        self._education_classes = education and class_api == "education"
        self._lag = timedelta(seconds=horizon)
        self._scale = horizon / _FULL_HORIZON
        self._stop = stop
        self._sleep = sleep

    async def look(self, change: Change, since: datetime | None = None) -> Found:
        """One look. `since`: an object without room for our mark is ours when it was made after this instant."""
        if change.kind is ChangeKind.CREATE_USER:
            return await self._user(change, since)
        if change.kind is ChangeKind.CREATE_CLASS:
            return await self._class(change, since)
        return await self._school(change)

    async def wait_for(self, change: Change, since: datetime | None = None, *, brief: bool = False) -> Found:
        """Look until something shows, or until the lag horizon has passed (`brief`: two minutes of a quarter hour)."""
        return await self._wait(change, since, self._clock.now() + self._lag * (_BRIEF if brief else 1.0))

    async def lost(self, change: Change, since: datetime, sent: datetime) -> Found:
        """After a lost answer: one look where the name conflicts by itself, patience where it does not (schools).

        `since`: the first request that may have made it. `sent`: the last one; what it made may be invisible from then
        on for the whole lag horizon.
        """
        if change.kind is ChangeKind.CREATE_SCHOOL:
            return await self._wait(change, since, sent + self._lag)
        return await self.look(change, since)

    async def _wait(self, change: Change, since: datetime | None, until: datetime) -> Found:
        pause = 2.0
        while True:
            found = await self.look(change, since)
            left = (until - self._clock.now()).total_seconds()
            if found.seen in (Seen.OURS, Seen.FOREIGN) or left <= 0:
                return found
            if self._stop():
                return _UNKNOWN
            await self._sleep(min(pause * self._scale, left))
            pause = min(pause * 2, 60.0)

    async def _user(self, change: Change, since: datetime | None) -> Found:
        upn = _quoted(change.values.get("user_principal_name"))
        select = "id,mail,createdDateTime"
        users = await self._list(read("/users", filter=f"userPrincipalName eq '{upn}'", select=select))
        if not users:
            return _UNKNOWN if users is None else _NOTHING
        user = users[0]
        if not self._education:
            return _ours(user) if _made_since(user, since) else _FOREIGN
        marked = await self._one(
            read(f"/education/users/{user.id}", select="id,externalSourceDetail,student,teacher,primaryRole")
        )
        if marked is None:
            return _UNKNOWN
        part = marked.teacher if change.subject.kind is RecordKind.TEACHER else marked.student
        return _ours(user) if _is(change, marked, part.external_id if part else None) else _FOREIGN

    async def _class(self, change: Change, since: datetime | None) -> Found:
        alias = _quoted(change.values.get("mail_nickname"))
        select = "id,mail,createdDateTime,uniqueName"
        groups = await self._list(read("/groups", filter=f"mailNickname eq '{alias}'", select=select))
        if not groups:
            return _UNKNOWN if groups is None else _NOTHING
        group = groups[0]
        source = str(change.values.get("external_source_detail") or "")
        if group.unique_name and group.unique_name == unique_name(source, change.subject):
            return _ours(group)
        if not self._education_classes:
            return _FOREIGN
        marked = await self._one(
            read(f"/education/classes/{group.id}", select="id,externalId,externalSource,externalSourceDetail")
        )
        if marked is None:
            # A group that is no class answers 404 as well; only one made just now can be a class not yet visible.
            return _UNKNOWN if _made_since(group, since) else _FOREIGN
        return _ours(group) if _is(change, marked, marked.external_id) else _FOREIGN

    async def _school(self, change: Change) -> Found:
        if self._education:
            number = _quoted(change.subject.sis_id)
            select = "id,externalId,externalSource,externalSourceDetail"
            schools = await self._list(read("/education/schools", filter=f"externalId eq '{number}'", select=select))
            ours = [school for school in schools or () if _is(change, school, school.external_id)]
        else:
            name = _quoted(change.values.get("display_name"))
            query = read("/directory/administrativeUnits", filter=f"displayName eq '{name}'", select="id,description")
            schools = await self._list(query)
            mark = unit_mark(str(change.values.get("external_source_detail") or ""), change.subject)
            ours = [school for school in schools or () if mark in (school.description or "")]
        if ours:
            return _ours(ours[0])
        return _UNKNOWN if schools is None else _NOTHING

    async def _list(self, item: Item) -> list[_Object] | None:
        """The objects, or None when the lookup failed."""
        found = _decoded(await self._send(item), _MANY)
        return None if found is None else found.value

    async def _one(self, item: Item) -> _Object | None:
        return _decoded(await self._send(item), _ONE)


def _decoded(answer: Answer, decoder: msgspec.json.Decoder[_T]) -> _T | None:
    if not answer.ok:
        return None
    try:
        return decoder.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _ours(found: _Object) -> Found:
    return Found(Seen.OURS, found.id, found.mail or "")


def _is(change: Change, marked: _Object, external_id: str | None) -> bool:
    source = str(change.values.get("external_source_detail") or "")
    return external_id == change.subject.sis_id and (marked.external_source_detail or "").lower() == source.lower()


def _made_since(found: _Object, since: datetime | None) -> bool:
    if since is None or not found.created_date_time:
        return False
    try:
        return datetime.fromisoformat(found.created_date_time) >= since - CLOCK_SKEW
    except ValueError:
        return False


def _quoted(value: Any) -> str:
    return str(value or "").replace("'", "''")
