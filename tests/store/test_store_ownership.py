"""What root makes in the service's state directory belongs to the service."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sds_daemon.clock import FixedClock
from sds_daemon.errors import StateError
from sds_daemon.ownership import give_to_folder_owner
from sds_daemon.store import Store

SERVICE = 60_001


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for somebody else")
def test_database_made_by_root_belongs_to_the_owner_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    os.chown(folder, SERVICE, SERVICE)
    with Store.open(folder / "state.db", FixedClock(datetime(2026, 9, 1, tzinfo=UTC))) as store:
        store.profiles.state("pilot")
        made = {path.name: path.stat() for path in folder.iterdir()}
    assert "state.db" in made
    assert {(found.st_uid, found.st_gid) for found in made.values()} == {(SERVICE, SERVICE)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for somebody else")
def test_file_that_was_there_keeps_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    path = folder / "state.db"
    Store.open(path, FixedClock(datetime(2026, 9, 1, tzinfo=UTC))).close()
    os.chown(folder, SERVICE, SERVICE)
    Store.open(path, FixedClock(datetime(2026, 9, 1, tzinfo=UTC))).close()
    assert path.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for somebody else")
def test_root_follows_no_link_the_service_has_laid(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    os.chown(folder, SERVICE, SERVICE)
    target = tmp_path / "of-root"
    (folder / "state.db").symlink_to(target)
    with pytest.raises(StateError):
        Store.open(folder / "state.db", FixedClock(datetime(2026, 9, 1, tzinfo=UTC)))
    assert not target.exists()
    target.touch()
    give_to_folder_owner(folder / "state.db")
    assert target.stat().st_uid == 0
