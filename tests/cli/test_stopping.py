"""Signals while a command works: the first asks, the second ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from sds_daemon.cli.context import stopping

TWICE = """
import asyncio, os, signal
from sds_daemon.cli.context import stopping
async def work():
    with stopping() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.1)
        print("asked", stop(), flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(30)
asyncio.run(work())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_asks(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    with stopping() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.05)
        assert stop()
    assert "once more ends at once" in capsys.readouterr().err


def test_the_second_ends_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=20, check=False)
    assert ended.stdout == "asked True\n"
    assert ended.returncode == -signal.SIGTERM


async def test_nothing_stays_behind() -> None:
    with stopping():
        pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
