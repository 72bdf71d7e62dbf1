"""The hand-out list of first passwords: private, and on the disk before a request goes out."""

from __future__ import annotations

import csv
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sds_daemon.errors import StateError
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.sync.ledger import PasswordFile
from sds_daemon.targets.base import NewPassword


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return datetime(2026, 9, 1, 12, tzinfo=UTC)

    def today(self, timezone: str) -> object:
        return self.now().date()


def test_each_line_and_a_new_files_name_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Path] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        kept.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    path = tmp_path / "state" / "passwords-pilot.csv"
    file = PasswordFile(path, Noon())  # type: ignore[arg-type]
    file.append([NewPassword(Ref(RecordKind.STUDENT, "7"), "a@contoso.edu", "x,1")])
    assert kept == [path, path.parent]
    file.append([NewPassword(Ref(RecordKind.TEACHER, "7"), "b@contoso.edu", "y")])
    assert kept == [path, path.parent, path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    assert [row[1:] for row in rows[1:]] == [
        ["student", "7", "a@contoso.edu", "x,1"],
        ["teacher", "7", "b@contoso.edu", "y"],
    ]


def test_a_file_that_cannot_be_written_is_an_error_of_the_state(tmp_path: Path) -> None:
    (tmp_path / "passwords.csv").mkdir()
    with pytest.raises(StateError, match="no account is made without it"):
        PasswordFile(tmp_path / "passwords.csv", Noon()).append(  # type: ignore[arg-type]
            [NewPassword(Ref(RecordKind.STUDENT, "7"), "a@contoso.edu", "x")]
        )
