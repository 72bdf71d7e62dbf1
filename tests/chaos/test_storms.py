"""Every fault at once, on both sides: once it is over, two cycles make the directory of an undisturbed daemon."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from rig import Rig

from chaos.faults import ENDPOINTS, OF_WRITES, Storm, let_loose, sweep
from chaos.harness import LONG, SEED, Tally, Undisturbed, begin, school_day, settle, trapped

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]
STORMS = 6 if LONG else 1
CYCLES = 4 if LONG else 1


def weather(rig: Rig, storm: Storm, tally: Tally) -> None:
    """One cycle in the storm: it may fail, but in order."""
    done = trapped(rig, {})
    assert done.code in (0, 1, 3), f"{done.code}\n{done.err}"
    assert "Traceback" not in done.err
    tally.runs[f"in a storm, exit code {done.code}"] += 1


def count(storm: Storm, tally: Tally) -> None:
    """Take over what hit where."""
    storm.end()
    for (name, endpoint), number in storm.hits.items():
        tally.faults[f"{name} | {endpoint}"] += number


@pytest.mark.parametrize("number", range(STORMS))
def test_a_storm(number: int, calm: Undisturbed, tally: Tally, tmp_path: Path) -> None:
    """All faults by chance, in a first sync and on a day of changes; new objects lag as well."""
    chance = random.Random(SEED + number)
    with begin(tmp_path, "--lag", "20") as rig:
        storm = Storm(rig)
        for phase, wanted in (("first", calm.first), ("day", calm.day)):
            if phase == "day":
                school_day(rig)
            for _ in range(CYCLES):
                let_loose(storm, chance, 3)
                weather(rig, storm, tally)
                storm.end()
            settle(rig, wanted, tally)
        count(storm, tally)
    assert len({name for name, _ in storm.hits}) >= 15


@pytest.mark.skipif(not LONG, reason="long form: CHAOS=long")
def test_every_fault_at_every_write(calm: Undisturbed, tally: Tally, tmp_path: Path) -> None:
    """Each kind of fault once at each endpoint that writes, all at once; then as if nothing had been."""
    with begin(tmp_path) as rig:
        storm = Storm(rig)
        for phase, wanted in (("first", calm.first), ("day", calm.day)):
            if phase == "day":
                school_day(rig)
            sweep(storm)
            for _ in range(6):
                weather(rig, storm, tally)
                if not storm.left():
                    break
            storm.end()
            settle(rig, wanted, tally)
        count(storm, tally)
    missed = {
        (name, endpoint)
        for endpoint in ENDPOINTS
        for name in OF_WRITES
        if (name != "404 lag" or "{id}" in endpoint) and not storm.hits[name, endpoint]
    }
    assert missed == set()


@pytest.mark.skipif(not LONG, reason="long form: CHAOS=long")
def test_nothing_works(calm: Undisturbed, tally: Tally, tmp_path: Path) -> None:
    """Readings too meet everything at once: hardly a cycle gets anywhere, and none does harm."""
    chance = random.Random(SEED)
    with begin(tmp_path) as rig:
        storm = Storm(rig)
        for _ in range(5):
            let_loose(storm, chance, 12)
            weather(rig, storm, tally)
            storm.end()
        count(storm, tally)
        settle(rig, calm.first, tally)
