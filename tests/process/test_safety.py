"""Odd schools, a source that shrank, relaxed limits, too many issues, and who is told: through the real program."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import Rig

from process import town
from process.town import State, pupil

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

LARGE, SMALL = 501, 502
BIG, LITTLE = 7101, 7102
OLDER, YOUNGER = [*range(8101, 8113)], [*range(8201, 8211)]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A school with a class of twelve and one with a class of ten; whatever is told goes to a file."""
    rig = town.start(tmp_path_factory.mktemp("safety"))
    try:
        rig.change_school(
            *town.flat(
                town.school(LARGE),
                town.school(SMALL),
                town.teacher(9101, LARGE),
                town.teacher(9102, SMALL),
                [town.student(number, LARGE) for number in OLDER],
                [town.student(number, SMALL) for number in YOUNGER],
                town.section(BIG, LARGE, 9101, *OLDER),
                town.section(LITTLE, SMALL, 9102, *YOUNGER),
            )
        )
        script = f"import sys; open({str(rig.folder / 'told')!r}, 'a').write(sys.stdin.read())"
        rig.edit("daemon", notify_command=[sys.executable, "-c", script])
        rig.sync()
        yield rig
    finally:
        rig.stop()


def told(rig: Rig) -> list[dict[str, Any]]:
    file: Path = rig.folder / "told"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def drop(section: int, *students: int) -> list[dict[str, Any]]:
    return [{"op": "drop", "student": number, "section": section, "how": "dropped"} for number in students]


def standing(rig: Rig) -> dict[str, Any]:
    (found,) = rig.run("status", "district", "--json").expect(0).json["profiles"]
    return dict(found)


def test_an_emptied_school_loses_nobody_until_a_person_accepts_and_relaxes(rig: Rig) -> None:
    before = State.of(rig)
    rig.change_school(*drop(LITTLE, *YOUNGER), *drop(BIG, OLDER[0]))
    odd = rig.sync(codes=(1,))
    assert (odd["applied"], odd["skipped"]) == ({"member.remove": 1}, {"member.remove": 10})
    assert odd["issues"]["SchoolWithoutData"] == 1
    assert any(str(SMALL) in notice and "now has none" in notice for notice in odd["notices"])
    before.exit(BIG, pupil(OLDER[0]))
    assert State.of(rig).differences(before) == []
    assert "--accept-shrink" in rig.run("issues", "list", "district").expect(0).out
    shown = rig.run("runs", "show", str(odd["run"]), "--all").expect(0).out
    assert f"enrollments of school {SMALL}: 0 received" in shown
    assert "digest" in shown
    assert told(rig) == []

    held = rig.sync("--accept-shrink", codes=(4,))
    assert held["held"] == {"member.remove": 10}
    assert [(each["status"], each["held_run"]) for each in told(rig)] == [("validationError", held["run"])]
    rig.run("limits", "relax", "district", "--until", town.NEXT_DAY).expect(0)
    assert standing(rig)["limits_relaxed_until"]
    assert rig.sync()["applied"] == {"member.remove": 10}
    before.exit(LITTLE, *map(pupil, YOUNGER))
    assert State.of(rig).differences(before) == []
    assert told(rig)[-1]["status"] == "success"
    rig.run("limits", "restore", "district").expect(0)


def test_a_stop_by_the_source_limit_is_approved_as_it_was_read(rig: Rig) -> None:
    rig.edit("profiles.district.limits", shrink_rows=3, shrink_percent=10)
    before, news = State.of(rig), len(told(rig))
    rig.change_school(*drop(BIG, *OLDER[1:7]))
    assert "the source shrank: enrollments" in rig.run("sync", "district").expect(4).err
    stopped = rig.run("runs", "--json").expect(0).json["runs"][0]["id"]
    rig.change_school(*drop(BIG, OLDER[7]))
    further = rig.run("approve", str(stopped)).expect(4)
    assert f"run {stopped}, which was approved" in further.err
    assert State.of(rig).differences(before) == []
    newest = rig.run("runs", "--json").expect(0).json["runs"][0]["id"]
    approved = rig.run("approve", str(newest), "--json").expect(0, 1).json
    assert approved["applied"] == {"member.remove": 7}
    before.exit(BIG, *map(pupil, OLDER[1:8]))
    assert State.of(rig).differences(before) == []
    assert [each["status"] for each in told(rig)[news:]] == ["validationError", "success"]
    assert "no longer current" in rig.run("approve", str(newest)).expect(2).err


def test_too_many_issues_quarantine_the_profile_before_anything_is_written(rig: Rig) -> None:
    rig.edit("profiles.district.limits", max_issues=1)
    newcomers = [8301, 8302, 8303]
    rig.change_school(*[town.student(number, LARGE, BIG, username="") for number in newcomers])
    mark, news = rig.request_mark(), len(told(rig))
    assert "limits.max_issues is 1" in rig.run("sync", "district").expect(4).err
    assert rig.writes_since(mark) == []
    assert standing(rig)["status"] == "quarantined"
    assert [each["status"] for each in told(rig)[news:]] == ["quarantined"]
    rig.run("sync", "district").expect(4)
    assert len(told(rig)) == news + 1, "once, not once a cycle"
    rig.edit("profiles.district.limits", max_issues=100)
    assert "is resumed" in rig.run("profiles", "resume", "district").expect(0).out
    rig.sync()
    assert standing(rig)["status"] == "success"
    assert not any("Student83" in json.dumps(each) for each in told(rig))


def test_a_named_school_is_followed_when_it_is_renamed_and_loses_nobody_when_it_is_gone(rig: Rig) -> None:
    rig.edit("profiles.district", schools=[str(LARGE), str(SMALL)])
    rig.edit("profiles.district.limits", shrink_rows=500)
    rig.sync()
    rig.change_school({"op": "update_school", "school": SMALL, "number": 777})
    renamed = rig.sync()
    assert any(f"'{SMALL}' in `schools` is now called" in notice for notice in renamed["notices"])
    before = State.of(rig)
    rig.change_school(
        {"op": "delete_school", "school": SMALL, "students": "delete"},
        {"op": "enroll", "student": OLDER[0], "section": BIG},
    )
    gone = rig.sync(codes=(1,))
    assert (gone["applied"], gone["issues"]["SchoolNoLongerListed"]) == ({"member.add": 1}, 1)
    assert any(f"'{SMALL}' in `schools` is no longer listed" in notice for notice in gone["notices"])
    before.enter(BIG, pupil(OLDER[0]))
    assert State.of(rig).differences(before) == []
    assert f"'{SMALL}' in `schools` is no longer listed" in rig.run("check", "district").expect(0).out
    rig.sync("--accept-shrink", codes=(0, 1))
    assert "SchoolNoLongerListed" not in rig.sync(codes=(0, 1))["issues"]
    rig.edit("profiles.district", schools=[str(LARGE), "4711"])
    assert "no school has the name or number '4711'" in rig.run("sync", "district").expect(2).err
