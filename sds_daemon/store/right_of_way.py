"""Which of several processes writes to a tenant first: they share a quota, and each has only a guess of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import delete, select

from sds_daemon.errors import StateError
from sds_daemon.store.database import Database
from sds_daemon.store.lease import LEASE, Lease, is_stale, real_time

FORGOTTEN = timedelta(days=1)
"""After which a lease nobody extends is swept up; sooner would take it from a process that was but stopped a while."""


class RightOfWay:
    """Of one app in one tenant. Implements targets.base.RightOfWay.

    Whoever goes first holds a lease of its own, so that one who dies does not keep the others waiting. A profile's name
    has no blank, which keeps these leases apart from those of profiles.
    """

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = f"tenant {tenant} "
        self._mine = LEASE.c.profile.startswith(self._tenant, autoescape=True)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Go first, until the block ends. Raises StateError."""
        with self._database.write() as connection:
            connection.execute(delete(LEASE).where(self._mine, LEASE.c.expires < real_time() - FORGOTTEN))
        with Lease(self._database, f"{self._tenant}{os.getpid()} {id(self)}"):
            yield

    def given(self) -> bool:
        """Whether another process goes first now. No, where the record cannot be read: whoever writes to it next says
        so."""
        query = select(LEASE).where(self._mine)
        try:
            with self._database.read() as connection:
                rows = connection.execute(query).all()
        except StateError:
            return False
        own = (socket.gethostname(), os.getpid())
        return any((row.host, row.pid) != own and not is_stale(row, real_time()) for row in rows)
