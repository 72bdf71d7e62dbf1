"""Co-teachers: what they become in a class, and what happens to them while only lead teachers can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import Rig

from process import town
from process.events import classroom
from process.town import NEXT_DAY, State, master

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SCHOOL, FIRST, SECOND = 501, 7101, 7102
MATE = 9102
TOGETHER = {"op": "add_co_teacher", "section": FIRST, "teacher": MATE}
APART = {"op": "remove_co_teacher", "section": FIRST, "teacher": MATE}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A school with two classes, under the policy that takes away the most."""
    rig = town.start(tmp_path)
    try:
        rig.change_school(*town.flat(town.school(SCHOOL), classroom(FIRST, at=SCHOOL), classroom(SECOND, at=SCHOOL)))
        rig.edit("profiles.district", policy="mirror")
        yield rig
    finally:
        rig.stop()


def test_a_co_teacher_stays_while_v1_reads_and_goes_when_the_assignment_ends(rig: Rig) -> None:
    rig.sync()
    expected = State.of(rig)
    rig.change_school(TOGETHER)
    expected.lead(FIRST, master(MATE))
    rig.sync()
    assert State.of(rig).differences(expected) == []

    rig.post("powerschool/settings", {"revoked": ["sectionteacher.roleid"]})
    result = rig.sync()
    assert State.of(rig).differences(expected) == []
    assert any("SECTIONTEACHER.ROLEID" in notice for notice in result["notices"])
    assert result["skipped"] == {"owner.remove": 1, "member.remove": 1}
    shown = rig.run("runs", "show", str(result["run"]), "--state", "skipped", "--json").expect(0).json
    assert {change["detail"] for change in shown["changes"]} == {"reader v1 sees the lead teacher of a section alone"}

    rig.post("powerschool/settings", {"revoked": []})
    rig.change_school(APART)
    town.turn_to(rig, NEXT_DAY)
    expected.step_down(FIRST, master(MATE))
    rig.sync()
    assert State.of(rig).differences(expected) == []


@pytest.mark.parametrize("choice", ["member", "ignore"])
def test_what_co_teachers_become_is_chosen(rig: Rig, choice: str) -> None:
    """A change of the choice takes nobody out."""
    rig.edit("profiles.district", co_teachers=choice)
    rig.sync()
    expected = State.of(rig)
    rig.change_school(TOGETHER)
    if choice == "member":
        expected.enter(FIRST, master(MATE))
    rig.sync()
    assert State.of(rig).differences(expected) == []
    rig.edit("profiles.district", co_teachers="ignore")
    rig.sync()
    assert State.of(rig).differences(expected) == []
