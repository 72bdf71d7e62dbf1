"""Profiles a person has paused, and the nightly comparison beside cycles under way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from daemon_rig import Daemon, serving, settings, until

from sds_daemon import assembly
from sds_daemon.clock import Clock, FixedClock
from sds_daemon.errors import LeaseHeld, TargetUnreachable, UsageError
from sds_daemon.store import Store


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state folder."""
    return tmp_path / "state"


async def test_a_paused_profile_rests_and_others_go_on(state: Path, store: Store, clock: FixedClock) -> None:
    store.profiles.pause("north", "run 4 was taken back")
    daemon = Daemon(settings(state, "north", "south"), store, clock)
    async with serving(daemon):
        await until(lambda: daemon.begun.count("south") >= 3)
    assert "north" not in daemon.begun
    assert store.profiles.state("north").failures == 0, "resting is no failure"


async def test_no_way_round_a_pause(state: Path, store: Store, clock: FixedClock) -> None:
    """The command line is refused as well, with the way out; nothing is connected to."""
    store.profiles.pause("north", "run 4 was taken back")
    current = settings(state, "north")
    with pytest.raises(UsageError, match=r"paused: run 4 was taken back.*profiles resume north"):
        await assembly.sync_profile(current, current.profiles["north"], store, clock)


class Comparisons:
    """Stands in for the comparison of a profile; `outcomes[name]` are errors to raise, in turn, before it succeeds."""

    def __init__(self, **outcomes: list[Exception]) -> None:
        self.outcomes = outcomes
        self.tried: list[str] = []

    async def __call__(self, current: Any, profile: Any, *_: Any, **__: Any) -> None:
        self.tried.append(profile.name)
        waiting = self.outcomes.get(profile.name, [])
        if waiting:
            raise waiting.pop(0)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "BUSY_PAUSE", 0.0)


async def run(monkeypatch: pytest.MonkeyPatch, store: Store, current: Any, made: Comparisons, stop: Any = None) -> None:
    monkeypatch.setattr(assembly, "reconcile_profile", made)
    await assembly.reconcile_all(current, store, Clock(), stop or (lambda: False))


async def test_a_cycle_under_way_is_waited_for(
    state: Path, store: Store, monkeypatch: pytest.MonkeyPatch, no_pause: None
) -> None:
    made = Comparisons(north=[LeaseHeld("busy"), LeaseHeld("busy")])
    await run(monkeypatch, store, settings(state, "north", "south"), made)
    assert made.tried == ["north", "north", "north", "south"]


async def test_what_goes_wrong_with_one_is_told_and_the_next_has_its_turn(
    state: Path, store: Store, monkeypatch: pytest.MonkeyPatch, no_pause: None
) -> None:
    made = Comparisons(north=[TargetUnreachable("no answer")], south=[UsageError("never synced")])
    await run(monkeypatch, store, settings(state, "north", "south", "west"), made)
    assert made.tried == ["north", "south", "west"]


async def test_disabled_profiles_are_left_out_and_a_stop_ends_it(
    state: Path, store: Store, monkeypatch: pytest.MonkeyPatch, no_pause: None
) -> None:
    off = Comparisons()
    await run(monkeypatch, store, settings(state, "north", enabled=False), off)
    assert off.tried == []
    stopped = Comparisons(north=[LeaseHeld("busy")] * 5)
    await run(monkeypatch, store, settings(state, "north", "south"), stopped, lambda: len(stopped.tried) >= 2)
    assert stopped.tried == ["north", "north"]


async def test_a_profile_that_is_never_free_does_not_hold_up_the_night(
    state: Path, store: Store, monkeypatch: pytest.MonkeyPatch, no_pause: None
) -> None:
    monkeypatch.setattr(assembly, "BUSY_TRIES", 3)
    made = Comparisons(north=[LeaseHeld("busy")] * 9)
    await asyncio.wait_for(run(monkeypatch, store, settings(state, "north", "south"), made), 10)
    assert made.tried == ["north"] * 3 + ["south"]
