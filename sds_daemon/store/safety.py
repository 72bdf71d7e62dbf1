"""What persons decided about the limits, and what was said of how profiles stand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, select, update

from sds_daemon.clock import Clock
from sds_daemon.errors import UsageError
from sds_daemon.store.database import Database, upsert
from sds_daemon.store.tables import AnnouncementRow, RelaxationRow, SourceStopRow, table
from sds_daemon.store.values import to_json

RELAXATION = table(RelaxationRow)
STOP = table(SourceStopRow)
ANNOUNCEMENT = table(AnnouncementRow)

WAITING = "waiting"
APPROVED = "approved"
OVER = "over"


class Relaxation(msgspec.Struct, kw_only=True):
    """Limits widened until an instant. `limits`: names as in config.toml's limits table; None: no limit."""

    since: datetime
    until: datetime
    limits: dict[str, int | None]


class SourceStop(msgspec.Struct, kw_only=True):
    """A run that was stopped because the source shrank.

    `counts`: rows per resource it read; `schools`: SIS IDs of schools that were empty or gone then. `state`: waiting,
    approved (the next run accepts these counts), or over (accepted, or the source recovered).
    """

    run_id: int
    profile: str
    state: str
    created: datetime
    decided: datetime | None
    counts: dict[str, int]
    schools: list[str]


class Announced(msgspec.Struct, kw_only=True):
    """What was last said of a profile: its status, and the run that holds something."""

    status: str
    held: int | None
    since: datetime


class Relaxations:
    """Access to widened limits. Every method is one transaction and may raise StateError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def put(self, profile: str, until: datetime, limits: Mapping[str, int | None]) -> Relaxation:
        """Widen limits until then; an earlier relaxation is replaced."""
        found = Relaxation(since=self._clock.now(), until=until, limits=dict(limits))
        row = {"profile": profile, "since": found.since, "until": until, "limits": to_json(found.limits)}
        with self._database.write() as connection:
            connection.execute(upsert(RELAXATION), row)
        return found

    def active(self, profile: str) -> Relaxation | None:
        """The relaxation in force; one that has expired is none."""
        with self._database.read() as connection:
            row = connection.execute(select(RELAXATION).where(RELAXATION.c.profile == profile)).first()
        if row is None or row.until <= self._clock.now():
            return None
        limits = msgspec.json.decode(row.limits, type=dict[str, int | None])
        return Relaxation(since=row.since, until=row.until, limits=limits)

    def end(self, profile: str) -> bool:
        """End it by hand; whether one was in force."""
        active = self.active(profile) is not None
        with self._database.write() as connection:
            connection.execute(delete(RELAXATION).where(RELAXATION.c.profile == profile))
        return active


class SourceStops:
    """Access to runs the source limit stopped; all are over once a snapshot was accepted."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def put(self, profile: str, run_id: int, counts: Mapping[str, int], schools: list[str]) -> None:
        """Store what a stopped run read. An approval that no longer fits is over; other stops may still be approved."""
        row = {
            "run_id": run_id,
            "profile": profile,
            "state": WAITING,
            "created": self._clock.now(),
            "decided": None,
            "counts": to_json(dict(counts)),
            "schools": to_json(sorted(schools)),
        }
        with self._database.write() as connection:
            _end(connection, profile, APPROVED)
            connection.execute(upsert(STOP), row)

    def current(self, profile: str) -> SourceStop | None:
        """The stop that was approved, or else the last that waits."""
        mine = STOP.c.profile == profile
        with self._database.read() as connection:
            approved = _stop(connection, mine & (STOP.c.state == APPROVED))
            return approved or _stop(connection, mine & (STOP.c.state == WAITING))

    def by_run(self, run_id: int) -> SourceStop | None:
        """The stop of a run, over or not."""
        with self._database.read() as connection:
            return _stop(connection, STOP.c.run_id == run_id)

    def approve(self, run_id: int) -> SourceStop:
        """Let the next run accept what this one read. Raises UsageError when the stop is over."""
        now = self._clock.now()
        with self._database.write() as connection:
            changed = connection.execute(
                update(STOP).where(STOP.c.run_id == run_id, STOP.c.state != OVER).values(state=APPROVED, decided=now)
            )
            found = _stop(connection, STOP.c.run_id == run_id)
        if not changed.rowcount or found is None:
            raise UsageError(
                f"the stop of run {run_id} is no longer current", remedy="look at the newest run and decide on that one"
            )
        return found

    def end(self, profile: str) -> None:
        """The counts were accepted, or the source recovered."""
        with self._database.write() as connection:
            _end(connection, profile, WAITING, APPROVED)


class Announcements:
    """Access to what was last said of profiles."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def last(self, profile: str) -> Announced | None:
        """None before anything was said."""
        with self._database.read() as connection:
            row = connection.execute(select(ANNOUNCEMENT).where(ANNOUNCEMENT.c.profile == profile)).first()
        return None if row is None else Announced(status=row.status, held=row.held, since=row.since)

    def put(self, profile: str, status: str, held: int | None) -> None:
        """Keep what is about to be said, so that it is said once."""
        row = {"profile": profile, "status": status, "held": held, "since": self._clock.now()}
        with self._database.write() as connection:
            connection.execute(upsert(ANNOUNCEMENT), row)


def _end(connection: Connection, profile: str, *states: str) -> None:
    connection.execute(update(STOP).where(STOP.c.profile == profile, STOP.c.state.in_(states)).values(state=OVER))


def _stop(connection: Connection, condition: Any) -> SourceStop | None:
    row: Any = connection.execute(select(STOP).where(condition).order_by(STOP.c.run_id.desc()).limit(1)).first()
    if row is None:
        return None
    return SourceStop(
        run_id=row.run_id,
        profile=row.profile,
        state=row.state,
        created=row.created,
        decided=row.decided,
        counts=msgspec.json.decode(row.counts, type=dict[str, int]),
        schools=msgspec.json.decode(row.schools, type=list[str]),
    )
