"""The one place that knows the time, so that tests and rehearsals can inject another."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sds_daemon.errors import ConfigurationError

VARIABLE = "SDS_DAEMON_CLOCK"


class Clock:
    """Wall time in UTC. `offset` shifts it: a rehearsal of another day against a sandbox."""

    def __init__(self, offset: timedelta = timedelta(0)) -> None:
        self._offset = offset

    def now(self) -> datetime:
        """Aware, in UTC."""
        return datetime.now(UTC) + self._offset

    def today(self, timezone: str) -> date:
        """The date in an IANA time zone, such as PowerSchool's `district_timezone`."""
        return self.now().astimezone(ZoneInfo(timezone)).date()


class FixedClock(Clock):
    """A clock that stands still until it is moved; for tests."""

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self.current = now

    def now(self) -> datetime:
        """The instant last set."""
        return self.current

    def advance(self, step: timedelta) -> None:
        """Move the instant."""
        self.current += step


def system_clock(environment: dict[str, str] | None = None) -> Clock:
    """The machine's clock, started at the ISO instant in SDS_DAEMON_CLOCK where that is set (rehearsals).

    Raises ConfigurationError for a value that is not an ISO 8601 instant with a zone.
    """
    text = (os.environ if environment is None else environment).get(VARIABLE)
    if not text:
        return Clock()
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        start = datetime(1970, 1, 1)  # noqa: DTZ001 - refused below for want of a zone
    if start.tzinfo is None:
        raise ConfigurationError(
            f"{VARIABLE}={text!r} is not an instant", remedy="write it like 2026-08-15T06:00:00Z, or unset it"
        )
    return Clock(start - datetime.now(UTC))
