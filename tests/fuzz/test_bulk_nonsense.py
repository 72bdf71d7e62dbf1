"""PowerQueries send nonsense: no exception but ours, no wrong removal, and nobody who is true goes without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bulk_nonsense import PLAUSIBLE, ROWS, a_broken_list, an_answer, bulk_day_later, bulk_district
from fuzz_rig import LONG, World, bounded, running
from hypothesis import given
from hypothesis import strategies as st
from memory_directory import MemoryDirectory, ref
from query_rig import Queries
from test_nonsense import NEVER_DETACHED, no_wrong_removal

from sds_daemon.errors import SdsError
from sds_daemon.sync.summary import RunSummary

pytestmark = pytest.mark.timeout(0 if LONG else 120)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = tmp_path_factory.mktemp("bulk")
    with running(made, lambda: bulk_district()[0], lambda: bulk_day_later()[0], "auto") as world:
        yield world


def test_the_district_is_read_by_its_queries(world: World) -> None:
    with world.again() as moment:
        script, queries = bulk_day_later()
        moment.cycle(script)
        assert {name for name, _ in queries.asked} == set(queries.rows)
        assert not any("/section_enrollment" in path for path in script.paths())
        assert moment.directory.people_in("51") == people(64, 65, 1, 2, 3)


def people(*numbers: int) -> set[Any]:
    """Teachers are numbered from 64 on."""
    return {ref("teacher" if number > 60 else "student", number) for number in numbers}


def goes_on(directory: MemoryDirectory) -> None:
    """What is true of the other school is carried out; who has left may wait for a whole reading."""
    assert people(66, 5, 6, 7, 9) <= directory.people_in("53") <= people(66, 5, 6, 7, 8, 9)


def heals(world: World, moment: Any) -> None:
    """Once the nonsense ends the directory is the one it would have been."""
    last = moment.cycle(bulk_day_later()[0])
    assert isinstance(last, RunSummary), last
    assert world.expected.inside <= moment.directory.inside
    more = {kind for kind, _, _ in moment.directory.inside - world.expected.inside}
    assert more <= NEVER_DETACHED
    no_wrong_removal(moment.directory)


@bounded(12)
@given(data=st.data())
def test_senseless_rows(world: World, data: st.DataObject) -> None:
    script, queries = bulk_day_later()
    for kind in data.draw(st.lists(st.sampled_from(ROWS), min_size=1, max_size=3)):
        data.draw(kind(queries))
    with world.again() as moment:
        summary = moment.cycle(script)
        assert isinstance(summary, RunSummary | SdsError), summary
        no_wrong_removal(moment.directory)
        heals(world, moment)


@bounded(4)
@given(data=st.data())
def test_broken_lists(world: World, data: st.DataObject) -> None:
    script, queries = bulk_day_later()
    data.draw(a_broken_list(script, queries))
    with world.again() as moment:
        assert isinstance(moment.cycle(script), RunSummary | SdsError)
        no_wrong_removal(moment.directory)
        heals(world, moment)


@bounded(8)
@given(data=st.data())
def test_answers_that_are_none(world: World, data: st.DataObject) -> None:
    script, queries = bulk_day_later()
    data.draw(an_answer(script, queries))
    with world.again() as moment:
        assert isinstance(moment.cycle(script), RunSummary | SdsError)
        no_wrong_removal(moment.directory)
        heals(world, moment)


@pytest.mark.parametrize("change", PLAUSIBLE.values(), ids=PLAUSIBLE)
def test_answers_that_fit_their_counts_and_are_wrong(world: World, change: Callable[[Queries], None]) -> None:
    script, queries = bulk_day_later()
    change(queries)
    with world.again() as moment:
        assert isinstance(moment.cycle(script), RunSummary | SdsError)
        no_wrong_removal(moment.directory)
        heals(world, moment)
