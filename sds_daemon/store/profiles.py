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
LONGEST_QUARANTINE = timedelta(hours=24)


class ProfileState(msgspec.Struct, kw_only=True):
    """`failures` in a row; `since`: when the state began; `next_attempt`: not before (None: whenever it is due).

    `paused_since`: a person's command (undo) stopped the profile then, for `pause_reason`; None: it is not paused.
    """

    failures: int = 0
    state: str = HEALTHY
    reason: str = ""
    since: datetime | None = None
    next_attempt: datetime | None = None
    paused_since: datetime | None = None
    pause_reason: str = ""

    @property
    def paused(self) -> bool:
        """Whether it waits for `profiles resume`."""
        return self.paused_since is not None


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
        quarantine, where they double on, from two hours to a day. `reason` is one sentence without names of people."""
        now = self._clock.now()
        with self._database.write() as connection:
            before = _load(connection, profile)
            failures = before.failures + 1
            quarantined = before.state == QUARANTINED or failures >= QUARANTINE_AFTER
            state = QUARANTINED if quarantined else FAILING
            pause = quarantine_pause(failures) if quarantined else growing_pause(failures)
            since = before.since if state == before.state and before.since else now
            after = ProfileState(failures=failures, state=state, reason=reason, since=since, next_attempt=now + pause)
            return _store(connection, profile, after)

    def quarantine(self, profile: str, reason: str) -> ProfileState:
        """Put a profile into quarantine, until a success or `release`. It counts as a failure."""
        now = self._clock.now()
        with self._database.write() as connection:
            before = _load(connection, profile)
            since = before.since if before.state == QUARANTINED and before.since else now
            failures = before.failures + 1
            again = now + quarantine_pause(failures)
            after = ProfileState(failures=failures, state=QUARANTINED, reason=reason, since=since, next_attempt=again)
            return _store(connection, profile, after)

    def release(self, profile: str) -> ProfileState:
        """End failures and quarantine by hand."""
        with self._database.write() as connection:
            return _store(connection, profile, ProfileState(since=self._clock.now()))

    def pause(self, profile: str, reason: str) -> bool:
        """Stop a profile until `resume`. `reason` is one sentence without names of people; the first pause counts.

        Returns whether it was not paused before.
        """
        with self._database.write() as connection:
            before = _load(connection, profile)
            if not before.paused:
                _set_pause(connection, profile, before, self._clock.now(), reason)
            return not before.paused

    def restate_pause(self, profile: str, reason: str) -> ProfileState:
        """Say anew why a profile is paused, as of when it has been. Nothing for one that a person has resumed."""
        with self._database.write() as connection:
            before = _load(connection, profile)
            return _set_pause(connection, profile, before, before.paused_since, reason) if before.paused else before

    def resume(self, profile: str) -> ProfileState:
        """End a pause. Failures and quarantine are left as they are."""
        with self._database.write() as connection:
            return _set_pause(connection, profile, _load(connection, profile), None, "")


def growing_pause(failures: int) -> timedelta:
    """The pause after so many failures in a row (one or more)."""
    doublings = min(max(failures, 1) - 1, 10)
    return min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)


def quarantine_pause(failures: int) -> timedelta:
    """The pause in quarantine after so many failures in a row: it doubles from two hours to a day."""
    doublings = min(max(failures - QUARANTINE_AFTER, 0), 10)
    return min(2 * LONGEST_PAUSE * (1 << doublings), LONGEST_QUARANTINE)


def _load(connection: Connection, profile: str) -> ProfileState:
    row: Any = connection.execute(select(STATE).where(STATE.c.profile == profile)).first()
    if row is None:
        return ProfileState()
    return ProfileState(
        failures=row.failures,
        state=row.state,
        reason=row.reason,
        since=row.since,
        next_attempt=row.next_attempt,
        paused_since=row.paused_since,
        pause_reason=row.pause_reason,
    )


def _store(connection: Connection, profile: str, state: ProfileState) -> ProfileState:
    """Keep how the profile fares; a pause is no matter of how it fares, and stays."""
    row = {"profile": profile, **msgspec.structs.asdict(state)}
    connection.execute(upsert(STATE, keep=("paused_since", "pause_reason")), row)
    return _load(connection, profile)


def _set_pause(
    connection: Connection, profile: str, before: ProfileState, since: datetime | None, reason: str
) -> ProfileState:
    after = msgspec.structs.replace(before, paused_since=since, pause_reason=reason)
    connection.execute(upsert(STATE), {"profile": profile, **msgspec.structs.asdict(after)})
    return after
