"""What the runs of a profile saw of records, the newest of each: the memory of `explain`."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import ColumnElement, delete, select

from sds_daemon.plan.sighting import Sighting
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store.database import Database, run_many, upsert
from sds_daemon.store.tables import SightingRow, table

ROW = table(SightingRow)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Sighting).decode


class Sightings:
    """Access to sightings. Every method is one transaction and may raise StateError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, profile: str, run_id: int, seen: Iterable[tuple[Ref, Sighting]]) -> None:
        """Store what a run saw, in place of what an earlier one saw of the same records."""
        rows = (
            {
                "profile": profile,
                "kind": ref.kind.value,
                "sis_id": ref.sis_id,
                "run_id": run_id,
                "present": sighting.present,
                "facts": _encode(sighting).decode(),
            }
            for ref, sighting in seen
        )
        with self._database.write() as connection:
            run_many(connection, upsert(ROW), rows)

    def get(self, profile: str, ref: Ref) -> tuple[int, Sighting] | None:
        """The run that last stored something of the record, and what it saw."""
        with self._database.read() as connection:
            row = connection.execute(select(ROW.c.run_id, ROW.c.facts).where(*_named(profile, ref))).first()
        return (int(row.run_id), _decode(row.facts)) if row is not None else None

    def absent(self, profile: str) -> set[Ref]:
        """Records last seen to be missing from the source."""
        query = select(ROW.c.kind, ROW.c.sis_id).where(ROW.c.profile == profile, ROW.c.present.is_(False))
        with self._database.read() as connection:
            return {Ref(RecordKind(kind), sis_id) for kind, sis_id in connection.execute(query)}

    def find(self, profile: str, sis_id: str) -> list[Ref]:
        """Records of any kind with this SIS ID."""
        query = select(ROW.c.kind).where(ROW.c.profile == profile, ROW.c.sis_id == sis_id).order_by(ROW.c.kind)
        with self._database.read() as connection:
            return [Ref(RecordKind(kind), sis_id) for kind in connection.scalars(query)]

    def forget(self, profile: str, ref: Ref | None = None) -> int:
        """Forget one record, or all of the profile; how many there were."""
        which = _named(profile, ref) if ref is not None else (ROW.c.profile == profile,)
        with self._database.write() as connection:
            return connection.execute(delete(ROW).where(*which)).rowcount


def _named(profile: str, ref: Ref) -> tuple[ColumnElement[bool], ...]:
    return (ROW.c.profile == profile, ROW.c.kind == ref.kind.value, ROW.c.sis_id == ref.sis_id)
