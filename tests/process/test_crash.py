"""kill -9 at any moment, then `sync`: the same complete state of the directory as without, and nothing twice."""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rig import Rig

from process.crashes import BATCH, LONG, Moment, add_fault, after_writes, answered_but_not_recorded, crash, when_struck
from process.town import State

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

STUDENTS = "45"
LICENSES = {"students": "STANDARDWOFFPACK_STUDENT", "teachers": "STANDARDWOFFPACK_FACULTY"}
SEEDS = [random.Random(20260901 + number).randint(1, 110) for number in range(2)]


def delayed_batch(after: int) -> dict[str, Any]:
    """The batch after so many is carried out and answered much too late."""
    return {**BATCH, "kind": "delay", "seconds": LONG, "times": 1, "after": after}


READING = {"side": "powerschool", "path": r"\.enrollments$", "kind": "delay", "seconds": LONG}
LOOKING = {"side": "graph", "path": "^/users/delta$", "kind": "delay", "seconds": LONG}
NEVER_SENT = {**BATCH, "kind": "reset"}
REFUSED = {**BATCH, "kind": "status", "status": 429, "headers": {"Retry-After": "600"}}

FIRST_SYNC = [
    Moment("after the first intention, before anything is sent", when_struck(NEVER_SENT)),
    Moment("between batches", when_struck({**REFUSED, "after": 4}, 1.0)),
    Moment("after the first batch is sent", when_struck(delayed_batch(0))),
    Moment("after a later batch is sent", when_struck(delayed_batch(3))),
    Moment("after the first batch is sent, its objects not to be seen yet", when_struck(delayed_batch(0)), lag=150),
    Moment("after an answer, before it is recorded", answered_but_not_recorded(1)),
    *(Moment(f"at write {number}", after_writes(number)) for number in SEEDS),
]
CHANGE_DAY = [
    Moment("before the first batch is sent", when_struck(NEVER_SENT)),
    Moment("after the first batch is sent", when_struck(delayed_batch(0))),
    Moment("after an answer, before it is recorded", answered_but_not_recorded(0)),
    Moment("after the second batch is sent", when_struck(delayed_batch(1))),
]


@contextmanager
def begin(folder: Path, lag: float | None = None, *, licensed: bool = True) -> Iterator[Rig]:
    """A sandbox like all others of this module: the same district, an empty directory, licences to give."""
    more = ("--lag", str(lag)) if lag is not None else ()
    folder.mkdir(exist_ok=True)
    rig = Rig(folder, "--students", STUDENTS, "--time-scale", "50", "--today", "2026-10-14", *more)
    rig.environment["SDS_DAEMON_CLOCK"] = "2026-10-14T16:00:00Z"
    with rig:
        for role, sku in LICENSES.items() if licensed else ():
            rig.edit(f"profiles.district.{role}", licenses=[sku])
        yield rig


def school_day(rig: Rig) -> None:
    """What a day brings: leavers, newcomers, a new section, a new name, a new teacher."""
    operations = rig.get("powerschool/school-day")["operations"]
    assert len(operations) >= 5
    rig.change_school(*operations)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[State, State]]:
    """The directory after a first sync and after a day in the school, when nobody interferes."""
    with begin(tmp_path_factory.mktemp("undisturbed")) as rig:
        rig.sync()
        first = State.of(rig)
        school_day(rig)
        rig.sync()
        yield first, State.of(rig)


def assert_complete(rig: Rig, wanted: State) -> None:
    """The state is the one wanted, nothing is there twice, not even deleted, and there is nothing left to do."""
    assert wanted.differences(State.of(rig)) == []
    assert_nothing_twice(rig)
    mark = rig.request_mark()
    assert rig.sync()["status"] == "nothing_to_do"
    assert rig.writes_since(mark) == []


def assert_nothing_twice(rig: Rig) -> None:
    """One object for each record, and a password on file for each account."""
    directory = rig.directory()
    marks: Counter[tuple[Any, ...]] = Counter()
    for user in directory.users.values():
        role = user["education"]["primaryRole"]
        marks[role, (user["education"].get(role) or {}).get("externalId")] += 1
    marks.update(("class", group["externalId"]) for group in directory.groups.values())
    marks.update(("school", school["externalId"]) for school in directory.schools.values())
    assert [mark for mark, count in marks.items() if count > 1] == []
    with (rig.folder / "state" / "passwords-district.csv").open(newline="") as file:
        listed = {row["user_principal_name"] for row in csv.DictReader(file)}
    assert {user["userPrincipalName"] for user in directory.users.values()} <= listed


@pytest.mark.parametrize("moment", FIRST_SYNC, ids=[moment.name for moment in FIRST_SYNC])
def test_killed_in_the_first_sync(moment: Moment, undisturbed: tuple[State, State], tmp_path: Path) -> None:
    with begin(tmp_path, moment.lag) as rig:
        crash(rig, moment)
        rig.sync()
        assert_complete(rig, undisturbed[0])
        runs = {run["id"]: run["status"] for run in rig.run("runs", "--json").expect(0).json["runs"]}
        assert runs[1] == "interrupted"


def test_killed_before_it_writes(undisturbed: tuple[State, State], tmp_path: Path) -> None:
    """While it reads the source, and while it reads the directory."""
    with begin(tmp_path) as rig:
        crash(rig, Moment("while it reads the source", when_struck(READING)))
        crash(rig, Moment("while it reads the directory", when_struck(LOOKING)))
        assert rig.writes_since(0) == []
        rig.sync()
        assert_complete(rig, undisturbed[0])


@pytest.mark.parametrize("moment", CHANGE_DAY, ids=[moment.name for moment in CHANGE_DAY])
def test_killed_on_the_day_of_changes(moment: Moment, undisturbed: tuple[State, State], tmp_path: Path) -> None:
    with begin(tmp_path) as rig:
        rig.sync()
        school_day(rig)
        crash(rig, moment)
        rig.sync()
        assert_complete(rig, undisturbed[1])


def test_killed_again_and_again(undisturbed: tuple[State, State], tmp_path: Path) -> None:
    """Each run gets a batch further than the one before; the runs that look up what was lost are killed as well."""
    with begin(tmp_path) as rig:
        for _ in range(5):
            crash(rig, Moment("a batch on", when_struck(delayed_batch(1))))
        crash(rig, Moment("while looking up", when_struck(LOOKING)))
        rig.sync()
        assert_complete(rig, undisturbed[0])


def test_answers_are_lost(undisturbed: tuple[State, State], tmp_path: Path) -> None:
    """Half of the batches and items are carried out without an answer; one sync, undisturbed otherwise, is enough."""
    with begin(tmp_path) as rig:
        add_fault(rig, {**BATCH, "kind": "lost_answer", "probability": 0.3})
        items = {"side": "graph", "method": "POST", "path": "^/(education|groups|users|directory)", "inner": True}
        fault = add_fault(rig, {**items, "kind": "lost_answer", "status": 504, "probability": 0.3})
        rig.sync()
        assert any(row["id"] == fault and row["hits"] > 3 for row in rig.get("faults")["faults"])
        rig.delete("faults")
        rig.sync()
        assert_complete(rig, undisturbed[0])


def test_killed_after_answers_were_lost(undisturbed: tuple[State, State], tmp_path: Path) -> None:
    """Creates whose answers never came, and a process that dies before it looks them up."""
    with begin(tmp_path) as rig:
        creates = {"side": "graph", "method": "POST", "path": "^/education/(users|classes)$", "inner": True}
        crash(rig, Moment("lost", when_struck({**creates, "kind": "lost_answer", "status": 504, "after": 5}, 0.0)))
        rig.sync()
        assert_complete(rig, undisturbed[0])


def test_the_database_is_lost_with_the_process(tmp_path: Path) -> None:
    """A crash that takes the state along: what carries our mark is found again, the rest is made.

    Without licences: whether an account found without one was never given it or lost it by hand, nobody can tell then.
    """
    with begin(tmp_path / "undisturbed", licensed=False) as rig:
        rig.sync()
        wanted = State.of(rig)
    with begin(tmp_path / "lost", licensed=False) as rig:
        crash(rig, Moment("a later batch", when_struck(delayed_batch(3))))
        rig.forget_state()
        rig.sync()
        rig.sync()
        assert wanted.differences(State.of(rig)) == []
        assert_nothing_twice(rig)
