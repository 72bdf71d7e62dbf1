"""The state database as one object."""

from __future__ import annotations

import os
import sqlite3
from contextlib import AbstractContextManager, closing
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from sds_daemon.clock import Clock
from sds_daemon.errors import StateError
from sds_daemon.store import lease, migrations
from sds_daemon.store.baselines import Baselines
from sds_daemon.store.database import BUSY_SECONDS, Database, open_database, translated
from sds_daemon.store.directory import LAG, Directory
from sds_daemon.store.drift import Drifts
from sds_daemon.store.held import Held
from sds_daemon.store.issues import Issues
from sds_daemon.store.links import Links
from sds_daemon.store.memberships import Memberships
from sds_daemon.store.profiles import Profiles
from sds_daemon.store.right_of_way import RightOfWay
from sds_daemon.store.runs import Runs
from sds_daemon.store.safety import Announcements, Relaxations, SourceStops
from sds_daemon.store.sightings import Sightings


class Store:
    """Everything the daemon remembers. Synchronous; may be used from several threads; writes take turns.

    Any method may raise StateError, with what to do about it, when the file cannot be read or written.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.runs = Runs(database, clock)
        self.held = Held(database, clock)
        self.issues = Issues(database, clock)
        self.drift = Drifts(database, clock)
        self.sightings = Sightings(database)
        self.profiles = Profiles(database, clock)
        self.baselines = Baselines(database, clock)
        self.relaxations = Relaxations(database, clock)
        self.source_stops = SourceStops(database, clock)
        self.announcements = Announcements(database, clock)

    def transaction(self) -> AbstractContextManager[object]:
        """What this thread writes inside is written together, or not at all."""
        return self._database.write()

    @classmethod
    def open(cls, path: Path, clock: Clock, *, migrate: bool = True, patience: float = BUSY_SECONDS) -> Self:
        """Open the database, private to this user (0600, a new directory 0700), its schema up to date.

        With `migrate` false a missing or outdated database is refused instead. `patience`: seconds to wait while
        another process writes. Raises StateError also for a file that cannot be written or read, is locked, is no
        database, or has a schema newer than this program.
        """
        database = open_database(path, create=migrate, patience=patience)
        try:
            migrations.ensure_current(database, migrate=migrate)
        except BaseException:
            database.close()
            raise
        return cls(database, clock)

    @property
    def path(self) -> Path:
        """The database file."""
        return self._database.path

    def lease(self, profile: str, *, ttl: float = 60) -> lease.Lease:
        """The lease of a profile, to be entered: `with store.lease(name) as lease:`. Entering raises LeaseHeld."""
        return lease.Lease(self._database, profile, ttl=ttl)

    def lease_holder(self, profile: str) -> str | None:
        """Who works on a profile now, in words; None when nobody does."""
        return lease.holder(self._database, profile)

    def right_of_way(self, tenant_id: str, client_id: str) -> RightOfWay:
        """Who writes to a tenant first, of the processes that do so as one app."""
        return RightOfWay(self._database, f"{tenant_id} {client_id}".lower())

    def links(self, source_uuid: str, tenant_id: str) -> Links:
        """The links of a source and tenant."""
        return Links(self._database.tallied(_record(source_uuid, tenant_id)), source_uuid, tenant_id)

    def memberships(self, source_uuid: str, tenant_id: str) -> Memberships:
        """The managed memberships of a source and tenant."""
        return Memberships(self._database.tallied(_record(source_uuid, tenant_id)), source_uuid, tenant_id)

    def directory(self, tenant_id: str, *, lag: timedelta = LAG) -> Directory:
        """The directory cache of a tenant. `lag`: how long a new object may be missing from a full read."""
        return Directory(self._database.tallied(_directory(tenant_id)), self._clock, tenant_id, lag=lag)

    def tallies(self, source_uuid: str, tenant_id: str) -> tuple[int, int]:
        """How often links and memberships of a source and tenant, and the tenant's cached directory, were changed.

        Two equal answers: between them no row of these was written, by whatever process.
        """
        record, directory = _record(source_uuid, tenant_id), _directory(tenant_id)
        return self._database.tally(record), self._database.tally(directory)

    def backup(self, path: Path) -> None:
        """A consistent copy, mode 0600, while anybody may go on working. Raises StateError; an existing file is kept
        until the copy is whole."""
        copy_database(self.path, path)

    def check(self) -> None:
        """Look the whole file over for damage. Raises StateError."""
        with self._database.read() as connection:
            verdict = connection.exec_driver_sql("PRAGMA quick_check").scalars().first()
        if verdict != "ok":
            raise StateError(f"state database {self.path}: it is damaged", remedy="restore a backup")

    def close(self) -> None:
        """Give everything back. May be called twice."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _record(source_uuid: str, tenant_id: str) -> str:
    return f"record {source_uuid} {tenant_id}"


def _directory(tenant_id: str) -> str:
    return f"directory {tenant_id}"


def copy_database(original: Path, path: Path) -> None:
    """A consistent copy of a database, whatever its schema, mode 0600. Raises StateError.

    The original may be in use and is not changed, nor brought up to date; an existing `path` is kept until the copy is
    whole.
    """
    part = path.with_name(path.name + ".part")
    with translated(original), closing(sqlite3.connect(original)) as source:
        source.execute("SELECT count(*) FROM sqlite_master")  # a file that is no database is named as such
    with translated(part):
        os.close(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
        try:
            with closing(sqlite3.connect(original)) as source, closing(sqlite3.connect(part)) as copy:
                source.backup(copy, pages=1000)
                copy.execute("PRAGMA journal_mode=DELETE")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
