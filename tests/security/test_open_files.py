"""Files that other users of the machine could read or change are named with the command that closes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sds_daemon.config.exposure import exposures
from sds_daemon.config.load import load
from sds_daemon.config.settings import Settings

CONFIG = """
[sources.district]
type = "powerschool"
url = "https://powerschool.contoso.edu"
client_id = "file:ps-id"
client_secret = "file:secrets/ps-secret"

[tenants.contoso]
tenant_id = "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1"
client_id = "0f6c3b1e-52a7-4f0b-8d1a-6f0d2c9a7e44"
certificate = "secrets/app.pem"

[profiles.pilot]
source = "district"
tenant = "contoso"
schools = "all"
users = "match"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration as it should be: everything closed to others."""
    tmp_path.chmod(0o750)
    for name in ("secrets", "state", "state/defects"):
        (tmp_path / name).mkdir(mode=0o700)
    files = {"config.toml": CONFIG, "ps-id": "i", "secrets/ps-secret": "s", "secrets/app.pem": "p"}
    files |= dict.fromkeys(("state/state.db", "state/passwords-pilot.csv", "state/defects/a.txt"), "x")
    for name, text in files.items():
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o600)
    (tmp_path / "config.toml").chmod(0o640)
    return tmp_path


def found(folder: Path, **changes: str) -> dict[str, str]:
    """What is exposed: the path within the folder, and the remedy."""
    settings: Settings = load(folder / "config.toml", changes)
    listed = exposures(settings, settings.profile("pilot"))
    return {str(each.path.relative_to(folder)): each.remedy for each in listed}


def test_a_closed_installation_is_not_complained_about(folder: Path) -> None:
    assert found(folder) == {}


def test_a_secret_may_be_readable_for_its_group_as_the_service_reads_it(folder: Path) -> None:
    (folder / "secrets/ps-secret").chmod(0o640)
    assert found(folder) == {}


@pytest.mark.parametrize("name", ["ps-id", "secrets/ps-secret", "secrets/app.pem"])
@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602])
def test_a_secret_that_others_can_reach_is_named(folder: Path, name: str, mode: int) -> None:
    (folder / name).chmod(mode)
    assert found(folder) == {name: f"chmod o-rwx {folder / name}"}


def test_the_file_behind_a_link_counts(folder: Path) -> None:
    real = folder / "elsewhere"
    real.write_text("s")
    real.chmod(0o644)
    (folder / "ps-id").unlink()
    (folder / "ps-id").symlink_to(real)
    assert list(found(folder)) == ["ps-id"]


def test_credentials_count_where_they_lie(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("file:ps-id", "credential:ps"))
    place = folder / "handed-over"
    place.mkdir(mode=0o700)
    (place / "ps").write_text("i")
    (place / "ps").chmod(0o604)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(place))
    assert list(found(folder, CREDENTIALS_DIRECTORY=str(place))) == ["handed-over/ps"]


def test_a_configuration_without_secrets_may_be_read_but_not_written(folder: Path) -> None:
    (folder / "config.toml").chmod(0o644)
    assert found(folder) == {}
    (folder / "config.toml").chmod(0o646)
    assert found(folder) == {"config.toml": f"chmod o-w {folder / 'config.toml'}"}


def test_a_configuration_with_a_secret_in_it_may_not_be_read(folder: Path) -> None:
    config = folder / "config.toml"
    config.write_text(CONFIG.replace("file:secrets/ps-secret", "the-secret-itself"))
    config.chmod(0o644)
    assert found(folder) == {"config.toml": f"chmod o-r {config}"}
    listed = exposures(load(config, {}), load(config, {}).profile("pilot"))
    assert "the-secret-itself" not in repr(listed)


def test_a_folder_in_which_anybody_may_replace_a_secret_is_named(folder: Path) -> None:
    (folder / "secrets").chmod(0o777)
    assert found(folder) == {"secrets": f"chmod o-w {folder / 'secrets'}"}
    (folder / "secrets").chmod(0o1777)  # as /tmp: only the owner may replace a file
    assert found(folder) == {}


def test_a_state_directory_that_is_open_is_named_with_what_lies_open_in_it(folder: Path) -> None:
    (folder / "state").chmod(0o755)
    assert list(found(folder)) == ["state"]
    (folder / "state/passwords-pilot.csv").chmod(0o644)
    (folder / "state/state.db").chmod(0o640)
    assert set(found(folder)) == {"state", "state/state.db", "state/passwords-pilot.csv"}


def test_open_files_in_a_closed_directory_are_out_of_reach(folder: Path) -> None:
    (folder / "state/passwords-pilot.csv").chmod(0o644)
    assert found(folder) == {}


def test_a_database_elsewhere_counts(folder: Path) -> None:
    config = folder / "config.toml"
    config.write_text(CONFIG + '[daemon]\ndatabase = "elsewhere.db"\n')
    (folder / "elsewhere.db").write_text("x")
    (folder / "elsewhere.db").chmod(0o644)
    assert found(folder) == {"elsewhere.db": f"chmod 0600 {folder / 'elsewhere.db'}"}


def test_what_is_not_there_yet_is_not_complained_about(folder: Path) -> None:
    for path in sorted((folder / "state").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / "state").rmdir()
    (folder / "ps-id").unlink()
    assert found(folder) == {}
