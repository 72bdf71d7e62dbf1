"""The nightly comparison: what was changed by hand is listed, what is right is not, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rig import PROFILE, Rig

from process.answers import scope
from process.by_hand import LED_BY, PUPILS, SCHOOL, class_id, drift, places, set_time, upn
from process.town import flat, school, section, start, student, teacher

pytestmark = pytest.mark.process
CLASS = 7821
OTHER = CLASS + 1


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A school of two classes, synced."""
    rig = start(tmp_path_factory.mktemp("reconcile"))
    try:
        rig.change_school(
            *flat(
                school(SCHOOL),
                teacher(LED_BY, SCHOOL),
                teacher(LED_BY + 1, SCHOOL),
                [student(number, SCHOOL) for number in PUPILS],
                section(CLASS, SCHOOL, LED_BY, *PUPILS),
                section(OTHER, SCHOOL, LED_BY + 1, PUPILS[0]),
            )
        )
        scope(rig, SCHOOL)
        yield rig
    finally:
        rig.stop()


def test_before_any_sync_there_is_nothing_to_compare(rig: Rig) -> None:
    assert "never synced" in rig.run("reconcile", PROFILE).expect(2).err
    set_time(rig, "08:00")
    rig.sync(codes=(0,))


def test_nothing_to_report_after_a_sync(rig: Rig) -> None:
    set_time(rig, "09:00")
    mark = rig.request_mark()
    found = rig.run("reconcile", PROFILE, "--full", "--json").expect(0).json
    assert found["compared"] == found["linked"] == {"school": 1, "section": 2, "student": 3, "teacher": 2}
    assert found["open"] == {}
    assert rig.writes_since(mark) == []


def test_every_hand_edit_is_listed(rig: Rig) -> None:
    """Attributes of accounts and classes, members out and in, and people detached from their school."""
    set_time(rig, "09:10")
    unit = next(u["id"] for u in rig.directory().state["administrativeUnits"] if u["displayName"] == f"School {SCHOOL}")
    rig.change_directory(
        {"op": "update_user", "upn": upn(f"s{PUPILS[0]}"), "displayName": "Somebody", "education": {
            "student": {"externalId": str(PUPILS[0]), "grade": "12", "studentNumber": str(PUPILS[0])}}},
        {"op": "update_group", "id": class_id(rig, CLASS), "displayName": "Biology for all"},
        {"op": "remove_member", "group": class_id(rig, CLASS), "user": upn(f"s{PUPILS[1]}")},
        {"op": "add_member", "group": class_id(rig, OTHER), "user": upn(f"s{PUPILS[2]}")},
        {"op": "remove_unit_member", "unit": unit, "object": upn(f"s{PUPILS[1]}")},
    )  # fmt: skip
    mark = rig.request_mark()
    found = rig.run("reconcile", PROFILE, "--full", "--json").expect(0).json
    assert rig.writes_since(mark) == []
    assert places(rig) == {
        ("AttributeChangedByHand", f"student {PUPILS[0]}", "", "display_name"),
        ("AttributeChangedByHand", f"student {PUPILS[0]}", "", "grade"),
        ("AttributeChangedByHand", f"section {CLASS}", "", "display_name"),
        ("MembershipRemovedByHand", f"section {CLASS}", f"student {PUPILS[1]}", "member"),
        ("MembershipRemovedByHand", f"school {SCHOOL}", f"student {PUPILS[1]}", "school_user"),
        ("MembershipNotFromSource", f"section {OTHER}", f"student {PUPILS[2]}", "member"),
    }
    assert sum(found["new"].values()) == 6
    values = {(row["name"], row["written"], row["found"]) for row in drift(rig) if row["name"] == "grade"}
    assert values == {("grade", "9", "12")}


def test_listed_once_and_exported(rig: Rig) -> None:
    set_time(rig, "09:12")
    again = rig.run("reconcile", PROFILE, "--full", "--json").expect(0).json
    assert again["new"] == {}
    assert sum(again["open"].values()) == 6
    lines = rig.run("drift", "export", PROFILE).expect(0).out.splitlines()
    assert len(lines) == 7
    text = rig.run("drift", "list", PROFILE).expect(0).out
    assert "6 differences" in text
    assert f"student {PUPILS[0]}: grade was written as '9' and is '12'" in text


def test_a_sync_leaves_all_of_it_alone(rig: Rig) -> None:
    """The source did not change: neither the child's name nor the teacher's choice of words is written over."""
    set_time(rig, "09:20")
    mark = rig.request_mark()
    rig.sync(codes=(0,))
    assert rig.writes_since(mark) == []
    assert len(drift(rig)) == 6


def test_put_right_it_is_gone(rig: Rig) -> None:
    set_time(rig, "09:30")
    unit = next(u["id"] for u in rig.directory().state["administrativeUnits"] if u["displayName"] == f"School {SCHOOL}")
    rig.change_directory(
        {"op": "update_user", "upn": upn(f"s{PUPILS[0]}"), "displayName": f"Stu Student{PUPILS[0]}", "education": {
            "student": {"externalId": str(PUPILS[0]), "grade": "9", "studentNumber": str(PUPILS[0])}}},
        {"op": "update_group", "id": class_id(rig, CLASS), "displayName": f"Course {CLASS} 1"},
        {"op": "add_member", "group": class_id(rig, CLASS), "user": upn(f"s{PUPILS[1]}")},
        {"op": "remove_member", "group": class_id(rig, OTHER), "user": upn(f"s{PUPILS[2]}")},
        {"op": "add_unit_member", "unit": unit, "object": upn(f"s{PUPILS[1]}")},
    )  # fmt: skip
    found = rig.run("reconcile", PROFILE, "--full", "--json").expect(0).json
    assert found["open"] == {}
    assert sum(found["resolved"].values()) == 6
    assert len(rig.run("drift", "export", PROFILE, "--resolved").expect(0).out.splitlines()) == 7


def test_seven_nights_compare_everything_once(rig: Rig) -> None:
    """Each object has its night."""
    compared = {"school": 0, "section": 0, "student": 0, "teacher": 0}
    for day in range(15, 22):
        set_time(rig, "03:30", f"2026-10-{day}")
        for kind, count in rig.run("reconcile", PROFILE, "--json").expect(0).json["compared"].items():
            compared[kind] += count
    assert compared == {"school": 1, "section": 2, "student": 3, "teacher": 2}


def test_owner_who_no_longer_teaches_is_an_advice(rig: Rig) -> None:
    set_time(rig, "04:00", "2026-10-22")
    rig.change_school({"op": "assign_teacher", "section": CLASS, "teacher": LED_BY + 1})
    rig.sync(codes=(0,))
    owners = rig.run("drift", "owners", PROFILE, "--json").expect(0).json["owners"]
    assert [(row["section"], row["teacher"], row["user_principal_name"]) for row in owners] == [
        (str(CLASS), str(LED_BY), upn(f"t{LED_BY}"))
    ]
    assert f"t{LED_BY}" in rig.run("drift", "owners", PROFILE).expect(0).out


def test_leaver_whose_record_was_lost_is_listed(rig: Rig) -> None:
    """With the database gone, nobody can tell any more that the child was once enrolled: it stays, and is listed."""
    rig.change_school({"op": "drop", "student": PUPILS[0], "section": OTHER, "how": "exit"})
    rig.forget_state()
    set_time(rig, "05:00", "2026-10-22")
    rig.sync(codes=(0, 1))
    assert ("MembershipNotFromSource", f"section {OTHER}", f"student {PUPILS[0]}", "member") in places(rig)
