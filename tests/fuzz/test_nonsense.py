"""PowerSchool sends nonsense: no exception but ours, no wrong removal, and the other records go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fuzz_rig import LONG, World, a_day_later, bounded, running
from hypothesis import given
from hypothesis import strategies as st
from memory_directory import MemoryDirectory, ref
from nonsense import ROWS, a_broken_list, an_answer

from sds_daemon.errors import SdsError
from sds_daemon.plan.change import ChangeKind
from sds_daemon.sync.summary import RunSummary

pytestmark = pytest.mark.timeout(0 if LONG else 120)
TRUE_LEAVE = (ChangeKind.REMOVE_MEMBER, ref("section", 53), ref("student", 8))

NEVER_DETACHED = {"school_class", "school_user"}
"""A school that once claimed a class, or named a teacher, keeps it under every policy."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("fuzz")) as made:
        yield made


def no_wrong_removal(directory: MemoryDirectory) -> None:
    assert {change.key for change in directory.removals} <= {TRUE_LEAVE}


def goes_on(directory: MemoryDirectory) -> None:
    """What is true of the other school is carried out."""
    assert directory.people_in("53") == {ref("teacher", 66), *(ref("student", number) for number in (5, 6, 7, 9))}


def heals(world: World, moment: Any) -> None:
    """Once the nonsense ends the directory is the one it would have been."""
    last = moment.cycle(a_day_later())
    assert isinstance(last, RunSummary), last
    assert world.expected.inside <= moment.directory.inside
    assert {kind for kind, _, _ in moment.directory.inside - world.expected.inside} <= NEVER_DETACHED
    assert moment.directory.objects.keys() == world.expected.objects.keys()
    no_wrong_removal(moment.directory)


@bounded(24)
@given(data=st.data())
def test_senseless_records(world: World, data: st.DataObject) -> None:
    script = a_day_later()
    for kind in data.draw(st.lists(st.sampled_from(ROWS), min_size=1, max_size=4)):
        data.draw(kind(script))
    with world.again() as moment:
        summary = moment.cycle(script)
        assert isinstance(summary, RunSummary), summary
        no_wrong_removal(moment.directory)
        goes_on(moment.directory)
        heals(world, moment)


@bounded(8)
@given(data=st.data())
def test_broken_lists(world: World, data: st.DataObject) -> None:
    script = a_day_later()
    for _ in range(data.draw(st.integers(1, 3))):
        data.draw(a_broken_list(script))
    with world.again() as moment:
        result = moment.cycle(script)
        if isinstance(result, RunSummary):
            goes_on(moment.directory)
        no_wrong_removal(moment.directory)
        heals(world, moment)


@bounded(16)
@given(data=st.data())
def test_answers_that_are_none(world: World, data: st.DataObject) -> None:
    script = a_day_later()
    data.draw(an_answer(script))
    with world.again() as moment:
        result = moment.cycle(script)
        assert isinstance(result, RunSummary | SdsError)
        no_wrong_removal(moment.directory)
        heals(world, moment)
