"""Drift: first and last seen, resolved where it was looked for."""

from __future__ import annotations

from datetime import timedelta

from store_samples import section, student

from sds_daemon.clock import FixedClock
from sds_daemon.plan.drift import Drift, DriftCode
from sds_daemon.store import Store

OUT = Drift(code=DriftCode.REMOVED, subject=section(1), member=student(1), name="member")
OTHER = Drift(code=DriftCode.REMOVED, subject=section(2), member=student(1), name="member")
GRADE = Drift(code=DriftCode.ATTRIBUTE, subject=student(1), name="grade", written="9", found="12")
REMOVED = {DriftCode.REMOVED}


def test_seen_again_it_keeps_its_first_day(store: Store, clock: FixedClock) -> None:
    first = clock.now()
    assert store.drift.record("north", [OUT], codes=REMOVED).new == [OUT]
    clock.advance(timedelta(days=1))
    report = store.drift.record("north", [OUT], codes=REMOVED)
    assert (report.new, report.resolved) == ([], [])
    (record,) = store.drift.open("north")
    assert (record.drift, record.first_seen, record.last_seen) == (OUT, first, clock.now())


def test_gone_where_it_was_looked_for_and_nowhere_else(store: Store) -> None:
    store.drift.record("north", [OUT, OTHER, GRADE], codes=())
    report = store.drift.record("north", [], codes=REMOVED, subjects={section(1)})
    assert report.resolved == [OUT]
    assert [record.drift for record in store.drift.open("north")] == [GRADE, OTHER]
    assert store.drift.record("north", [], codes=REMOVED).resolved == [OTHER]
    assert [record.drift for record in store.drift.open("north")] == [GRADE]


def test_come_back_it_is_new(store: Store, clock: FixedClock) -> None:
    store.drift.record("north", [OUT], codes=REMOVED)
    store.drift.record("north", [], codes=REMOVED)
    clock.advance(timedelta(days=1))
    assert store.drift.record("north", [OUT], codes=REMOVED).new == [OUT]
    (record,) = store.drift.open("north")
    assert record.first_seen == clock.now()
    assert record.resolved_at is None


def test_another_value_of_the_same_attribute_is_the_same_drift(store: Store) -> None:
    store.drift.record("north", [GRADE], codes=())
    other = Drift(code=DriftCode.ATTRIBUTE, subject=student(1), name="grade", written="9", found="11")
    assert store.drift.record("north", [other], codes=()).new == []
    assert [record.drift.found for record in store.drift.open("north")] == ["11"]


def test_profiles_are_apart(store: Store) -> None:
    store.drift.record("north", [OUT], codes=REMOVED)
    assert store.drift.record("south", [], codes=REMOVED).resolved == []
    assert store.drift.open("south") == []
    assert len(store.drift.export()) == 1


def test_old_and_gone_is_cleaned_up(store: Store, clock: FixedClock) -> None:
    store.drift.record("north", [OUT, OTHER], codes=REMOVED)
    store.drift.record("north", [OTHER], codes=REMOVED)
    clock.advance(timedelta(days=91))
    assert store.drift.prune(90) == 1
    assert [record.drift for record in store.drift.export("north")] == [OTHER]
