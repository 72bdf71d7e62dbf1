"""The systemd unit: what systemd thinks of it, and the real daemon under its restrictions."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tomlkit
from rig import Rig

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "systemd"
UNIT = DEPLOY / "sds-daemon.service"
HARDENED = Path(__file__).with_name("hardened.py")

analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def directive(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


@analyze
def test_systemd_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    """`verify` returns 0 for misspelt keys too: only silence counts. ExecStart must exist, so it is put in place."""
    program = tmp_path / "sds-daemon"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/sds-daemon/bin/sds-daemon", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("ProtectSystem", "ProtectSystm"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "ProtectSystm" in done.stderr, "this check would notice"


@analyze
def test_the_exposure_is_at_most_one_and_a_half() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    level = re.search(r"Overall exposure level for sds-daemon.service: (\d+\.\d)", done.stdout)
    assert level is not None and float(level[1]) <= 1.5


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_the_user_and_its_folders_are_made(tmp_path: Path) -> None:
    """On a root directory of its own, as an image builder would."""
    if os.geteuid() != 0:
        pytest.skip("making users and folders of others needs root")
    (tmp_path / "etc" / "sds-daemon").mkdir(parents=True)
    (tmp_path / "etc" / "sds-daemon" / "config.toml").write_text("")
    root = f"--root={tmp_path}"
    subprocess.run(["systemd-sysusers", root, str(DEPLOY / "sds-daemon.sysusers.conf")], check=True)
    user = next(line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("sds-daemon:"))
    assert user.endswith(":/var/lib/sds-daemon:/usr/sbin/nologin")
    number = int(user.split(":")[2])
    subprocess.run(["systemd-tmpfiles", root, "--create", str(DEPLOY / "sds-daemon.tmpfiles.conf")], check=True)
    found = {
        name: (stat.S_IMODE((tmp_path / name).stat().st_mode), (tmp_path / name).stat().st_uid)
        for name in ("etc/sds-daemon", "etc/sds-daemon/config.toml", "etc/sds-daemon/credentials", "var/lib/sds-daemon")
    }
    assert found == {
        "etc/sds-daemon": (0o750, 0),
        "etc/sds-daemon/config.toml": (0o640, 0),
        "etc/sds-daemon/credentials": (0o700, 0),
        "var/lib/sds-daemon": (0o700, number),
    }


def test_the_unit_gives_cycles_time_to_end() -> None:
    from sds_daemon.daemon.service import DRAIN_SECONDS

    assert float(directive("TimeoutStopSec")[0]) >= DRAIN_SECONDS + 15


def test_the_credentials_are_those_of_the_example_configuration() -> None:
    named = set(
        re.findall(r'^[a-z_]+ = "credential:([^"]+)"', (ROOT / "config.example.toml").read_text(), re.MULTILINE)
    )
    loaded = {value.partition(":")[0] for value in directive("LoadCredential")}
    assert named == loaded
    assert all(value.endswith("/" + value.partition(":")[0]) for value in directive("LoadCredential"))


# --- the real process ----------------------------------------------------------------------------


class Listener:
    """Where the daemon's notifications arrive."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.heard: list[str] = []

    def wait(self, condition: Callable[[str], bool], seconds: float = 60) -> str:
        """The first further message of that kind."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except TimeoutError:
                break
            if condition(self.heard[-1]):
                return self.heard[-1]
        raise AssertionError(f"not heard; but {self.heard}")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A sandbox whose daemon gets its secrets as credentials."""
    folder = Path(tempfile.mkdtemp(prefix="sds-unit-"))
    with Rig(folder, "--students", "40", "--seed", "7") as started:
        credentials = folder / "credentials"
        credentials.mkdir(mode=0o700)
        document = tomlkit.parse(started.config.read_text()).unwrap()
        ((source, server),) = document["sources"].items()
        ((tenant, directory),) = document["tenants"].items()
        secret_of = {"powerschool-secret": server["client_secret"], "entra-secret": directory["client_secret"]}
        for name, reference in secret_of.items():
            shutil.copy(reference.removeprefix("file:"), credentials / name)
        (credentials / "powerschool-id").write_text(server["client_id"] + "\n")
        started.edit(
            f"sources.{source}",
            client_id="credential:powerschool-id",
            client_secret="credential:powerschool-secret",
        )
        started.edit(f"tenants.{tenant}", client_secret="credential:entra-secret")
        yield started
    shutil.rmtree(folder)


@contextmanager
def under_the_unit(rig: Rig, listener: Path) -> Iterator[subprocess.Popen[str]]:
    """`sds-daemon run` as the unit starts it."""
    journal = rig.folder / "journal"
    with journal.open("w") as stream:
        found = os.fstat(stream.fileno())
        environment = rig.environment | {
            "NOTIFY_SOCKET": str(listener),
            "WATCHDOG_USEC": str(int(directive("WatchdogSec")[0]) * 1_000_000),
            "CREDENTIALS_DIRECTORY": str(rig.folder / "credentials"),
            "STATE_DIRECTORY": str(rig.folder / "state"),
            "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        arguments = directive("ExecStart")[0].split()[1:]
        arguments[arguments.index("--config") + 1] = str(rig.config)
        process = subprocess.Popen(
            [sys.executable, str(HARDENED), str(UNIT), str(rig.folder), sys.executable, "-m", "sds_daemon", *arguments],
            stdout=stream,
            stderr=stream,
            text=True,
            env=environment,
            cwd=rig.folder,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


HIDDEN = ("/tmp", "/var/tmp")


def can_confine() -> str:
    """Why the unit's restrictions cannot be applied here; empty when they can."""
    if os.geteuid() != 0:
        return "making a mount namespace needs root"
    hidden = [folder for folder in HIDDEN if Path(sys.executable).is_relative_to(folder)]
    if hidden:
        return f"the unit hides {hidden[0]} from the program, and this interpreter lies there"
    missing = [tool for tool in ("systemd-analyze", "setpriv", "mount", "unshare") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    attempt = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "proc", "-o", "hidepid=invisible,subset=pid", "proc", "/proc"],
        capture_output=True,
        check=False,
    )
    return "" if attempt.returncode == 0 else "this machine does not let /proc be mounted"


@pytest.mark.process
def test_the_real_daemon_works_under_the_restrictions_of_the_unit(rig: Rig) -> None:
    if why := can_confine():
        pytest.skip(why)
    systemd = Listener(rig.folder / "notify")
    try:
        with under_the_unit(rig, rig.folder / "notify") as process:
            try:
                _lead_a_life(rig, systemd, process)
            except AssertionError as error:
                raise AssertionError((rig.folder / "journal").read_text()[-4000:]) from error
    finally:
        systemd.close()
    journal = (rig.folder / "journal").read_text()
    assert all(re.match(r"<[2-7]>", line) for line in journal.splitlines()), journal
    for secret in (rig.folder / "credentials").iterdir():
        assert secret.read_text().strip() not in journal
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (rig.folder / "state").iterdir() if path.is_file()
    }
    assert "state.db" in modes and set(modes.values()) == {0o600}
    assert stat.S_IMODE((rig.folder / "state").stat().st_mode) == 0o700


def _lead_a_life(rig: Rig, systemd: Listener, process: subprocess.Popen[str]) -> None:
    systemd.wait(lambda message: message == "READY=1")
    status = dict(line.split(":\t") for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    assert (status["CapEff"], status["CapBnd"]) == ("0" * 16, "0" * 16)
    assert (status["NoNewPrivs"], status["Seccomp"], status["Umask"]) == ("1", "2", directive("UMask")[0])
    assert status["Seccomp_filters"] == "2"
    systemd.wait(lambda message: "running: district" in message)
    systemd.wait(lambda message: "next: district at" in message)
    directory = rig.directory()
    assert directory.groups and any(group["members"] for group in directory.groups.values()), "the first sync was made"
    process.send_signal(signal.SIGHUP)
    systemd.wait(lambda message: message.startswith("RELOADING=1\nMONOTONIC_USEC="))
    systemd.wait(lambda message: message == "READY=1")
    process.send_signal(signal.SIGTERM)
    systemd.wait(lambda message: message == "STOPPING=1")
    assert process.wait(timeout=60) == 0


@pytest.mark.process
@pytest.mark.parametrize(
    ("attempt", "refusal"),
    [
        ("open('/etc/sds-test', 'w')", "Read-only file system"),
        ("open('/var/lib/sds-test', 'w')", "Read-only file system"),
        ("__import__('socket').socket(16, 3, 0)", "Address family not supported"),
        ("__import__('mmap').mmap(-1, 4096, prot=7)", "Operation not permitted"),
        ("__import__('os').chown('.', 1, 1)", "Operation not permitted"),
        ("__import__('os').mkdir('/tmp/sds-seen') or print(__import__('os').listdir('/tmp'))", ""),
    ],
)
def test_the_restrictions_hold(tmp_path: Path, attempt: str, refusal: str) -> None:
    """What the daemon is tried under does restrict."""
    if why := can_confine():
        pytest.skip(why)
    done = subprocess.run(
        [sys.executable, str(HARDENED), str(UNIT), str(tmp_path), sys.executable, "-c", attempt],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    if refusal:
        assert done.returncode == 1 and refusal in done.stderr, done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert "sds-seen" in done.stdout and not Path("/tmp/sds-seen").exists()
