"""The daemon and a command that writes to the same tenant: the command goes first."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rig import Rig, wait_until

from process.crashes import BATCH, add_fault
from process.service import daemon, query

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

DAY = "2026-10-14"
COMMAND_THAT_WRITES = """
import sys
from pathlib import Path
from sds_daemon.clock import Clock
from sds_daemon.store import Store
with Store.open(Path(sys.argv[1]), Clock()) as store, store.right_of_way(*sys.argv[2:]).taken():
    print("taken", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def begin(folder: Path) -> Iterator[Rig]:
    """A district whose first sync takes a while: each batch is answered after two seconds."""
    rig = Rig(folder, "--students", "40", "--time-scale", "50", "--today", DAY)
    rig.environment["SDS_DAEMON_CLOCK"] = f"{DAY}T16:00:00Z"
    with rig:
        add_fault(rig, {**BATCH, "kind": "delay", "seconds": 100})
        yield rig


@contextmanager
def another(rig: Rig) -> Iterator[subprocess.Popen[str]]:
    """A process in the place of a command that is writing."""
    state = query_path(rig)
    arguments = [str(state), rig.ready["tenant_id"], rig.ready["client_id"]]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND_THAT_WRITES, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def query_path(rig: Rig) -> Path:
    return next(rig.folder.rglob("*.db"))


def test_the_daemon_waits_while_a_command_writes_and_goes_on_when_it_is_killed(tmp_path: Path) -> None:
    with begin(tmp_path) as rig, daemon(rig) as service:
        mark = rig.request_mark()
        wait_until(lambda: len(rig.writes_since(mark)) > 5, 60)
        with another(rig) as process:
            time.sleep(4.0)  # it looks once a second, and what is under way comes to its end
            mark = rig.request_mark()
            time.sleep(3.0)
            assert rig.writes_since(mark) == []
            assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait(20)
            wait_until(lambda: len(rig.writes_since(mark)) > 5, 30)
        rig.delete("faults")
        assert service.stop() == 0


def test_a_command_has_the_right_of_way_while_it_writes_and_gives_it_back(tmp_path: Path) -> None:
    with begin(tmp_path) as rig:
        leases = "SELECT substr(profile, 1, 7) FROM lease ORDER BY 1"
        mark, command = rig.request_mark(), rig.spawn("sync", "district")
        wait_until(lambda: rig.writes_since(mark), 60)
        assert query(rig, leases) == [("distric",), ("tenant ",)]
        rig.delete("faults")
        command.communicate(timeout=60)
        assert command.returncode in (0, 1)
        assert query(rig, leases) == []
