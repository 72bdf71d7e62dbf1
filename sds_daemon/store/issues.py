"""Issues across runs: first and last seen, resolved by themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import delete, func, select, tuple_, update

from sds_daemon.clock import Clock
from sds_daemon.plan.issues import Issue, IssueCode, Severity
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store.database import Database, run_many, upsert
from sds_daemon.store.tables import IssueRow, table

ISSUE = table(IssueRow)


class IssueRecord(msgspec.Struct, kw_only=True):
    """An issue and when it was seen. `run_id`: the run that saw it last. `resolved_at`: None while it is open."""

    profile: str
    issue: Issue
    first_seen: datetime
    last_seen: datetime
    run_id: int
    resolved_at: datetime | None = None


class IssueReport(msgspec.Struct, kw_only=True):
    """What a run changed: issues that were not open before, and open ones it no longer met."""

    new: list[Issue]
    resolved: list[Issue]


class Issues:
    """Access to issues. Every method is one transaction and may raise StateError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def record(
        self, profile: str, run_id: int, issues: Sequence[Issue], *, resolve: Collection[Ref] | None = None
    ) -> IssueReport:
        """Store all issues of a whole run: those it did not meet are resolved. One that returns is new again.

        `resolve`: only issues of these records may be resolved, since the run worked on no others.
        """
        now = self._clock.now()
        given = {issue.key: issue for issue in issues}
        with self._database.write() as connection:
            before = {record.issue.key: record for record in _load(connection, profile, open_only=True)}
            rows = (
                _row(profile, run_id, issue, before[key].first_seen if key in before else now, now)
                for key, issue in given.items()
            )
            run_many(connection, upsert(ISSUE), rows)
            stale = [ISSUE.c.profile == profile, ISSUE.c.resolved_at.is_(None), ISSUE.c.run_id != run_id]
            if resolve is not None:
                keys = [(ref.kind.value, ref.sis_id) for ref in resolve]
                stale.append(tuple_(ISSUE.c.kind, ISSUE.c.sis_id).in_(keys))
            connection.execute(update(ISSUE).where(*stale).values(resolved_at=now))
        return IssueReport(
            new=[issue for key, issue in given.items() if key not in before],
            resolved=[
                record.issue
                for key, record in before.items()
                if key not in given and (resolve is None or record.issue.ref in resolve)
            ],
        )

    def seen_again(self, profile: str, run_id: int) -> None:
        """A run met all open issues again, and no others."""
        mine = (ISSUE.c.profile == profile) & ISSUE.c.resolved_at.is_(None)
        with self._database.write() as connection:
            connection.execute(update(ISSUE).where(mine).values(run_id=run_id, last_seen=self._clock.now()))

    def forget(self, profile: str, ref: Ref | None = None) -> int:
        """Delete the issues of one record, or all of the profile; how many were open."""
        mine = [ISSUE.c.profile == profile]
        if ref is not None:
            mine += [ISSUE.c.kind == ref.kind.value, ISSUE.c.sis_id == ref.sis_id]
        with self._database.write() as connection:
            query = select(func.count()).select_from(ISSUE).where(*mine, ISSUE.c.resolved_at.is_(None))
            number = int(connection.execute(query).scalar_one())
            connection.execute(delete(ISSUE).where(*mine))
        return number

    def open(self, profile: str) -> list[IssueRecord]:
        """Open issues by code, kind and SIS ID."""
        with self._database.read() as connection:
            return _load(connection, profile, open_only=True)

    def export(self, profile: str | None = None) -> Iterator[IssueRecord]:
        """Open and resolved issues, of every profile where none is given."""
        with self._database.read() as connection:
            yield from _load(connection, profile, open_only=False)

    def counts(self, profile: str) -> dict[IssueCode, int]:
        """Open issues by code."""
        query = select(ISSUE.c.code, func.count()).where(ISSUE.c.profile == profile, ISSUE.c.resolved_at.is_(None))
        with self._database.read() as connection:
            return {IssueCode(code): number for code, number in connection.execute(query.group_by(ISSUE.c.code))}

    def prune(self, keep_days: int) -> int:
        """Delete issues resolved longer ago; how many."""
        cutoff = self._clock.now() - timedelta(days=keep_days)
        with self._database.write() as connection:
            return connection.execute(delete(ISSUE).where(ISSUE.c.resolved_at < cutoff)).rowcount


def _row(profile: str, run_id: int, issue: Issue, first_seen: datetime, now: datetime) -> dict[str, Any]:
    return {
        "profile": profile,
        "kind": issue.ref.kind.value,
        "sis_id": issue.ref.sis_id,
        "code": issue.code.value,
        "detail": issue.detail,
        "joining_value": issue.joining_value,
        "severity": issue.severity.value,
        "count": issue.count,
        "run_id": run_id,
        "first_seen": first_seen,
        "last_seen": now,
        "resolved_at": None,
    }


def _load(connection: Any, profile: str | None, *, open_only: bool) -> list[IssueRecord]:
    query = select(ISSUE).order_by(ISSUE.c.profile, ISSUE.c.code, ISSUE.c.kind, ISSUE.c.sis_id)
    if profile is not None:
        query = query.where(ISSUE.c.profile == profile)
    if open_only:
        query = query.where(ISSUE.c.resolved_at.is_(None))
    return [_record(row) for row in connection.execute(query).mappings()]


def _record(row: Any) -> IssueRecord:
    return IssueRecord(
        profile=row["profile"],
        issue=Issue(
            ref=Ref(RecordKind(row["kind"]), row["sis_id"]),
            code=IssueCode(row["code"]),
            detail=row["detail"],
            joining_value=row["joining_value"],
            severity=Severity(row["severity"]),
            count=row["count"],
        ),
        first_seen=row["first_seen"],
        last_seen=row["last_seen"],
        run_id=row["run_id"],
        resolved_at=row["resolved_at"],
    )
