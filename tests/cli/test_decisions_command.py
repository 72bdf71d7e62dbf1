"""Commands that work on a profile, where nothing can be done at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Program
from sds_daemon.clock import FixedClock
from sds_daemon.plan.change import Change, ChangeKind, Reason, Withheld
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Store

SECTION, STUDENT = Ref(RecordKind.SECTION, "9"), Ref(RecordKind.STUDENT, "7")


@pytest.fixture
def held(store: Store, clock: FixedClock) -> int:
    """A run that holds one removal."""
    run = store.runs.begin("pilot", "source", "tenant")
    removal = Change(kind=ChangeKind.REMOVE_MEMBER, subject=SECTION, member=STUDENT, reason=Reason.LEFT_SECTION)
    store.held.put("pilot", run, [Withheld(change=removal, reason=Reason.LIMIT)])
    store.runs.finish(run, "held", {})
    return run


def state(store: Store) -> str:
    current = store.held.current("pilot")
    assert current is not None
    return current.state


def test_approved_while_paused_it_waits_for_the_profile(program: Program, store: Store, held: int) -> None:
    store.profiles.pause("pilot", "run 4 was taken back")
    ended = program("approve", str(held))
    assert ended.code == 2
    assert "approved, and not yet applied: profile pilot is paused" in ended.err
    assert "sds-daemon profiles resume pilot" in ended.err
    assert state(store) == "approved"


def test_rejected(program: Program, store: Store, held: int) -> None:
    assert "validationError" in program("status", "pilot").out
    ended = program("reject", str(held))
    assert (ended.code, ended.out) == (0, "rejected: 1 changes held for profile pilot\n")
    assert state(store) == "rejected"
    assert "validationError" not in program("status", "pilot").out, "a person has looked"


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_nothing_to_decide(program: Program, store: Store, held: int, command: str) -> None:
    other = store.runs.begin("pilot", "source", "tenant")
    store.runs.finish(other, "success", {})
    assert f"run {other} holds nothing" in program(command, str(other)).err
    assert "there is no run 4711" in program(command, "4711").err
    store.held.clear("pilot")
    assert "nothing is held now" in program(command, str(held)).err


@pytest.mark.parametrize("command", ["sync", "reconcile"])
def test_a_profile_that_is_not_configured_makes_no_files(program: Program, config: Path, command: str) -> None:
    assert "nobody" in program(command, "nobody").err
    assert not (config.parent / "state").exists()
