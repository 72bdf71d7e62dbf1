"""The ledger of a run: what is put off, in one statement or row by row."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sds_daemon.clock import FixedClock
from sds_daemon.plan.change import Change, ChangeKind, Result
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Store
from sds_daemon.sync.known import Known
from sds_daemon.sync.ledger import RunLedger
from sds_daemon.sync.world import IssueList

CHANGES = [Change(kind=ChangeKind.UPDATE_USER, subject=Ref(RecordKind.STUDENT, str(number))) for number in range(12)]


def ledger_of(store: Store, run: int, settled: list[int]) -> RunLedger:
    links = store.links("uuid", "tenant")
    return RunLedger(
        store=store,
        clock=FixedClock(datetime(2026, 9, 1, tzinfo=UTC)),
        run_id=run,
        profile="north",
        links=links,
        memberships=store.memberships("uuid", "tenant"),
        directory=store.directory("tenant"),
        known=Known(links.heads()),
        issues=IssueList(),
        licensed_kinds=frozenset(),
        passwords=None,
        on_settled=settled.append,
    )


@pytest.mark.parametrize("recorded", [12, 5], ids=["as planned", "not all on record"])
def test_what_is_put_off_is_counted_and_recorded(tmp_path: Path, recorded: int) -> None:
    with Store.open(tmp_path / "state.db", FixedClock(datetime(2026, 9, 1, tzinfo=UTC))) as store:
        run, settled = store.runs.begin("north"), []
        store.runs.record_plan(run, CHANGES[:recorded])
        ledger = ledger_of(store, run, settled)
        ledger.put_off(CHANGES, "the run ended before its turn")
        assert ledger.unapplied == {Result.DEFERRED: 12}
        assert settled == [12]
        found = list(store.runs.changes(run))
        assert {record.change.subject for record in found} == {change.subject for change in CHANGES}
        assert {(record.state, record.detail) for record in found} == {("deferred", "the run ended before its turn")}
