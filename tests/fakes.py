"""A source that gives what it is told to, and a directory that fails as it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import overload

import msgspec
from memory_directory import MemoryDirectory

from sds_daemon.clock import Clock
from sds_daemon.config.settings import Profile
from sds_daemon.errors import SourceUnreachable, TargetUnreachable
from sds_daemon.plan.change import Change, Outcome, Result
from sds_daemon.roster.records import Snapshot
from sds_daemon.sources.base import Finding, Progress, SchoolChoice, Scope, Source, Unchanged, no_progress
from sds_daemon.store import Store
from sds_daemon.sync.job import Job
from sds_daemon.targets.base import Ledger, Target


class Killed(BaseException):
    """The process ends here, in a test that goes on."""


class GivenSource(Source):
    """Reads whatever was last put into `snapshot`; None: it cannot be reached. Knows the fingerprint again."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.snapshot = snapshot

    async def check(self, scope: Scope | None) -> list[Finding]:
        return []

    async def list_schools(self) -> list[SchoolChoice]:
        return []

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
        if self.snapshot is None:
            raise SourceUnreachable("sis.example.org does not answer")
        if known and known == self.snapshot.fingerprint and not self.snapshot.proof.unproved():
            return Unchanged(fingerprint=known, calls=self.snapshot.calls, notices=[*self.snapshot.passing])
        return msgspec.structs.replace(self.snapshot, problems=[*self.snapshot.problems])

    async def close(self) -> None:
        return None


class FailingDirectory(MemoryDirectory):
    """Meets the faults in `faults`, one a change, in the order the changes come; then works.

    "fine"; "deferred": not sent; "lost": written, and the connection breaks before the answer; "broken": it breaks
    before the request arrives; "killed": written, and the process dies before the answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    async def apply(
        self,
        changes: Sequence[Change],
        ledger: Ledger,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress = no_progress,
    ) -> None:
        for change in changes:
            fault = self.faults.pop(0) if self.faults else "fine"
            if fault == "deferred" or not self._is_there(change):
                ledger.settle([Outcome(change=change, result=Result.DEFERRED)])
                continue
            ledger.intend([change])
            if fault == "broken":
                raise TargetUnreachable("graph.example.org does not answer")
            outcome = self._write(change)
            if fault == "lost":
                raise TargetUnreachable("graph.example.org broke off")
            if fault == "killed":
                raise Killed
            ledger.settle([outcome])

    def _is_there(self, change: Change) -> bool:
        return change.member is None or {change.subject, change.member} <= self.objects.keys()


def job_of(profile: Profile, source: Source, target: Target, store: Store, clock: Clock, folder: Path) -> Job:
    """A job that keeps no passwords."""
    return Job(profile=profile, source=source, target=target, store=store, clock=clock, state_dir=folder)
