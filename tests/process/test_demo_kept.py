"""`demo --keep`: the servers stay, everything it asked of Graph keeps to the contract, and it says how to end it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import contracts
import httpx
import pytest
from rig import wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


def test_a_demo_that_is_kept(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sds_daemon", "demo", "--students", "30", "--keep"],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    stop = re.search(r"kill (\d+); rm -r (\S+)", done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stop is not None
    pid, folder = int(stop[1]), Path(stop[2])
    try:
        admin = re.search(r"curl (http://\S+)/_sandbox", done.stdout)
        assert admin is not None
        assert contracts.hold_log(admin[1]) == []
        assert folder.is_relative_to(tmp_path)
        assert re.search(rf"--config {folder}/config.toml sync", done.stdout)
        assert httpx.get(f"{admin[1]}/_sandbox/health", trust_env=False).json() == {"ok": True}
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(pid), seconds=20)
        shutil.rmtree(folder)
    assert list(tmp_path.iterdir()) == []


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
