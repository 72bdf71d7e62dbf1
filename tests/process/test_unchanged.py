"""Cycles in which nothing has changed, with the real program over real sockets: a handful of requests, no row written,
and whatever does change, on whichever side, is noticed in the next cycle."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from rig import PROFILE, Rig

from process.by_hand import class_id, drift, set_time, upn
from process.service import daemon, query
from process.town import NEXT_DAY, flat, school, section, start, student, teacher, turn_to

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SCHOOL, CLASS, LED_BY, PUPILS = 801, 7801, 9801, (8801, 8802, 8803)
MOST_READS = 12
"""Requests to Graph that may be spent on finding out that nothing has changed, whatever the size."""
BOOKKEEPING = {"run": None, "lease": None, "directory_cursor": None, "sqlite_sequence": None, "profile_state": None}
SEEN = {"issue": {"last_seen", "run_id"}, "drift": {"last_seen"}}


@contextmanager
def begun(folder: Path) -> Iterator[Rig]:
    """A small district of the sandbox's own."""
    rig = start(folder)
    try:
        yield rig
    finally:
        rig.stop()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A school with one class, synced; every test leaves it settled."""
    rig = start(tmp_path_factory.mktemp("unchanged"))
    try:
        rig.change_school(
            *flat(
                school(SCHOOL),
                teacher(LED_BY, SCHOOL),
                [student(number, SCHOOL) for number in PUPILS],
                section(CLASS, SCHOOL, LED_BY, *PUPILS),
            )
        )
        settle(rig)
        yield rig
    finally:
        rig.stop()


def settle(rig: Rig) -> dict[str, Any]:
    """Sync until a run repeats the one before it; that run."""
    for _ in range(4):
        run = rig.sync(codes=(0, 1, 4))
        if run["repeats"]:
            return run
    raise AssertionError(f"it does not settle: {run}")


def members(rig: Rig) -> set[str]:
    """SIS IDs of the pupils in the class."""
    directory = rig.directory()
    group = directory.class_of(str(CLASS))
    assert group is not None
    users = [directory.users[member] for member in group["members"]]
    return {user["education"]["student"]["externalId"] for user in users if user["education"].get("student")}


def rows(rig: Rig) -> dict[str, list[Any]]:
    """Every row of the state database but for the bookkeeping of runs."""
    with closing(sqlite3.connect(f"file:{rig.folder / 'state' / 'state.db'}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [
                {key: value for key, value in dict(row).items() if key not in SEEN.get(name, ())}
                for row in connection.execute(f"SELECT * FROM {name}")
            ]
            for name in names
            if name not in BOOKKEEPING
        }


def test_a_run_without_change_writes_nothing_and_asks_little(rig: Rig) -> None:
    before, mark = rows(rig), rig.request_mark()
    run = rig.sync()
    assert run["repeats"]
    assert run["status"] == "nothing_to_do"
    assert rig.writes_since(mark) == []
    assert run["requests"]["writes"] == 0 and run["requests"]["reads"] <= MOST_READS
    assert rows(rig) == before
    assert query(rig, f"SELECT count(*) FROM run_change WHERE run_id = {run['run']}") == [(0,)]


def test_it_says_what_a_run_worked_out_would_have_said(rig: Rig) -> None:
    repeated, whole = rig.sync(), rig.sync("--full")
    assert (bool(repeated["repeats"]), whole["repeats"]) == (True, None)
    took = {"run", "repeats", "seconds", "requests", "source_calls"}
    assert {k: v for k, v in repeated.items() if k not in took} == {k: v for k, v in whole.items() if k not in took}
    settle(rig)


def test_a_change_at_the_source_is_in_the_class_after_the_next_cycle(rig: Rig) -> None:
    rig.change_school({"op": "drop", "student": PUPILS[0], "section": CLASS})
    assert rig.sync()["applied"] == {"member.remove": 1}
    assert members(rig) == {str(number) for number in PUPILS[1:]}
    settle(rig)
    rig.change_school({"op": "reenroll", "student": PUPILS[0], "section": CLASS})
    assert rig.sync()["applied"] == {"member.add": 1}
    assert members(rig) == {str(number) for number in PUPILS}
    settle(rig)


def test_a_class_renamed_at_the_source_is_worked_out(rig: Rig) -> None:
    rig.change_school({"op": "update_course", "course": 20000 + CLASS, "name": "Botany"})
    assert rig.sync()["repeats"] is None
    settle(rig)


def test_a_member_taken_out_by_hand_is_noticed_in_the_next_cycle(rig: Rig) -> None:
    set_time(rig, "20:00")  # what was written moments ago may not show yet: its absence would mean nothing
    rig.change_directory({"op": "remove_member", "group": class_id(rig, CLASS), "user": upn(f"s{PUPILS[1]}")})
    assert [notice for notice in rig.sync()["notices"] if "removed by hand" in notice]
    set_time(rig, "20:10")
    assert settle(rig)["notices"] == []
    rig.change_directory({"op": "add_member", "group": class_id(rig, CLASS), "user": upn(f"s{PUPILS[1]}")})
    assert rig.sync()["repeats"] is None
    settle(rig)
    assert drift(rig) == []


def test_a_reset_is_worked_out(rig: Rig) -> None:
    rig.run("reset", PROFILE, "--person", f"student {PUPILS[2]}", "--yes").expect(0)
    run = rig.sync()
    assert run["repeats"] is None
    settle(rig)


def test_a_changed_setting_is_worked_out(rig: Rig) -> None:
    rig.edit(f"profiles.{PROFILE}", class_name_updates=True)
    assert rig.sync()["repeats"] is None
    settle(rig)


def test_a_new_day_is_worked_out(rig: Rig) -> None:
    turn_to(rig, NEXT_DAY)
    assert rig.sync()["repeats"] is None
    settle(rig)


def test_what_is_held_is_held_on_and_the_last_run_can_be_approved(rig: Rig) -> None:
    rig.edit(f"profiles.{PROFILE}.limits", section_removal_floor=1, section_removal_percent=0)
    for number in PUPILS[:2]:
        rig.change_school({"op": "drop", "student": number, "section": CLASS})
    held = settle(rig)
    assert held["status"] == "held"
    assert held["held"] == {"member.remove": 2}
    shown = rig.run("runs", "show", str(held["run"])).expect(0).out
    assert f"nothing had changed since run {held['repeats']}" in shown
    assert shown.count("  held: member.remove") == 2
    assert rig.run("runs", "show", str(held["run"]), "--json").expect(0).json["changes"]
    assert rig.run("approve", str(held["run"]), "--json").expect(0, 1).json["applied"] == {"member.remove": 2}
    assert members(rig) == {str(PUPILS[2])}
    settle(rig)


def test_the_reader_that_cannot_tell_is_read_whole(tmp_path: Path) -> None:
    with begun(tmp_path) as rig:
        source = "powerschool"
        rig.edit(f"sources.{source}", reader="v1")
        assert [rig.sync()["repeats"] for _ in range(3)] == [None] * 3


def test_the_daemon_does_not_work_out_what_is_the_same(tmp_path: Path) -> None:
    with begun(tmp_path) as rig:
        rig.edit(f"profiles.{PROFILE}", pause=1)
        rig.change_school(*flat(school(SCHOOL), teacher(LED_BY, SCHOOL), section(CLASS, SCHOOL, LED_BY)))
        with daemon(rig) as service:
            service.wait_for("the source is as run", 3)
            rig.change_school(student(PUPILS[0], SCHOOL, CLASS))
            service.wait_for(r"run \d+ ended: success", 2)
            service.wait_for("the source is as run", 5)
            assert service.stop() == 0
