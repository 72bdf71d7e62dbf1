"""A small configuration that is right, to be bent by each test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sds_daemon.config.load import load
from sds_daemon.errors import ConfigurationError

SOUND = """\
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
source = "district"
tenant = "contoso"
schools = ["Maple Street Elementary", 100]
users = "match"

[profiles.pilot.students]
suffix = "students.contoso.edu"
"""


@pytest.fixture
def sound() -> str:
    """A configuration without a fault."""
    return SOUND


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a config.toml, by default the sound one with text replaced: `write({"old": "new"}, "more")`."""

    def put(changes: Mapping[str, str] | None = None, more: str = "", text: str = SOUND) -> Path:
        for old, new in (changes or {}).items():
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "config.toml"
        path.write_text(text + more)
        path.chmod(0o600)
        return path

    return put


@pytest.fixture
def faults() -> Callable[..., list[str]]:
    """The lines load() reports for a file, without the file's name; none when it loads."""

    def lines(path: Path, environment: Mapping[str, str] | None = None) -> list[str]:
        try:
            load(path, environment or {})
        except ConfigurationError as error:
            return [line.strip().removeprefix(f"{path}: ") for line in str(error).splitlines() if " — " in line]
        return []

    return lines
