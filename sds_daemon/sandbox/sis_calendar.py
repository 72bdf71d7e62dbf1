"""The SIS's own time: it follows jumps of the sandbox clock but not its scale.

Whoever reads the SIS compares its dates with an ordinary calendar; a clock that runs a thousand times faster would put
today's exit dates into the future.
"""

from __future__ import annotations

import datetime as dt
import time
from zoneinfo import ZoneInfo

from sds_daemon.sandbox.clock import SandboxClock


class Calendar:
    """Dates and times of a server in one time zone."""

    def __init__(self, clock: SandboxClock, zone: str) -> None:
        self._clock = clock
        self._started = time.monotonic()
        self.zone = ZoneInfo(zone)

    def now(self) -> dt.datetime:
        """The sandbox's wall time without the effect of its scale, aware, UTC."""
        scaled = self._clock.monotonic() - self._clock.advanced
        real = time.monotonic() - self._started
        return self._clock.now() - dt.timedelta(seconds=scaled - real)

    def today(self) -> dt.date:
        """The date in the server's time zone."""
        return self.now().astimezone(self.zone).date()
