"""PowerSchool as a source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import msgspec

from sds_daemon.clock import Clock
from sds_daemon.config.settings import SourceSettings
from sds_daemon.errors import SourceInvalid, SourceRefused
from sds_daemon.roster.records import Ref, Snapshot
from sds_daemon.sources.base import Finding, Progress, SchoolChoice, Scope, Source, Unchanged, no_progress
from sds_daemon.sources.powerschool.bulk import BulkReader
from sds_daemon.sources.powerschool.check import check_source
from sds_daemon.sources.powerschool.client import PowerSchoolClient, Session
from sds_daemon.sources.powerschool.desk import Desk
from sds_daemon.sources.powerschool.district import read_facts, read_schools
from sds_daemon.sources.powerschool.lookup import look_up
from sds_daemon.sources.powerschool.reader import Reader, V1Reader
from sds_daemon.sources.powerschool.scope import choosable

READERS: tuple[Reader, ...] = (BulkReader(), V1Reader())
"""Best first: the first that the plugin allows reads the snapshot."""


def readers(choice: str) -> tuple[Reader, ...]:
    """The readers to try in order: all for "auto", else the one of that name."""
    return READERS if choice == "auto" else tuple(reader for reader in READERS if reader.name == choice)


class PowerSchoolSource(Source):
    """One PowerSchool server. Raises ConfigurationError for a url that may not be spoken to or an unusable ca_file.

    `transport` options are for tests: see PowerSchoolClient.
    """

    def __init__(self, settings: SourceSettings, clock: Clock, **transport: Any) -> None:
        self._settings = settings
        self._clock = clock
        self._client = PowerSchoolClient(settings, clock, **transport)

    async def check(self, scope: Scope | None) -> list[Finding]:
        """The steps to a first answer, one finding each; stops at the step that fails."""
        return await check_source(self._settings, self._client, self._clock, scope)

    async def list_schools(self) -> list[SchoolChoice]:
        """By name. Raises SourceError."""
        session = Session(self._client)
        desk = Desk(session, no_progress)
        desk.page_sizes = (await read_facts(session)).page_sizes
        schools = choosable(await read_schools(desk))
        return [SchoolChoice(id=school.id, number=school.number, name=school.name) for school in schools]

    @overload
    async def read(
        self,
        scope: Scope,
        *,
        known: None = None,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress = no_progress,
    ) -> Snapshot: ...

    @overload
    async def read(
        self,
        scope: Scope,
        *,
        known: str | None,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress = no_progress,
    ) -> Snapshot | Unchanged: ...

    async def read(
        self,
        scope: Scope,
        *,
        known: str | None = None,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress = no_progress,
    ) -> Snapshot | Unchanged:
        """By the best reader the plugin allows, or by the one that is set; a refused better one is a notice.

        Raises SourceError, ConfigurationError, Interrupted.
        """
        session = Session(self._client, stop)
        *better, last = readers(self._settings.reader)
        refusals: list[str] = []
        for reader in better:
            try:
                return await reader.read(session, scope, self._clock, progress, known)
            except (SourceRefused, SourceInvalid) as refusal:
                refusals.append(f"read without co-teachers, call by call: {refusal}")
        found = await last.read(session, scope, self._clock, progress, known)
        return msgspec.structs.replace(found, notices=[*refusals, *found.notices])

    async def look_up(self, ref: Ref) -> str:
        """What the server says of one record. Raises SourceError."""
        return await look_up(Session(self._client), ref)

    async def close(self) -> None:
        """Release connections. May be called twice."""
        await self._client.close()
