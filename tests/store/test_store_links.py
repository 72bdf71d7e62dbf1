"""Links and managed memberships."""

from __future__ import annotations

import pytest
from store_samples import SOURCE, TENANT, link, managed, school, section, student, teacher

from sds_daemon.errors import StateError
from sds_daemon.roster.records import RecordKind
from sds_daemon.store import Membership, Role, Store
from sds_daemon.store.memberships import counted, packed, unpacked


def test_a_link_comes_back_whole(store: Store) -> None:
    book = store.links(SOURCE, TENANT)
    full = link(student(7), "o-7", created=False, rule="mail", licenses_due=True, written={"grade": "05", "n": None})
    book.put([full])
    assert book.get(student(7)) == full
    assert book.get(teacher(7)) is None
    assert book.all(RecordKind.STUDENT) == {"7": full}
    assert book.holder("o-7") == student(7)
    assert book.holder("o-8") is None


def test_sources_and_tenants_have_books_of_their_own(store: Store) -> None:
    store.links(SOURCE, TENANT).put([link(student(7), "o-7")])
    store.links("other", TENANT).put([link(student(7), "o-9")])
    assert store.links(SOURCE, "other").get(student(7)) is None
    other = store.links("other", TENANT)
    assert other.holder("o-7") is None
    other.drop(student(7))
    assert store.links(SOURCE, TENANT).get(student(7)) is not None


def test_putting_again_replaces_and_keeps_memberships(store: Store) -> None:
    book, rows = store.links(SOURCE, TENANT), store.memberships(SOURCE, TENANT)
    book.put([link(student(7), "o-7"), link(section(9))])
    rows.add([Membership(section(9), student(7), Role.MEMBER)], 1)
    book.put([link(student(7), "o-8", rule="relinked")])
    found = book.get(student(7))
    assert found is not None and (found.object_id, found.rule) == ("o-8", "relinked")
    assert rows.count("north") == 1


def test_one_account_belongs_to_one_person(store: Store) -> None:
    book = store.links(SOURCE, TENANT)
    book.put([link(teacher(1), "o-1")])
    with pytest.raises(StateError, match="claim one account"):
        book.put([link(student(5), "o-5"), link(student(6), "o-1")])
    assert book.all(RecordKind.STUDENT) == {}, "nothing of a refused batch is kept"
    assert book.holder("o-1") == teacher(1)


def test_dropping_takes_the_memberships_along(store: Store) -> None:
    book, rows = store.links(SOURCE, TENANT), store.memberships(SOURCE, TENANT)
    book.put([link(student(7)), link(student(8)), link(section(9))])
    rows.add([Membership(section(9), student(n), Role.MEMBER) for n in (7, 8)], 1)
    assert book.drop(student(7)) is True
    assert book.drop(student(7)) is False
    assert rows.of(section(9)) == {(Role.MEMBER, student(8))}
    book.drop(section(9))
    assert rows.of_member(student(8)) == []


def test_written_values_are_merged(store: Store) -> None:
    book = store.links(SOURCE, TENANT)
    book.put([link(student(1), written={"grade": "04", "number": "12"}), link(student(2))])
    book.write(student(1), {"grade": "05", "school": "Hill"})
    book.write_many({student(2): {"grade": "01"}, student(3): {"grade": "02"}})
    first, second = book.get(student(1)), book.get(student(2))
    assert first is not None and first.written == {"grade": "05", "number": "12", "school": "Hill"}
    assert second is not None and second.written == {"grade": "01"}
    assert book.get(student(3)) is None


def test_licences_and_deletion_marks(store: Store) -> None:
    book = store.links(SOURCE, TENANT)
    book.put([link(student(n), f"o-{n}", licenses_due=True) for n in range(3)])
    book.licensed([student(0), student(2), student(99)])
    book.mark_deleted(["o-1", "o-99"])
    links = book.all(RecordKind.STUDENT)
    assert [links[str(n)].licenses_due for n in range(3)] == [False, True, False]
    assert [links[str(n)].deleted for n in range(3)] == [False, True, False]
    book.mark_present(["o-1"])
    assert not book.all(RecordKind.STUDENT)["1"].deleted


def test_find_goes_by_sis_id_and_object_id(store: Store) -> None:
    book = store.links(SOURCE, TENANT)
    book.put([link(student(7), "AB-7"), link(teacher(7), "ab-8"), link(student(8), "7")])
    assert [found.ref for found in book.find("7")] == [student(7), student(8), teacher(7)]
    assert [found.ref for found in book.find("ab-7")] == [student(7)]
    assert book.find("%") == []


def test_more_records_than_one_query_takes(store: Store) -> None:
    book = store.links(SOURCE, TENANT)
    book.put(link(student(n)) for n in range(1203))
    book.licensed(student(n) for n in range(1203))
    book.mark_deleted(f"object-student-{n}" for n in range(1203))
    assert sum(found.deleted for found in book.all(RecordKind.STUDENT).values()) == 1203
    assert book.count(RecordKind.STUDENT) == 1203


def test_memberships_are_kept_by_container_and_role(store: Store) -> None:
    book, rows = store.links(SOURCE, TENANT), store.memberships(SOURCE, TENANT)
    book.put([link(ref) for ref in (student(1), student(2), teacher(1), section(9), school(4))])
    added = [
        Membership(section(9), student(1), Role.MEMBER),
        Membership(section(9), teacher(1), Role.OWNER),
        Membership(section(9), teacher(1), Role.MEMBER),
        Membership(school(4), section(9), Role.SCHOOL_CLASS),
        Membership(school(4), student(1), Role.SCHOOL_USER),
    ]
    assert rows.add(added, 1) == 5
    assert rows.add(added, 2) == 0
    assert rows.count("north") == 5
    assert dict(managed(store, "north")) == {
        section(9): {(Role.MEMBER, student(1)), (Role.OWNER, teacher(1)), (Role.MEMBER, teacher(1))},
        school(4): {(Role.SCHOOL_CLASS, section(9)), (Role.SCHOOL_USER, student(1))},
    }
    assert rows.of(school(4)) == {(Role.SCHOOL_CLASS, section(9)), (Role.SCHOOL_USER, student(1))}
    assert rows.of_member(student(1)) == [added[4], added[0]]
    rows.remove([added[1], Membership(section(9), student(2), Role.MEMBER)])
    assert rows.of(section(9)) == {(Role.MEMBER, student(1)), (Role.MEMBER, teacher(1))}


def test_containers_belong_to_the_profile_that_linked_them(store: Store) -> None:
    book, rows = store.links(SOURCE, TENANT), store.memberships(SOURCE, TENANT)
    book.put([link(student(1)), link(section(9)), link(section(10), profile="south")])
    rows.add([Membership(section(n), student(1), Role.MEMBER) for n in (9, 10)], 1)
    assert set(managed(store, "north")) == {section(9)}
    assert set(managed(store, "south")) == {section(10)}
    assert rows.count("south") == 1


def test_rows_of_unlinked_records_are_passed_over(store: Store) -> None:
    book, rows = store.links(SOURCE, TENANT), store.memberships(SOURCE, TENANT)
    book.put([link(student(1)), link(section(9))])
    added = rows.add([Membership(section(9), student(n), Role.MEMBER) for n in (1, 2)], 1)
    assert added == 1
    assert rows.of(section(9)) == {(Role.MEMBER, student(1))}


def test_a_district_of_twenty_thousand(store: Store) -> None:
    book, rows = store.links(SOURCE, TENANT), store.memberships(SOURCE, TENANT)
    book.put(link(student(n)) for n in range(20_000))
    book.put(link(section(n)) for n in range(4_800))
    rows.add((Membership(section(n % 4_800), student(n % 20_000), Role.MEMBER) for n in range(120_000)), 1)
    found = rows.packed("north")
    assert len(found) == 4_800
    assert sum(map(len, found.values())) == 120_000
    keys = {head.ref: head.key for head in book.heads()}
    assert sorted(found[keys[section(0)]]) == sorted(
        packed(keys[student(n % 20_000)], Role.MEMBER) for n in range(0, 120_000, 4_800)
    )


def test_heads_are_links_without_what_was_written(store: Store) -> None:
    book = store.links(SOURCE, TENANT)
    book.put(
        [
            link(student(7), "o-7", created=False, rule="mail", licenses_due=True, written={"grade": "05"}),
            link(section(9), "o-9", profile="south", deleted=True, unread=True),
        ]
    )
    store.links("other", TENANT).put([link(student(8), "o-8")])
    pupil, group = sorted(book.heads(), key=lambda head: head.ref.kind, reverse=True)
    assert (pupil.ref, pupil.object_id, pupil.profile, pupil.rule) == (student(7), "o-7", "north", "mail")
    assert (pupil.created, pupil.licenses_due, pupil.deleted, pupil.unread, pupil.blank) == (
        False, True, False, False, False,
    )  # fmt: skip
    assert (group.profile, group.created, group.deleted, group.unread, group.blank) == ("south", True, True, True, True)
    assert pupil.key != group.key
    assert book.heads_of([student(7), student(8), section(10)]) == [pupil]


def test_what_was_written_is_given_row_by_row_for_the_own_links_of_a_kind(store: Store) -> None:
    book = store.links(SOURCE, TENANT)
    book.put(
        [
            link(student(7), written={"grade": "05", "middle_name": None}),
            link(student(8), created=False),
            link(student(9), profile="south", written={"grade": "06"}),
            link(teacher(7), written={"teacher_number": "1"}),
        ]
    )
    found = {sis_id: (created, written) for sis_id, created, written in book.written(RecordKind.STUDENT, "north")}
    assert found == {"7": (True, {"grade": "05", "middle_name": None}), "8": (False, {})}


def test_some_links_are_read_whole(store: Store) -> None:
    book = store.links(SOURCE, TENANT)
    whole = [link(student(7), written={"grade": "05"}), link(section(7), written={"course_id": "1"})]
    book.put([*whole, link(student(8))])
    assert book.some([student(7), section(7), teacher(7)]) == {one.ref: one for one in whole}


def test_containers_of_which_nothing_is_recorded(store: Store) -> None:
    book, rows = store.links(SOURCE, TENANT), store.memberships(SOURCE, TENANT)
    book.put([link(ref) for ref in (student(1), section(9), section(10), school(4))])
    book.put([link(section(11), profile="south")])
    rows.add([Membership(section(9), student(1), Role.MEMBER)], 1)
    assert rows.empty_containers("north") == {section(10), school(4)}
    assert rows.empty_containers("south") == {section(11)}


@pytest.mark.parametrize("role", list(Role))
def test_a_member_and_its_role_fit_into_one_number(role: Role) -> None:
    for key in (1, 2, 2**40, -1, -77):
        assert unpacked(packed(key, role)) == (key, role)
        assert counted([packed(key, role)]) == {role: 1}
