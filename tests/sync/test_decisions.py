"""Whole cycles in memory: what is held, what a person decides, quarantine, and what is told of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes import FailingDirectory, GivenSource, Killed, job_of
from loguru import logger
from memory_directory import MemoryDirectory
from plan_rig import NOW, SOURCE, District, House, Master, Pupil, Room, profile
from test_cycle_properties import read

from sds_daemon.clock import FixedClock
from sds_daemon.config.settings import LimitSettings, Profile
from sds_daemon.errors import (
    AtRest,
    LeaseHeld,
    SafetyStop,
    SdsError,
    SourceShrank,
    SourceUnreachable,
    TargetUnreachable,
    TooManyIssues,
    UsageError,
)
from sds_daemon.plan.change import ChangeKind
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Store
from sds_daemon.sync.approval import approve_run, held_by
from sds_daemon.sync.cycle import run_cycle
from sds_daemon.sync.standing import announce, standing
from sds_daemon.sync.summary import RunSummary
from sds_daemon.sync.undo import Undoing, undo_run
from sds_daemon.targets.base import MembersSeen

PUPILS = tuple(str(number) for number in range(1, 31))
TIGHT = LimitSettings(removal_floor=2, removal_percent=0, section_removal_floor=99, shrink_rows=5, shrink_percent=50)


def town(*inside: str, pupils: tuple[str, ...] = PUPILS, refused: int = 0) -> District:
    """A school with thirty pupils and a class with those named."""
    states = ["refused"] * refused + ["ok"] * (len(pupils) - refused)
    return District(
        houses=(House(id="X"),),
        pupils=tuple(Pupil(id=each, school="X", state=state) for each, state in zip(pupils, states, strict=True)),
        masters=(Master(id="a", schools=("X",)),),
        rooms=(Room(id="r", school="X", students=inside, teachers=("a",)),),
    )


class Office:
    """One profile and what an administrator does with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FixedClock(NOW)
        self.store = Store.open(folder / "state" / "state.db", self.clock)
        self.directory = MemoryDirectory()
        self.profile: Profile = profile("mirror", TIGHT, keep_passwords=False, enabled=True)

    def sync(self, district: District | None, **more: Any) -> RunSummary:
        self.clock.advance(timedelta(minutes=10))
        source = GivenSource(read(district) if district is not None else None)
        job = job_of(self.profile, source, self.directory, self.store, self.clock, self.folder)
        for name, value in more.items():
            setattr(job, name, value)
        return asyncio.run(run_cycle(job))[0]

    def last_run(self) -> int:
        return self.store.runs.list(self.profile.name, 1)[0].id

    def inside(self) -> set[str]:
        return {ref.sis_id for ref in self.directory.people_in("r")} - {"a"}

    def limit(self, **limits: Any) -> None:
        self.profile = self.profile.model_copy(update={"limits": TIGHT.model_copy(update=limits)})


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    made.sync(town(*PUPILS[:12]))
    with made.store:
        yield made


def test_another_set_says_what_differs_and_the_old_one_cannot_be_approved(office: Office) -> None:
    first = office.sync(town(*PUPILS[3:12]))
    assert first.held == {"member.remove": 3}
    second = office.sync(town(*PUPILS[4:12]))
    told = [notice for notice in second.notices if "what is held has changed" in notice]
    assert told == [
        f"what is held has changed since run {first.run}: 1 more (member.remove student 4 in section r)",
    ]
    with pytest.raises(UsageError, match=r"no longer current.*1 more \(member.remove student 4 in section r\)"):
        approve_run(office.store, first.run)
    assert len(office.inside()) == 12


def test_an_approval_of_a_set_that_moved_before_the_run_applies_nothing_of_it_and_says_so(office: Office) -> None:
    first = office.sync(town(*PUPILS[3:12]))
    approve_run(office.store, first.run)
    moved = office.sync(town(PUPILS[0], *PUPILS[3:12], PUPILS[20]))
    assert (moved.held, moved.applied) == ({}, {"member.add": 1, "member.remove": 2}), "two are within the limit"
    assert any("no longer held" in notice for notice in moved.notices)
    other = office.sync(town(*PUPILS[6:12], PUPILS[20]))
    approve_run(office.store, other.run)
    refused = office.sync(town(*PUPILS[7:12], PUPILS[20]))
    assert refused.held == {"member.remove": 5}
    assert any("which was approved" in notice and "1 more" in notice for notice in refused.notices)


def test_unrelated_changes_leave_the_held_set_alone(office: Office) -> None:
    first = office.sync(town(*PUPILS[3:12]))
    second = office.sync(town(*PUPILS[3:12], PUPILS[15]))
    assert second.held_number == first.held_number
    assert second.applied == {"member.add": 1}
    assert approve_run(office.store, first.run) == "oak"
    assert office.sync(town(*PUPILS[3:12], PUPILS[15])).applied == {"member.remove": 3}
    assert office.inside() == {*PUPILS[3:12], PUPILS[15]}


def test_what_is_left_of_a_rejected_set_stays_out_though_the_limits_would_let_it_pass(office: Office) -> None:
    failing = FailingDirectory()
    failing.objects, failing.inside = office.directory.objects, office.directory.inside
    office.directory = failing
    held = office.sync(town(*PUPILS[3:12]))
    approve_run(office.store, held.run)
    failing.faults = ["fine", "killed"]
    with pytest.raises(Killed):
        office.sync(town(*PUPILS[3:12]))
    office.store.held.reject(held_by(office.store, held.run).number)
    for _ in range(2):
        left = office.sync(town(*PUPILS[3:12]))
        assert (left.held, left.applied, left.skipped) == ({}, {}, {"member.remove": 2})
        assert not any("held" in notice for notice in left.notices)
    assert len(office.inside()) == 10


def test_a_rejected_set_does_not_pass_when_the_limits_are_widened_and_a_part_of_it_is_another_set(
    office: Office,
) -> None:
    held = office.sync(town(*PUPILS[3:12]))
    office.store.held.reject(held_by(office.store, held.run).number)
    office.limit(removal_floor=99)
    assert office.sync(town(*PUPILS[3:12])).skipped == {"member.remove": 3}
    assert office.sync(town(*PUPILS[2:12])).applied == {"member.remove": 2}


def test_a_relaxation_lets_pass_what_would_be_held_until_its_day_is_over(office: Office) -> None:
    office.store.relaxations.put("oak", office.clock.now() + timedelta(hours=1), {"removal_percent": 100})
    through = office.sync(town(*PUPILS[3:12]))
    assert (through.held, through.applied) == ({}, {"member.remove": 3})
    assert any("limits are relaxed until" in notice for notice in through.notices)
    office.clock.advance(timedelta(hours=1))
    after = office.sync(town(*PUPILS[6:12]))
    assert after.held == {"member.remove": 3}
    assert not any("relaxed" in notice for notice in after.notices)


def test_a_stopped_run_is_approved_as_it_was_read_and_refused_further_down(office: Office) -> None:
    office.limit(removal_floor=99)
    with pytest.raises(SourceShrank):
        office.sync(town(*PUPILS[8:12]))
    run = office.last_run()
    with pytest.raises(SourceShrank):
        office.sync(town(*PUPILS[8:12]))
    assert approve_run(office.store, run) == "oak", "an earlier stop with the same counts may be approved"
    with pytest.raises(SourceShrank, match=f"run {run}, which was approved: enrollments 4 to 3"):
        office.sync(town(*PUPILS[9:12]))
    assert len(office.inside()) == 12
    approve_run(office.store, office.last_run())
    assert office.sync(town(*PUPILS[9:12])).applied == {"member.remove": 9}
    assert office.sync(town(*PUPILS[9:12])).status == "nothing_to_do"


def test_a_recovered_source_leaves_no_approval_behind(office: Office) -> None:
    with pytest.raises(SourceShrank):
        office.sync(town(*PUPILS[8:12]))
    stopped = office.last_run()
    office.sync(town(*PUPILS[:12]))
    with pytest.raises(UsageError, match="no longer current"):
        approve_run(office.store, stopped)


def test_an_empty_class_list_of_a_whole_school_removes_nobody(office: Office) -> None:
    office.limit(shrink_rows=99, removal_floor=99)
    for _ in range(2):
        summary = office.sync(town())
        assert summary.applied == {}
        assert summary.skipped == {"member.remove": 12}
        assert summary.issues == {"SchoolWithoutData": 1}
    assert len(office.inside()) == 12
    assert office.sync(town(), accept_shrink=True).applied == {"member.remove": 12}


def test_a_removal_by_hand_is_remembered_while_its_school_looks_empty(office: Office) -> None:
    """An empty answer of the source is no end of an enrollment: whoever was taken out by hand stays out afterwards."""
    office.limit(shrink_rows=99)
    removed_by_hand(office, Ref(RecordKind.STUDENT, "1"), "members")
    for inside in (PUPILS[:12], (), PUPILS[:12]):
        assert office.sync(town(*inside)).applied == {}
    assert office.sync(town(*PUPILS[1:12])).applied == {}, "its row has ended now, and nothing is left to remove"
    assert office.sync(town(*PUPILS[:12])).applied == {"member.add": 1}


def take_back(office: Office, run: int) -> Undoing:
    job = job_of(office.profile, GivenSource(), office.directory, office.store, office.clock, office.folder)
    return asyncio.run(undo_run(job, run))[1]


def test_taking_a_run_back_pauses_the_profile_and_leaves_what_is_held_alone(office: Office) -> None:
    waiting = office.sync(town(*PUPILS[3:12]))
    added = office.sync(town(*PUPILS[3:12], PUPILS[20]))
    assert take_back(office, added.run).paused
    assert office.inside() == set(PUPILS[:12])
    held = office.store.held.current("oak")
    assert held is not None and (held.number, held.state) == (waiting.held_number, "waiting")
    assert office.store.profiles.state("oak").pause_reason == f"run {added.run} was taken back"


def test_a_paused_profile_does_not_sync_though_the_pause_came_after_it_was_asked(office: Office) -> None:
    office.store.profiles.pause("oak", "run 1 was taken back")
    before = office.last_run()
    with pytest.raises(AtRest, match="run 1 was taken back"):
        office.sync(town(*PUPILS[:13]))
    assert office.last_run() == before
    assert office.store.profiles.state("oak").failures == 0


def test_what_waits_for_approval_is_not_said_to_be_taken_back(office: Office) -> None:
    taking = job_of(office.profile, GivenSource(), office.directory, office.store, office.clock, office.folder)
    held = asyncio.run(undo_run(taking, 1))[0]
    why = standing(office.store, office.profile).reason
    assert f"part of what run 1 did is taken back only after sds-daemon approve {held.run}" in why
    approve_run(office.store, held.run)
    take_back(office, 1)
    assert standing(office.store, office.profile).reason.startswith("run 1 was taken back")


def test_the_pause_is_told_before_anything_is_written(office: Office) -> None:
    added = office.sync(town(*PUPILS[:13]))
    told: list[tuple[bool, int]] = []

    async def tell() -> None:
        told.append((office.store.profiles.state("oak").paused, len(office.directory.removals)))

    taking = job_of(office.profile, GivenSource(), office.directory, office.store, office.clock, office.folder)
    asyncio.run(undo_run(taking, added.run, tell))
    assert told == [(True, 0)]
    office.store.profiles.resume("oak")
    asyncio.run(undo_run(taking, added.run, tell))
    assert len(told) == 1, "nothing was left to take back"


def test_a_failure_to_take_back_is_said_of_the_pause(office: Office) -> None:
    added = office.sync(town(*PUPILS[:13]))
    failing = FailingDirectory()
    failing.objects, failing.inside = office.directory.objects, office.directory.inside
    failing.faults = ["broken"]
    office.directory = failing
    with pytest.raises(TargetUnreachable):
        take_back(office, added.run)
    assert "taking run 2 back failed" in office.store.profiles.state("oak").pause_reason


def test_taking_back_keeps_the_owner_that_a_removal_by_hand_left_alone(office: Office) -> None:
    added = office.sync(team("a", "b"))
    assert added.applied["owner.add"] == 1
    removed_by_hand(office, Ref(RecordKind.TEACHER, "a"), "owners")
    undoing = take_back(office, added.run)
    kept = [item.change.kind for item in undoing.plan.skipped]
    assert kept == [ChangeKind.REMOVE_MEMBER, ChangeKind.REMOVE_OWNER]


def test_taking_back_leaves_alone_what_was_removed_by_hand(office: Office) -> None:
    added = office.sync(town(*PUPILS[:14]))
    removed_by_hand(office, Ref(RecordKind.STUDENT, "13"), "members")
    undoing = take_back(office, added.run)
    assert ([str(each.member) for each in undoing.plan.changes], undoing.moved_on) == (["student 14"], 1)


def team(*teachers: str) -> District:
    """The class of `town` with these teachers."""
    made = town(*PUPILS[:12])
    rooms = (msgspec.structs.replace(made.rooms[0], teachers=teachers),)
    return msgspec.structs.replace(
        made, masters=tuple(Master(id=each, schools=("X",)) for each in teachers), rooms=rooms
    )


def removed_by_hand(office: Office, who: Ref, relation: str) -> None:
    """The directory says that somebody is no longer in the class."""
    links = office.store.links(SOURCE, "tenant")
    group, person = links.get(Ref(RecordKind.SECTION, "r")), links.get(who)
    assert group is not None and person is not None
    seen = MembersSeen(id=group.object_id, relation=relation, removed=(person.object_id,))
    office.store.directory("tenant").observe_members([seen])
    office.clock.advance(timedelta(hours=1))


def test_where_nothing_is_taken_back_the_profile_goes_on(office: Office) -> None:
    idle = office.sync(town(*PUPILS[:12]))
    assert not take_back(office, idle.run).paused
    assert not office.store.profiles.state("oak").paused
    with office.store.lease("oak"), pytest.raises(LeaseHeld):
        take_back(office, 1)
    assert not office.store.profiles.state("oak").paused, "somebody else is at work, and nothing was done"
    office.store.profiles.pause("oak", "run 1 was taken back")
    assert take_back(office, idle.run).paused
    assert office.store.profiles.state("oak").pause_reason == "run 1 was taken back"


def test_a_taking_back_that_was_approved_and_cut_off_is_carried_on(office: Office) -> None:
    job = job_of(office.profile, GivenSource(), office.directory, office.store, office.clock, office.folder)
    held = asyncio.run(undo_run(job, 1))[0]
    approve_run(office.store, held.run)
    failing = FailingDirectory()
    failing.objects, failing.inside = office.directory.objects, office.directory.inside
    failing.faults = [*["fine"] * 5, "killed"]
    office.directory = failing
    with pytest.raises(Killed):
        take_back(office, 1)
    assert len(failing.removals) == 6
    approve_run(office.store, held.run)
    take_back(office, 1)
    assert office.inside() == set()


def test_a_run_there_never_was_cannot_be_approved(office: Office) -> None:
    with pytest.raises(UsageError, match="there is no run 4711"):
        approve_run(office.store, 4711)


def test_too_many_issues_stop_before_the_first_write_and_quarantine(office: Office) -> None:
    office.limit(max_issues=3)
    before = len(office.directory.applied)
    newcomers = tuple(str(number) for number in range(101, 111))
    office.profile = office.profile.model_copy(update={"users": "create"})
    with pytest.raises(TooManyIssues, match=r"10 records cannot be synced.*max_issues is 3"):
        office.sync(town(*PUPILS[:12], pupils=(*newcomers, *PUPILS), refused=10))
    assert len(office.directory.applied) == before
    assert sum(1 for _ in office.store.issues.open("oak")) == 10, "they can be looked at"
    assert standing(office.store, office.profile).status == "quarantined"
    office.sync(town(*PUPILS[:12]))
    assert standing(office.store, office.profile).status == "success"


def test_quarantine_is_reached_after_ten_failures_and_its_pauses_grow(office: Office) -> None:
    pauses = []
    for _ in range(14):
        with pytest.raises(SourceUnreachable):
            office.sync(None)
        state = office.store.profiles.state("oak")
        assert state.next_attempt is not None
        pauses.append((state.next_attempt - office.clock.now()).total_seconds() / 3600)
    assert state.state == "quarantined"
    assert pauses == sorted(pauses)
    assert pauses[-1] == 24
    office.store.profiles.release("oak")
    assert office.store.profiles.state("oak").state == "healthy"


def told_by(office: Office, file: Path) -> list[dict[str, Any]]:
    """Let the profile's standing be announced; everything the notification command was handed so far."""
    script = f"import sys; open({str(file)!r}, 'a').write(sys.stdin.read())"
    asyncio.run(announce(office.store, office.profile, [sys.executable, "-c", script]))
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_change_of_standing_is_handed_over_once(office: Office, tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "told"
    assert told_by(office, file) == [], "that the first sync went well is no news"
    for failures in (1, 2):
        with pytest.raises(SdsError):
            office.sync(None)
        told = told_by(office, file)
        assert len(told) == 1
        assert office.store.profiles.state("oak").failures == failures
    assert (told[0]["status"], told[0]["before"], told[0]["failures"]) == ("error", "success", 1)
    assert "does not answer" in told[0]["reason"]
    held = office.sync(town(*PUPILS[3:12]))
    assert len(told_by(office, file)) == len(told_by(office, file)) == 2
    assert told_by(office, file)[-1]["held_run"] == held.run
    assert told_by(office, file)[-1]["held"] == {"member.remove": 3}
    another = office.sync(town(*PUPILS[4:12]))
    assert told_by(office, file)[-1]["held_run"] == another.run, "another set is another thing to look at"
    office.sync(town(*PUPILS[:12]))
    assert [each["status"] for each in told_by(office, file)] == [
        "error",
        "validationError",
        "validationError",
        "success",
    ]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["/nowhere/tell"], "could not be started"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "exit code 3"),
        ([sys.executable, "-c", "import time; time.sleep(60)"], "took longer"),
    ],
)
def test_a_command_that_fails_is_logged_once_and_not_repeated(office: Office, command: list[str], words: str) -> None:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]), level="ERROR")
    try:
        asyncio.run(announce(office.store, office.profile, command, patience=2))
        with pytest.raises(SdsError):
            office.sync(None)
        lines.clear()
        for _ in range(2):
            asyncio.run(announce(office.store, office.profile, command, patience=2))
    finally:
        logger.remove(sink)
    assert [line for line in lines if words in line] == lines
    assert len(lines) == 1


def test_the_command_gets_neither_our_environment_nor_names(office: Office, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SIS_SECRET", "hush")
    file = tmp_path / "told"
    asyncio.run(announce(office.store, office.profile, []))
    with pytest.raises(SdsError):
        office.sync(None)
    script = f"import os, sys; open({str(file)!r}, 'w').write(sys.stdin.read() + repr(dict(os.environ)))"
    asyncio.run(announce(office.store, office.profile, [sys.executable, "-c", script]))
    assert "hush" not in file.read_text()


def test_another_districts_data_stops_whatever_is_accepted(office: Office) -> None:
    snapshot = read(town(*PUPILS[:12]))
    snapshot.source_uuid = "99999999-2222-3333-4444-555555555555"
    job = job_of(office.profile, GivenSource(snapshot), office.directory, office.store, office.clock, office.folder)
    job.accept_shrink = True
    with pytest.raises(SafetyStop, match="another district"):
        asyncio.run(run_cycle(job))
    assert standing(office.store, office.profile).status == "validationError"
