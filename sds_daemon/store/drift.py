"""Drift across runs: first and last seen, resolved when it is looked for and gone."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, update

from sds_daemon.clock import Clock
from sds_daemon.plan.drift import Drift, DriftCode
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store.database import Database, run_many, upsert
from sds_daemon.store.tables import DriftRow, table

DRIFT = table(DriftRow)
_KEY = ("profile", "code", "subject_kind", "subject_id", "member_kind", "member_id", "name")
_GONE = (
    update(DRIFT)
    .where(*(DRIFT.c[name] == bindparam(f"key_{name}") for name in _KEY))
    .values(resolved_at=bindparam("now"))
)


class DriftRecord(msgspec.Struct, kw_only=True):
    """A drift and when it was seen. `resolved_at`: None while it is there."""

    profile: str
    drift: Drift
    first_seen: datetime
    last_seen: datetime
    resolved_at: datetime | None = None


class DriftReport(msgspec.Struct, kw_only=True):
    """What a look changed: drift that was not there before, and drift that is gone."""

    new: list[Drift]
    resolved: list[Drift]


class Drifts:
    """Access to drift. Every method is one transaction and may raise StateError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def record(
        self,
        profile: str,
        found: Iterable[Drift],
        *,
        codes: Collection[DriftCode],
        subjects: Container[Ref] | None = None,
    ) -> DriftReport:
        """Store what a look found. Drift of these codes about these subjects (None: all) not found is resolved."""
        now = self._clock.now()
        given = {drift.key: drift for drift in found}
        with self._database.write() as connection:
            before = {record.drift.key: record for record in _load(connection, profile, open_only=True)}
            rows = (
                _row(profile, drift, before[key].first_seen if key in before else now, now)
                for key, drift in given.items()
            )
            run_many(connection, upsert(DRIFT), rows)
            gone = [
                record.drift
                for key, record in before.items()
                if key not in given
                and record.drift.code in codes
                and (subjects is None or record.drift.subject in subjects)
            ]
            run_many(connection, _GONE, ({**_named(profile, drift), "now": now} for drift in gone))
        return DriftReport(new=[drift for key, drift in given.items() if key not in before], resolved=gone)

    def seen_again(self, profile: str, codes: Collection[DriftCode], since: datetime) -> None:
        """A look found again what one at that instant, or a later one, had found of these codes."""
        found = (DRIFT.c.profile == profile, DRIFT.c.code.in_(codes), DRIFT.c.last_seen >= since)
        with self._database.write() as connection:
            still = update(DRIFT).where(*found, DRIFT.c.resolved_at.is_(None))
            connection.execute(still.values(last_seen=self._clock.now()))

    def open(self, profile: str) -> list[DriftRecord]:
        """Drift that is there, by code, subject and member."""
        with self._database.read() as connection:
            return _load(connection, profile, open_only=True)

    def export(self, profile: str | None = None) -> list[DriftRecord]:
        """Open and resolved drift, of every profile where none is given."""
        with self._database.read() as connection:
            return _load(connection, profile, open_only=False)

    def prune(self, keep_days: int) -> int:
        """Delete drift resolved longer ago; how many."""
        cutoff = self._clock.now() - timedelta(days=keep_days)
        with self._database.write() as connection:
            return connection.execute(delete(DRIFT).where(DRIFT.c.resolved_at < cutoff)).rowcount


def _key(profile: str, drift: Drift) -> dict[str, str]:
    member = drift.member
    return {
        "profile": profile,
        "code": drift.code.value,
        "subject_kind": drift.subject.kind.value,
        "subject_id": drift.subject.sis_id,
        "member_kind": member.kind.value if member else "",
        "member_id": member.sis_id if member else "",
        "name": drift.name,
    }


def _named(profile: str, drift: Drift) -> dict[str, str]:
    return {f"key_{name}": value for name, value in _key(profile, drift).items()}


def _row(profile: str, drift: Drift, first_seen: datetime, now: datetime) -> dict[str, Any]:
    values = {"written": drift.written, "found": drift.found}
    return {**_key(profile, drift), **values, "first_seen": first_seen, "last_seen": now, "resolved_at": None}


def _load(connection: Connection, profile: str | None, *, open_only: bool) -> list[DriftRecord]:
    query = select(DRIFT).order_by(*(DRIFT.c[name] for name in _KEY))
    if profile is not None:
        query = query.where(DRIFT.c.profile == profile)
    if open_only:
        query = query.where(DRIFT.c.resolved_at.is_(None))
    return [_record(row) for row in connection.execute(query)]


def _record(row: Any) -> DriftRecord:
    return DriftRecord(
        profile=row.profile,
        drift=Drift(
            code=DriftCode(row.code),
            subject=Ref(RecordKind(row.subject_kind), row.subject_id),
            member=Ref(RecordKind(row.member_kind), row.member_id) if row.member_kind else None,
            name=row.name,
            written=row.written,
            found=row.found,
        ),
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        resolved_at=row.resolved_at,
    )
