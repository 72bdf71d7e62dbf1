"""A store, a clock and settings with invented profiles."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sds_daemon.clock import FixedClock
from sds_daemon.store import Store


@pytest.fixture
def clock() -> FixedClock:
    """A school morning. Pauses go by the machine's time, states of profiles by this one."""
    return FixedClock(datetime(2026, 9, 1, 7, 30, tzinfo=UTC))


@pytest.fixture
def store(tmp_path: Path, clock: FixedClock) -> Iterator[Store]:
    """A fresh store."""
    with Store.open(tmp_path / "state" / "state.db", clock) as opened:
        yield opened
