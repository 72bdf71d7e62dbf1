"""Narrowing a plan to one record: what comes along and what stays; seats a plan takes."""

from __future__ import annotations

from sds_daemon.plan.change import Change, ChangeKind, Reason
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.sync.focus import with_what_it_needs
from sds_daemon.sync.seats import forecast_seats, groups_named, seats_not_told
from sds_daemon.targets.base import LicenseGroup, Sku

PUPIL, FRIEND = Ref(RecordKind.STUDENT, "1"), Ref(RecordKind.STUDENT, "2")
OLD, NEW = Ref(RecordKind.TEACHER, "1"), Ref(RecordKind.TEACHER, "2")
CLASS, OTHER = Ref(RecordKind.SECTION, "1"), Ref(RecordKind.SECTION, "2")
SCHOOL = Ref(RecordKind.SCHOOL, "1")


def change(kind: ChangeKind, subject: Ref, member: Ref | None = None) -> Change:
    return Change(kind=kind, subject=subject, member=member)


def kinds(changes: list[Change]) -> list[tuple[str, str, str]]:
    return [(each.kind.value, str(each.subject), str(each.member or "")) for each in changes]


FIRST = [
    change(ChangeKind.CREATE_SCHOOL, SCHOOL),
    *(change(ChangeKind.CREATE_USER, ref) for ref in (PUPIL, FRIEND, NEW)),
    *(change(ChangeKind.ASSIGN_LICENSE, ref) for ref in (PUPIL, FRIEND, NEW)),
    change(ChangeKind.CREATE_CLASS, CLASS),
    change(ChangeKind.CREATE_CLASS, OTHER),
    change(ChangeKind.ADD_OWNER, CLASS, NEW),
    change(ChangeKind.ADD_MEMBER, CLASS, NEW),
    change(ChangeKind.ADD_MEMBER, CLASS, PUPIL),
    change(ChangeKind.ADD_MEMBER, CLASS, FRIEND),
    change(ChangeKind.ADD_MEMBER, OTHER, FRIEND),
    change(ChangeKind.ADD_SCHOOL_USER, SCHOOL, FRIEND),
]


def test_a_person_brings_account_licence_class_and_its_owner_and_nobody_else() -> None:
    chosen = kinds(with_what_it_needs(FIRST, PUPIL))
    assert chosen == [
        ("user.create", "student 1", ""),
        ("user.create", "teacher 2", ""),
        ("user.license", "student 1", ""),
        ("user.license", "teacher 2", ""),
        ("class.create", "section 1", ""),
        ("owner.add", "section 1", "teacher 2"),
        ("member.add", "section 1", "teacher 2"),
        ("member.add", "section 1", "student 1"),
    ]


def test_a_persons_licence_by_group_comes_along_with_the_account() -> None:
    joins = [change(ChangeKind.JOIN_LICENSE_GROUP, ref) for ref in (PUPIL, FRIEND, NEW)]
    rest = [each for each in FIRST if each.kind is not ChangeKind.ASSIGN_LICENSE]
    chosen = with_what_it_needs([*rest, *joins], PUPIL)
    assert [each.subject for each in chosen if each.kind is ChangeKind.JOIN_LICENSE_GROUP] == [PUPIL, NEW]


def test_a_section_brings_the_accounts_of_its_members() -> None:
    chosen = with_what_it_needs(FIRST, CLASS)
    assert {each.subject for each in chosen if each.kind is ChangeKind.CREATE_USER} == {PUPIL, FRIEND, NEW}
    assert not [each for each in chosen if OTHER in (each.subject, each.member) or each.subject == SCHOOL]


def test_an_owner_taken_out_brings_the_one_who_comes_instead() -> None:
    """Graph refuses to remove the last owner."""
    plan = [
        change(ChangeKind.ADD_OWNER, CLASS, NEW),
        change(ChangeKind.REMOVE_OWNER, CLASS, OLD),
        change(ChangeKind.ADD_OWNER, OTHER, NEW),
        change(ChangeKind.ADD_MEMBER, CLASS, PUPIL),
    ]
    assert with_what_it_needs(plan, OLD) == plan[:2]


def test_nothing_about_a_record_is_nothing() -> None:
    assert with_what_it_needs(FIRST, Ref(RecordKind.STUDENT, "99")) == []
    assert with_what_it_needs([], PUPIL) == []


def license_of(ref: Ref, *names: str) -> Change:
    return Change(
        kind=ChangeKind.ASSIGN_LICENSE, subject=ref, values={"licenses": list(names)}, reason=Reason.LICENSE_DUE
    )


def test_seats_are_counted_per_licence_under_whatever_name() -> None:
    skus = {
        "id-a": Sku(id="id-a", part_number="A3", seats=10, seats_free=1),
        "id-b": Sku(id="id-b", part_number="B1", seats=5, seats_free=-2),
        "id-c": Sku(id="id-c", part_number="C1", seats=5, seats_free=5, enabled=False),
    }
    plan = [license_of(PUPIL, "a3", "ID-A"), license_of(FRIEND, "A3", "id-b"), license_of(NEW, "C1", "UNKNOWN")]
    found = {each.part_number: (each.sku, each.needed, each.free, each.short) for each in forecast_seats(plan, skus)}
    assert found == {
        "A3": ("id-a", 2, 1, 1),
        "B1": ("id-b", 1, 0, 1),
        "C1": ("id-c", 1, 0, 1),
        "UNKNOWN": ("", 1, 0, 1),
    }
    assert forecast_seats(FIRST[:4], skus) == []


def test_seats_are_counted_through_groups_as_far_as_these_say_what_they_give() -> None:
    skus = {"id-a": Sku(id="id-a", part_number="A3", seats=10, seats_free=2)}
    joins = [
        Change(kind=ChangeKind.JOIN_LICENSE_GROUP, subject=ref, values={"group": group})
        for ref, group in ((PUPIL, "g1"), (FRIEND, "g1"), (NEW, "g2"))
    ]
    groups = {
        "g1": LicenseGroup(id="g1", skus=("id-a", "id-x")),
        "g2": LicenseGroup(id="g2", fault="gives no licences", remedy="assign some"),
    }
    plan = [*joins, license_of(OLD, "A3")]
    assert groups_named(plan) == ["g1", "g2"]
    found = [(each.part_number, each.needed, each.short) for each in forecast_seats(plan, skus, groups)]
    assert found == [("A3", 3, 1), ("id-x", 2, 2)]
    (said,) = seats_not_told(plan, groups)
    assert "(1 to license)" in said and "g2 gives no licences" in said
    assert groups_named(FIRST) == seats_not_told(FIRST, {}) == []
