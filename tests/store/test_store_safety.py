"""What persons decided about limits and a source that shrank, and what was said of profiles."""

from __future__ import annotations

from datetime import timedelta

import pytest
from store_samples import create, section, student

from sds_daemon.clock import FixedClock
from sds_daemon.errors import UsageError
from sds_daemon.plan.change import Change, ChangeKind, Reason, Withheld
from sds_daemon.store import Store
from sds_daemon.store.held import difference


def leave(number: int) -> Withheld:
    change = Change(kind=ChangeKind.REMOVE_MEMBER, subject=section(9), member=student(number))
    return Withheld(change=change, reason=Reason.LIMIT)


def test_a_relaxation_expires_by_itself(store: Store, clock: FixedClock) -> None:
    assert store.relaxations.active("north") is None
    store.relaxations.put("north", clock.now() + timedelta(days=1), {"removal_percent": 40, "max_adds": None})
    found = store.relaxations.active("north")
    assert found is not None and found.limits == {"removal_percent": 40, "max_adds": None}
    assert store.relaxations.active("south") is None
    clock.advance(timedelta(days=1))
    assert store.relaxations.active("north") is None
    assert not store.relaxations.end("north")


def test_a_relaxation_is_ended_by_hand_and_replaced(store: Store, clock: FixedClock) -> None:
    store.relaxations.put("north", clock.now() + timedelta(days=9), {"removal_percent": 40})
    store.relaxations.put("north", clock.now() + timedelta(days=2), {"update_percent": 50})
    found = store.relaxations.active("north")
    assert found is not None and found.limits == {"update_percent": 50}
    assert store.relaxations.end("north")
    assert store.relaxations.active("north") is None


def test_any_stop_may_be_approved_until_a_snapshot_is_accepted(store: Store) -> None:
    store.source_stops.put("north", 3, {"students": 80}, [])
    store.source_stops.put("north", 4, {"students": 80}, ["2"])
    assert store.source_stops.approve(3).counts == {"students": 80}
    current = store.source_stops.current("north")
    assert current is not None and (current.run_id, current.state) == (3, "approved")
    store.source_stops.put("north", 5, {"students": 70}, [])
    current = store.source_stops.current("north")
    assert current is not None and (current.run_id, current.state) == (5, "waiting"), "the approval did not fit"
    with pytest.raises(UsageError, match="no longer current"):
        store.source_stops.approve(3)
    store.source_stops.end("north")
    assert store.source_stops.current("north") is None
    with pytest.raises(UsageError, match="no longer current"):
        store.source_stops.approve(5)


def test_what_is_left_of_a_set_being_applied_is_still_approved(store: Store) -> None:
    whole = store.held.put("north", 7, [leave(1), leave(2), leave(3)])
    store.held.approve(whole.number)
    store.held.begin(whole.number)
    rest = store.held.put("north", 8, [leave(3)])
    assert (rest.number, rest.state) == (whole.number, "applying")
    other = store.held.put("north", 9, [leave(3), leave(4)])
    assert (other.state, other.number != whole.number) == ("waiting", True)


def test_a_part_of_a_set_that_is_only_approved_is_another_set(store: Store) -> None:
    whole = store.held.put("north", 7, [leave(1), leave(2)])
    store.held.approve(whole.number)
    assert store.held.put("north", 8, [leave(1)]).state == "waiting"


def test_the_difference_of_two_sets(store: Store) -> None:
    made = Withheld(change=create(student(2), grade="05"), reason=Reason.LIMIT)
    changed = Withheld(change=create(student(2), grade="06"), reason=Reason.LIMIT)
    assert difference([leave(1), made], [leave(1), changed, leave(2)]) == ([changed, leave(2)], [made])
    assert difference([leave(1)], [leave(1)]) == ([], [])


def test_what_was_said_is_kept(store: Store) -> None:
    assert store.announcements.last("north") is None
    store.announcements.put("north", "error", None)
    store.announcements.put("north", "validationError", 7)
    said = store.announcements.last("north")
    assert said is not None and (said.status, said.held) == ("validationError", 7)
