"""`undo RUN`: what a run added is taken back, accounts and groups stay, and the profile waits until it is resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import PROFILE, Rig

from process.answers import scope
from process.by_hand import LED_BY, PUPILS, SCHOOL, set_time
from process.town import State, flat, school, section, start, student, teacher

pytestmark = pytest.mark.process
CLASS = 7841
NEWCOMER, NEW_TEACHER = 8849, LED_BY + 9


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A school of one class that has been synced once (run 1)."""
    rig = start(tmp_path_factory.mktemp("undo"))
    try:
        rig.change_school(
            *flat(
                school(SCHOOL),
                teacher(LED_BY, SCHOOL),
                [student(number, SCHOOL) for number in PUPILS],
                section(CLASS, SCHOOL, LED_BY, *PUPILS[:2]),
            )
        )
        scope(rig, SCHOOL)
        set_time(rig, "08:00")
        rig.sync(codes=(0,))
        set_time(rig, "09:00")
        yield rig
    finally:
        rig.stop()


@pytest.fixture(scope="module")
def before(rig: Rig) -> State:
    """The directory before the run that is taken back."""
    return State.of(rig)


@pytest.fixture(scope="module")
def bad_run(rig: Rig, before: State) -> int:
    """A run that adds a member and an account, and changes attributes."""
    rig.change_school(
        {"op": "enroll", "student": PUPILS[2], "section": CLASS},
        student(NEWCOMER, SCHOOL, CLASS),
        {"op": "update_student", "student": PUPILS[0], "grade": 10, "first_name": "Zoe"},
        {"op": "drop", "student": PUPILS[1], "section": CLASS, "how": "exit"},
    )
    result = rig.sync(codes=(0,))
    assert result["applied"] == {
        "member.add": 2, "member.remove": 1, "school_user.add": 1, "user.create": 1, "user.update": 1
    }  # fmt: skip
    set_time(rig, "10:00")
    return int(result["run"])


def test_preview_shows_and_writes_nothing(rig: Rig, bad_run: int) -> None:
    mark = rig.request_mark()
    shown = rig.run("undo", str(bad_run), "--preview", "--json").expect(0).json
    assert shown["planned"] == {"member.remove": 2, "school_user.remove": 1, "user.update": 1}
    assert shown["left"] == {"member.remove": 1, "user.create": 1}
    assert next(row["before"] for row in shown["changes"] if row["kind"] == "user.update")["grade"] == "10"
    assert rig.writes_since(mark) == []
    assert rig.run("status", PROFILE, "--json").expect(0).json["profiles"][0]["status"] == "success", "not paused"
    said = rig.run("undo", str(bad_run), "--preview").expect(0).out
    assert "nothing was written" in said
    assert f"sds-daemon profiles resume {PROFILE}" in said


def test_takes_back_what_the_run_added_and_nothing_else(rig: Rig, before: State, bad_run: int) -> None:
    """Former attributes, memberships gone; the account stays, and so does what the run removed."""
    done = rig.run("undo", str(bad_run), "--json").expect(0).json
    assert done["applied"] == {"member.remove": 2, "school_user.remove": 1, "user.update": 1}
    wanted = before.copy()
    wanted.exit(CLASS, f"user:s{PUPILS[1]}@contoso.edu")
    left = State.of(rig)
    appeared = f"user:s{NEWCOMER}@contoso.edu appears"
    assert wanted.differences(left) == [appeared]


def test_profile_is_paused_and_says_why(rig: Rig, bad_run: int) -> None:
    status = rig.run("status", PROFILE, "--json").expect(0).json["profiles"][0]
    assert (status["status"], status["next"]) == ("paused", None)
    assert f"run {bad_run} was taken back" in status["reason"]
    refused = rig.run("sync", PROFILE).expect(2)
    assert "profiles resume" in refused.err
    assert rig.preview()["planned"] == {"member.add": 2, "school_user.add": 1, "user.update": 1}


def test_once_is_enough(rig: Rig, bad_run: int) -> None:
    mark = rig.request_mark()
    again = rig.run("undo", str(bad_run), "--json").expect(0).json
    assert (again["status"], again["planned"]) == ("nothing_to_do", {})
    assert rig.writes_since(mark) == []


def test_resumed_it_does_what_the_source_still_says(rig: Rig, bad_run: int) -> None:
    """The enrollment was wrong and is corrected at the source; the rest is done again."""
    rig.change_school({"op": "drop", "student": PUPILS[2], "section": CLASS, "how": "exit"})
    assert "is resumed" in rig.run("profiles", "resume", PROFILE).expect(0).out
    assert "was not paused" in rig.run("profiles", "resume", PROFILE).expect(0).out
    set_time(rig, "11:00")
    assert rig.sync(codes=(0,))["applied"] == {"member.add": 1, "school_user.add": 1, "user.update": 1}
    set_time(rig, "12:00")
    mark = rig.request_mark()
    rig.sync(codes=(0,))
    assert rig.writes_since(mark) == []


def test_what_later_runs_did_is_theirs(rig: Rig, bad_run: int) -> None:
    """All that run had done has been done again since, by another one."""
    shown = rig.run("undo", str(bad_run), "--preview", "--json").expect(0).json
    assert shown["planned"] == {}


def test_runs_that_cannot_be_taken_back(rig: Rig, bad_run: int) -> None:
    assert "there is no run 4711" in rig.run("undo", "4711").expect(2).err
    runs = rig.run("runs", "--json").expect(0).json["runs"]
    undo = next(run["id"] for run in runs if run["kind"] == "undo")
    assert "no sync" in rig.run("undo", str(undo)).expect(2).err


def test_limits_hold_and_approval_takes_back_exactly_that(rig: Rig) -> None:
    """The first sync made everything: taking it back removes most of it, which a person has to look at."""
    rig.edit(f"profiles.{PROFILE}.limits", removal_floor=0, section_removal_floor=0)
    shown = rig.run("undo", "1", "--json").expect(4).json
    assert shown["status"] == "held"
    assert set(shown["held"]) == {"member.remove", "school_user.remove"}
    assert not set(shown["applied"]) & set(shown["held"])
    approved = rig.run("approve", str(shown["run"]), "--json").expect(1).json
    assert approved["applied"] == shown["held"]
    assert approved["issues"] == {"CannotRemoveLastOwner": 1}
    classes = [group for group in rig.directory().groups.values() if group.get("externalId") == str(CLASS)]
    assert len(classes) == 1, "groups are never deleted"
    assert classes[0]["owners"], "the last owner stays"
    rig.run("profiles", "resume", PROFILE).expect(0)


def test_the_pause_is_told(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "told"
    rig.edit("daemon", notify_command=["/bin/sh", "-c", f"cat >> {file}"])
    rig.edit(f"profiles.{PROFILE}.limits", removal_floor=500, section_removal_floor=500)
    rig.run("profiles", "resume", PROFILE).expect(0)
    rig.change_school({"op": "enroll", "student": PUPILS[2], "section": CLASS})
    set_time(rig, "14:00")
    run = rig.sync(codes=(0, 1))["run"]
    assert rig.run("undo", str(run)).code in (0, 1)
    told = [json.loads(line) for line in file.read_text().splitlines()]
    assert (told[-1]["before"], told[-1]["status"]) == ("success", "paused")
    assert f"run {run} was taken back" in told[-1]["reason"]
