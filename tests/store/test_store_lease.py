"""Leases, with real processes."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from store_samples import in_child

from sds_daemon.clock import FixedClock
from sds_daemon.errors import LeaseHeld, StateError
from sds_daemon.store import Store
from sds_daemon.store.lease import LEASE, Lease

HOLDER = """
import sys, time
from pathlib import Path
from sds_daemon.clock import Clock
from sds_daemon.store import Store
store = Store.open(Path(sys.argv[1]), Clock())
with store.lease("north", ttl=float(sys.argv[2])) as lease:
    print("held", flush=True)
    while not lease.lost and not sys.stdin.closed:
        if sys.argv[3] == "once":
            sys.stdin.readline()
            break
        time.sleep(0.02)
    print("lost" if lease.lost else "given back", flush=True)
"""


@contextmanager
def other_process(path: Path, ttl: float = 60, how: str = "once") -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease of north until it reads a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), str(ttl), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait()


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_lease_keeps_others_out_and_is_given_back(store: Store) -> None:
    with store.lease("north"):
        with pytest.raises(LeaseHeld, match=rf"process {os.getpid()} on .* since \d{{4}}"), store.lease("north"):
            pass
        with store.lease("south"):
            pass
        assert store.lease_holder("north") == f"process {os.getpid()} on {os.uname().nodename}"
    assert store.lease_holder("north") is None
    with store.lease("north"):
        pass


def test_a_lease_is_given_back_when_the_work_fails(store: Store) -> None:
    with pytest.raises(RuntimeError), store.lease("north"):
        raise RuntimeError
    assert store.lease_holder("north") is None


def test_another_process_holds_the_lease_until_it_ends(store: Store, path: Path) -> None:
    with other_process(path) as other:
        with pytest.raises(LeaseHeld, match=f"process {other.pid} on"), store.lease("north"):
            pass
        other.communicate("\n", timeout=20)
        with store.lease("north"):
            pass


def test_the_lease_of_a_killed_process_is_taken_over_at_once(store: Store, path: Path) -> None:
    with other_process(path) as other:
        other.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        with store.lease("north"):  # a dead process not yet waited for, a zombie, counts as dead
            pass


def test_a_process_that_sleeps_past_its_lease_loses_it_and_notices(store: Store, path: Path) -> None:
    with other_process(path, ttl=0.6, how="watch") as other:
        other.send_signal(signal.SIGSTOP)
        lease = store.lease("north")
        assert until(lambda: _acquired(lease))
        lease.keep_alive()
        other.send_signal(signal.SIGCONT)
        assert other.stdout is not None
        assert other.stdout.readline() == "lost\n"
        other.wait(timeout=20)
        assert store.lease_holder("north") == f"process {os.getpid()} on {os.uname().nodename}", "left to its new owner"
        lease.release()


def _acquired(lease: Lease) -> bool:
    try:
        lease.acquire()
    except LeaseHeld:
        return False
    return True


def test_heartbeats_keep_a_lease_longer_than_its_life(store: Store) -> None:
    with store.lease("north", ttl=0.3) as lease:
        began = time.monotonic()
        assert until(lambda: time.monotonic() - began > 0.8)
        with pytest.raises(LeaseHeld), store.lease("north"):
            pass
        assert not lease.lost


def test_without_heartbeats_a_lease_expires(store: Store) -> None:
    moment = [datetime(2026, 9, 1, tzinfo=UTC)]
    first = Lease(store._database, "north", ttl=60, now=lambda: moment[0])
    second = Lease(store._database, "north", ttl=60, now=lambda: moment[0])
    first.acquire()
    moment[0] += timedelta(seconds=59)
    with pytest.raises(LeaseHeld):
        second.acquire()
    first.heartbeat()
    moment[0] += timedelta(seconds=59)
    with pytest.raises(LeaseHeld):
        second.acquire()
    moment[0] += timedelta(seconds=2)
    second.acquire()
    with pytest.raises(StateError, match="taken over"):
        first.heartbeat()
    assert first.lost
    first.release()
    second.heartbeat()


def test_a_process_that_slept_stops_before_a_heartbeat_could_tell_it_to(store: Store) -> None:
    moment = [datetime(2026, 9, 1, tzinfo=UTC)]
    lease = Lease(store._database, "north", ttl=60, now=lambda: moment[0])
    lease.acquire()
    assert not lease.lost
    moment[0] += timedelta(seconds=61)
    assert lease.lost, "anybody may take it over now"
    lease.heartbeat()
    assert not lease.lost, "nobody did"


def _alter(store: Store, **values: object) -> None:
    with store._database.write() as connection:
        connection.execute(LEASE.update().values(values))


def test_a_process_that_only_got_the_same_number_does_not_hold_it(store: Store) -> None:
    store.lease("north").acquire()
    _alter(store, started="1")
    with store.lease("north"):
        pass


def test_after_a_restart_of_the_machine_leases_are_stale(store: Store) -> None:
    store.lease("north").acquire()
    _alter(store, boot="an earlier start")
    with store.lease("north"):
        pass


def test_a_lease_of_another_host_is_respected_until_it_expires(store: Store) -> None:
    store.lease("north").acquire()
    _alter(store, host="elsewhere", pid=1, started="1", boot="x")
    with pytest.raises(LeaseHeld, match="on elsewhere"):
        store.lease("north").acquire()
    _alter(store, expires=datetime.now(UTC) - timedelta(seconds=1))
    with store.lease("north"):
        pass


def test_a_process_hidden_from_this_one_still_holds_its_lease(path: Path, clock: FixedClock) -> None:
    """A hardened service (ProtectProc=invisible) cannot see an administrator's processes in /proc."""
    if os.geteuid() != 0:
        pytest.skip("mounting a /proc that hides processes needs root")
    folder = Path(tempfile.mkdtemp(prefix="sds-lease-"))
    hidden = folder / "state.db"
    try:
        with Store.open(hidden, clock) as store:
            store.lease("north").acquire()
        for file in (folder, hidden):
            os.chown(file, 65534, 65534)
        answer = in_child(lambda: _take_without_seeing(hidden, clock))
    finally:
        shutil.rmtree(folder)
    if answer == "cannot mount":
        pytest.skip("this machine does not let /proc be mounted")
    assert answer.startswith(f"LeaseHeld: profile north is being worked on by process {os.getpid()}")


def _take_without_seeing(path: Path, clock: FixedClock) -> str:
    parent = Path(f"/proc/{os.getppid()}")
    new_mounts = ctypes.CDLL(None, use_errno=True).unshare(0x20000)
    commands = (["mount", "--make-rprivate", "/"], ["mount", "-t", "proc", "-o", "hidepid=2", "proc", "/proc"])
    if new_mounts or any(subprocess.run(command, stderr=subprocess.DEVNULL).returncode for command in commands):
        return "cannot mount"
    os.setgid(65534)
    os.setuid(65534)
    assert not parent.exists()
    with Store.open(path, clock) as store:
        store.lease("north").acquire()
    return "taken over"


def test_of_many_at_once_one_gets_it(store: Store) -> None:
    results: list[bool] = []
    start = threading.Barrier(8)

    def attempt() -> None:
        start.wait()
        results.append(_acquired(store.lease("north")))

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 7 + [True]


def test_the_message_says_what_to_do(store: Store) -> None:
    with store.lease("north"), pytest.raises(LeaseHeld) as raised:
        store.lease("north").acquire()
    assert raised.value.exit_code == 3
    assert re.search("try again later", str(raised.value))
