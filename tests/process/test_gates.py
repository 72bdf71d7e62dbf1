"""The gates before the first write: what is held, what stops a run, and what a person's decision lets through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import Rig

from process import town
from process.town import State, group, master, pupil

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SCHOOL = 501
BIG, SMALL, SIBLING = 7101, 7102, 7103


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A school with a class of twelve, a class of four, and an empty second section of the big one's course."""
    rig = town.start(tmp_path)
    try:
        twelve, four = [*range(8101, 8113)], [*range(8113, 8117)]
        sibling = {"op": "add_section", "id": SIBLING, "school": SCHOOL, "course": 20000 + BIG, "number": "2"}
        rig.change_school(
            *town.flat(
                town.school(SCHOOL),
                town.teacher(9101, SCHOOL),
                [town.student(number, SCHOOL) for number in [*twelve, *four]],
                town.section(BIG, SCHOOL, 9101, *twelve),
                town.section(SMALL, SCHOOL, 9101, *four),
                {**sibling, "teacher": 9101},
            )
        )
        rig.edit("profiles.district.limits", removal_floor=4, section_removal_floor=8)
        yield rig
    finally:
        rig.stop()


def drop(section: int, *students: int) -> list[dict[str, Any]]:
    return [{"op": "drop", "student": number, "section": section, "how": "dropped"} for number in students]


def changes_of(rig: Rig, run: int, state: str) -> list[dict[str, Any]]:
    """The changes of a run in one state, as `runs show` tells them."""
    shown = rig.run("runs", "show", str(run), "--state", state, "--json").expect(0).json
    changes: list[dict[str, Any]] = shown["changes"]
    return changes


def members_named(changes: list[dict[str, Any]]) -> set[str]:
    return {change["member"]["sis_id"] for change in changes}


def test_too_many_removals_wait_and_an_approval_applies_exactly_them(rig: Rig) -> None:
    rig.sync()
    rig.change_school(
        *drop(BIG, 8101, 8102, 8103, 8104, 8105),
        {"op": "enroll", "student": 8113, "section": BIG},
        {"op": "update_student", "student": 8114, "last_name": "Other"},
    )
    before = State.of(rig)
    preview = rig.preview()
    assert preview["held"] == {"member.remove": 5}
    assert preview["planned"] == {"member.add": 1, "user.update": 1}
    assert {row["withheld"] for row in preview["held_changes"]} == {"over the limit for this kind of change"}

    first = rig.sync(codes=(4,))
    assert (first["status"], first["held"], first["applied"]) == ("held", preview["held"], preview["planned"])
    expected = before.copy()
    expected.enter(BIG, pupil(8113))
    expected.set(pupil(8114), surname="Other", displayName="Stu Other")
    assert State.of(rig).differences(expected) == []

    mark = rig.request_mark()
    second = rig.sync(codes=(4,))
    assert second["held_number"] == first["held_number"]
    assert rig.writes_since(mark) == []
    held = changes_of(rig, first["run"], "held")
    assert members_named(held) == {"8101", "8102", "8103", "8104", "8105"}
    assert "at most 4" in held[0]["detail"]

    approved = rig.run("approve", str(first["run"]), "--json").expect(0, 1).json
    assert approved["applied"] == {"member.remove": 5}
    expected.exit(BIG, *(pupil(number) for number in range(8101, 8106)))
    assert State.of(rig).differences(expected) == []
    assert rig.sync()["status"] == "nothing_to_do"
    again = rig.run("approve", str(first["run"])).expect(2)
    assert "no longer current" in again.err


def test_an_approval_is_refused_when_the_set_has_changed(rig: Rig) -> None:
    rig.sync()
    rig.change_school(*drop(BIG, 8101, 8102, 8103, 8104, 8105))
    first = rig.sync(codes=(4,))
    rig.change_school(*drop(BIG, 8106))
    before = State.of(rig)
    refused = rig.run("approve", str(first["run"])).expect(4)
    assert "changed" in refused.err
    assert State.of(rig).differences(before) == []
    third = rig.sync(codes=(4,))
    assert third["held"] == {"member.remove": 6}
    assert third["held_number"] != first["held_number"]

    rig.run("reject", str(third["run"])).expect(0)
    rejected = rig.sync()
    assert rejected["status"] == "nothing_to_do"
    assert rejected["held"] == {}
    assert rejected["skipped"] == {"member.remove": 6}
    assert {row["withheld"] for row in changes_of(rig, rejected["run"], "skipped")} == {"rejected by a person"}
    assert State.of(rig).differences(before) == []

    rig.change_school(*drop(BIG, 8107))
    assert rig.sync(codes=(4,))["held"] == {"member.remove": 7}
    assert State.of(rig).differences(before) == []


def test_a_section_that_loses_too_many_is_held_alone(rig: Rig) -> None:
    rig.edit("profiles.district.limits", removal_floor=25, section_removal_floor=2, section_removal_percent=50)
    rig.sync()
    before = State.of(rig)
    rig.change_school(*drop(SMALL, 8113, 8114, 8115, 8116), *drop(BIG, 8101, 8102))
    result = rig.sync(codes=(4,))
    assert (result["held"], result["applied"]) == ({"member.remove": 4}, {"member.remove": 2})
    assert members_named(changes_of(rig, result["run"], "held")) == {"8113", "8114", "8115", "8116"}
    expected = before.copy()
    expected.exit(BIG, pupil(8101), pupil(8102))
    assert State.of(rig).differences(expected) == []


def test_changing_to_another_section_of_the_course_is_a_move(rig: Rig) -> None:
    rig.sync()
    before = State.of(rig)
    movers = [*range(8101, 8107)]
    rig.change_school(
        *drop(BIG, *movers), *[{"op": "enroll", "student": number, "section": SIBLING} for number in movers]
    )
    result = rig.sync()
    assert result["held"] == {}
    expected = before.copy()
    expected.exit(BIG, *map(pupil, movers))
    expected.enter(SIBLING, *map(pupil, movers))
    assert State.of(rig).differences(expected) == []


def test_a_source_that_shrank_stops_the_run_before_the_first_write(rig: Rig) -> None:
    rig.edit("profiles.district.limits", shrink_rows=3, shrink_percent=10, removal_floor=25)
    rig.sync()
    before = State.of(rig)
    rig.change_school(
        *drop(BIG, *range(8101, 8109)),
        {"op": "enroll", "student": 8113, "section": BIG},
        {"op": "update_student", "student": 8114, "last_name": "Other"},
    )
    mark = rig.request_mark()
    stopped = rig.run("sync", "district").expect(4)
    assert "the source shrank: enrollments" in stopped.err
    assert "--accept-shrink" in stopped.err
    assert rig.writes_since(mark) == []
    assert State.of(rig).differences(before) == []
    assert rig.run("runs", "--json").expect(0).json["runs"][0]["status"] == "held"

    rig.run("sync", "district").expect(4)  # it is asked again every time
    accepted = rig.sync("--accept-shrink")
    expected = before.copy()
    expected.exit(BIG, *(pupil(number) for number in range(8101, 8109)))
    expected.enter(BIG, pupil(8113))
    expected.set(pupil(8114), surname="Other", displayName="Stu Other")
    assert State.of(rig).differences(expected) == []
    assert any("accepted a smaller source" in notice for notice in accepted["notices"])
    assert rig.sync()["status"] == "nothing_to_do"


def test_many_changed_attributes_wait_and_adds_may_be_limited(rig: Rig) -> None:
    rig.edit("profiles.district.limits", update_floor=3, update_percent=0, max_adds=2, max_creates=1)
    first = rig.sync(codes=(4,))  # limits the operator set hold at a first sync as well
    assert set(first["held"]) == {"user.create", "class.create", "school.create", "member.add", "owner.add",
                                  "school_user.add", "school_class.add"} & set(first["held"])  # fmt: skip
    assert first["held"]["user.create"] == first["planned"].get("user.create", 0) + first["held"]["user.create"]
    rig.edit("profiles.district.limits", max_adds=None, max_creates=None)
    rig.sync()
    before = State.of(rig)
    rig.change_school(
        *[{"op": "update_student", "student": number, "grade": 10} for number in range(8101, 8105)],
        {"op": "enroll", "student": 8113, "section": BIG},
    )
    result = rig.sync(codes=(4,))
    assert (result["held"], result["applied"]) == ({"user.update": 4}, {"member.add": 1})
    expected = before.copy()
    expected.enter(BIG, pupil(8113))
    assert State.of(rig).differences(expected) == []


def hold_alias(rig: Rig, section: int, **columns: Any) -> None:
    """A group made by hand, with a member of its own, sits on the alias of a section."""
    found = {"displayName": "Made by hand", "mailNickname": f"Section_{section}", "visibility": "Private"}
    rig.change_directory({"op": "create_group", **found, "members": ["helper@contoso.edu"], **columns})


@pytest.mark.parametrize("class_api", ["education", "groups"])
def test_a_group_without_our_mark_is_adopted_only_after_approval(rig: Rig, class_api: str) -> None:
    rig.edit("profiles.district", class_api=class_api)
    rig.change_directory({"op": "create_user", "userPrincipalName": "helper@contoso.edu"})
    hold_alias(rig, BIG, is_class=class_api == "education")
    assert rig.sync()["issues"]["GroupAliasTaken"] == 1
    before = State.of(rig)

    rig.edit("profiles.district", adopt_existing=True)
    held = rig.sync(codes=(4,))
    assert held["held"] == {"class.adopt": 1}
    assert "GroupAliasTaken" not in held["issues"]
    assert State.of(rig).differences(before) == []

    rig.run("approve", str(held["run"])).expect(0, 1)
    rig.sync()  # people enter a class that exists
    after = State.of(rig)
    expected = before.copy()
    expected.lead(BIG, master(9101))
    expected.enter(BIG, *(pupil(number) for number in range(8101, 8113)))
    expected.attach_class(SCHOOL, BIG)
    made, adopted = expected.objects.pop(group(BIG)), after.objects.pop(group(BIG))
    assert expected.differences(after) == []
    assert sorted(adopted["members"]) == sorted(made["members"])
    assert adopted["owners"] == [master(9101)]
    assert adopted["displayName"] == f"Course {BIG} 1"
    assert adopted["externalId"] == (str(BIG) if class_api == "education" else None)  # a plain group has no such place
    mark = rig.request_mark()
    assert rig.sync()["status"] == "nothing_to_do"
    assert rig.writes_since(mark) == []


def test_a_group_that_is_no_class_says_so_when_it_is_approved(rig: Rig) -> None:
    rig.change_directory({"op": "create_user", "userPrincipalName": "helper@contoso.edu"})
    hold_alias(rig, BIG)
    rig.edit("profiles.district", adopt_existing=True)
    held = rig.sync(codes=(4,))
    before = State.of(rig)
    approved = rig.run("approve", str(held["run"]), "--json").expect(1).json
    assert approved["issues"]["GroupAliasTaken"] == 1
    assert State.of(rig).differences(before) == []
    listed = rig.run("issues", "list", "district", "--json").expect(0).out
    assert "no education class" in listed
    rig.edit("profiles.district", adopt_existing=False)
    assert rig.sync()["issues"]["GroupAliasTaken"] == 1
    assert State.of(rig).differences(before) == []
