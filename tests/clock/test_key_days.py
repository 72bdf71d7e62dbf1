"""The last day of a year, the day after and the first day of taking up the next, through the real program."""

from __future__ import annotations

from pathlib import Path

import pytest
from calendar_rig import a_term
from process import town
from process.town import State, pupil
from rig import Rig

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SCHOOL, OLD, NEW, TERM, NEXT_TERM = 501, 7101, 7201, 601, 801
STAYS, LEAVES = 8101, 8102


def at(rig: Rig, instant: str) -> None:
    """Move the time of both sides."""
    rig.environment["SDS_DAEMON_CLOCK"] = f"{instant}Z"
    rig.post("clock", {"now": f"{instant}+00:00"})


def test_three_key_days(tmp_path: Path) -> None:
    with Rig(
        tmp_path,
        *("--students", "4", "--time-scale", "200", "--today", "2027-05-20"),
        environment={"SDS_DAEMON_CLOCK": "2027-05-20T18:00:00Z", "TZ": "Pacific/Auckland"},
    ) as rig:
        rig.edit("profiles.district", schools=["School 501"])
        rig.change_school(
            *town.flat(
                town.school(SCHOOL),
                a_term(TERM, SCHOOL, 2026, 2, "2026-08-03", "2027-06-10"),
                town.teacher(9101, SCHOOL),
                [town.student(number, SCHOOL) for number in (STAYS, LEAVES)],
                town.section(OLD, SCHOOL, 9101, STAYS, LEAVES, term=TERM),
                a_term(NEXT_TERM, SCHOOL, 2027, 1, "2027-08-19", "2028-06-09"),
                town.section(NEW, SCHOOL, 9101, STAYS, term=NEXT_TERM),
            )
        )
        rig.sync()
        before = State.of(rig)

        at(rig, "2027-06-11T06:30:00")  # half past eleven at night of 10 June, the last day
        assert rig.sync()["planned"] == {}
        rig.change_school({"op": "set_enroll_status", "student": LEAVES, "status": "T", "end_enrollments": True})
        at(rig, "2027-06-11T07:30:00")  # the day after
        assert rig.sync()["planned"] == {}
        assert State.of(rig).differences(before) == []

        at(rig, "2027-08-05T07:30:00")  # fourteen days before the year begins
        summary = rig.sync()
        assert [notice for notice in summary["notices"] if "school year 2027-28 begins" in notice]
        assert summary["applied"]["class.create"] == 1
        assert not {kind for kind in summary["applied"] if kind.endswith(".remove")}
        state = State.of(rig)
        assert state.objects[town.group(OLD)] == before.objects[town.group(OLD)]
        assert pupil(STAYS) in state.objects[town.group(NEW)]["members"]
        assert not [notice for notice in rig.sync()["notices"] if "begins" in notice]
