"""The contract of a source. Whoever adds a student information system writes a subclass of `Source`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Any, overload

import msgspec

from sds_daemon.errors import ConfigurationError, SdsError
from sds_daemon.roster.records import Ref, Snapshot

Progress = Callable[[str, int, int | None], None]
"""Called with (stage in words, done, total or None) while reading."""


def no_progress(stage: str, done: int, total: int | None) -> None:
    """The progress sink of callers that show none."""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What a profile wants read.

    `schools`: "all", or names and school numbers as the operator wrote them. `school_year`: "current" or the first
    calendar year. `lead_days`: how long before its term a section is taken up. `people_only`: leave the enrollment
    lists out, for trying an identity rule; such a snapshot is never synced. `not_before`: an instant that has been; the
    snapshot's day is never earlier than it, whatever the clock says. `others`: the `schools` of other profiles, by
    profile, with which this one may share none. `known`: the SIS ID of the school that an entry of `schools` meant in
    the last accepted read; such an entry is no fault when the school is gone or has another name.
    """

    schools: str | tuple[str, ...] = "all"
    school_year: str | int = "current"
    lead_days: int = 14
    include_preregistered: bool = False
    people_only: bool = False
    not_before: datetime | None = None
    others: dict[str, str | tuple[str, ...]] = {}
    known: dict[str, str] = {}


class SchoolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A school as the wizard lists it."""

    id: str
    number: str
    name: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `check`. `level` is ok, note, warning or error; `remedy` says what to do.

    `configuration`: an error of config.toml, which a sync would end with as well (exit code 2), not of a server.
    """

    level: str
    topic: str
    message: str
    remedy: str = ""
    data: dict[str, Any] = {}
    configuration: bool = False


def fault(topic: str, error: SdsError) -> Finding:
    """An error as a line of `check`."""
    return Finding(
        level="error",
        topic=topic,
        message=error.message.removeprefix(f"{topic}: "),
        remedy=error.remedy or "",
        configuration=isinstance(error, ConfigurationError),
    )


class Unchanged(msgspec.Struct, frozen=True, kw_only=True):
    """The source says, byte for byte, what it said when `fingerprint` was computed: same day, scope and reader.

    Nothing was decoded, so there are no records; every part was read whole by the same counts as then, and is proved.
    `calls` were made to find out. `notices`: sentences to announce about this reading, as in `Snapshot.passing`.
    """

    fingerprint: str
    calls: int = 0
    notices: list[str] = []


class Source(ABC):
    """A student information system.

    A source must deliver a whole snapshot by one reader or raise a SourceError; must count every part it reads and put
    the counts into the proof; must leave out records it cannot use and say so in `problems`; must not raise for a bad
    record. It may be slow; it must look at `stop` between calls and raise Interrupted. It must never write.
    """

    @abstractmethod
    async def check(self, scope: Scope | None) -> list[Finding]:
        """Try name resolution, port, TLS, path, credentials, grants and, with a scope, its schools and year.

        Never raises for a fault of the server or of the configuration: each becomes a finding.
        """

    @abstractmethod
    async def list_schools(self) -> list[SchoolChoice]:
        """Every school a profile can choose, without the district office and the graduated students' school.

        Raises SourceError.
        """

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

    @abstractmethod
    async def read(
        self,
        scope: Scope,
        *,
        known: str | None = None,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress = no_progress,
    ) -> Snapshot | Unchanged:
        """Read the scope. Raises SourceError, ConfigurationError for schools that do not exist, Interrupted.

        `known`: the fingerprint of a proved snapshot. A reader that finds it again answers Unchanged; one that cannot
        tell, or to which no fingerprint was given, never does.
        """

    async def look_up(self, ref: Ref) -> str:
        """What the source says of one record asked for alone, in words without names; empty where it cannot be asked.

        For `explain`. Raises SourceError.
        """
        return ""

    @abstractmethod
    async def close(self) -> None:
        """Release connections. May be called twice."""
