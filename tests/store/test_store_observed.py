"""Managed memberships seen absent, and seen again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest
from store_samples import SOURCE, TENANT, link, school, section, student, teacher

from sds_daemon.clock import FixedClock
from sds_daemon.roster.records import Ref
from sds_daemon.store import Directory, Membership, Memberships, Role, Store
from sds_daemon.targets.base import MembersSeen

LAG = timedelta(minutes=15)
GROUP = "object-section-1"


def oid(ref: Ref) -> str:
    return f"object-{ref.kind}-{ref.sis_id}"


def ids(refs: Iterable[Ref]) -> tuple[str, ...]:
    return tuple(oid(ref) for ref in refs)


PUPILS = [student(n) for n in (1, 2, 3)]
ROWS = [
    *(Membership(section(1), pupil, Role.MEMBER) for pupil in PUPILS),
    Membership(section(1), teacher(1), Role.OWNER),
    Membership(section(1), teacher(1), Role.MEMBER),
    Membership(section(2), student(1), Role.MEMBER),
    Membership(school(4), student(1), Role.SCHOOL_USER),
    Membership(school(4), section(1), Role.SCHOOL_CLASS),
]


def finished_run(store: Store, clock: FixedClock) -> int:
    run = store.runs.begin("north", SOURCE, TENANT)
    store.runs.finish(run, "success", {})
    return run


@pytest.fixture
def rows(store: Store, clock: FixedClock) -> Memberships:
    """Two classes and a school, filled long ago."""
    store.links(SOURCE, TENANT).put(
        link(ref) for ref in (*PUPILS, teacher(1), section(1), section(2), school(4), student(9))
    )
    found = store.memberships(SOURCE, TENANT)
    found.add(ROWS, finished_run(store, clock))
    clock.advance(timedelta(hours=1))
    return found


@pytest.fixture
def cache(store: Store) -> Directory:
    return store.directory(TENANT, lag=LAG)


def absent(rows: Memberships, clock: FixedClock) -> set[Membership]:
    return set(rows.absent("north", clock.now()))


def test_what_is_said_to_be_removed_is_absent_until_it_is_back(
    rows: Memberships, cache: Directory, clock: FixedClock
) -> None:
    cache.observe_members([MembersSeen(id=GROUP, relation="members", removed=ids(PUPILS[:1]))])
    assert rows.absent("north", clock.now()) == {ROWS[0]: clock.now()}
    clock.advance(timedelta(hours=1))
    cache.observe_members([MembersSeen(id=GROUP, relation="members", removed=ids(PUPILS[:1]))])
    assert rows.absent("north", clock.now()) == {ROWS[0]: clock.now() - timedelta(hours=1)}, "the first sight counts"
    assert rows.of(section(1)) == {(row.role, row.member) for row in ROWS[:5]}, "it is managed all the same"
    cache.observe_members([MembersSeen(id=GROUP, relation="members", present=ids(PUPILS[:2]))])
    assert absent(rows, clock) == set()


def test_roles_and_classes_are_apart(rows: Memberships, cache: Directory, clock: FixedClock) -> None:
    cache.observe_members([MembersSeen(id=GROUP, relation="owners", removed=ids([teacher(1), student(1)]))])
    assert absent(rows, clock) == {ROWS[3]}


def test_a_later_word_of_the_same_page_wins(rows: Memberships, cache: Directory, clock: FixedClock) -> None:
    gone = MembersSeen(id=GROUP, relation="members", removed=ids(PUPILS[:1]))
    back = MembersSeen(id=GROUP, relation="members", present=ids(PUPILS[:1]))
    cache.observe_members([gone, back])
    assert absent(rows, clock) == set()
    cache.observe_members([back, gone])
    assert absent(rows, clock) == {ROWS[0]}


def test_strangers_and_unknown_groups_are_nobody(rows: Memberships, cache: Directory, clock: FixedClock) -> None:
    cache.observe_members(
        [
            MembersSeen(id="club", relation="members", removed=ids(PUPILS)),
            MembersSeen(id=GROUP, relation="members", removed=("visitor", oid(student(9)))),
        ]
    )
    assert absent(rows, clock) == set()


def test_another_tenants_objects_are_not_ours(rows: Memberships, store: Store, clock: FixedClock) -> None:
    store.directory("other").observe_members([MembersSeen(id=GROUP, relation="members", removed=ids(PUPILS))])
    assert absent(rows, clock) == set()


def test_a_complete_list_speaks_by_silence(rows: Memberships, cache: Directory, clock: FixedClock) -> None:
    cache.observe_members([MembersSeen(id=GROUP, relation="members", present=ids(PUPILS[1:]), complete=True)])
    assert absent(rows, clock) == {ROWS[0], ROWS[4]}
    everyone = ids([*PUPILS, teacher(1)])
    cache.observe_members([MembersSeen(id=GROUP, relation="members", present=everyone, complete=True)])
    assert absent(rows, clock) == set()


def test_schools_hold_people_and_classes(rows: Memberships, cache: Directory, clock: FixedClock) -> None:
    there = ids([section(1)])
    cache.observe_members(
        MembersSeen(id=oid(school(4)), relation=relation, present=there, complete=True)
        for relation in ("users", "classes")
    )
    assert absent(rows, clock) == {ROWS[6]}


def test_a_full_read_speaks_by_silence_once_it_is_whole(rows: Memberships, cache: Directory, clock: FixedClock) -> None:
    """A large group comes in several rows and pages; only the end tells who is missing."""
    cache.begin_full("groups")
    cache.observe_members([MembersSeen(id=GROUP, relation="members", present=ids(PUPILS[:1]))])
    cache.observe_members([MembersSeen(id=GROUP, relation="members", present=ids(PUPILS[1:2]))])
    assert absent(rows, clock) == set()
    cache.observe_members([MembersSeen(id=GROUP, relation="owners", present=ids([teacher(1)]))])
    cache.end("groups", "delta")
    assert absent(rows, clock) == {ROWS[2], ROWS[4]}, "class 2 was not in the read: it is deleted, not emptied"


def test_a_full_read_does_not_miss_who_was_linked_while_it_ran(
    rows: Memberships, cache: Directory, store: Store, clock: FixedClock
) -> None:
    """Another profile makes an account and puts it into a class between two pages of the read."""
    cache.begin_full("groups")
    cache.observe_members([MembersSeen(id="object-section-2", relation="members", present=ids([student(1)]))])
    store.links(SOURCE, TENANT).put([link(student(77))])
    rows.add([Membership(section(1), student(77), Role.MEMBER)], finished_run(store, clock))
    cache.observe_members(
        [
            MembersSeen(id=GROUP, relation="members", present=ids([*PUPILS, teacher(1), student(77)])),
            MembersSeen(id=GROUP, relation="owners", present=ids([teacher(1)])),
        ]
    )
    cache.end("groups", "delta")
    clock.advance(LAG + timedelta(minutes=1))
    assert absent(rows, clock) == set()


def test_a_member_shown_and_taken_back_in_one_full_read_is_out(
    rows: Memberships, cache: Directory, clock: FixedClock
) -> None:
    """Delta pages repeat themselves; a later row wins."""
    cache.begin_full("groups")
    cache.observe_members(
        [
            MembersSeen(id=GROUP, relation="members", present=ids([*PUPILS, teacher(1)])),
            MembersSeen(id=GROUP, relation="owners", present=ids([teacher(1)])),
        ]
    )
    cache.observe_members([MembersSeen(id=GROUP, relation="members", removed=ids(PUPILS[1:2]))])
    cache.end("groups", "delta")
    assert absent(rows, clock) == {ROWS[1]}


def test_a_full_read_broken_off_says_nothing(rows: Memberships, cache: Directory, clock: FixedClock) -> None:
    cache.begin_full("groups")
    cache.observe_members([MembersSeen(id=GROUP, relation="members", present=ids(PUPILS[:1]))])
    cache.begin_full("groups")
    everyone = ids([*PUPILS, teacher(1)])
    cache.observe_members([MembersSeen(id=GROUP, relation="members", present=everyone)])
    cache.observe_members([MembersSeen(id=GROUP, relation="owners", present=everyone)])
    cache.end("groups", "delta")
    assert absent(rows, clock) == set()


def test_what_was_written_a_moment_ago_is_not_judged_before_the_lag_is_over(
    rows: Memberships, cache: Directory, store: Store, clock: FixedClock
) -> None:
    rows.add([Membership(section(1), student(9), Role.MEMBER)], finished_run(store, clock))
    fresh = MembersSeen(id=GROUP, relation="members", present=ids([*PUPILS, teacher(1)]), complete=True)
    cache.observe_members([fresh])
    assert absent(rows, clock) == set()
    clock.advance(LAG)
    assert absent(rows, clock) == {Membership(section(1), student(9), Role.MEMBER)}


def test_what_was_written_a_moment_ago_and_shows_in_time_was_never_absent(
    rows: Memberships, cache: Directory, store: Store, clock: FixedClock
) -> None:
    rows.add([Membership(section(1), student(9), Role.MEMBER)], finished_run(store, clock))
    cache.observe_members([MembersSeen(id=GROUP, relation="members", removed=ids([student(9)]))])
    cache.observe_members([MembersSeen(id=GROUP, relation="members", present=ids([student(9)]))])
    clock.advance(timedelta(hours=1))
    assert absent(rows, clock) == set()


def test_written_again_it_is_present_and_of_that_run(
    rows: Memberships, cache: Directory, store: Store, clock: FixedClock
) -> None:
    cache.observe_members([MembersSeen(id=GROUP, relation="members", removed=ids(PUPILS[:1]))])
    run = finished_run(store, clock)
    assert rows.add(ROWS[:2], run) == 0
    assert absent(rows, clock) == set()
    assert rows.of_run(run) == {ROWS[0]}, "one that was there all along stays the earlier run's"


def test_absences_are_those_of_the_profile_that_owns_the_class(
    rows: Memberships, cache: Directory, clock: FixedClock
) -> None:
    cache.observe_members([MembersSeen(id=GROUP, relation="members", removed=ids(PUPILS))])
    assert rows.absent("south", clock.now()) == {}
    assert len(rows.absent("north", clock.now())) == 3


def test_more_members_than_one_query_takes(store: Store, cache: Directory, clock: FixedClock) -> None:
    many = [student(n) for n in range(1500)]
    store.links(SOURCE, TENANT).put([link(section(1)), *map(link, many)])
    rows = store.memberships(SOURCE, TENANT)
    rows.add((Membership(section(1), pupil, Role.MEMBER) for pupil in many), finished_run(store, clock))
    clock.advance(timedelta(hours=1))
    cache.observe_members([MembersSeen(id=GROUP, relation="members", present=ids(many[:-700]), complete=True)])
    assert len(absent(rows, clock)) == 700
