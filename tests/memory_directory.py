"""A directory in memory, behind the contract of a target: what the whole cycle makes of a source, in milliseconds.

It takes every change a plan holds and refuses what no directory could store, so that a value that slipped through is
seen. Removals are kept in `removals`, in order.
"""

from __future__ import annotations

import copy
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sds_daemon.plan.change import REMOVALS, Change, ChangeKind, Outcome, Result
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.sources.base import Finding, Progress, no_progress
from sds_daemon.targets.base import (
    DirectoryCache,
    Ledger,
    LicenseGroup,
    Members,
    RefreshReport,
    RequestCounts,
    Target,
    TenantFacts,
)

DOMAIN = "contoso.edu"
COLLECTIONS = ("users", "education", "groups", "schools")
CREATES = {ChangeKind.CREATE_SCHOOL, ChangeKind.CREATE_USER, ChangeKind.CREATE_CLASS}
LONGEST = 1024


class Everything(frozenset[str]):
    """A tenant that can hold every attribute."""

    def __contains__(self, name: object) -> bool:
        return True


class MemoryDirectory(Target):
    """Objects by the record they stand for, and who is in what as (kind of the adding change, container, member).

    `news`: what the next refresh brings, each called with the cache. `asked`: questions answered, refreshes aside.
    """

    def __init__(self) -> None:
        self.news: list[Callable[[DirectoryCache], object]] = []
        self.asked = 0
        self.objects: dict[Ref, dict[str, Any]] = {}
        self.inside: set[tuple[str, Ref, Ref]] = set()
        self.removals: list[Change] = []
        self.applied: list[Change] = []

    def copy(self) -> MemoryDirectory:
        """Another directory that holds the same; nothing was removed from it yet."""
        twin = MemoryDirectory()
        twin.objects, twin.inside = copy.deepcopy(self.objects), set(self.inside)
        return twin

    def people_in(self, section: str) -> set[Ref]:
        """The members of a section's class."""
        return {who for kind, where, who in self.inside if kind == "member" and where == ref("section", section)}

    async def facts(self) -> TenantFacts:
        return TenantFacts(
            tenant_id="tenant",
            display_name="Contoso",
            education=True,
            on_premises_sync=False,
            domains=(DOMAIN,),
            default_domain=DOMAIN,
            skus={},
            missing_permissions=(),
            class_api="education",
            writable={kind: Everything() for kind in RecordKind},
        )

    async def check(
        self, *, creating: bool, licenses: Sequence[str], domains: Sequence[str], license_groups: Sequence[str] = ()
    ) -> list[Finding]:
        return []

    async def license_groups(self, ids: Sequence[str]) -> dict[str, LicenseGroup]:
        return {each: LicenseGroup(id=each) for each in ids}

    async def refresh(
        self, cache: DirectoryCache, *, stop: Callable[[], bool] = lambda: False, progress: Progress = no_progress
    ) -> RefreshReport:
        """Nobody else writes here, but for the news: the cycle's own record says it all."""
        for name in COLLECTIONS:
            if cache.cursor(name) is None:
                cache.begin_full(name)
                cache.end(name, "read")
        for news in self.news:
            news(cache)
        self.news.clear()
        return RefreshReport()

    async def group_members(self, ids: Sequence[str]) -> dict[str, Members]:
        self.asked += 1
        return {each: Members(self._in(each, "owner"), self._in(each, "member")) for each in ids}

    async def school_members(self, ids: Sequence[str]) -> dict[str, frozenset[str]]:
        self.asked += 1
        return {each: self._in(each, "school_user") | self._in(each, "school_class") for each in ids}

    async def held_values(self, objects: Mapping[Ref, str]) -> dict[Ref, dict[str, str]]:
        self.asked += 1
        return {each: dict(self.objects[each]) for each in objects}

    async def plans_of(self, ids: Sequence[str]) -> dict[str, frozenset[str]]:
        return {}

    async def find(self, change: Change, since: datetime) -> str | None:
        self.asked += 1
        return str(change.subject) if change.subject in self.objects else None

    async def apply(
        self,
        changes: Sequence[Change],
        ledger: Ledger,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress = no_progress,
    ) -> None:
        ledger.intend(changes)
        ledger.settle([self._write(change) for change in changes])

    def counts(self) -> RequestCounts:
        return RequestCounts(reads=self.asked)

    async def close(self) -> None:
        return None

    def _in(self, container: str, role: str) -> frozenset[str]:
        return frozenset(str(who) for kind, where, who in self.inside if kind == role and str(where) == container)

    def _write(self, change: Change) -> Outcome:
        refuse_the_impossible(change.sent)
        self.applied.append(change)
        if change.kind in CREATES:
            assert change.subject not in self.objects, f"{change.subject} was made twice"
            self.objects[change.subject] = dict(change.values)
        elif change.member is None:
            self.objects[change.subject].update(change.sent)
        else:
            role, _, verb = change.kind.value.partition(".")
            row = (role, change.subject, change.member)
            assert {change.subject, change.member} <= self.objects.keys(), f"{change.key}: there is no such object"
            if verb == "add":
                self.inside.add(row)
            else:
                assert change.kind in REMOVALS
                self.removals.append(change)
                self.inside.discard(row)
        return Outcome(change=change, result=Result.DONE, object_id=str(change.subject))


def refuse_the_impossible(values: Mapping[str, Any]) -> None:
    """Fail for text that no directory stores: lone surrogates, control characters, the longest beyond measure."""
    for name, value in values.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                assert len(text) <= LONGEST, f"{name} has {len(text)} characters"
                bad = {unicodedata.category(mark) for mark in text} & {"Cc", "Cs"}
                assert not bad, f"{name} holds characters of {bad}"


def ref(kind: str, sis_id: object) -> Ref:
    """A record by its kind's name."""
    return Ref(RecordKind(kind), str(sis_id))


def upns(directory: MemoryDirectory, kinds: Collection[RecordKind] = (RecordKind.STUDENT,)) -> dict[str, str]:
    """Sign-in names by SIS ID."""
    return {
        each.sis_id: str(values["user_principal_name"])
        for each, values in directory.objects.items()
        if each.kind in kinds
    }
