"""What people change by hand in Teams and Entra: respected, reported once, put back only where the profile says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rig import PROFILE, Rig

from process.answers import issues, scope
from process.by_hand import CLASS, LED_BY, PUPILS, SCHOOL, class_id, drift, members, places, set_time, upn
from process.town import flat, school, section, start, student, teacher

pytestmark = pytest.mark.process
REMOVED = "MembershipRemovedByHand"
OTHER = CLASS + 1


def build(folder: Any, *, schools: int = SCHOOL) -> Rig:
    """A school of one class of three and one of nobody in particular, synced."""
    rig = start(folder, day="2026-10-14")
    rig.change_school(
        *flat(
            school(schools),
            teacher(LED_BY, schools),
            teacher(LED_BY + 1, schools),
            [student(number, schools) for number in PUPILS],
            section(CLASS, schools, LED_BY, *PUPILS),
            section(OTHER, schools, LED_BY + 1, PUPILS[0]),
        )
    )
    scope(rig, schools)
    set_time(rig, "08:00")
    rig.sync(codes=(0,))
    set_time(rig, "09:00")
    return rig


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One school for the scenarios of this module, which follow each other."""
    rig = build(tmp_path_factory.mktemp("hand"))
    try:
        yield rig
    finally:
        rig.stop()


def test_nothing_is_read_into_our_own_writes(rig: Rig) -> None:
    """The first cycle after the first sync sees all of its own memberships, and no drift."""
    mark = rig.request_mark()
    assert rig.sync(codes=(0,))["status"] == "nothing_to_do"
    assert rig.writes_since(mark) == []
    assert drift(rig) == []


def test_removed_by_hand_is_respected_and_said_once(rig: Rig) -> None:
    set_time(rig, "09:10")
    rig.change_directory({"op": "remove_member", "group": class_id(rig), "user": upn(f"s{PUPILS[0]}")})
    mark = rig.request_mark()
    first = rig.sync(codes=(0,))
    assert [notice for notice in first["notices"] if "removed by hand, and respected" in notice]
    assert places(rig) == {(REMOVED, f"section {CLASS}", f"student {PUPILS[0]}", "member")}
    set_time(rig, "09:20")
    assert not rig.sync(codes=(0,))["notices"], "said once"
    assert rig.writes_since(mark) == []
    assert f"s{PUPILS[0]}" not in members(rig)
    assert len(drift(rig)) == 1


def test_respected_through_a_fresh_read_of_the_directory(rig: Rig) -> None:
    """A refused delta link means reading all anew: what is absent stays absent, and nothing else looks so."""
    set_time(rig, "09:30")
    rig.change_directory({"op": "expire_delta"})
    mark = rig.request_mark()
    rig.sync(codes=(0,))
    assert rig.writes_since(mark) == []
    assert len(drift(rig)) == 1


def test_put_back_by_hand_ends_the_drift(rig: Rig) -> None:
    set_time(rig, "09:40")
    rig.change_directory({"op": "add_member", "group": class_id(rig), "user": upn(f"s{PUPILS[0]}")})
    mark = rig.request_mark()
    rig.sync(codes=(0,))
    assert drift(rig) == []
    assert rig.writes_since(mark) == []


def test_removed_by_hand_during_a_fresh_read(rig: Rig) -> None:
    """Seen by its absence from the whole, not by a line that says so."""
    set_time(rig, "09:50")
    rig.change_directory(
        {"op": "remove_member", "group": class_id(rig), "user": upn(f"s{PUPILS[1]}")}, {"op": "expire_delta"}
    )
    rig.sync(codes=(0,))
    assert places(rig) == {(REMOVED, f"section {CLASS}", f"student {PUPILS[1]}", "member")}


def test_the_source_row_decides_again_once_it_changes(rig: Rig) -> None:
    """Out of the section at the source: forgotten without a write. Back in: added, whatever was done by hand before."""
    set_time(rig, "10:00")
    rig.change_school({"op": "drop", "student": PUPILS[1], "section": CLASS, "how": "exit"})
    mark = rig.request_mark()
    rig.sync(codes=(0,))
    assert rig.writes_since(mark) == []
    assert drift(rig) == []
    rig.change_school({"op": "enroll", "student": PUPILS[1], "section": CLASS})
    set_time(rig, "10:10")
    rig.sync(codes=(0,))
    assert f"s{PUPILS[1]}" in members(rig)


def test_removed_by_hand_is_put_back_where_told_to(rig: Rig) -> None:
    set_time(rig, "10:20")
    rig.edit(f"profiles.{PROFILE}", hand_removals="restore")
    rig.change_directory(
        {"op": "remove_member", "group": class_id(rig), "user": upn(f"s{PUPILS[2]}")},
        {"op": "add_owner", "group": class_id(rig), "user": upn(f"t{LED_BY + 1}")},
        {"op": "remove_owner", "group": class_id(rig), "user": upn(f"t{LED_BY}")},
    )
    planned = {row["reason"] for row in rig.preview()["changes"]}
    assert planned == {"removed by hand, and hand_removals is restore"}
    assert rig.sync(codes=(0,))["applied"] == {"member.add": 1, "owner.add": 1}
    assert f"s{PUPILS[2]}" in members(rig)
    set_time(rig, "10:30")
    mark = rig.request_mark()
    rig.sync(codes=(0,))
    assert drift(rig) == []
    assert rig.writes_since(mark) == []
    rig.edit(f"profiles.{PROFILE}", hand_removals=None)


def test_added_by_hand_stays_until_the_source_asks_and_takes_back(rig: Rig) -> None:
    """Never demanded: ours in no way. Demanded later: managed from then on, and removed when the row ends."""
    set_time(rig, "10:40")
    pupil = PUPILS[2]
    rig.change_directory({"op": "add_member", "group": class_id(rig, OTHER), "user": upn(f"s{pupil}")})
    mark = rig.request_mark()
    rig.sync(codes=(0,))
    assert rig.writes_since(mark) == []
    assert f"s{pupil}" in members(rig, OTHER)
    rig.change_school({"op": "enroll", "student": pupil, "section": OTHER})
    set_time(rig, "10:50")
    rig.sync(codes=(0,))
    rig.change_school({"op": "drop", "student": pupil, "section": OTHER, "how": "exit"})
    set_time(rig, "11:00")
    rig.sync(codes=(0,))
    assert f"s{pupil}" not in members(rig, OTHER)


def test_renamed_sign_in_name_keeps_its_link(rig: Rig) -> None:
    set_time(rig, "11:10")
    rig.change_directory({"op": "update_user", "upn": upn(f"s{PUPILS[0]}"), "userPrincipalName": upn("wed")})
    mark = rig.request_mark()
    rig.sync(codes=(0,))
    assert rig.writes_since(mark) == []
    rig.change_directory({"op": "update_user", "upn": upn("wed"), "userPrincipalName": upn(f"s{PUPILS[0]}")})


def test_deleted_account_is_reported_and_comes_back_into_its_classes(rig: Rig) -> None:
    set_time(rig, "11:20")
    gone = rig.directory().user(upn(f"s{PUPILS[0]}"))["id"]
    rig.change_directory({"op": "delete_user", "id": gone})
    mark = rig.request_mark()
    rig.sync(codes=(1,))
    assert issues(rig) == {("student", str(PUPILS[0])): "DirectoryObjectDeleted"}
    assert ("ObjectDeletedByHand", f"student {PUPILS[0]}", "", "") in places(rig)
    assert not [row for row in places(rig) if row[0] == REMOVED], "nobody took the child out of a class"
    assert rig.writes_since(mark) == []
    rig.change_directory({"op": "restore_user", "id": gone})
    set_time(rig, "11:30")
    rig.sync(codes=(0,))
    set_time(rig, "11:40")
    rig.sync(codes=(0,))
    assert f"s{PUPILS[0]}" in members(rig)
    assert f"s{PUPILS[0]}" in members(rig, OTHER)
    assert issues(rig) == {}
    assert drift(rig) == []


def test_deleted_group_is_reported_and_left_alone(rig: Rig) -> None:
    set_time(rig, "11:50")
    rig.change_directory({"op": "delete_group", "id": class_id(rig, OTHER)})
    mark = rig.request_mark()
    rig.sync(codes=(1,))
    assert issues(rig) == {("section", str(OTHER)): "DirectoryObjectDeleted"}
    assert ("ObjectDeletedByHand", f"section {OTHER}", "", "") in places(rig)
    assert rig.writes_since(mark) == []


def test_deleted_group_is_restored_where_told_to(rig: Rig) -> None:
    """From the recycle bin, once, with what is in it; what the source says is then made so."""
    rig.edit(f"profiles.{PROFILE}", recreate_deleted_groups=True)
    old = class_id(rig, OTHER)
    set_time(rig, "12:00")
    rig.change_school({"op": "enroll", "student": PUPILS[1], "section": OTHER})
    assert rig.sync(codes=(0,))["applied"] == {"class.restore": 1}
    set_time(rig, "12:10")
    rig.sync(codes=(0,))
    assert class_id(rig, OTHER) == old
    assert {f"s{PUPILS[0]}", f"s{PUPILS[1]}"} <= members(rig, OTHER)
    set_time(rig, "12:20")
    mark = rig.request_mark()
    rig.sync(codes=(0,))
    assert rig.writes_since(mark) == []
    assert issues(rig) == {}
    assert drift(rig) == []


def test_group_gone_for_good_is_made_anew_where_told_to(rig: Rig) -> None:
    old = class_id(rig, OTHER)
    set_time(rig, "12:30")
    before = members(rig, OTHER)
    rig.change_directory({"op": "delete_group", "id": old}, {"op": "purge_group", "id": old})
    assert rig.sync(codes=(0,))["applied"]["class.create"] == 1
    made = rig.directory().class_of(str(OTHER))
    assert made is not None
    assert made["id"] != old
    assert members(rig, OTHER) == before
    set_time(rig, "12:40")
    mark = rig.request_mark()
    rig.sync(codes=(0,))
    assert rig.writes_since(mark) == []
