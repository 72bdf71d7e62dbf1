"""Links and managed memberships as a cycle keeps them."""

from __future__ import annotations

import pytest

from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Head, Role
from sds_daemon.store.memberships import packed
from sds_daemon.sync.known import Known, Managed, People

CLASS, OTHER = Ref(RecordKind.SECTION, "7"), Ref(RecordKind.SECTION, "8")
PUPIL, TEACHER, NEW = Ref(RecordKind.STUDENT, "7"), Ref(RecordKind.TEACHER, "7"), Ref(RecordKind.STUDENT, "9")


def head(ref: Ref, key: int, profile: str = "oak") -> Head:
    return Head(ref, key, f"object of {ref}", profile, "created")


@pytest.fixture
def known() -> Known:
    return Known(head(ref, key) for key, ref in enumerate((CLASS, OTHER, PUPIL, TEACHER), start=1))


@pytest.fixture
def managed(known: Known) -> Managed:
    rows = [packed(known[TEACHER].key, Role.OWNER), packed(known[PUPIL].key, Role.MEMBER)]
    return Managed({known[CLASS].key: rows}, known)


def test_records_of_two_kinds_share_a_number_and_nothing_else(known: Known) -> None:
    assert known[PUPIL].object_id != known[TEACHER].object_id
    assert set(known.all(RecordKind.STUDENT)) == {"7"}
    assert set(known) == {CLASS, OTHER, PUPIL, TEACHER}
    assert len(known) == 4
    assert known.object_id(PUPIL) == f"object of {PUPIL}"
    assert known.object_id(NEW) is None


def test_a_link_put_again_replaces_the_one_before(known: Known) -> None:
    known.put([head(PUPIL, 9, "elm")])
    assert (known[PUPIL].key, known[PUPIL].profile, len(known)) == (9, "elm", 4)
    del known[PUPIL]
    assert PUPIL not in known
    assert known.find(PUPIL) is None


def test_managed_memberships_are_read_as_records(managed: Managed) -> None:
    assert managed[CLASS] == {(Role.OWNER, TEACHER), (Role.MEMBER, PUPIL)}
    assert list(managed) == [CLASS]
    assert managed.get(OTHER) is None, "nothing is managed in it"
    assert managed.get(Ref(RecordKind.SECTION, "99")) is None
    assert dict(managed.counts()) == {CLASS: {Role.OWNER: 1, Role.MEMBER: 1}}


def test_what_is_demanded_is_compared_as_numbers(managed: Managed) -> None:
    wanted = {managed.number(Role.OWNER, TEACHER), managed.number(Role.MEMBER, PUPIL)}
    assert wanted == managed.numbers(CLASS)
    assert managed.numbers(OTHER) == set()
    assert managed.number(Role.MEMBER, TEACHER) not in managed.numbers(CLASS), "owner, not member"


def test_members_without_a_link_have_numbers_that_nobody_manages(managed: Managed) -> None:
    new = managed.number(Role.MEMBER, NEW)
    assert new == managed.number(Role.MEMBER, NEW)
    assert new not in managed.numbers(CLASS)
    assert managed.pairs({new, managed.number(Role.OWNER, TEACHER)}) == [(Role.MEMBER, NEW), (Role.OWNER, TEACHER)]


def test_rows_of_a_link_dropped_meanwhile_are_left_out(managed: Managed) -> None:
    assert managed.pairs({packed(77, Role.MEMBER), managed.number(Role.MEMBER, PUPIL)}) == [(Role.MEMBER, PUPIL)]


def test_people_are_told_apart_by_kind() -> None:
    people = People([PUPIL])
    assert PUPIL in people
    assert TEACHER not in people, "the same number, another kind"
    people.add(TEACHER)
    assert (people.students, people.teachers) == ({"7"}, {"7"})
