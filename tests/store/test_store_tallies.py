"""How often parts of the record were changed: every write counts once, and only if a row was changed by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from store_samples import SOURCE, TENANT, link, section, student

from sds_daemon.clock import FixedClock
from sds_daemon.errors import StateError
from sds_daemon.store import Membership, Role, Store
from sds_daemon.targets.base import DirectorySchool, DirectoryUser, MembersSeen

ROW = Membership(section(9), student(7), Role.MEMBER)
SCHOOL = DirectorySchool(id="s-1", display_name="Hill")


def fill(store: Store) -> None:
    """A class with one pupil, both linked, and a school."""
    store.links(SOURCE, TENANT).put([link(section(9), "g-9"), link(student(7), "u-7")])
    store.memberships(SOURCE, TENANT).add([ROW], 1)
    listed(store, SCHOOL)


def listed(store: Store, *schools: DirectorySchool) -> None:
    """The list of schools, read whole as every refresh does."""
    cache = store.directory(TENANT)
    cache.begin_full("schools")
    cache.put_schools(schools)
    cache.end("schools", None)


WRITES: dict[str, Callable[[Store], object]] = {
    "a link": lambda store: store.links(SOURCE, TENANT).put([link(student(8), "u-8")]),
    "a link dropped": lambda store: store.links(SOURCE, TENANT).drop(student(7)),
    "attributes written": lambda store: store.links(SOURCE, TENANT).write(student(7), {"grade": "05"}),
    "a reset": lambda store: store.links(SOURCE, TENANT).reset("north"),
    "a membership": lambda store: store.memberships(SOURCE, TENANT).remove([ROW]),
    "a user": lambda store: store.directory(TENANT).put_users([DirectoryUser(id="u-9", upn="x@example.org")]),
    "a user deleted": lambda store: store.directory(TENANT).forget("user", ["u-7"], purged=False),
    "a member seen absent": lambda store: store.directory(TENANT).observe_members(
        [MembersSeen(id="g-9", relation="members", complete=True)]
    ),
    "a school renamed": lambda store: listed(store, DirectorySchool(id="s-1", display_name="Dale")),
    "a school gone": lambda store: listed(store),
    "a restart": lambda store: store.directory(TENANT).restart(),
}

NOTHING: dict[str, Callable[[Store], object]] = {
    "the same schools": lambda store: listed(store, SCHOOL),
    "no rows": lambda store: store.links(SOURCE, TENANT).put([]),
    "a membership that is there": lambda store: store.memberships(SOURCE, TENANT).add([ROW], 2),
    "a membership that is not": lambda store: store.memberships(SOURCE, TENANT).remove(
        [Membership(section(9), student(8), Role.MEMBER)]
    ),
    "a delta link": lambda store: store.directory(TENANT).end("users", "https://graph.example/next"),
    "a member seen": lambda store: store.directory(TENANT).observe_members(
        [MembersSeen(id="g-9", relation="members", present=("u-7",), complete=True)]
    ),
    "another tenant's user": lambda store: store.directory("other").put_users(
        [DirectoryUser(id="u-9", upn="x@example.org")]
    ),
    "another source's link": lambda store: store.links("other", TENANT).put([link(student(8), "u-8")]),
    "a run": lambda store: store.runs.finish(store.runs.begin("north"), "success", {}),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_changes_a_row_is_counted(store: Store, write: Callable[[Store], object]) -> None:
    fill(store)
    before = store.tallies(SOURCE, TENANT)
    write(store)
    assert store.tallies(SOURCE, TENANT) != before


@pytest.mark.parametrize("write", NOTHING.values(), ids=NOTHING)
def test_what_changes_no_row_is_not_counted(store: Store, write: Callable[[Store], object]) -> None:
    fill(store)
    store.directory(TENANT).end("users", "https://graph.example/first")
    before = store.tallies(SOURCE, TENANT)
    write(store)
    assert store.tallies(SOURCE, TENANT) == before


def test_another_process_is_counted_too(store: Store, path: Path, clock: FixedClock) -> None:
    fill(store)
    before = store.tallies(SOURCE, TENANT)
    with Store.open(path, clock) as other:
        other.links(SOURCE, TENANT).put([link(student(8), "u-8")])
    assert store.tallies(SOURCE, TENANT) != before


def test_what_is_rolled_back_is_not_counted(store: Store) -> None:
    fill(store)
    before = store.tallies(SOURCE, TENANT)

    with pytest.raises(StateError, match="claim one account"):
        store.links(SOURCE, TENANT).put([link(student(8), "u-8"), link(student(9), "u-7")])
    assert store.tallies(SOURCE, TENANT) == before
