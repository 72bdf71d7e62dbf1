"""Cycles of the daemon as one long-lived process, told apart by the times in its own record."""

from __future__ import annotations

import json
import sqlite3
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import tomlkit

from benchmarks.rig import PROFILE, Rig, Usage

PAUSE = 1
"""Seconds between cycles."""


@dataclass(frozen=True)
class Cycle:
    """One run of the record: Unix times, and its summary."""

    began: float
    ended: float
    summary: dict[str, Any]

    @property
    def wall(self) -> float:
        """Seconds."""
        return self.ended - self.began


@dataclass(frozen=True)
class Series:
    """What the daemon did and used, cycle by cycle. Memory in MB as it was when each cycle had ended."""

    cycles: Sequence[Cycle]
    usage: Usage
    graph_requests: int

    @property
    def cpu(self) -> list[float]:
        """CPU seconds of each cycle."""
        return [self.usage.cpu_at(cycle.ended + 0.1) - self.usage.cpu_at(cycle.began) for cycle in self.cycles]

    @property
    def resident(self) -> list[float]:
        """Resident memory a moment after each cycle."""
        return [self.usage.resident_at(cycle.ended + PAUSE / 2) for cycle in self.cycles]

    def median(self, values: Sequence[float]) -> float:
        """Without the first cycle, which opens connections and fills caches."""
        return statistics.median(values[1:])


def run_cycles(rig: Rig, count: int, limit: float = 7200.0) -> Series:
    """Let the daemon run until `count` cycles have ended, then stop it."""
    rig.edit(f"profiles.{PROFILE}", enabled=True, pause=PAUSE)
    earlier = len(cycles_of(rig))
    before = rig.statistics()["outer_requests"]
    daemon, end = rig.start("run"), time.monotonic() + limit
    while len(cycles_of(rig)) < earlier + count:
        if time.monotonic() > end or not daemon.running():
            said = daemon.stop().err if daemon.running() else daemon.wait().err
            raise SystemExit(f"the daemon did not get through {count} cycles: {said[-3000:]}")
        time.sleep(0.25)
    time.sleep(PAUSE / 2)
    after = rig.statistics()["outer_requests"]
    usage = daemon.stop()
    return Series(cycles_of(rig)[earlier : earlier + count], usage, after - before)


def cycles_of(rig: Rig) -> list[Cycle]:
    """The runs that have ended, the oldest first, from the state database."""
    path = tomlkit.parse(rig.config.read_text()).unwrap()["daemon"]["database"]
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        query = (
            "select started, finished, summary from run where finished is not null and kind != 'preview' order by id"
        )
        return [Cycle(_unix(a), _unix(b), json.loads(c)) for a, b, c in connection.execute(query)]
    finally:
        connection.close()


def _unix(text: str) -> float:
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
