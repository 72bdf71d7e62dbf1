"""The undisturbed run, once for all scenarios of a worker, and the counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos.harness import Tally, Undisturbed, nursery, undisturbed


@pytest.fixture(scope="session", autouse=True)
def _nursery() -> Iterator[None]:
    yield
    nursery.close()


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What becomes of the district when nobody interferes."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The counts of one test; they travel with its report, also between workers."""
    counted = Tally()
    yield counted
    request.node.user_properties.append(("chaos", counted.as_json()))
