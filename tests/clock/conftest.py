"""A district on sockets, and a daemon whose clock is moved with it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox"))

from calendar_rig import Reader, Year, running_year


@pytest.fixture(params=["powerquery", "v1"])
def reader(request: pytest.FixtureRequest) -> Reader:
    """Both ways of reading see the same days."""
    chosen: Reader = request.param
    return chosen


@pytest_asyncio.fixture
async def year(tmp_path: Path, reader: Reader) -> AsyncIterator[Year]:
    """The school year 2026-27 of a district in Los Angeles."""
    async with running_year(tmp_path, "America/Los_Angeles", reader) as made:
        yield made
