"""Issues over time, states of profiles, baselines."""

from __future__ import annotations

from datetime import timedelta

from store_samples import student, teacher

from sds_daemon.clock import FixedClock
from sds_daemon.plan.issues import Issue, IssueCode, Severity
from sds_daemon.roster.proof import Resource
from sds_daemon.store import Baseline, ProfileState, Store

UNMATCHED = Issue(ref=student(1), code=IssueCode.UNMATCHED, detail="no account", joining_value="s1@example.org")
NO_SEAT = Issue(ref=student(1), code=IssueCode.NO_SEAT, detail="no seat", severity=Severity.NOTE, count=3)
CONFLICT = Issue(ref=teacher(1), code=IssueCode.ROLE_CONFLICT, detail="also a student")


def test_issues_are_new_once_and_keep_when_they_were_first_seen(store: Store, clock: FixedClock) -> None:
    first = clock.now()
    assert store.issues.record("north", 1, [UNMATCHED, NO_SEAT]).new == [UNMATCHED, NO_SEAT]
    clock.advance(timedelta(hours=1))
    report = store.issues.record("north", 2, [UNMATCHED, NO_SEAT, CONFLICT])
    assert (report.new, report.resolved) == ([CONFLICT], [])
    records = {record.issue.key: record for record in store.issues.open("north")}
    assert records[UNMATCHED.key].issue == UNMATCHED
    assert records[NO_SEAT.key].issue == NO_SEAT
    assert (records[UNMATCHED.key].first_seen, records[UNMATCHED.key].last_seen) == (first, clock.now())
    assert records[CONFLICT.key].first_seen == clock.now()
    assert {record.run_id for record in records.values()} == {2}


def test_issues_resolve_by_themselves_and_are_kept(store: Store, clock: FixedClock) -> None:
    store.issues.record("north", 1, [UNMATCHED, CONFLICT])
    seen = clock.now()
    clock.advance(timedelta(hours=1))
    report = store.issues.record("north", 2, [CONFLICT])
    assert (report.new, report.resolved) == ([], [UNMATCHED])
    assert [record.issue for record in store.issues.open("north")] == [CONFLICT]
    kept = {record.issue.key: record for record in store.issues.export("north")}
    assert kept[UNMATCHED.key].resolved_at == clock.now()
    assert kept[UNMATCHED.key].last_seen == seen
    assert store.issues.record("north", 3, [CONFLICT]).resolved == []


def test_an_issue_that_returns_is_new_again(store: Store, clock: FixedClock) -> None:
    store.issues.record("north", 1, [UNMATCHED])
    store.issues.record("north", 2, [])
    clock.advance(timedelta(days=1))
    assert store.issues.record("north", 3, [UNMATCHED]).new == [UNMATCHED]
    (record,) = store.issues.open("north")
    assert (record.first_seen, record.resolved_at) == (clock.now(), None)


def test_details_follow_the_last_run(store: Store) -> None:
    store.issues.record("north", 1, [UNMATCHED])
    moved = Issue(ref=UNMATCHED.ref, code=UNMATCHED.code, detail="still none", count=9)
    assert store.issues.record("north", 2, [moved]).new == []
    assert [record.issue for record in store.issues.open("north")] == [moved]


def test_profiles_have_issues_of_their_own(store: Store) -> None:
    store.issues.record("north", 1, [UNMATCHED])
    store.issues.record("south", 2, [])
    assert store.issues.counts("north") == {IssueCode.UNMATCHED: 1}
    assert store.issues.counts("south") == {}
    assert len(list(store.issues.export())) == 1


def test_resolved_issues_are_cleaned_up_in_time(store: Store, clock: FixedClock) -> None:
    store.issues.record("north", 1, [UNMATCHED, CONFLICT])
    store.issues.record("north", 2, [CONFLICT])
    clock.advance(timedelta(days=31))
    assert store.issues.prune(keep_days=30) == 1
    assert [record.issue for record in store.issues.export()] == [CONFLICT]


def test_pauses_grow_and_end_in_quarantine(store: Store, clock: FixedClock) -> None:
    began = clock.now()
    states = []
    for _ in range(15):
        states.append(store.profiles.failed("north", "the server is down"))
        clock.advance(timedelta(seconds=1))
    pauses = [state.next_attempt - began - timedelta(seconds=n) for n, state in enumerate(states) if state.next_attempt]
    minutes = [pause.total_seconds() / 60 for pause in pauses]
    assert minutes == [1, 2, 4, 8, 16, 32, 60, 60, 60, 120, 240, 480, 960, 1440, 1440]
    assert [state.state for state in states] == ["failing"] * 9 + ["quarantined"] * 6
    assert states[8].since == began
    assert states[10].since == states[9].since
    assert store.profiles.state("north") == states[-1]


def test_a_success_ends_failures_and_quarantine(store: Store, clock: FixedClock) -> None:
    store.profiles.quarantine("north", "too many issues")
    assert store.profiles.state("north").state == "quarantined"
    assert store.profiles.failed("north", "again").state == "quarantined", "a failure does not end a quarantine"
    after = store.profiles.succeeded("north")
    assert (after.state, after.failures, after.next_attempt, after.since) == ("healthy", 0, None, clock.now())
    clock.advance(timedelta(hours=1))
    assert store.profiles.succeeded("north") == after, "a state that lasts keeps its beginning"


def test_release_by_hand_and_unknown_profiles(store: Store) -> None:
    store.profiles.failed("north", "x")
    assert store.profiles.release("north").state == "healthy"
    assert store.profiles.state("nowhere") == ProfileState()


def test_baselines_are_replaced_whole(store: Store) -> None:
    assert store.baselines.get("north") is None
    first = Baseline(
        school_year=2026, source_uuid="uuid", rows={(Resource.STUDENTS, "1"): 500, (Resource.SCHOOLS, None): 2}
    )
    store.baselines.accept("north", first)
    assert store.baselines.get("north") == first
    second = Baseline(school_year=2027, rows={(Resource.STUDENTS, "01"): 3}, named={"North High": "01"})
    store.baselines.accept("north", second)
    assert store.baselines.get("north") == second
    assert store.baselines.get("south") is None
    store.baselines.forget("north")
    assert store.baselines.get("north") is None


def test_a_pause_is_a_persons_and_stays_whatever_happens(store: Store, clock: FixedClock) -> None:
    assert store.profiles.pause("north", "run 4 was taken back"), "it is paused only now"
    began = clock.now()
    assert store.profiles.state("north").paused_since == began
    store.profiles.failed("north", "the server is down")
    store.profiles.succeeded("north")
    store.profiles.release("north")
    clock.advance(timedelta(hours=1))
    assert not store.profiles.pause("north", "run 5 was taken back")
    again = store.profiles.state("north")
    assert (again.pause_reason, again.paused_since) == ("run 4 was taken back", began)


def test_why_a_profile_is_paused_may_be_said_anew_while_it_is(store: Store, clock: FixedClock) -> None:
    store.profiles.pause("north", "run 4 is being taken back")
    began = clock.now()
    clock.advance(timedelta(hours=1))
    store.profiles.restate_pause("north", "run 4 was taken back")
    again = store.profiles.state("north")
    assert (again.pause_reason, again.paused_since) == ("run 4 was taken back", began)
    store.profiles.resume("north")
    store.profiles.restate_pause("north", "run 4 was taken back")
    assert not store.profiles.state("north").paused


def test_resuming_leaves_failures_as_they_are(store: Store) -> None:
    store.profiles.failed("north", "the server is down")
    store.profiles.pause("north", "run 4 was taken back")
    resumed = store.profiles.resume("north")
    assert (resumed.paused, resumed.pause_reason, resumed.failures) == (False, "", 1)
    assert store.profiles.state("north") == resumed
    assert not store.profiles.resume("south").paused
