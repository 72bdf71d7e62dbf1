"""kill -9 at seeded moments of a first sync and of a day of changes: nothing twice, nothing lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from rig import Rig

from chaos.harness import LONG, SEED, Tally, Undisturbed, begin, school_day, settle, sync, trapped
from chaos.trap import MOMENTS

ORDEALS = 40 if LONG else 1
pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]


def kill_at(rig: Rig, phase: str, moment: str, chance: random.Random, calm: Undisturbed, tally: Tally) -> None:
    """One run, killed the n-th time a moment comes: early more often than late, so that some work is left."""
    most = calm.hits[phase][moment] / (1 if moment == "reading" else 3)
    for hit in (1 + int(most * chance.random() ** 2), 1):
        done = trapped(rig, {"moment": moment, "hit": hit})
        if done.code == -9:
            tally.kills[f"{phase} {moment}"] += 1
            return
        done.expect(0, 1)
        tally.runs["not reached"] += 1


@pytest.mark.parametrize("number", range(ORDEALS))
def test_killed_again_and_again(number: int, calm: Undisturbed, tally: Tally, tmp_path: Path) -> None:
    """Five kills in the first sync and five on the day of changes, one at each kind of moment, in any order.

    In every other one what was written does not show for a while: the run after a kill does not see it.
    """
    chance = random.Random(SEED + number)
    with begin(tmp_path, *(("--lag", "60") if number % 2 else ())) as rig:
        for phase, wanted in (("first", calm.first), ("day", calm.day)):
            if phase == "day":
                school_day(rig)
            for moment in chance.sample(MOMENTS, len(MOMENTS)):
                kill_at(rig, phase, moment, chance, calm, tally)
            settle(rig, wanted, tally)
        seen = {row["n"] for row in rig.writes_since(0)}
        assert sync(rig)["status"] == "nothing_to_do"
        assert [row for row in rig.writes_since(0) if row["n"] not in seen] == []
    assert sum(tally.kills.values()) >= 5
