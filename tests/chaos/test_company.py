"""Not alone: two daemons and a command line on one database, and servers that crash while the daemon lives."""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from pathlib import Path

import pytest
from process.service import Daemon, daemon, query
from rig import PROFILE, Rig, wait_until

from chaos.harness import LONG, Tally, Undisturbed, begin, school_day, settle

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]


def second_daemon(rig: Rig) -> Daemon:
    """Another daemon of the same configuration; it has a log and a socket of its own."""
    other = Rig(rig.folder / "other")
    other.folder.mkdir()
    other.config, other.environment = rig.config, rig.environment
    return Daemon(other)


def overlapping(rig: Rig) -> list[tuple[int, int]]:
    """Runs that began before the one before them had ended."""
    return query(
        rig,
        "SELECT a.id, b.id FROM run a JOIN run b ON b.id > a.id AND b.profile = a.profile AND b.started < a.finished",
    )


def written(rig: Rig, more: int, mark: int) -> bool:
    """Whether so many writes have reached the tenant since a mark."""
    return len({row["n"] for row in rig.writes_since(mark)}) >= more


def test_two_daemons_and_a_command_line(calm: Undisturbed, tally: Tally, tmp_path: Path) -> None:
    """One works at a time. The one at work is killed; the other takes over and carries on."""
    with begin(tmp_path) as rig:
        rig.edit("profiles.district", pause=1)
        with daemon(rig) as first, closing(second_daemon(rig)) as second:
            by_hand = rig.spawn("sync", PROFILE)
            wait_until(lambda: written(rig, 5, 0), 120)
            [(pid,)] = query(rig, "SELECT pid FROM lease")
            workers = {process.pid: process for process in (first.process, second.process, by_hand)}
            workers[pid].kill()
            tally.kills["the holder of the lease"] += 1
            wait_until(lambda: query(rig, "SELECT 1 FROM run WHERE status LIKE 'success%'"), 120)
            by_hand.communicate(timeout=120)
            assert by_hand.returncode in (0, 1, 3, -9)
            for each in (first, second):
                if each.process.poll() is None:
                    assert each.stop() == 0
                assert "Traceback" not in each.log
            shutil.copy(second.log_path, rig.folder / "second.log")
        assert overlapping(rig) == []
        settle(rig, calm.first, tally)


def crash_servers(rig: Rig, seconds: float, tally: Tally) -> None:
    """Every connection is reset and new ones are refused for so long."""
    rig.post("servers", {"up": False})
    tally.kills["servers"] += 1
    time.sleep(seconds)
    rig.post("servers", {"up": True})


def test_servers_crash_while_the_daemon_lives(calm: Undisturbed, tally: Tally, tmp_path: Path) -> None:
    """Both servers end in the middle of writing, connections and all, and come back with what they knew."""
    with begin(tmp_path) as rig:
        rig.edit("profiles.district", pause=1)
        with daemon(rig) as service:
            for seconds in (0.2, 1.0, 4.0, 0.5) if LONG else (0.3,):
                mark = max((row["n"] for row in rig.writes_since(0)), default=0)
                wait_until(lambda: written(rig, 8, mark), 120, 0.02)  # noqa: B023
                crash_servers(rig, seconds, tally)
            wait_until(lambda: query(rig, "SELECT 1 FROM run WHERE status = 'nothing_to_do'"), 120)
            mark = max(row["n"] for row in rig.writes_since(0))
            school_day(rig)
            wait_until(lambda: written(rig, 1, mark), 120, 0.02)
            crash_servers(rig, 0.3, tally)
            service.wait_for_cycles(2, 120)
            assert service.stop() == 0
            assert "Traceback" not in service.log
        settle(rig, calm.day, tally)
