"""The snapshot last accepted, as counts: what the source limit compares a new one with."""

from __future__ import annotations

import msgspec
from sqlalchemy import delete, select, update

from sds_daemon.clock import Clock
from sds_daemon.roster.proof import Resource
from sds_daemon.store.database import Database, upsert
from sds_daemon.store.tables import BaselineRow, table
from sds_daemon.store.values import from_json, to_json

BASELINE = table(BaselineRow)


class Baseline(msgspec.Struct, kw_only=True):
    """Rows per resource and school (SIS ID; None: of the district) in the accepted snapshot of a school year.

    `school_year`: first calendar year. `source_uuid`: the district it came from. `named`: the SIS ID of the school
    that each entry of the profile's `schools` means (empty where it takes all).
    """

    school_year: int
    rows: dict[tuple[Resource, str | None], int]
    source_uuid: str = ""
    named: dict[str, str] = {}


class Baselines:
    """Access to baselines. Every method is one transaction and may raise StateError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, profile: str) -> Baseline | None:
        """The baseline, or None before the first accepted snapshot."""
        with self._database.read() as connection:
            row = connection.execute(select(BASELINE).where(BASELINE.c.profile == profile)).first()
        if row is None:
            return None
        counted = msgspec.json.decode(row.rows, type=list[tuple[Resource, str | None, int]])
        rows = {(resource, school): number for resource, school, number in counted}
        return Baseline(school_year=row.school_year, rows=rows, source_uuid=row.source_uuid, named=from_json(row.named))

    def accept(self, profile: str, baseline: Baseline, settled: str = "") -> None:
        """Replace the baseline. `settled`: what the run rested on, if it left everything as it found it."""
        counted = [[resource.value, school, number] for (resource, school), number in baseline.rows.items()]
        row = {
            "profile": profile,
            "school_year": baseline.school_year,
            "source_uuid": baseline.source_uuid,
            "accepted": self._clock.now(),
            "rows": to_json(counted),
            "settled": settled,
            "named": to_json(baseline.named),
        }
        with self._database.write() as connection:
            connection.execute(upsert(BASELINE), row)

    def settled(self, profile: str) -> str:
        """What the last accepted run rested on, if the profile is settled since; else the empty text."""
        with self._database.read() as connection:
            found: str | None = connection.execute(
                select(BASELINE.c.settled).where(BASELINE.c.profile == profile)
            ).scalar()
        return found or ""

    def unsettle(self, profile: str) -> None:
        """The next run of the profile works everything out, whatever is the same. The baseline stays."""
        mine = (BASELINE.c.profile == profile) & (BASELINE.c.settled != "")
        with self._database.write() as connection:
            connection.execute(update(BASELINE).where(mine).values(settled=""))

    def forget(self, profile: str) -> None:
        """The next snapshot starts a new baseline."""
        with self._database.write() as connection:
            connection.execute(delete(BASELINE).where(BASELINE.c.profile == profile))
