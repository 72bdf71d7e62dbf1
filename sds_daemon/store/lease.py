"""A lease per profile: one process at a time works on it, whoever that is."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, delete, select, update

from sds_daemon.errors import LeaseHeld, StateError
from sds_daemon.store.database import Database, upsert
from sds_daemon.store.tables import LeaseRow, table

LEASE = table(LeaseRow)


def real_time() -> datetime:
    """Leases go by the machine's own time: a rehearsal's shifted clock must not make another's lease look stale."""
    return datetime.now(UTC)


class Lease:
    """The right to work on a profile. Use it as a context manager: it is taken, kept alive by a thread, given back.

    A lease is stale when it has expired, or when its process was on this host and is dead; then it is taken over.
    """

    def __init__(
        self, database: Database, profile: str, *, ttl: float = 60, now: Callable[[], datetime] = real_time
    ) -> None:
        self.profile = profile
        self._database = database
        self._ttl = timedelta(seconds=ttl)
        self._now = now
        self._token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lost = False
        self._expires = now()

    @property
    def lost(self) -> bool:
        """Whether another process took the lease over, or may do so at any moment, since its time is over (after a long
        sleep of this one, before a heartbeat could tell). Stop working then."""
        return self._lost or self._now() > self._expires

    def acquire(self) -> None:
        """Take the lease. Raises LeaseHeld naming host, process and since when."""
        now = self._now()
        row: dict[str, Any] = {
            "profile": self.profile,
            "token": self._token,
            **_self(),
            "since": now,
            "expires": now + self._ttl,
        }
        with self._database.write() as connection:
            held = _read(connection, self.profile)
            if held is not None and not is_stale(held, now):
                raise LeaseHeld(
                    f"profile {self.profile} is being worked on by process {held.pid} on {held.host} "
                    f"since {held.since:%Y-%m-%d %H:%M:%S} UTC",
                    remedy="try again later, or stop that process",
                )
            connection.execute(upsert(LEASE), row)
        self._expires = row["expires"]

    def heartbeat(self) -> None:
        """Extend the lease. Raises StateError when it was taken over meanwhile."""
        mine = (LEASE.c.profile == self.profile) & (LEASE.c.token == self._token)
        expires = self._now() + self._ttl
        with self._database.write() as connection:
            extended = connection.execute(update(LEASE).where(mine).values(expires=expires))
            if not extended.rowcount:
                self._lost = True
                raise StateError(
                    f"the lease on profile {self.profile} was taken over by another process",
                    remedy="end one of the two processes",
                )
        self._expires = expires

    def keep_alive(self) -> None:
        """Send heartbeats from a thread, three to a life of the lease, until `release` or until it is lost."""
        self._thread = threading.Thread(target=self._beat, name=f"lease-{self.profile}", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the lease back; a lease taken over by another process is left to it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._database.write() as connection:
            connection.execute(delete(LEASE).where(LEASE.c.profile == self.profile, LEASE.c.token == self._token))

    def __enter__(self) -> Self:
        self.acquire()
        self.keep_alive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _beat(self) -> None:
        while not self._stop.wait(self._ttl.total_seconds() / 3):
            try:
                self.heartbeat()
            except StateError:  # lost, or the database is away for now: the next beat tells
                if self._lost:
                    return


def holder(database: Database, profile: str) -> str | None:
    """Who works on a profile at this moment, in words; None when nobody does."""
    with database.read() as connection:
        held = _read(connection, profile)
    if held is None or is_stale(held, real_time()):
        return None
    return f"process {held.pid} on {held.host}"


def _read(connection: Connection, profile: str) -> Any:
    return connection.execute(select(LEASE).where(LEASE.c.profile == profile)).first()


def _self() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "boot": _boot(), "pid": pid, "started": _started(pid)}


def is_stale(held: Any, now: datetime) -> bool:
    """Whether a row of the table is nobody's any more."""
    if held.expires < now:
        return True
    if held.host != socket.gethostname():
        return False
    boot = _boot()
    return bool(boot and held.boot and held.boot != boot) or not _alive(held.pid, held.started)


def _boot() -> str:
    """Changes with every start of the machine; empty where that cannot be read."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _alive(pid: int, started: str) -> bool:
    """Whether a process of this host still runs.

    /proc alone does not tell: a hardened service sees nobody else's processes there. A signal finds them all.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    now = _started(pid)
    return not (now and started) or now == started


def _started(pid: int) -> str:
    """When a process started, in ticks since boot; "ended" for one that only waits to be buried; "" unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "ended" if fields[0] in ("Z", "X") else fields[19]
