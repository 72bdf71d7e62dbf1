"""The state database full, read-only, locked, deleted, of yesterday; killed while migrating and while approving."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from process.crashes import locked
from process.town import State
from rig import PROFILE, Rig

from chaos.harness import LONG, SEED, Tally, Undisturbed, begin, school_day, settle, sync, trapped
from sds_daemon.store.database import open_database
from sds_daemon.store.migrations import upgrade

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]
DISKS = {"full": "the disk is full", "readonly": "may not be written", "limit": "state database"}


def kill_while_migrating(rig: Rig, times: int, chance: random.Random, tally: Tally) -> None:
    """Killed after some statement of the migrations; then the same again."""
    for _ in range(times):
        done = trapped(rig, {"moment": "migrating", "hit": chance.randint(1, 12)})
        assert done.code == -9, "a migration that was cut off is to be done again from its beginning"
        tally.kills["migrating"] += 1


def old_database(rig: Rig) -> None:
    """A database of the first schema."""
    rig.forget_state()
    database = open_database(rig.folder / "state" / "state.db")
    upgrade(database, target="0001")
    database.close()


@pytest.mark.parametrize("moment", ("unsent", "between", "unrecorded") if LONG else ("unrecorded",))
def test_every_way_a_disk_can_fail(moment: str, calm: Undisturbed, tally: Tally, tmp_path: Path) -> None:
    """In the middle of a first sync, after kills while migrating: a message, exit code 3, nothing sent afterwards."""
    chance = random.Random(f"{SEED} {moment}")
    with begin(tmp_path) as rig:
        kill_while_migrating(rig, 4 if LONG else 2, chance, tally)
        old_database(rig)
        kill_while_migrating(rig, 4 if LONG else 1, chance, tally)
        for act, words in DISKS.items():
            done = trapped(rig, {"moment": moment, "hit": 1, "act": act}).expect(3)
            assert words in done.err and "state.db" in done.err, done.err
            tally.faults[f"database {act} | {moment}"] += 1
        with locked(rig.folder / "state" / "state.db"):
            done = rig.run("sync", PROFILE).expect(3)
        assert "another process holds it" in done.err
        tally.faults["database locked | at the start"] += 1
        settle(rig, calm.first, tally)


def test_killed_while_approving(calm: Undisturbed, tally: Tally, tmp_path: Path) -> None:
    """The day's additions are held; whoever approves is killed at any statement, and does it again."""
    chance = random.Random(SEED)
    with begin(tmp_path) as rig:
        sync(rig)
        school_day(rig)
        rig.edit("profiles.district.limits", max_adds=1)
        moments = [("statement", chance.randint(1, 40)), ("unsent", 1), ("unrecorded", 1), ("unanswered", 1)]
        moments = [("statement", chance.randint(1, 120)) for _ in range(8 if LONG else 1)] + moments
        held = sync(rig, 4)
        for moment, hit in moments:
            done = trapped(rig, {"moment": moment, "hit": hit}, "approve", str(held["run"]), "--json")
            assert done.code in (-9, 0, 1, 2), done.err
            tally.kills["approving"] += done.code == -9
        held = sync(rig, 0, 1, 4)
        if held["held_number"]:
            trapped(rig, {}, "approve", str(held["run"]), "--json").expect(0, 1)
        assert tally.kills["approving"] >= 2
        rig.edit("profiles.district.limits", max_adds=None)
        settle(rig, calm.day, tally)


def leave(rig: Rig, *pairs: tuple[int, int]) -> None:
    """Students leave sections."""
    rig.change_school(*({"op": "drop", "student": who, "section": where, "how": "dropped"} for who, where in pairs))


def upn_of(rig: Rig, student: int) -> str:
    """How the comparison names a student."""
    user = rig.directory().user_of("student", str(student))
    assert user is not None
    return f"user:{user['userPrincipalName']}"


def old_membership(rig: Rig, calm: Undisturbed) -> tuple[int, int]:
    """A student and a class of the first day, untouched by the school day."""
    return next(
        (row["student"], row["section"])
        for row in rig.district()["enrollments"]
        if row["student"] not in (1001, 1002, 1003, 1004)
        and upn_of(rig, row["student"])
        in calm.first.objects.get(f"group:Section_{row['section']}", {"members": ()})["members"]
    )


@pytest.mark.parametrize("what", ["deleted", "restored"])
def test_leavers_of_a_lost_history(what: str, calm: Undisturbed, tally: Tally, tmp_path: Path) -> None:
    """Who left while the record did not know of the membership stays, and is listed; nothing else differs."""
    with begin(tmp_path) as rig:
        sync(rig)
        copy = tmp_path / "yesterday.db"
        rig.run("backup", str(copy)).expect(0)
        tally.runs["backup taken"] += 1
        school_day(rig)
        sync(rig)
        known = old_membership(rig, calm)
        pairs = [(1029, 1504), (1002, 1512), known]
        leave(rig, *pairs)
        rig.forget_state()
        if what == "restored":
            shutil.copy(copy, rig.folder / "state" / "state.db")
        tally.faults[f"database {what} | between runs"] += 1
        expected = State({name: dict(value) for name, value in calm.day.objects.items()})
        lost = pairs
        if what == "restored":  # this one the backup knows
            group = expected.objects[f"group:Section_{known[1]}"]
            group["members"] = [one for one in group["members"] if one != upn_of(rig, known[0])]
            lost = pairs[:2]
        settle(rig, expected, tally)
        rig.run("reconcile", PROFILE, "--full").expect(0, 1)
        assert drifted(rig) == {(f"section {section}", f"student {student}") for student, section in lost}


def drifted(rig: Rig) -> set[tuple[str, str]]:
    """Class and member of every membership listed as not from the source; nothing else may be listed."""
    rows: list[dict[str, Any]] = rig.run("drift", "export", PROFILE, "--json").expect(0).json["drift"]
    assert {row["code"] for row in rows} <= {"MembershipNotFromSource"}, rows
    return {(row["subject"], row["member"]) for row in rows}
