"""Runs and the fate of each change."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from store_samples import create, enroll, section, student

from sds_daemon.clock import FixedClock
from sds_daemon.errors import UsageError
from sds_daemon.plan.change import Change, ChangeKind, Outcome, Reason, Result, Withheld
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Store


def test_a_run_is_recorded_from_begin_to_finish(store: Store, clock: FixedClock) -> None:
    run = store.runs.begin("north", "uuid", "tenant")
    assert store.runs.get(run).status == "running"
    assert store.runs.get(run).finished is None
    clock.advance(timedelta(seconds=12))
    store.runs.finish(run, "success", {"applied": {"user.create": 3}})
    record = store.runs.get(run)
    assert (record.status, record.summary) == ("success", {"applied": {"user.create": 3}})
    assert record.finished is not None
    assert record.finished - record.started == timedelta(seconds=12)
    assert record.started.tzinfo is not None


def test_source_and_tenant_can_be_told_later(store: Store) -> None:
    run = store.runs.begin("north")
    store.runs.identify(run, "uuid", "tenant")
    assert (store.runs.get(run).source_uuid, store.runs.get(run).tenant_id) == ("uuid", "tenant")


def test_an_unknown_run_is_a_usage_error(store: Store) -> None:
    with pytest.raises(UsageError, match="no run 4711"):
        store.runs.get(4711)


def test_list_is_newest_first_and_by_profile(store: Store) -> None:
    north = [store.runs.begin("north") for _ in range(3)]
    south = store.runs.begin("south")
    assert [run.id for run in store.runs.list()] == [south, *reversed(north)]
    assert [run.id for run in store.runs.list("north", limit=2)] == [north[2], north[1]]


def test_last_and_last_success_know_previews_from_syncs(store: Store) -> None:
    good = store.runs.begin("north")
    store.runs.finish(good, "success_with_issues", {})
    bad = store.runs.begin("north")
    store.runs.finish(bad, "failed", {}, "the server is down")
    preview = store.runs.begin("north", kind="preview")
    store.runs.finish(preview, "success", {})
    last, success = store.runs.last("north"), store.runs.last_success("north")
    assert last is not None and (last.id, last.error) == (bad, "the server is down")
    assert success is not None and success.id == good
    assert store.runs.last("south") is None


def test_runs_left_open_by_a_dead_process_are_closed(store: Store) -> None:
    dead = store.runs.begin("north")
    other = store.runs.begin("south")
    assert store.runs.mark_crashed("north") == [dead]
    assert store.runs.get(dead).status == "interrupted"
    assert store.runs.get(dead).finished is not None
    assert store.runs.get(other).status == "running"
    assert store.runs.mark_crashed("north") == []


def test_a_plan_comes_back_whole(store: Store) -> None:
    run = store.runs.begin("north")
    update = Change(
        kind=ChangeKind.UPDATE_USER,
        subject=student(1),
        values={"grade": "05"},
        before={"grade": "04"},
        reason=Reason.CHANGED,
    )
    adopt = Change(kind=ChangeKind.ADOPT_CLASS, subject=section(9), object_id="g-9", reason=Reason.ADOPTABLE)
    leave = Change(kind=ChangeKind.REMOVE_MEMBER, subject=section(9), member=student(1), reason=Reason.LEFT_SECTION)
    store.runs.record_plan(run, [update])
    store.runs.record_plan(run, [Withheld(change=leave, reason=Reason.POLICY_KEEPS, detail="sds")], "skipped")
    store.runs.record_plan(run, [Withheld(change=adopt, reason=Reason.NEEDS_APPROVAL)], "held")
    records = {record.state: record for record in store.runs.changes(run)}
    assert records["planned"].change == update
    assert records["planned"].withheld is None
    assert records["skipped"].change == leave
    assert (records["skipped"].withheld, records["skipped"].detail) == (Reason.POLICY_KEEPS, "sds")
    assert records["held"].change == adopt
    assert [record.state for record in store.runs.changes(run, ["held", "planned"])].count("skipped") == 0
    assert store.runs.counts(run)["held"] == {"class.adopt": 1}


def test_intention_then_outcome(store: Store, clock: FixedClock) -> None:
    run = store.runs.begin("north")
    change = create(student(1), first_name="Ada")
    store.runs.record_plan(run, [change])
    store.runs.intend(run, [change])
    sent = clock.now()
    assert store.runs.unsettled("north") == [(change, sent)]
    clock.advance(timedelta(seconds=3))
    store.runs.settle(run, [Outcome(change=change, result=Result.DONE, object_id="u-1", status=201)])
    assert store.runs.unsettled("north") == []
    (record,) = store.runs.changes(run)
    assert (record.state, record.object_id, record.status) == ("done", "u-1", 201)
    assert record.change == change
    assert (record.intended_at, record.settled_at) == (sent, sent + timedelta(seconds=3))


def test_a_repeated_intention_keeps_the_time_of_the_first(store: Store, clock: FixedClock) -> None:
    run = store.runs.begin("north")
    first = clock.now()
    store.runs.intend(run, [create(student(1))])
    clock.advance(timedelta(minutes=1))
    store.runs.intend(run, [create(student(1))])
    assert [since for _, since in store.runs.unsettled("north")] == [first]


def test_settling_what_was_never_planned_stores_it(store: Store) -> None:
    run = store.runs.begin("north")
    store.runs.settle(
        run, [Outcome(change=enroll(student(1), section(9)), result=Result.DEPENDENT, detail="the student failed")]
    )
    (record,) = store.runs.changes(run)
    assert (record.state, record.detail, record.change.member) == ("dependent", "the student failed", student(1))


def test_putting_off_takes_what_has_no_outcome_and_nothing_else(store: Store, clock: FixedClock) -> None:
    run, other = store.runs.begin("north"), store.runs.begin("north")
    done, sent, planned, skipped = (create(student(str(number))) for number in range(4))
    store.runs.record_plan(run, [done, sent, planned])
    store.runs.record_plan(run, [skipped], "skipped")
    store.runs.record_plan(other, [planned])
    store.runs.intend(run, [done, sent])
    store.runs.settle(run, [Outcome(change=done, result=Result.DONE, object_id="o")])
    clock.advance(timedelta(seconds=5))
    assert store.runs.put_off(run, "the run ended before its turn") == 2
    found = {record.change.subject: record for record in store.runs.changes(run)}
    states = [found[each.subject].state for each in (done, sent, planned, skipped)]
    assert states == ["done", "deferred", "deferred", "skipped"]
    assert (found[planned.subject].detail, found[planned.subject].settled_at) == (
        "the run ended before its turn",
        clock.now(),
    )
    assert found[sent.subject].intended_at is not None
    assert [record.state for record in store.runs.changes(other)] == ["planned"]


def test_settling_keeps_why_the_change_was_planned(store: Store) -> None:
    run = store.runs.begin("north")
    change = Change(kind=ChangeKind.UPDATE_USER, subject=student(1), values={"a": "b"}, before={"a": "c"})
    store.runs.record_plan(run, [change])
    bare = Change(kind=ChangeKind.UPDATE_USER, subject=student(1))
    store.runs.settle(run, [Outcome(change=bare, result=Result.FAILED, code="RequestRefused", status=400)])
    (record,) = store.runs.changes(run)
    assert record.change.before == {"a": "c"}
    assert (record.state, record.code, record.status) == ("failed", "RequestRefused", 400)


def test_only_creates_are_unsettled_and_only_of_the_profile(store: Store) -> None:
    north, south = store.runs.begin("north"), store.runs.begin("south")
    made = Change(kind=ChangeKind.CREATE_CLASS, subject=section(9), values={"display_name": "Biology"})
    store.runs.intend(north, [made, enroll(student(1), section(9))])
    store.runs.intend(south, [create(student(2))])
    assert [change for change, _ in store.runs.unsettled("north")] == [made]


def test_a_create_sent_by_two_runs_is_named_once_with_the_first_time(store: Store, clock: FixedClock) -> None:
    first, began = store.runs.begin("north"), clock.now()
    store.runs.intend(first, [create(student(1), upn="old@example.org")])
    clock.advance(timedelta(hours=1))
    second = store.runs.begin("north")
    store.runs.intend(second, [create(student(1), upn="new@example.org")])
    assert store.runs.unsettled("north") == [(create(student(1), upn="new@example.org"), began)]
    store.runs.forget_unsettled("north", [create(student(1))])
    assert store.runs.unsettled("north") == []


def test_forgetting_leaves_other_creates_and_settled_ones(store: Store) -> None:
    run = store.runs.begin("north")
    store.runs.intend(run, [create(student(1)), create(student(2)), create(student(3))])
    store.runs.settle(run, [Outcome(change=create(student(3)), result=Result.DONE, object_id="u-3")])
    store.runs.forget_unsettled("north", [create(student(1)), create(student(3))])
    assert [change.subject for change, _ in store.runs.unsettled("north")] == [student(2)]
    assert {record.change.subject: record.state for record in store.runs.changes(run)} == {
        student(1): "forgotten",
        student(2): "intended",
        student(3): "done",
    }


def test_sis_ids_keep_their_zeros_and_kinds_apart(store: Store) -> None:
    run = store.runs.begin("north")
    store.runs.record_plan(run, [create(student("007")), create(student("7"))])
    assert sorted(record.change.subject.sis_id for record in store.runs.changes(run)) == ["007", "7"]


def test_cleaning_up_keeps_what_is_still_needed(store: Store, clock: FixedClock) -> None:
    success = store.runs.begin("north")
    store.runs.finish(success, "success", {})
    open_create = store.runs.begin("north")
    store.runs.intend(open_create, [create(student(1))])
    store.runs.mark_crashed("north")
    old = store.runs.begin("north")
    store.runs.record_plan(old, [create(student(2))])
    store.runs.finish(old, "failed", {})
    last = store.runs.begin("north")
    store.runs.finish(last, "failed", {})
    clock.advance(timedelta(days=31))
    assert store.runs.prune(keep_days=30) == 1
    assert {run.id for run in store.runs.list("north")} == {success, open_create, last}
    assert list(store.runs.changes(old)) == []
    assert store.runs.prune(keep_days=30) == 0


def test_recent_runs_stay_and_numbers_are_never_used_again(store: Store, clock: FixedClock) -> None:
    runs = [store.runs.begin("north") for _ in range(3)]
    for run in runs:
        store.runs.finish(run, "nothing_to_do", {})
    clock.advance(timedelta(days=29))
    assert store.runs.prune(keep_days=30) == 0
    clock.advance(timedelta(days=2))
    assert store.runs.prune(keep_days=30) == 2
    assert store.runs.begin("north") > runs[-1]


def test_instants_of_an_intention_are_stored_as_all_others(store: Store, path: Path) -> None:
    run = store.runs.begin("north")
    change, school = create(student(1)), Change(kind=ChangeKind.CREATE_SCHOOL, subject=Ref(RecordKind.SCHOOL, "1"))
    store.runs.intend(run, [change, school])
    store.runs.settle(run, [Outcome(change=change, result=Result.DONE), Outcome(change=school, result=Result.DONE)])
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT intended_at, settled_at FROM run_change").fetchall()
    assert rows == [("2026-09-01 07:30:00.000000",) * 2] * 2
