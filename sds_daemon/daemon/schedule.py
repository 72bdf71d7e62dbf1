"""APScheduler, and the one place that decides when a profile's next cycle begins.

Each profile is a job whose trigger lies ten years away. When its cycle ends, a listener moves the job's next run to
now plus the pause the cycle returned. (A job must not re-arm itself: while it runs its instance still counts, and the
scheduler would drop the new run without a word.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MISSED, EVENT_JOB_SUBMITTED
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

CYCLE = "cycle:"
CLOCK_SLACK = 5.0
_NEVER = IntervalTrigger(days=3650, timezone=UTC)


class Schedule:
    """Cycles of profiles, each re-armed when it ends, and jobs by the clock. Jobs live in memory alone."""

    def __init__(self, *, default_pause: float) -> None:
        self._default_pause = default_pause
        self._kicked: set[str] = set()
        self._due: dict[str, float] = {}
        self._scheduler: Any = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self._scheduler.add_listener(self._rearm, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR | EVENT_JOB_MISSED)
        self._scheduler.add_listener(self._begun, EVENT_JOB_SUBMITTED)

    def start(self) -> None:
        """Begin; a loop must be running."""
        self._scheduler.start()

    def hold(self) -> None:
        """Start nothing more; what runs goes on."""
        self._scheduler.pause()

    def shutdown(self) -> None:
        """End. This cancels running coroutines: drain them first."""
        self._scheduler.shutdown(wait=False)

    def add(self, name: str, cycle: Callable[[str], Awaitable[float]]) -> None:
        """A profile's cycle, due at once. `cycle(name)` returns the seconds until the next one."""
        self._scheduler.add_job(cycle, _NEVER, args=[name], id=CYCLE + name, name=name, next_run_time=datetime.now(UTC))

    def remove(self, name: str) -> None:
        """No further cycle of this profile; one that runs goes on."""
        self._kicked.discard(name)
        self._due.pop(name, None)
        try:
            self._scheduler.remove_job(CYCLE + name)
        except JobLookupError:
            pass

    def kick(self, name: str, *, running: bool) -> None:
        """Let the next cycle begin at once, or right after the running one."""
        if running:
            self._kicked.add(name)
        else:
            self._move(name, 0)

    def nightly(self, name: str, hour: int, minute: int, work: Callable[[], Awaitable[None]]) -> None:
        """A job by the machine's local time. Times between 1 and 3 are best avoided: clocks change then."""
        self._scheduler.add_job(work, CronTrigger(hour=hour, minute=minute), id=name, name=name)

    def next_runs(self) -> dict[str, datetime]:
        """When each profile is due next (UTC); a profile in its cycle is given with a time far away."""
        return {job.name: job.next_run_time for job in self._scheduler.get_jobs() if job.id.startswith(CYCLE)}

    def heed_clock(self) -> None:
        """Bring forward what a clock set back has put off. Call it now and then.

        The scheduler goes by the wall clock; a pause is meant to last no longer for a correction of that clock.
        """
        for name, due in self.next_runs().items():
            left = self._due.get(name, math.inf) - time.monotonic()
            if (due - datetime.now(UTC)).total_seconds() > max(left, 0) + CLOCK_SLACK:
                self._move(name, max(left, 0))

    def _rearm(self, event: Any) -> None:
        if not event.job_id.startswith(CYCLE):
            return
        name = event.job_id.removeprefix(CYCLE)
        pause = getattr(event, "retval", None)
        if not isinstance(pause, int | float):
            pause = self._default_pause
        if name in self._kicked:
            self._kicked.discard(name)
            pause = 0
        self._move(name, pause)

    def _begun(self, event: Any) -> None:
        self._due.pop(event.job_id.removeprefix(CYCLE), None)

    def _move(self, name: str, pause: float) -> None:
        try:
            self._scheduler.modify_job(CYCLE + name, next_run_time=datetime.now(UTC) + timedelta(seconds=pause))
        except JobLookupError:  # removed while its cycle ran
            return
        self._due[name] = time.monotonic() + pause
