"""The sandbox's own time: it can run faster than the wall clock and can be moved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """Time inside the sandbox: one real second is `scale` sandbox seconds.

    `monotonic` never goes back; moving the wall time forward moves it too, moving it back does not.
    `advanced` is the sum of the jumps in seconds, for what must age by jumps but not by scale (access tokens, whose
    lifetime the client measures with an ordinary clock).
    """

    def __init__(
        self, scale: float = 1.0, start: datetime | None = None, timer: Callable[[], float] = time.perf_counter
    ) -> None:
        """`start` is the first wall time (default: the real one); `timer` counts real seconds."""
        self._timer = timer
        self._scale = _checked_scale(scale)
        self._anchor = timer()
        self._elapsed = 0.0
        self._base = _aware(start) if start is not None else datetime.now(UTC)
        self._wall_shift = 0.0
        self.advanced = 0.0

    @property
    def scale(self) -> float:
        """Sandbox seconds per real second."""
        return self._scale

    @scale.setter
    def scale(self, value: float) -> None:
        """From now on; ValueError unless above 0."""
        self._elapsed, self._anchor = self.monotonic(), self._timer()
        self._scale = _checked_scale(value)

    def monotonic(self) -> float:
        """Sandbox seconds since the start."""
        return self._elapsed + (self._timer() - self._anchor) * self._scale

    def now(self) -> datetime:
        """Sandbox wall time, aware, UTC."""
        return self._base + timedelta(seconds=self.monotonic() + self._wall_shift)

    def set_now(self, when: datetime) -> None:
        """Move the wall time to `when`."""
        jump = (_aware(when) - self.now()).total_seconds()
        if jump > 0:
            self.advance(jump)
        else:
            self._wall_shift += jump

    def advance(self, seconds: float) -> None:
        """Let `seconds` of sandbox time pass at once; raises ValueError for a negative number."""
        if seconds < 0:
            raise ValueError("time can be advanced forwards only; set the wall time to move it back")
        self._elapsed += seconds
        self.advanced += seconds

    async def real_sleep(self, sandbox_seconds: float) -> None:
        """Wait for as long as `sandbox_seconds` take in reality."""
        await asyncio.sleep(sandbox_seconds / self._scale)


def _checked_scale(scale: float) -> float:
    if not scale > 0:
        raise ValueError(f"the time scale must be above 0, not {scale}")
    return float(scale)


def _aware(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
