"""`sds-daemon run` as a process of its own, and a systemd that listens to it."""

from __future__ import annotations

import re
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from rig import COMMAND, Rig, wait_until


class Systemd:
    """The other end of NOTIFY_SOCKET; everything heard is kept in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.1)
        self._open = True
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while self._open:
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except TimeoutError:
                pass

    def close(self) -> None:
        """Stop listening."""
        self._open = False
        self._reader.join()
        self._socket.close()


class Daemon:
    """The running daemon of a rig: its log so far, its runs by the record, its end."""

    def __init__(self, rig: Rig, *options: str, watchdog: float | None = None) -> None:
        self.rig = rig
        self.log_path = rig.folder / "daemon.log"
        self.systemd = Systemd(rig.folder / "notify")
        environment = {**rig.environment, "NOTIFY_SOCKET": str(self.systemd.path)}
        if watchdog is not None:
            environment["WATCHDOG_USEC"] = str(int(watchdog * 1_000_000))
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "--config", str(rig.config), *options, "run"],
                stdout=log,
                stderr=log,
                env=environment,
                cwd=rig.folder,
            )

    @property
    def log(self) -> str:
        """All it has said."""
        return self.log_path.read_text()

    def said(self, pattern: str, times: int = 1) -> bool:
        """Whether so many log lines match."""
        return sum(1 for line in self.log.splitlines() if re.search(pattern, line)) >= times

    def wait_for(self, pattern: str, times: int = 1, seconds: float = 90) -> None:
        """Wait for log lines; fail with the whole log."""
        try:
            wait_until(lambda: self.said(pattern, times) or self.process.poll() is not None, seconds)
        except AssertionError:
            raise AssertionError(f"nothing matches {pattern!r}:\n{self.log}") from None
        assert self.said(pattern, times), f"ended with {self.process.poll()} before {pattern!r}:\n{self.log}"

    def cycles(self) -> int:
        """How many cycles have ended."""
        return sum(1 for line in self.log.splitlines() if "action=run_end" in line)

    def wait_for_cycles(self, more: int, seconds: float = 90) -> None:
        """Wait until so many more cycles have ended, the one under way not counted."""
        under_way = 1 if running(self.rig) else 0
        wanted = self.cycles() + more + under_way
        wait_until(lambda: self.cycles() >= wanted or self.process.poll() is not None, seconds)
        assert self.process.poll() is None, self.log

    def reload(self) -> None:
        """SIGHUP."""
        self.process.send_signal(signal.SIGHUP)

    def stop(self, seconds: float = 40) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def close(self) -> None:
        """End it whatever happens."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)
        self.systemd.close()


@contextmanager
def daemon(rig: Rig, *options: str, watchdog: float | None = None) -> Iterator[Daemon]:
    """A daemon that has told systemd it is ready."""
    started = Daemon(rig, *options, watchdog=watchdog)
    try:
        wait_until(lambda: "READY=1" in started.systemd.heard or started.process.poll() is not None, 60)
        assert started.process.poll() is None, started.log
        yield started
    finally:
        started.close()


def query(rig: Rig, sql: str) -> list[Any]:
    """Rows of the state database, looked at from outside."""
    with closing(sqlite3.connect(f"file:{rig.folder / 'state' / 'state.db'}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def running(rig: Rig) -> bool:
    """Whether a run is recorded as under way."""
    return bool(query(rig, "SELECT 1 FROM run WHERE status = 'running'"))
