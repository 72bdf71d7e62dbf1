"""Held sets: one number for the same changes, and decisions that stick to exactly these."""

from __future__ import annotations

import msgspec
import pytest
from store_samples import create, enroll, section, student

from sds_daemon.errors import UsageError
from sds_daemon.plan.change import Change, ChangeKind, Reason, Withheld
from sds_daemon.store import Store


def held(*changes: Change, reason: Reason = Reason.LIMIT, detail: str = "") -> list[Withheld]:
    return [Withheld(change=change, reason=reason, detail=detail) for change in changes]


LEAVE = Change(kind=ChangeKind.REMOVE_MEMBER, subject=section(9), member=student(1))


def test_a_set_comes_back_whole(store: Store) -> None:
    withheld = held(LEAVE, create(student(2), grade="05"), detail="40 of 25 allowed")
    kept = store.held.put("north", 7, withheld)
    assert (kept.state, kept.run_id, kept.changes) == ("waiting", 7, withheld)
    assert store.held.current("north") == kept
    assert store.held.by_run(7) == kept
    assert store.held.get(kept.number) == kept
    assert store.held.current("south") is None


def test_the_same_changes_keep_their_number_whatever_the_order_and_reason(store: Store) -> None:
    first = store.held.put("north", 7, held(LEAVE, create(student(2))))
    again = store.held.put("north", 8, held(create(student(2)), LEAVE, reason=Reason.UNPROVED, detail="other words"))
    assert (again.number, again.checksum, again.created) == (first.number, first.checksum, first.created)
    assert again.changes == first.changes
    for run in (7, 8):
        by_run = store.held.by_run(run)
        assert by_run is not None and by_run.number == first.number
    assert store.held.by_run(9) is None


@pytest.mark.parametrize(
    "other",
    [
        [LEAVE, create(student(2), grade="06")],
        [LEAVE],
        [LEAVE, create(student(3), grade="05")],
        [enroll(student(1), section(9)), create(student(2), grade="05")],
        [LEAVE, create(student(2), grade="05"), create(student(4))],
    ],
)
def test_any_other_set_replaces_it_under_a_new_number(store: Store, other: list[Change]) -> None:
    first = store.held.put("north", 7, held(LEAVE, create(student(2), grade="05")))
    second = store.held.put("north", 8, held(*other))
    assert second.number != first.number
    assert store.held.get(first.number).state == "replaced"
    assert store.held.current("north") == second
    with pytest.raises(UsageError, match="no longer current"):
        store.held.approve(first.number)


def test_an_approval_sticks_to_the_set_and_ends_with_it(store: Store) -> None:
    first = store.held.put("north", 7, held(LEAVE))
    assert store.held.approve(first.number).state == "approved"
    assert store.held.put("north", 8, held(LEAVE)).state == "approved"
    assert store.held.put("north", 9, held(LEAVE, create(student(2)))).state == "waiting"


def test_a_rejected_set_stays_rejected_while_it_is_the_same(store: Store) -> None:
    first = store.held.put("north", 7, held(LEAVE))
    store.held.reject(first.number)
    assert store.held.put("north", 8, held(LEAVE)).state == "rejected"
    assert store.held.approve(first.number).state == "approved"


def test_clearing_ends_the_current_set_of_that_profile_alone(store: Store) -> None:
    north, south = store.held.put("north", 7, held(LEAVE)), store.held.put("south", 8, held(LEAVE))
    store.held.clear("north")
    assert store.held.current("north") is None
    assert store.held.get(north.number).state == "cleared"
    assert store.held.current("south") == south
    assert store.held.put("north", 9, held(LEAVE)).number not in {north.number, south.number}


def test_unknown_numbers_and_empty_sets_are_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="no held set 12"):
        store.held.reject(12)
    with pytest.raises(ValueError, match="empty"):
        store.held.put("north", 7, [])


def test_a_set_that_would_take_over_another_object_is_another_set(store: Store) -> None:
    """The one that was looked at was deleted, and a stranger's group got its name."""
    adoption = Change(kind=ChangeKind.ADOPT_CLASS, subject=section(9), values={"display_name": "B"}, object_id="theirs")
    first = store.held.put("north", 7, held(adoption))
    store.held.approve(first.number)
    other = msgspec.structs.replace(adoption, object_id="a stranger's")
    assert store.held.put("north", 8, held(other)).state == "waiting"


def test_approving_once_more_what_was_cut_off_carries_on_with_the_rest(store: Store) -> None:
    first = store.held.put("north", 7, held(LEAVE, create(student(2))))
    store.held.approve(first.number)
    store.held.begin(first.number)
    store.held.approve(first.number)
    rest = store.held.put("north", 8, held(LEAVE))
    assert (rest.number, rest.state) == (first.number, "applying")


def test_rejecting_what_was_cut_off_rejects_the_rest_and_that_alone(store: Store) -> None:
    first = store.held.put("north", 7, held(LEAVE, create(student(2)), create(student(3))))
    store.held.approve(first.number)
    store.held.begin(first.number)
    assert store.held.reject(first.number).state == "rest_rejected"
    rest = store.held.put("north", 8, held(LEAVE, create(student(3))))
    assert (rest.number, rest.state, len(rest.changes)) == (first.number, "rejected", 2)
    assert store.held.put("north", 9, held(LEAVE, create(student(3)))).number == first.number
    assert store.held.put("north", 9, held(LEAVE)).state == "waiting", "by then it is less than was rejected"


def test_what_was_cut_off_and_rejected_may_be_approved_after_all(store: Store) -> None:
    first = store.held.put("north", 7, held(LEAVE, create(student(2))))
    store.held.approve(first.number)
    store.held.begin(first.number)
    store.held.reject(first.number)
    assert store.held.approve(first.number).state == "applying"
    assert store.held.put("north", 8, held(LEAVE)).number == first.number
