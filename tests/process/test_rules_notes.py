"""The notes below the rule table: what was not read whole, what was deselected, what people did by hand since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import Rig

from process import town
from process.events import classroom, pupil_of
from process.town import State, group, master, pupil

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

KEPT, OTHER = 501, 502


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Two schools with two classes each, under the policy that takes away the most."""
    rig = town.start(tmp_path)
    try:
        rig.change_school(*town.flat(town.school(KEPT), town.school(OTHER)))
        rig.change_school(*town.flat(classroom(7101, at=KEPT), classroom(7102, at=KEPT)))
        rig.change_school(*town.flat(classroom(7103, at=OTHER), classroom(7104, at=OTHER)))
        rig.edit("profiles.district", policy="mirror")
        yield rig
    finally:
        rig.stop()


def drop(section: int, index: int = 0) -> dict[str, Any]:
    return {"op": "drop", "student": pupil_of(section, index), "section": section, "how": "dropped"}


def test_a_list_that_could_not_be_read_removes_nobody_while_everything_else_goes_on(rig: Rig) -> None:
    rig.edit("sources.powerschool", reader="v1")
    rig.sync()
    before = State.of(rig)
    rig.change_school(
        drop(7101), drop(7102), drop(7103), {"op": "enroll", "student": pupil_of(7103, 1), "section": 7104}
    )
    fault = {"side": "powerschool", "kind": "status", "status": 503, "headers": {"Retry-After": "0"}}
    rig.post("faults", {**fault, "path": "/ws/v1/section/7101/section_enrollment"})
    expected = before.copy()
    expected.exit(7102, pupil(pupil_of(7102)))
    expected.exit(7103, pupil(pupil_of(7103)))
    expected.enter(7104, pupil(pupil_of(7103, 1)))

    result = rig.sync()
    assert State.of(rig).differences(expected) == []
    assert result["proof"]["proved"] is False
    [unproved] = result["proof"]["unproved"]
    assert (unproved["resource"], unproved["school"], unproved["parts"]) == ("enrollments", str(KEPT), ["7101"])
    assert result["skipped"] == {"member.remove": 2}  # nobody of the class was read, so everybody is in doubt
    shown = rig.run("runs", "show", str(result["run"]), "--state", "skipped", "--json").expect(0).json
    assert {change["withheld"] for change in shown["changes"]} == {"the source was not proved to be read whole"}
    assert "unproved: enrollments of school 501" in rig.run("runs", "show", str(result["run"])).expect(0).out

    mark = rig.request_mark()
    assert rig.sync()["planned"] == {}
    assert rig.writes_since(mark) == []

    rig.delete("faults")
    assert rig.sync()["applied"] == {"member.remove": 1}
    expected.exit(7101, pupil(pupil_of(7101)))
    assert State.of(rig).differences(expected) == []


def test_a_deselected_school_is_left_as_it_is(rig: Rig) -> None:
    rig.change_school({"op": "enroll", "student": pupil_of(7103), "section": 7101})
    rig.sync()
    before = State.of(rig)
    rig.edit("profiles.district", schools=[str(KEPT), "101"])
    rig.change_school(
        drop(7103),
        drop(7104),
        {"op": "assign_teacher", "section": 7104, "teacher": 9103},
        {"op": "update_course", "course": 27104, "name": "Elsewhere"},
        {"op": "update_student", "student": pupil_of(7104), "last_name": "Elsewhere"},
        {"op": "transfer_student", "student": pupil_of(7104, 1), "school": KEPT},
        drop(7102),
        {"op": "enroll", "student": pupil_of(7103), "section": 7102},
    )
    rig.sync()
    expected = before.copy()
    expected.attach(KEPT, pupil(pupil_of(7104, 1)))  # in scope now, and still attached to the school that is not
    expected.exit(7102, pupil(pupil_of(7102)))
    expected.enter(7102, pupil(pupil_of(7103)))  # of the deselected school, with an account all the same
    assert State.of(rig).differences(expected) == []
    assert rig.sync()["status"] == "nothing_to_do"

    rig.edit("profiles.district", schools="all")
    rig.sync()
    expected.exit(7103, pupil(pupil_of(7103)))
    expected.exit(7104, pupil(pupil_of(7104)), pupil(pupil_of(7104, 1)))
    expected.step_down(7104, master(9104))
    expected.lead(7104, master(9103))
    expected.detach(OTHER, pupil(pupil_of(7104, 1)))
    expected.set(group(7104), course__displayName="Elsewhere")
    expected.set(pupil(pupil_of(7104)), surname="Elsewhere", displayName="Stu Elsewhere")
    assert State.of(rig).differences(expected) == []


def test_names_of_classes_follow_the_source_only_where_that_is_wanted(rig: Rig) -> None:
    rig.sync()
    by_hand = rig.directory().class_of("7102")
    assert by_hand is not None
    rig.change_directory({"op": "update_group", "id": by_hand["id"], "displayName": "Our class"})
    before = State.of(rig)
    rig.edit("profiles.district", class_name_updates=True)
    rig.change_school({"op": "update_course", "course": 27101, "name": "Botany"})
    rig.sync()
    expected = before.copy()
    expected.set(group(7101), displayName="Botany 1", course__displayName="Botany")
    assert State.of(rig).differences(expected) == []  # the renamed class keeps its name: nothing changed in the source

    rig.change_school({"op": "update_course", "course": 27102, "name": "Zoology"})
    rig.sync()
    expected.set(group(7102), displayName="Zoology 1", course__displayName="Zoology")
    assert State.of(rig).differences(expected) == []


def test_a_member_removed_by_hand_comes_back_when_the_row_changes(rig: Rig) -> None:
    rig.edit("profiles.district", policy="sds")
    rig.sync()
    before = State.of(rig)
    taken = rig.directory().class_of("7101")
    assert taken is not None
    who = f"s{pupil_of(7101)}@contoso.edu"
    rig.change_directory({"op": "remove_member", "group": taken["id"], "user": who})
    removed = before.copy()
    removed.exit(7101, pupil(pupil_of(7101)))
    rig.sync()
    rig.sync()
    assert State.of(rig).differences(removed) == []

    rig.change_school(drop(7101))
    rig.sync()
    assert State.of(rig).differences(removed) == []
    rig.change_school({"op": "reenroll", "student": pupil_of(7101), "section": 7101})
    rig.sync()
    assert State.of(rig).differences(before) == []


def test_a_class_without_a_teacher_is_made_where_that_is_wanted(rig: Rig) -> None:
    rig.change_school(*town.section(7105, KEPT, None, pupil_of(7101)))
    assert rig.sync()["issues"]["SectionWithoutTeacher"] == 2
    before = State.of(rig)
    rig.edit("profiles.district", teacherless="create")
    result = rig.sync()
    assert "SectionWithoutTeacher" not in result["issues"]
    expected = before.copy()
    expected.new_class(7105, KEPT, 7101, 9101, pupil_of(7101))
    expected.step_down(7105, master(9101))
    made, after = State.of(rig), State.of(rig)
    orphan = after.objects.pop("group:Section_1501")  # the generated one, made as well
    assert orphan["owners"] == []
    lines = [line for line in expected.differences(after) if "Section_1501" not in line]
    assert lines == []
    assert made.objects[group(7105)]["members"] == [pupil(pupil_of(7101))]

    rig.change_school({"op": "assign_teacher", "section": 7105, "teacher": 9102})
    rig.sync()
    made.lead(7105, master(9102))
    assert State.of(rig).differences(made) == []
