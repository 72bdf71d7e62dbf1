"""sd_notify."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_rig import Systemd

from sds_daemon.daemon.notify import Notifier


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    listener = Systemd(tmp_path / "notify")
    yield listener
    listener.close()


def test_without_a_socket_nothing_is_said() -> None:
    notifier = Notifier({})
    notifier.ready()
    notifier.alive()
    assert notifier.watchdog_pause is None


def test_messages_arrive_one_by_one(systemd: Systemd) -> None:
    notifier = systemd.notifier(watchdog=10)
    notifier.ready()
    notifier.status("two\nlines  become one")
    notifier.status("two lines become one")
    notifier.alive()
    notifier.stopping()
    assert systemd.heard() == ["READY=1", "STATUS=two lines become one", "WATCHDOG=1", "STOPPING=1"]


def test_an_abstract_socket_is_reached() -> None:
    name = f"sds-test-{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert listener.recv(100) == b"READY=1"


def test_nobody_listening_is_no_error(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


def test_a_status_waits_for_nobody_and_is_sent_again_later(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as busy:
        busy.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for number in range(200):
            notifier.status(f"status {number}")
        busy.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                busy.recv(100)
        notifier.status("status 199")
        assert busy.recv(100) == b"STATUS=status 199"


@pytest.mark.parametrize(
    ("environment", "pause"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_asked_of_this_process_alone(environment: dict[str, str], pause: float | None) -> None:
    assert Notifier(environment).watchdog_pause == pause
