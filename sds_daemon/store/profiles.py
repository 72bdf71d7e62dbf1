"""How each profile fares: failures in a row, quarantine, when to try again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from sds_daemon.clock import Clock
from sds_daemon.store.database import Database, upsert
from sds_daemon.store.tables import ProfileStateRow, table

STATE = table(ProfileStateRow)

HEALTHY = "healthy"
FAILING = "failing"
QUARANTINED = "quarantined"

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)
QUARANTINE_AFTER = 10
QUARANTINE_PAUSE = timedelta(hours=6)


class ProfileState(msgspec.Struct, kw_only=True):
    """`failures` in a row; `since`: when the state began; `next_attempt`: not before (None: whenever it is due)."""

    failures: int = 0
    state: str = HEALTHY
    reason: str = ""
    since: datetime | None = None
    next_attempt: datetime | None = None


class Profiles:
    """Access to profile states. Every method is one transaction and may raise StateError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def state(self, profile: str) -> ProfileState:
        """The state; healthy for a profile never heard of."""
        with self._database.read() as connection:
            return _load(connection, profile)

    def succeeded(self, profile: str) -> ProfileState:
        """A cycle ended well: failures and quarantine end."""
        with self._database.write() as connection:
            before = _load(connection, profile)
            if before.state == HEALTHY and not before.failures:
                return before
            return _store(connection, profile, ProfileState(since=self._clock.now()))

    def failed(self, profile: str, reason: str) -> ProfileState:
        """A cycle failed. Pauses double from one minute to an hour; after ten failures in a row the profile is in
        quarantine, tried every six hours. `reason` is one sentence without names of people."""
        now = self._clock.now()
        with self._database.write() as connection:
            before = _load(connection, profile)
            failures = before.failures + 1
            quarantined = before.state == QUARANTINED or failures >= QUARANTINE_AFTER
            state = QUARANTINED if quarantined else FAILING
            pause = QUARANTINE_PAUSE if quarantined else growing_pause(failures)
            since = before.since if state == before.state and before.since else now
            after = ProfileState(failures=failures, state=state, reason=reason, since=since, next_attempt=now + pause)
            return _store(connection, profile, after)

    def quarantine(self, profile: str, reason: str, *, pause: timedelta = QUARANTINE_PAUSE) -> ProfileState:
        """Put a profile into quarantine, until a success or `release`."""
        now = self._clock.now()
        with self._database.write() as connection:
            before = _load(connection, profile)
            since = before.since if before.state == QUARANTINED and before.since else now
            after = ProfileState(
                failures=before.failures, state=QUARANTINED, reason=reason, since=since, next_attempt=now + pause
            )
            return _store(connection, profile, after)

    def release(self, profile: str) -> ProfileState:
        """End failures and quarantine by hand."""
        with self._database.write() as connection:
            return _store(connection, profile, ProfileState(since=self._clock.now()))


def growing_pause(failures: int) -> timedelta:
    """The pause after so many failures in a row (one or more)."""
    doublings = min(max(failures, 1) - 1, 10)
    return min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)


def _load(connection: Connection, profile: str) -> ProfileState:
    row: Any = connection.execute(select(STATE).where(STATE.c.profile == profile)).first()
    if row is None:
        return ProfileState()
    return ProfileState(
        failures=row.failures, state=row.state, reason=row.reason, since=row.since, next_attempt=row.next_attempt
    )


def _store(connection: Connection, profile: str, state: ProfileState) -> ProfileState:
    connection.execute(upsert(STATE), {"profile": profile, **msgspec.structs.asdict(state)})
    return state
