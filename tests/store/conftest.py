"""A store in a folder of its own, on a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sds_daemon.clock import FixedClock
from sds_daemon.store import Store


@pytest.fixture
def clock() -> FixedClock:
    """A school morning."""
    return FixedClock(datetime(2026, 9, 1, 7, 30, tzinfo=UTC))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database will be; its folder does not exist yet."""
    return tmp_path / "state" / "state.db"


@pytest.fixture
def store(path: Path, clock: FixedClock) -> Iterator[Store]:
    """A fresh store."""
    with Store.open(path, clock) as opened:
        yield opened
