"""The real program: what it leaves on disk, warns of, says of its credential, and what never comes out."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomlkit
from rig import COMMAND, PROFILE, Rig

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]


def secret_files(rig: Rig) -> list[Path]:
    """The files the ready configuration refers to."""
    config = tomlkit.parse(rig.config.read_text()).unwrap()
    references = [entry["client_secret"] for table in ("sources", "tenants") for entry in config[table].values()]
    assert all(reference.startswith("file:") for reference in references)
    return [Path(reference.removeprefix("file:")) for reference in references]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("security")
    with Rig(folder, "--students", "20", "--time-scale", "50") as made:
        yield made


@pytest.fixture(scope="module")
def secrets(rig: Rig) -> list[str]:
    return [path.read_text().strip() for path in secret_files(rig)]


def outputs(rig: Rig, *arguments: str, code: tuple[int, ...] = (0, 1, 3)) -> str:
    """Everything a command writes, run by a shell that hides nothing."""
    done = subprocess.run(
        ["/bin/sh", "-c", 'umask 000; exec "$@"', "sh", *COMMAND, "--config", str(rig.config), *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        env=rig.environment,
        cwd=rig.folder,
        check=False,
    )
    assert done.returncode in code, done
    return done.stdout + done.stderr


def test_a_first_sync_leaves_private_files_and_no_secret_whatever_the_umask(rig: Rig, secrets: list[str]) -> None:
    rig.edit(f"profiles.{PROFILE}", users="match_or_create", keep_passwords=True)
    state = rig.folder / "fresh"
    rig.edit("daemon", state_dir=str(state), database=str(state / "state.db"))
    said = outputs(rig, "-vv", "sync", PROFILE, "--json")
    said += outputs(rig, "-vv", "preview", PROFILE, "--json") + outputs(rig, "status", "--json")
    said += outputs(rig, "-vv", "check", PROFILE, "--json") + outputs(rig, "backup", str(rig.folder / "copy.db"))
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    kept = [*(path for path in state.rglob("*") if path.is_file()), rig.folder / "copy.db"]
    assert len(kept) >= 2
    for path in kept:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for secret in secrets:
        assert secret not in said
        assert all(secret.encode() not in path.read_bytes() for path in kept)
    assert "Bearer " not in said
    assert "eyJ" not in said


def test_check_warns_of_what_stands_open(rig: Rig, secrets: list[str]) -> None:
    found = files(rig)
    assert found == []
    opened = secret_files(rig)[0]
    opened.chmod(0o644)
    state = Path(tomlkit.parse(rig.config.read_text()).unwrap()["daemon"]["state_dir"])
    state.chmod(0o755)
    try:
        found = files(rig)
    finally:
        opened.chmod(0o600)
        state.chmod(0o700)
    assert {each["remedy"] for each in found} == {f"chmod o-rwx {opened}", f"chmod 0700 {state}"}
    assert {each["level"] for each in found} == {"warning"}


def files(rig: Rig) -> list[dict[str, str]]:
    done = rig.run("check", PROFILE, "--quick", "--json").expect(0)
    return [each for each in done.json["profiles"][PROFILE] if each["topic"] == "files"]


def test_status_names_a_secret_that_has_expired_and_one_that_will(rig: Rig, secrets: list[str]) -> None:
    refusal = {"error": "invalid_client", "error_description": "AADSTS7000222: The provided client secret keys ..."}
    rig.post("faults", {"side": "authority", "kind": "status", "status": 401, "body": refusal})
    try:
        done = rig.run("sync", PROFILE).expect(3)
    finally:
        rig.delete("faults")
    assert "AADSTS7000222" in done.err
    standing = rig.run("status", PROFILE).expect(0)
    assert "the credential has expired when it was last used (AADSTS7000222)" in standing.out
    assert "new secret" in standing.out
    rig.edit("tenants.contoso", client_secret_expires=tomlkit.date("2020-01-31"))
    try:
        told = rig.run("status", PROFILE, "--json").expect(0).json["profiles"][0]["credentials"]
    finally:
        rig.edit("tenants.contoso", client_secret_expires=None)
    assert [each["level"] for each in told] == ["error", "error"]
    assert "expired on 2020-01-31" in told[0]["message"]
    rig.sync()
    assert rig.run("status", PROFILE, "--json").expect(0).json["profiles"][0]["credentials"] == []


def test_a_running_daemon_shows_no_secret_in_its_arguments_or_environment(rig: Rig, secrets: list[str]) -> None:
    process = rig.spawn("run")
    try:
        for name in ("cmdline", "environ"):
            shown = Path(f"/proc/{process.pid}/{name}").read_bytes()
            assert all(secret.encode() not in shown for secret in secrets)
        assert os.getpid() != process.pid
    finally:
        process.terminate()
        process.communicate(timeout=60)
