"""A store in a folder of its own, on a clock that stands still."""

from __future__ import annotations

import shutil
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


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database at the newest schema, to copy: migrating for each test would take minutes."""
    path = tmp_path_factory.mktemp("empty") / "state.db"
    Store.open(path, FixedClock(datetime(2026, 9, 1, tzinfo=UTC))).close()
    return path


@pytest.fixture
def store(path: Path, clock: FixedClock, empty: Path) -> Iterator[Store]:
    """A fresh store."""
    path.parent.mkdir(mode=0o700)
    shutil.copy2(empty, path)
    with Store.open(path, clock) as opened:
        yield opened
