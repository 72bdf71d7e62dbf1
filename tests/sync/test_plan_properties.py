"""What must hold of every plan, whatever happened to the district since the last one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_rig import Book, District, House, Master, Pupil, Room, profile

from sds_daemon.plan.change import REMOVALS, Change, ChangeKind, Plan, Reason
from sds_daemon.roster.records import RecordKind
from sds_daemon.store import Role

SCHOOLS, PUPILS, MASTERS, ROOMS = "XYZ", "123456", "abc", ("r1", "r2", "r3", "r4")
settings.register_profile("plans", max_examples=60, deadline=None)
PLANS = settings.get_profile("plans")
pytestmark = pytest.mark.timeout(300)
POLICIES = st.sampled_from(["sds", "add-only", "mirror"])
some = st.frozensets


def tidy() -> st.SearchStrategy[District]:
    """A district in which everything is in order."""
    return _districts(
        st.just("ok"), st.just("ok"), st.just("ok"), st.just("ok"), st.just(False), st.sampled_from(["Biology"])
    )


def untidy() -> st.SearchStrategy[District]:
    """A district in which anything may be gone, invalid, inactive, refused, over or badly read."""
    return _districts(
        st.sampled_from(["ok", "ok", "invalid", "gone"]),
        st.sampled_from(["ok", "ok", "refused", "inactive", "elsewhere", "gone"]),
        st.sampled_from(["ok", "ok", "refused", "gone"]),
        st.sampled_from(["ok", "ok", "ok", "invalid", "frozen", "gone"]),
        st.sampled_from([False, False, True]),
        st.sampled_from(["Biology", "Botany"]),
    )


def _districts(
    houses: Any, pupils: Any, masters: Any, rooms: Any, doubts: st.SearchStrategy[bool], courses: Any
) -> st.SearchStrategy[District]:
    a_school = st.sampled_from(SCHOOLS)
    return st.builds(
        District,
        houses=st.tuples(*(st.builds(House, id=st.just(i), state=houses, unproved=doubts) for i in SCHOOLS)),
        pupils=st.tuples(
            *(
                st.builds(Pupil, id=st.just(i), school=a_school, state=pupils, grade=st.sampled_from(["9", "10"]))
                for i in PUPILS
            )
        ),
        masters=st.tuples(
            *(
                st.builds(Master, id=st.just(i), state=masters, schools=some(a_school, max_size=2).map(tuple))
                for i in MASTERS
            )
        ),
        rooms=st.tuples(
            *(
                st.builds(
                    Room,
                    id=st.just(i),
                    school=a_school,
                    students=some(st.sampled_from(PUPILS)).map(tuple),
                    teachers=some(st.sampled_from(MASTERS)).map(tuple),
                    state=rooms,
                    unproved=doubts,
                    doubted=doubts,
                    course=courses,
                )
                for i in ROOMS
            )
        ),
    )


def stories() -> st.SearchStrategy[list[District]]:
    """A tidy beginning, then whatever happens."""
    return st.builds(lambda first, rest: [first, *rest], tidy(), st.lists(untidy(), min_size=1, max_size=3))


def all_of(plan: Plan) -> list[Change]:
    return [*plan.changes, *(item.change for item in [*plan.skipped, *plan.held])]


def proved_removals(plan: Plan) -> list[Change]:
    """Everything the plan wants to take away, policy and limits aside."""
    withheld = [item.change for item in [*plan.skipped, *plan.held] if item.reason is not Reason.UNPROVED]
    return [change for change in [*plan.changes, *withheld] if change.kind in REMOVALS]


def room(district: District, change: Change) -> Room:
    return next(each for each in district.rooms if each.id == change.subject.sis_id)


def house(district: District, sis_id: str) -> House:
    return next(each for each in district.houses if each.id == sis_id)


@PLANS
@given(stories(), POLICIES)
def test_no_policy_lets_through_what_it_forbids(story: list[District], policy: str) -> None:
    book, chosen = Book(), profile(policy)
    for district in story:
        plan = book.plan(district, chosen)
        gone = [change for change in plan.changes if change.kind in REMOVALS]
        if policy == "add-only":
            assert gone == []
        if policy == "sds":
            assert {change.kind for change in gone} <= {ChangeKind.REMOVE_MEMBER}
            assert {change.member.kind for change in gone if change.member} <= {RecordKind.STUDENT}
        book.carry_out(plan.changes, chosen)


@PLANS
@given(stories(), POLICIES)
def test_people_leave_a_class_only_because_their_row_is_gone_from_a_list_read_whole(
    story: list[District], policy: str
) -> None:
    book, chosen = Book(), profile(policy)
    for district in story:
        plan = book.plan(district, chosen)
        for change in proved_removals(plan):
            if change.kind is ChangeKind.REMOVE_SCHOOL_USER or change.member is None:
                continue
            section = room(district, change)
            assert section.state == "ok"
            assert house(district, section.school).state != "gone"
            if change.member.kind is RecordKind.STUDENT:
                assert not section.unproved
                assert change.member.sis_id not in section.students
            else:
                assert not section.doubted
                assert change.member.sis_id not in section.teachers
        book.carry_out(plan.changes, chosen)


@PLANS
@given(stories(), POLICIES)
def test_students_leave_a_school_only_because_they_were_read_at_another(story: list[District], policy: str) -> None:
    book, chosen = Book(), profile(policy)
    for district in story:
        plan = book.plan(district, chosen)
        for change in proved_removals(plan):
            if change.kind is not ChangeKind.REMOVE_SCHOOL_USER or change.member is None:
                continue
            pupil = next(each for each in district.pupils if each.id == change.member.sis_id)
            assert change.member.kind is RecordKind.STUDENT
            assert pupil.state == "ok"
            assert pupil.school != change.subject.sis_id
            for sis_id in (change.subject.sis_id, pupil.school):
                assert house(district, sis_id).state != "gone"
                assert not house(district, sis_id).unproved
            assert house(district, change.subject.sis_id).state == "ok"
        book.carry_out(plan.changes, chosen)


@PLANS
@given(stories(), some(st.sampled_from((None, *SCHOOLS)), min_size=1))
def test_nobody_is_removed_at_a_school_that_is_odd(story: list[District], odd: frozenset[str | None]) -> None:
    book, chosen = Book(), profile("mirror")
    for district in story:
        plan = book.plan(district, chosen, suspended=dict.fromkeys(odd, "the school had students and now has none"))
        for change in proved_removals(plan):
            is_school = change.kind is ChangeKind.REMOVE_SCHOOL_USER
            school = change.subject.sis_id if is_school else room(district, change).school
            assert not {None, school} & odd
        freely = {change.key for change in proved_removals(book.plan(district, chosen))}
        withheld = {item.change.key for item in plan.skipped if item.reason is Reason.UNPROVED}
        assert freely <= withheld | {change.key for change in proved_removals(plan)}, "and none is forgotten"
        book.carry_out(plan.changes, chosen)


@PLANS
@given(stories(), POLICIES)
def test_what_was_carried_out_is_not_planned_again(story: list[District], policy: str) -> None:
    book, chosen = Book(), profile(policy)
    for district in story:
        book.carry_out(book.plan(district, chosen).changes, chosen)
        assert book.plan(district, chosen).changes == []


@PLANS
@given(stories(), POLICIES)
def test_only_what_is_managed_is_removed_and_nothing_is_said_twice(story: list[District], policy: str) -> None:
    book, chosen = Book(), profile(policy)
    roles = {ChangeKind.REMOVE_MEMBER: Role.MEMBER, ChangeKind.REMOVE_OWNER: Role.OWNER}
    for district in story:
        plan = book.plan(district, chosen)
        changes = all_of(plan)
        assert len({change.key for change in changes}) == len(changes)
        for change in (each for each in changes if each.kind in REMOVALS and each.member is not None):
            role = roles.get(change.kind, Role.SCHOOL_USER)
            assert (role, change.member) in book.managed.get(change.subject, frozenset())
        book.carry_out(plan.changes, chosen)


@PLANS
@given(stories())
def test_a_class_that_had_an_owner_keeps_one(story: list[District]) -> None:
    book, chosen = Book(), profile("mirror")
    for district in story:
        owned = {c for c, rows in book.managed.items() if any(role is Role.OWNER for role, _ in rows)}
        book.carry_out(book.plan(district, chosen).changes, chosen)
        for container in owned:
            assert any(role is Role.OWNER for role, _ in book.managed[container])


@PLANS
@given(stories(), POLICIES)
def test_a_section_that_is_over_invalid_or_gone_is_not_touched(story: list[District], policy: str) -> None:
    book, chosen = Book(), profile(policy)
    for district in story:
        quiet = {
            each.id for each in district.rooms if each.state != "ok" or house(district, each.school).state == "gone"
        }
        plan = book.plan(district, chosen)
        for change in all_of(plan):
            concerned = [ref for ref in (change.subject, change.member) if ref is not None]
            assert not [ref for ref in concerned if ref.kind is RecordKind.SECTION and ref.sis_id in quiet]
        book.carry_out(plan.changes, chosen)


@PLANS
@given(stories(), POLICIES, st.randoms(use_true_random=False))
def test_the_order_of_the_source_does_not_matter(story: list[District], policy: str, chance: Any) -> None:
    book, chosen = Book(), profile(policy)
    for district in story:
        plan = book.plan(district, chosen)
        shuffled = msgspec.structs.replace(
            district, **{name: _shuffled(getattr(district, name), chance) for name in district.__struct_fields__}
        )
        again = book.plan(shuffled, chosen)
        assert {c.key: c for c in plan.changes} == {c.key: c for c in again.changes}
        assert {w.change.key: w for w in plan.skipped} == {w.change.key: w for w in again.skipped}
        book.carry_out(plan.changes, chosen)


def _shuffled(rows: tuple[Any, ...], chance: Any) -> tuple[Any, ...]:
    mixed = list(rows)
    chance.shuffle(mixed)
    return tuple(mixed)


@PLANS
@given(stories())
def test_mirror_leaves_nothing_behind_that_a_whole_reading_denies(story: list[District]) -> None:
    """The other direction: after a cycle every class of a sound section holds exactly its people, but a last owner."""
    book, chosen = Book(), profile("mirror")
    for district in story:
        book.carry_out(book.plan(district, chosen).changes, chosen)
    last = story[-1]
    sound = {p.id for p in last.pupils if p.state == "ok" and house(last, p.school).state != "gone"}
    for container, rows in book.managed.items():
        if container.kind is not RecordKind.SECTION:
            continue
        section = next(each for each in last.rooms if each.id == container.sis_id)
        if section.state != "ok" or section.unproved or house(last, section.school).state == "gone":
            continue
        inside = {ref.sis_id for role, ref in rows if ref.kind is RecordKind.STUDENT}
        assert inside - set(section.students) == set()
        assert sound & set(section.students) <= inside
