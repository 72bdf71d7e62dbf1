"""Moments at which a process can be killed, found without looking at clocks: by what the servers were asked so far."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig import PROFILE, Rig, wait_until

BATCH = {"side": "graph", "method": "POST", "path": r"^/\$batch$", "inner": False}
"""Each POST of a batch as a whole."""
LONG = 3000
"""Sandbox seconds: longer than any test waits."""


@dataclass(frozen=True)
class Moment:
    """A name, and a way to get a process there; the process is killed when `reach` returns."""

    name: str
    reach: Callable[[Rig, subprocess.Popen[str]], None]
    lag: float | None = None


def struck(rig: Rig, fault: str, times: int = 1) -> bool:
    """Whether a fault has hit so often."""
    found = [row for row in rig.get("faults")["faults"] if row["id"] == fault]
    return bool(found) and int(found[0]["hits"]) >= times


def add_fault(rig: Rig, spec: dict[str, Any]) -> str:
    """Put a fault in force; its id."""
    return str(rig.post("faults", spec)["id"])


def when_struck(spec: dict[str, Any], settle: float = 0.3) -> Callable[[Rig, subprocess.Popen[str]], None]:
    """The moment at which a fault strikes, and `settle` seconds for the server to carry out what it was sent."""

    def reach(rig: Rig, process: subprocess.Popen[str]) -> None:
        fault = add_fault(rig, spec)
        wait_until(lambda: struck(rig, fault) or process.poll() is not None, 60, 0.02)
        assert process.poll() is None, f"the process ended before the moment came: {process.communicate()}"
        time.sleep(settle)

    return reach


def after_writes(number: int) -> Callable[[Rig, subprocess.Popen[str]], None]:
    """The moment at which the tenant has been sent so many writes, wherever the process is then."""

    def reach(rig: Rig, process: subprocess.Popen[str]) -> None:
        mark = rig.request_mark()
        wait_until(lambda: len(rig.writes_since(mark)) >= number or process.poll() is not None, 60, 0.005)

    return reach


def answered_but_not_recorded(after: int) -> Callable[[Rig, subprocess.Popen[str]], None]:
    """A batch's answer has arrived while the database is locked by somebody else, so it cannot be recorded."""

    def reach(rig: Rig, process: subprocess.Popen[str]) -> None:
        fault = add_fault(rig, {**BATCH, "kind": "delay", "seconds": 50, "times": 1, "after": after})
        wait_until(lambda: struck(rig, fault) or process.poll() is not None, 60, 0.005)
        with locked(rig.folder / "state" / "state.db"):
            time.sleep(1.5)
            kill(process)

    return reach


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Nobody else can write while the context lasts."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=20)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def kill(process: subprocess.Popen[str]) -> None:
    """kill -9."""
    process.kill()
    process.communicate(timeout=20)


def crash(rig: Rig, moment: Moment, *arguments: str) -> None:
    """Start a sync, kill it at the moment, and let the servers be well again."""
    process = rig.spawn("sync", PROFILE, "--json", *arguments)
    try:
        moment.reach(rig, process)
    finally:
        kill(process)
        rig.delete("faults")
