"""systemd's notification protocol (sd_notify(3)): datagrams to the socket named by NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

PATIENCE = 2.0


class Notifier:
    """Tells systemd how the service fares. Without NOTIFY_SOCKET, and when nobody listens, it says nothing."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        values = os.environ if environment is None else environment
        path = values.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._watchdog = _watchdog_seconds(values)
        self._status = ""

    @property
    def watchdog_pause(self) -> float | None:
        """Seconds between signs of life: half of what systemd allows (sd_watchdog_enabled(3)); None: none wanted."""
        return None if self._watchdog is None else self._watchdog / 2

    def ready(self) -> None:
        """Start-up, or a reload, is over."""
        self._send("READY=1")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service is on its way down."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line shown by `systemctl status`; sent when it has changed, and left out when systemd is busy."""
        line = " ".join(text.split())
        if line != self._status and self._send(f"STATUS={line}", patience=0):
            self._status = line

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        if self._watchdog is not None:
            self._send("WATCHDOG=1")

    def _send(self, message: str, *, patience: float = PATIENCE) -> bool:
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(patience)
                channel.sendto(message.encode(), self._address)
        except OSError:
            return False
        return True


def _watchdog_seconds(values: Mapping[str, str]) -> float | None:
    microseconds = values.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or not int(microseconds):
        return None
    if values.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1_000_000
