"""Runs the program, in this process or in one of its own, on a configuration and a state of the test's making."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from sds_daemon.cli.main import main
from sds_daemon.clock import FixedClock
from sds_daemon.store import Store

CONFIG = """\
[daemon]
state_dir = "state"
[sources.district]
type = "powerschool"
url = "https://powerschool.contoso.edu"
client_id = "env:PS_ID"
client_secret = "env:PS_SECRET"
[tenants.contoso]
tenant_id = "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1"
client_id = "0f6c3b1e-52a7-4f0b-8d1a-6f0d2c9a7e44"
client_secret = "env:ENTRA_SECRET"
[profiles.pilot]
enabled = true   # since August
source = "district"
tenant = "contoso"
schools = ["Maple Street Elementary"]
users = "match"
[profiles.later]
source = "district"
tenant = "contoso"
schools = ["Oak High"]
users = "match"
"""

NOW = datetime(2026, 9, 1, 6, 0, tzinfo=UTC)


class Ended(msgspec.Struct):
    """How a command ended."""

    code: int
    out: str
    err: str


Program = Callable[..., Ended]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two profiles: `pilot`, enabled, and `later`."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    path.chmod(0o600)
    return path


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def store(config: Path, clock: FixedClock) -> Iterator[Store]:
    """The state the configuration names."""
    with Store.open(config.parent / "state" / "state.db", clock) as opened:
        yield opened


@pytest.fixture
def program(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """`program("issues", "list")` on the configuration, in this process."""
    monkeypatch.setenv("TZ", "UTC")

    def run(*arguments: str, config_path: Path | None = config) -> Ended:
        given = ["--config", str(config_path), *arguments] if config_path else list(arguments)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(given)
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, printed.out, printed.err)

    return run


@pytest.fixture
def process(config: Path) -> Program:
    """The same in a process of its own; `environment` is laid over a bare one, `cwd` is the configuration's folder."""

    def run(*arguments: str, environment: dict[str, str] | None = None) -> Ended:
        ended = subprocess.run(
            [sys.executable, "-m", "sds_daemon", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=config.parent,
            env={"PATH": os.environ["PATH"], "HOME": str(config.parent), "TZ": "UTC", **(environment or {})},
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run
