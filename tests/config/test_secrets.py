"""References to secrets, resolved late."""

from __future__ import annotations

from pathlib import Path

import pytest

from sds_daemon.config import secrets
from sds_daemon.config.secrets import Secret
from sds_daemon.errors import ConfigurationError


def test_each_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").write_text("from credential\r\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("A_SECRET", "from env")
    assert Secret("credential:one").reveal() == "from credential"
    assert Secret(f"file:{tmp_path}/one").reveal() == "from credential"
    assert Secret("env:A_SECRET").reveal() == "from env"
    assert Secret("as it is: even with colons").reveal() == "as it is: even with colons"


def test_resolved_when_asked_not_when_made(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret("env:LATER")
    monkeypatch.setenv("LATER", "x")
    assert secret.reveal() == "x"
    monkeypatch.setenv("LATER", "rotated")
    assert secret.reveal() == "rotated"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("credential:x", "CREDENTIALS_DIRECTORY is not set"),
        ("env:NOT_SET_AT_ALL", "not set or empty"),
        ("file:/nowhere/at/all", "cannot be read"),
    ],
)
def test_unresolvable(reference: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(secrets, "SERVICE_CREDENTIALS", tmp_path / "none")
    with pytest.raises(ConfigurationError, match=message) as caught:
        Secret(reference).reveal()
    assert caught.value.remedy


def test_the_running_services_credentials_serve_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(secrets, "SERVICE_CREDENTIALS", tmp_path)
    (tmp_path / "one").write_text("s")
    assert Secret("credential:one").reveal() == "s"


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n", b"\xff\xfe"])
def test_empty_or_binary_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigurationError):
        Secret(f"file:{tmp_path}/secret").reveal()


def test_never_shown() -> None:
    assert "hunter2" not in f"{Secret('hunter2')} {Secret('hunter2')!r} {[Secret('hunter2')]}"
    assert "env:NAME" in repr(Secret("env:NAME"))
