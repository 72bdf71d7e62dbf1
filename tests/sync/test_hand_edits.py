"""Which missing memberships are remembered, which are forgotten, and what a plan makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from memory_directory import MemoryDirectory
from plan_rig import NOW, SOURCE, Book, District, House, Master, Pupil, Room, profile

from sds_daemon.clock import FixedClock
from sds_daemon.plan.change import ChangeKind, Reason
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Link, Membership, Role, Store
from sds_daemon.sync.gate import gate
from sds_daemon.sync.hand_edits import heed_hand_edits
from sds_daemon.sync.planner import make_changes
from sds_daemon.sync.world import World
from sds_daemon.targets.base import DirectoryUser, MembersSeen

TENANT = "tenant"
SCHOOL, OTHER = Ref(RecordKind.SCHOOL, "4"), Ref(RecordKind.SCHOOL, "5")
CLASS = Ref(RecordKind.SECTION, "1")
PUPIL, TEACHER, SECOND = Ref(RecordKind.STUDENT, "7"), Ref(RecordKind.TEACHER, "3"), Ref(RecordKind.TEACHER, "4")
IN_CLASS = Membership(CLASS, PUPIL, Role.MEMBER)
LEADS = Membership(CLASS, TEACHER, Role.OWNER)
AT_SCHOOL = Membership(SCHOOL, PUPIL, Role.SCHOOL_USER)


def room(**more: Any) -> Room:
    return Room(**{"id": "1", "school": "4", "students": ("7",), "teachers": ("3",), **more})


def district(one: Room | None = None, *, pupil: Pupil | None = None, house: House | None = None) -> District:
    return District(
        houses=(house or House(id="4"), House(id="5")),
        pupils=(pupil or Pupil(id="7", school="4"),),
        masters=(Master(id="3", schools=("4",)), Master(id="4", schools=("4",))),
        rooms=(room() if one is None else one,),
    )


def object_of(ref: Ref) -> str:
    return f"object of {ref}"


class Case:
    """A class, its school, a pupil and teachers, all written long ago; `without` says who was taken out by hand."""

    def __init__(self, store: Store, clock: FixedClock) -> None:
        self.store, self.clock = store, clock
        self.suspended: dict[str | None, str] = {}
        self.links = store.links(SOURCE, TENANT)
        self.memberships = store.memberships(SOURCE, TENANT)
        self.directory = store.directory(TENANT)
        known = {
            ref: Link(ref=ref, object_id=object_of(ref), profile="oak", created=True, rule="created", linked_at=NOW)
            for ref in (SCHOOL, OTHER, CLASS, PUPIL, TEACHER, SECOND)
        }
        self.book = Book()
        self.book.known = known
        self.links.put(known.values())
        run = store.runs.begin("oak", SOURCE, TENANT)
        self.rows = [
            IN_CLASS, LEADS, Membership(CLASS, TEACHER, Role.MEMBER), AT_SCHOOL,
            Membership(SCHOOL, TEACHER, Role.SCHOOL_USER), Membership(SCHOOL, SECOND, Role.SCHOOL_USER),
            Membership(SCHOOL, CLASS, Role.SCHOOL_CLASS),
        ]  # fmt: skip
        self.memberships.add(self.rows, run)
        store.runs.finish(run, "success", {})
        self.directory.put_users(DirectoryUser(id=object_of(ref), upn=str(ref)) for ref in (PUPIL, TEACHER, SECOND))
        clock.advance(timedelta(hours=1))

    def without(self, row: Membership) -> None:
        relation = {Role.MEMBER: "members", Role.OWNER: "owners", Role.SCHOOL_USER: "users"}[row.role]
        removed = (object_of(row.member),)
        self.directory.observe_members([MembersSeen(id=object_of(row.container), relation=relation, removed=removed)])

    async def heed(self, now: District, **options: Any) -> World:
        """What a cycle knows after it has looked at hand edits."""
        world = self.book.world(now, profile(**options))
        world.links, world.memberships, world.directory = self.links, self.memberships, self.directory
        world.suspended = self.suspended
        world.load_links()
        await heed_hand_edits(world, MemoryDirectory(), self.clock)
        world.load_managed()
        return world

    def is_managed(self, row: Membership) -> bool:
        return (row.role, row.member) in self.memberships.of(row.container)


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    clock = FixedClock(NOW)
    with Store.open(tmp_path / "state" / "state.db", clock) as store:
        yield Case(store, clock)


def absent(world: World) -> set[Membership]:
    return {Membership(container, member, role) for container, rows in world.absent.items() for role, member in rows}


def about(world: World, kind: ChangeKind) -> list[tuple[Ref | None, Reason]]:
    changes, unproved = make_changes(world)
    plan = gate(world, changes, unproved, first_sync=False)
    return [(change.member, change.reason) for change in plan.changes if change.kind is kind]


async def test_still_on_the_roster_it_stays_managed_and_is_not_planned(case: Case) -> None:
    case.without(IN_CLASS)
    world = await case.heed(district())
    assert absent(world) == {IN_CLASS}
    assert about(world, ChangeKind.ADD_MEMBER) == []
    assert case.is_managed(IN_CLASS)


async def test_put_back_where_told_to(case: Case) -> None:
    case.without(IN_CLASS)
    world = await case.heed(district(), hand_removals="restore")
    assert about(world, ChangeKind.ADD_MEMBER) == [(PUPIL, Reason.RESTORED)]


@pytest.mark.parametrize("policy", ["sds", "add-only", "mirror"])
async def test_ended_at_the_source_it_is_forgotten_whatever_the_policy(case: Case, policy: str) -> None:
    """Should the row begin anew, it is a new row: nothing is left of the hand edit."""
    case.without(IN_CLASS)
    case.without(LEADS)
    world = await case.heed(district(room(students=(), teachers=("4",))), policy=policy)
    assert absent(world) == set()
    assert not case.is_managed(IN_CLASS)
    assert not case.is_managed(LEADS)
    again = await case.heed(district(), policy=policy)
    assert about(again, ChangeKind.ADD_MEMBER) == [(PUPIL, Reason.APPEARED)]


@pytest.mark.parametrize(
    "now",
    [
        district(room(students=(), unproved=True)),
        district(room(students=(), state="frozen")),
        district(room(state="gone")),
        district(room(), pupil=Pupil(id="7", school="4", state="refused")),
        district(room(), pupil=Pupil(id="7", school="4", state="inactive")),
    ],
    ids=["unproved", "frozen", "section gone", "pupil not synced", "pupil inactive"],
)
async def test_no_proof_that_it_ended_no_forgetting(case: Case, now: District) -> None:
    case.without(IN_CLASS)
    await case.heed(now)
    assert case.is_managed(IN_CLASS)


async def test_an_odd_school_ends_nothing(case: Case) -> None:
    case.suspended = {"4": "the school is empty all of a sudden"}
    case.without(IN_CLASS)
    await case.heed(district(room(students=())))
    assert case.is_managed(IN_CLASS)


async def test_detached_from_the_school_it_moved_away_from(case: Case) -> None:
    case.without(AT_SCHOOL)
    stayed = await case.heed(district())
    assert absent(stayed) == {AT_SCHOOL}
    moved = await case.heed(district(room(), pupil=Pupil(id="7", school="5")))
    assert absent(moved) == set()
    assert not case.is_managed(AT_SCHOOL)


async def test_a_deleted_account_was_not_taken_out_of_its_classes(case: Case) -> None:
    """Once it is restored, it is put back: these rows are new ones then."""
    case.without(IN_CLASS)
    case.directory.forget("user", [object_of(PUPIL)], purged=False)
    world = await case.heed(district())
    assert absent(world) == set()
    assert not case.is_managed(IN_CLASS)


async def test_an_owner_who_is_not_there_is_not_the_last_one(case: Case) -> None:
    """Two owners are managed, one was removed by hand: the other one is the last and stays, under mirror too."""
    both = [Membership(CLASS, SECOND, Role.OWNER), Membership(CLASS, SECOND, Role.MEMBER)]
    run = case.store.runs.begin("oak", SOURCE, TENANT)
    case.memberships.add(both, run)
    case.store.runs.finish(run, "success", {})
    case.clock.advance(timedelta(hours=1))
    case.without(both[0])
    world = await case.heed(district(room(teachers=("4",))), policy="mirror")
    assert absent(world) == {both[0]}
    assert about(world, ChangeKind.REMOVE_OWNER) == []
