"""Runs, and what became of every change of a run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, and_, bindparam, case, delete, func, literal_column, null, or_, select, update

from sds_daemon.clock import Clock
from sds_daemon.errors import UsageError
from sds_daemon.plan.change import Change, ChangeKind, Outcome, Reason, Result, Withheld
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store.database import Database, any_of, by_chunks, insert_new, run_many, upsert
from sds_daemon.store.tables import OPEN_CREATES, RunChangeRow, RunRow, table
from sds_daemon.store.values import change_of, change_row, from_json, reason_of, to_json

RUN = table(RunRow)
CHANGE = table(RunChangeRow)

RUNNING = "running"
_CREATES = (ChangeKind.CREATE_USER.value, ChangeKind.CREATE_CLASS.value, ChangeKind.CREATE_SCHOOL.value)
INTERRUPTED = "interrupted"
SUCCESSES = ("success", "success_with_issues", "nothing_to_do")
UPDATE_KINDS = (ChangeKind.UPDATE_SCHOOL.value, ChangeKind.UPDATE_USER.value, ChangeKind.UPDATE_CLASS.value)
KEY = ("run_id", "kind", "subject_kind", "subject_id", "member_kind", "member_id")

# Sent for every batch of a sync: plain updates by key, a tenth of the price of inserting whole rows anew. Changes that
# differ in the member alone take one statement: half the price again.
_BY_KEY = [CHANGE.c[name] == bindparam(f"key_{name}") for name in KEY[:-1]]
_BY_KEY.append(CHANGE.c.member_id.in_(any_of("key_member_ids")))
_NOW = bindparam("now", type_=CHANGE.c.intended_at.type)
_INTENDED = (
    update(CHANGE)
    .where(*_BY_KEY)
    .values(
        state=literal_column("'intended'"),
        settled_at=null(),
        # Whatever has a name of its own is recognised by having been made after the first intention. A school has none:
        # it is waited for, from the last one on.
        intended_at=case(
            (CHANGE.c.kind == literal_column(f"'{ChangeKind.CREATE_SCHOOL.value}'"), _NOW),
            else_=func.coalesce(CHANGE.c.intended_at, _NOW),
        ),
    )
)
_SETTLED = (
    update(CHANGE)
    .where(*_BY_KEY)
    .values(
        state=bindparam("new_state"),
        detail=bindparam("new_detail"),
        code=bindparam("new_code"),
        status=bindparam("new_status"),
        object_id=bindparam("new_object_id"),
        settled_at=bindparam("now"),
    )
)
_FORGOTTEN = (
    update(CHANGE).where(CHANGE.c.state == "intended", *_BY_KEY).values(state="forgotten", settled_at=bindparam("now"))
)


class RunRecord(msgspec.Struct, kw_only=True):
    """One cycle or preview.

    `status`: running, success, success_with_issues, nothing_to_do, held, failed, interrupted.
    """

    id: int
    profile: str
    kind: str
    started: datetime
    finished: datetime | None
    status: str
    summary: dict[str, Any]
    error: str
    source_uuid: str | None = None
    tenant_id: str | None = None

    @property
    def decided_by(self) -> int:
        """The run that stored this one's changes: an earlier one, where nothing had changed since."""
        return int(self.summary.get("repeats") or self.id)


class ChangeRecord(msgspec.Struct, kw_only=True):
    """A change of a run and how it stands.

    `state`: planned, skipped, held, intended (the request may have gone out), forgotten, or the value of a `Result`.
    `withheld`: why it was skipped or held.
    """

    change: Change
    state: str
    withheld: Reason | None
    detail: str
    code: str
    status: int
    object_id: str | None
    intended_at: datetime | None
    settled_at: datetime | None


class StoredChange(msgspec.Struct, frozen=True):
    """A change and the run it belongs to."""

    run_id: int
    record: ChangeRecord


Numbers = list[int]  # named here, since Runs.list hides the built-in name from the class body
RunRecords = list[RunRecord]
Intentions = list[tuple[Change, datetime]]
StoredChanges = list[StoredChange]


class Runs:
    """Access to runs. Every method is one transaction and raises StateError where the database cannot be used."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def begin(
        self, profile: str, source_uuid: str | None = None, tenant_id: str | None = None, *, kind: str = "sync"
    ) -> int:
        """Start a run; its number."""
        row = {
            "profile": profile,
            "kind": kind,
            "source_uuid": source_uuid,
            "tenant_id": tenant_id,
            "started": self._clock.now(),
            "finished": None,
            "status": RUNNING,
            "summary": "",
            "error": "",
        }
        with self._database.write() as connection:
            key = connection.execute(RUN.insert(), row).inserted_primary_key
            assert key is not None
            return int(key[0])

    def identify(self, run_id: int, source_uuid: str, tenant_id: str) -> None:
        """Note source and tenant of a run once they are known."""
        with self._database.write() as connection:
            connection.execute(
                update(RUN).where(RUN.c.id == run_id).values(source_uuid=source_uuid, tenant_id=tenant_id)
            )

    def finish(self, run_id: int, status: str, summary: dict[str, Any], error: str = "") -> None:
        """End a run. `summary` is any JSON-like dictionary."""
        values = {"status": status, "summary": to_json(summary), "error": error, "finished": self._clock.now()}
        with self._database.write() as connection:
            connection.execute(update(RUN).where(RUN.c.id == run_id).values(values))

    def get(self, run_id: int) -> RunRecord:
        """Raises UsageError for a run that does not exist."""
        found = self._select(RUN.c.id == run_id, 1)
        if not found:
            raise UsageError(f"there is no run {run_id}", remedy="sds-daemon runs lists them")
        return found[0]

    def list(self, profile: str | None = None, limit: int = 20) -> RunRecords:
        """Newest first; of every profile where none is given."""
        return self._select(RUN.c.profile == profile if profile is not None else RUN.c.id > 0, limit)

    def last(self, profile: str, *, kind: str = "sync") -> RunRecord | None:
        """The newest run, running ones included."""
        return _first(self._select(and_(RUN.c.profile == profile, RUN.c.kind == kind), 1))

    def latest_start(self, profile: str, until: datetime) -> datetime | None:
        """The latest instant, not after `until`, at which a run of the profile began; not always the newest run's."""
        query = select(func.max(RUN.c.started)).where(RUN.c.profile == profile, RUN.c.started <= until)
        with self._database.read() as connection:
            found: datetime | None = connection.execute(query).scalar()
        return found

    def last_success(self, profile: str, *, kind: str = "sync") -> RunRecord | None:
        """The newest run that ended well, with or without issues."""
        succeeded = and_(RUN.c.profile == profile, RUN.c.kind == kind, RUN.c.status.in_(SUCCESSES))
        return _first(self._select(succeeded, 1))

    def mark_crashed(self, profile: str) -> Numbers:
        """Close runs that a process left open when it died. Call it holding the profile's lease."""
        open_runs = and_(RUN.c.profile == profile, RUN.c.status == RUNNING)
        ended = {
            "status": INTERRUPTED,
            "finished": self._clock.now(),
            "error": "the process ended before the run did",
        }
        with self._database.write() as connection:
            ids = [int(run_id) for run_id in connection.scalars(select(RUN.c.id).where(open_runs))]
            if ids:
                connection.execute(update(RUN).where(RUN.c.id.in_(ids)).values(ended))
        return ids

    def record_plan(self, run_id: int, items: Iterable[Change | Withheld], state: str = "planned") -> int:
        """Store changes as planned, skipped or held; `Withheld` brings its reason along. Returns how many."""
        with self._database.write() as connection:
            return run_many(connection, upsert(CHANGE), (_plan_row(run_id, item, state) for item in items))

    def intend(self, run_id: int, changes: Sequence[Change]) -> None:
        """Mark changes as about to be sent; those unknown so far are stored.

        The first intention's time is kept, a school's last.

        When this returns, the intention survives the process (not a power failure of the machine: the anchors in the
        directory cover that case).
        """
        now = self._clock.now()
        with self._database.write() as connection:
            rows = [{**key, "now": now} for key in _keys(run_id, changes)]
            if run_many(connection, _INTENDED, rows) < len(changes):
                run_many(connection, insert_new(CHANGE), (change_row(run_id, change, "planned") for change in changes))
                run_many(connection, _INTENDED, rows)

    def settle(self, run_id: int, outcomes: Sequence[Outcome]) -> None:
        """Store what became of changes; those unknown so far are stored too."""
        now = self._clock.now()
        alike: dict[tuple[Any, ...], list[Change]] = {}
        for outcome in outcomes:
            alike.setdefault(_what_became(outcome), []).append(outcome.change)
        rows = [
            {**key, **dict(zip(_BECAME, became, strict=True)), "now": now}
            for became, changes in alike.items()
            for key in _keys(run_id, changes)
        ]
        with self._database.write() as connection:
            if run_many(connection, _SETTLED, rows) < len(outcomes):
                blank = (change_row(run_id, outcome.change, "planned") for outcome in outcomes)
                run_many(connection, insert_new(CHANGE), blank)
                run_many(connection, _SETTLED, rows)

    def put_off(self, run_id: int, detail: str) -> int:
        """Whatever of a run is planned or sent and has no outcome is deferred; how many changes that were."""
        open_changes = and_(CHANGE.c.run_id == run_id, CHANGE.c.state.in_(("planned", "intended")))
        values = {
            "state": Result.DEFERRED.value,
            "detail": detail,
            "code": "",
            "status": 0,
            "object_id": None,
            "settled_at": self._clock.now(),
        }
        with self._database.write() as connection:
            return connection.execute(update(CHANGE).where(open_changes).values(values)).rowcount

    def unsettled(self, profile: str) -> Intentions:
        """Creates whose answer was never recorded, with the time of the first intention (schools: the last).

        Each is given once, as its newest run had it, however many runs sent it.
        """
        with self._database.read() as connection:
            rows = connection.execute(_open_creates(profile).order_by(CHANGE.c.run_id)).mappings().all()
        found: dict[tuple[ChangeKind, Ref, Ref | None], tuple[Change, datetime]] = {}
        for row in rows:
            change = change_of(row)
            _, since = found.get(change.key, (change, row["intended_at"]))
            choose = max if change.kind is ChangeKind.CREATE_SCHOOL else min
            found[change.key] = (change, choose(since, row["intended_at"]))
        return list(found.values())

    def forget_unsettled(self, profile: str, changes: Sequence[Change]) -> None:
        """The fate of these creates is known now; `unsettled` names them no more."""
        now = self._clock.now()
        with self._database.write() as connection:
            runs = {int(row["run_id"]) for row in connection.execute(_open_creates(profile)).mappings()}
            rows = ({**key, "now": now} for run_id in sorted(runs) for key in _keys(run_id, changes))
            run_many(connection, _FORGOTTEN, rows)

    def sent_creates(self, profile: str, refs: Collection[Ref]) -> set[Ref]:
        """Those of the records for which a run of the profile has ever sent the request that makes their object.

        Whatever became of it: the answer may have been lost, and the object invisible when it was looked up.
        """
        runs = select(RUN.c.id).where(RUN.c.profile == profile)
        query = (
            select(CHANGE.c.subject_kind, CHANGE.c.subject_id)
            .where(CHANGE.c.run_id.in_(runs), CHANGE.c.kind.in_(_CREATES), CHANGE.c.intended_at.is_not(None))
            .distinct()
        )
        with self._database.read() as connection:
            rows = by_chunks(
                (ref.sis_id for ref in refs),
                lambda part: connection.execute(query.where(CHANGE.c.subject_id.in_(part))),
            )
            return {Ref(RecordKind(kind), sis_id) for kind, sis_id in rows} & set(refs)

    def changes(self, run_id: int, states: Collection[str] | None = None) -> Iterator[ChangeRecord]:
        """The changes of a run in the order of their keys, streamed. `states`: only these."""
        query = select(CHANGE).where(CHANGE.c.run_id == run_id).order_by(*(CHANGE.c[name] for name in KEY))
        if states is not None:
            query = query.where(CHANGE.c.state.in_(list(states)))
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=1000).execute(query).mappings():
                yield _change_record(row)

    def about(self, profile: str, ref: Ref, limit: int = 500) -> StoredChanges:
        """Changes of a profile's runs that write a record or put it in or out of something, newest run first.

        Looks through all changes kept (a second for a million): for a person's question, not for a cycle.
        """
        kind, sis_id = ref.kind.value, ref.sis_id
        subject = and_(CHANGE.c.subject_kind == kind, CHANGE.c.subject_id == sis_id)
        member = and_(CHANGE.c.member_kind == kind, CHANGE.c.member_id == sis_id)
        runs = select(RUN.c.id).where(RUN.c.profile == profile, RUN.c.kind != "preview")
        order = (CHANGE.c.run_id.desc(), *(CHANGE.c[name] for name in KEY[1:]))
        query = select(CHANGE).where(or_(subject, member), CHANGE.c.run_id.in_(runs)).order_by(*order).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [StoredChange(int(row["run_id"]), _change_record(row)) for row in rows]

    def later_updates(self, run_id: int) -> Iterator[Change]:
        """Updates that runs of the same profile have carried out since, streamed."""
        profile = select(RUN.c.profile).where(RUN.c.id == run_id).scalar_subquery()
        later = select(RUN.c.id).where(RUN.c.id > run_id, RUN.c.profile == profile)
        query = select(CHANGE).where(
            CHANGE.c.run_id.in_(later), CHANGE.c.kind.in_(UPDATE_KINDS), CHANGE.c.state == "done"
        )
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=1000).execute(query).mappings():
                yield change_of(row)

    def counts(self, run_id: int) -> dict[str, dict[str, int]]:
        """Changes of a run by state and kind."""
        query = (
            select(CHANGE.c.state, CHANGE.c.kind, func.count())
            .where(CHANGE.c.run_id == run_id)
            .group_by(CHANGE.c.state, CHANGE.c.kind)
        )
        counted: dict[str, dict[str, int]] = {}
        with self._database.read() as connection:
            for state, kind, number in connection.execute(query):
                counted.setdefault(state, {})[kind] = number
        return counted

    def prune(self, keep_days: int) -> int:
        """Delete runs that ended longer ago, with their changes; how many.

        Kept in any case: each profile's last run and last success, and runs with creates of unknown outcome.
        """
        cutoff = self._clock.now() - timedelta(days=keep_days)
        old = select(RUN.c.id).where(RUN.c.finished < cutoff).order_by(RUN.c.id)
        with self._database.read() as connection:
            kept = _protected(connection)
            doomed = [int(run_id) for run_id in connection.scalars(old) if run_id not in kept]
        for run_id in doomed:  # one transaction each: a first sync has more than a million changes
            with self._database.write() as connection:
                connection.execute(delete(CHANGE).where(CHANGE.c.run_id == run_id))
                connection.execute(delete(RUN).where(RUN.c.id == run_id))
        return len(doomed)

    def _select(self, condition: Any, limit: int) -> RunRecords:
        query = select(RUN).where(condition).order_by(RUN.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            return [_run_record(row) for row in connection.execute(query)]


def _first(records: list[RunRecord]) -> RunRecord | None:
    return records[0] if records else None


def _open_creates(profile: str) -> Any:
    return select(CHANGE).where(OPEN_CREATES, CHANGE.c.run_id.in_(select(RUN.c.id).where(RUN.c.profile == profile)))


def _protected(connection: Connection) -> set[int]:
    """Runs that cleaning up must leave."""
    latest = select(func.max(RUN.c.id)).group_by(RUN.c.profile, RUN.c.kind)
    ended_well = latest.where(RUN.c.status.in_(SUCCESSES))
    unknown = select(CHANGE.c.run_id).where(OPEN_CREATES)
    return {int(number) for query in (latest, ended_well, unknown) for number in connection.scalars(query)}


def _keys(run_id: int, changes: Iterable[Change]) -> Iterator[dict[str, Any]]:
    """The keys of changes of a run, those that differ in the member alone together; an absent member is the empty
    text."""
    together: dict[tuple[ChangeKind, Ref, RecordKind | None], list[str]] = {}
    for change in changes:
        member = change.member
        key = (change.kind, change.subject, member.kind if member else None)
        together.setdefault(key, []).append(member.sis_id if member else "")
    for (kind, subject, member_kind), ids in together.items():
        yield {
            "key_run_id": run_id,
            "key_kind": kind.value,
            "key_subject_kind": subject.kind.value,
            "key_subject_id": subject.sis_id,
            "key_member_kind": member_kind.value if member_kind else "",
            "key_member_ids": to_json(ids),
        }


def _plan_row(run_id: int, item: Change | Withheld, state: str) -> dict[str, Any]:
    if isinstance(item, Change):
        return change_row(run_id, item, state)
    return change_row(run_id, item.change, state) | {"withheld": item.reason.name, "detail": item.detail}


_BECAME = ("new_state", "new_detail", "new_code", "new_status", "new_object_id")


def _what_became(outcome: Outcome) -> tuple[Any, ...]:
    return outcome.result.value, outcome.detail, outcome.code, outcome.status, outcome.object_id


def _run_record(row: Row[Any]) -> RunRecord:
    return RunRecord(
        id=row.id,
        profile=row.profile,
        kind=row.kind,
        started=row.started,
        finished=row.finished,
        status=row.status,
        summary=from_json(row.summary),
        error=row.error,
        source_uuid=row.source_uuid,
        tenant_id=row.tenant_id,
    )


def _change_record(row: Any) -> ChangeRecord:
    return ChangeRecord(
        change=change_of(row),
        state=row["state"],
        withheld=reason_of(row["withheld"]),
        detail=row["detail"],
        code=row["code"],
        status=row["status"],
        object_id=row["object_id"],
        intended_at=row["intended_at"],
        settled_at=row["settled_at"],
    )
