"""Changes that wait for a person's approval, stored whole."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, case, select, update

from sds_daemon.clock import Clock
from sds_daemon.errors import UsageError
from sds_daemon.plan.change import Withheld
from sds_daemon.store.database import Database, upsert
from sds_daemon.store.tables import HeldRunRow, HeldSetRow, table
from sds_daemon.store.values import to_json

SET = table(HeldSetRow)
RUN = table(HeldRunRow)

WAITING = "waiting"
APPROVED = "approved"
APPLYING = "applying"
REJECTED = "rejected"
REJECTED_REST = "rest_rejected"
CURRENT = (WAITING, APPROVED, APPLYING, REJECTED, REJECTED_REST)

_encode = msgspec.json.Encoder(order="deterministic").encode


class HeldSet(msgspec.Struct, kw_only=True):
    """One set of held changes. `run_id`: the run that first computed it.

    `state`: waiting, approved (the next run applies it), applying (a run has begun to), rejected, rest_rejected (a run
    had begun to apply it, and what is left is not to go out), or, once it is no longer current, replaced (another set
    took its place) or cleared (applied, or nothing is held any more).
    """

    number: int
    profile: str
    run_id: int
    checksum: str
    state: str
    created: datetime
    decided: datetime | None
    changes: list[Withheld]


def checksum(withheld: Sequence[Withheld]) -> str:
    """Covers kind, subject, member, new values and the object to be taken over, in any order; reasons do not count."""
    return hashlib.sha256(b"\n".join(sorted(map(_line, withheld)))).hexdigest()


def difference(before: Sequence[Withheld], now: Sequence[Withheld]) -> tuple[list[Withheld], list[Withheld]]:
    """Changes that only the later set holds, and changes that only the earlier one held."""
    earlier, later = {_line(item): item for item in before}, {_line(item): item for item in now}
    added = [item for line, item in later.items() if line not in earlier]
    return added, [item for line, item in earlier.items() if line not in later]


def common(before: Sequence[Withheld], now: Sequence[Withheld]) -> list[Withheld]:
    """What the later set has in common with the earlier one."""
    earlier = set(map(_line, before))
    return [item for item in now if _line(item) in earlier]


def _line(item: Withheld) -> bytes:
    change = item.change
    chosen = [change.object_id] if change.object_id is not None else []
    return _encode([change.kind, change.subject, change.member, change.values, *chosen])


class Held:
    """Access to held sets. A profile has at most one current set."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def put(self, profile: str, run_id: int, withheld: Sequence[Withheld]) -> HeldSet:
        """Store what a run holds back. The same changes keep number and state; others replace the current set.

        What is left of a set that a run had begun to apply, when it was cut off, counts as the same; if it was rejected
        since, the rest is the set from now on. Raises ValueError for an empty set (that is what `clear` is for).
        """
        if not withheld:
            raise ValueError("an empty set is not held")
        digest = checksum(withheld)
        with self._database.write() as connection:
            current = _current(connection, profile)
            if current is not None and (current.checksum == digest or _is_rest(current, withheld)):
                number = int(current.number)
                if current.state == REJECTED_REST:
                    _keep_rest(connection, number, digest, withheld)
            else:
                _close(connection, profile, "replaced")
                number = self._insert(connection, profile, digest, withheld)
            connection.execute(upsert(RUN), {"run_id": run_id, "number": number})
            return _load(connection, SET.c.number == number)[0]

    def put_again(self, run_id: int, number: int) -> None:
        """A run holds back exactly the current set."""
        with self._database.write() as connection:
            connection.execute(upsert(RUN), {"run_id": run_id, "number": number})

    def current(self, profile: str) -> HeldSet | None:
        """The set that waits, or was decided and not yet applied or cleared."""
        with self._database.read() as connection:
            found = _load(connection, (SET.c.profile == profile) & SET.c.state.in_(CURRENT))
        return found[0] if found else None

    def get(self, number: int) -> HeldSet:
        """Raises UsageError for a set that does not exist."""
        with self._database.read() as connection:
            found = _load(connection, SET.c.number == number)
        if not found:
            raise UsageError(f"there is no held set {number}", remedy="sds-daemon runs shows what is held")
        return found[0]

    def by_run(self, run_id: int) -> HeldSet | None:
        """The set a run computed, current or not."""
        with self._database.read() as connection:
            numbers = select(RUN.c.number).where(RUN.c.run_id == run_id)
            found = _load(connection, SET.c.number.in_(numbers))
        return found[0] if found else None

    def approve(self, number: int) -> HeldSet:
        """Mark a current set as approved. Raises UsageError when it was replaced or cleared meanwhile.

        One that a run has begun to apply goes on as that, so that what is left of it still counts as the same.
        """
        return self._decide(number, APPROVED)

    def reject(self, number: int) -> HeldSet:
        """Mark a current set as rejected: it stays out and asks no more. Raises UsageError as `approve`.

        Of one that a run has begun to apply, what is left is rejected.
        """
        return self._decide(number, REJECTED)

    def begin(self, number: int) -> None:
        """A run begins to apply an approved set; cut off, the next one goes on with what is left."""
        with self._database.write() as connection:
            connection.execute(
                update(SET).where(SET.c.number == number, SET.c.state == APPROVED).values(state=APPLYING)
            )

    def clear(self, profile: str) -> None:
        """Nothing is held any more, or the approved set was applied."""
        with self._database.write() as connection:
            _close(connection, profile, "cleared")

    def _insert(self, connection: Connection, profile: str, digest: str, withheld: Sequence[Withheld]) -> int:
        row = {
            "profile": profile,
            "checksum": digest,
            "state": WAITING,
            "created": self._clock.now(),
            "decided": None,
            "changes": to_json(list(withheld)),
        }
        key = connection.execute(SET.insert(), row).inserted_primary_key
        assert key is not None
        return int(key[0])

    def _decide(self, number: int, state: str) -> HeldSet:
        self.get(number)
        with self._database.write() as connection:
            changed = connection.execute(
                update(SET)
                .where(SET.c.number == number, SET.c.state.in_(CURRENT))
                .values(state=_decided(state), decided=self._clock.now())
            )
            if not changed.rowcount:
                raise UsageError(
                    f"held set {number} is no longer current", remedy="look at the newest run and decide on that one"
                )
            return _load(connection, SET.c.number == number)[0]


def _decided(state: str) -> Any:
    begun = SET.c.state.in_((APPLYING, REJECTED_REST))
    return case((begun, APPLYING if state == APPROVED else REJECTED_REST), else_=state)


def _current(connection: Connection, profile: str) -> Any:
    query = select(SET.c.number, SET.c.checksum, SET.c.state, SET.c.changes)
    query = query.where(SET.c.profile == profile, SET.c.state.in_(CURRENT))
    return connection.execute(query).first()


def _is_rest(current: Any, withheld: Sequence[Withheld]) -> bool:
    if current.state not in (APPLYING, REJECTED_REST):
        return False
    added, _ = difference(msgspec.json.decode(current.changes, type=list[Withheld]), withheld)
    return not added


def _keep_rest(connection: Connection, number: int, digest: str, rest: Sequence[Withheld]) -> None:
    values = {"checksum": digest, "changes": to_json(list(rest)), "state": REJECTED}
    connection.execute(update(SET).where(SET.c.number == number).values(values))


def _close(connection: Connection, profile: str, state: str) -> None:
    connection.execute(update(SET).where(SET.c.profile == profile, SET.c.state.in_(CURRENT)).values(state=state))


def _load(connection: Connection, condition: Any) -> list[HeldSet]:
    found = []
    for row in connection.execute(select(SET).where(condition).order_by(SET.c.number.desc()).limit(1)):
        runs = connection.scalars(select(RUN.c.run_id).where(RUN.c.number == row.number).order_by(RUN.c.run_id))
        found.append(
            HeldSet(
                number=row.number,
                profile=row.profile,
                run_id=runs.first() or 0,
                checksum=row.checksum,
                state=row.state,
                created=row.created,
                decided=row.decided,
                changes=msgspec.json.decode(row.changes, type=list[Withheld]),
            )
        )
    return found
