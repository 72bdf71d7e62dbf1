"""The way every command line ends: exit codes, messages, no traceback, nothing heavy imported for help."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from sds_daemon.cli import main as entry
from sds_daemon.errors import SafetyStop, SourceRefused, StateError, UsageError

Program = Callable[..., object]

HEAVY = ("msgraph", "azure", "sqlalchemy", "sqlmodel", "pydantic", "rich", "httpx", "alembic", "loguru", "apscheduler")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, sds_daemon.cli.main as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit as e: assert e.code == 0, e.code\n"
        f"print('LOADED', [n for n in {HEAVY!r} if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "LOADED []" in ended.stdout


def test_help_of_every_command_imports_nothing_heavy() -> None:
    """Command modules import lazily, so `COMMAND --help` is as quick as --help."""
    code = (
        "import sys, sds_daemon.cli.main as m, click\n"
        "ctx = click.Context(m.cli)\n"
        "found = [name for name in m.COMMANDS if m.cli.get_command(ctx, name)]\n"
        f"print('LOADED', len(found), [n for n in {HEAVY!r} if n in sys.modules and n != 'httpx'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert re.search(r"LOADED \d+ \[\]", ended.stdout), ended.stdout


def test_help_lists_every_command_in_the_newcomers_order(process: Program) -> None:
    ended = process("--help")
    listed = re.findall(r"^  ([a-z]+)  +[A-Z]", ended.out, re.MULTILINE)
    assert (ended.code, listed) == (0, list(entry.COMMANDS))
    assert "Exit codes: 0 done" in ended.out


def test_a_command_that_is_not_installed_does_not_break_help(monkeypatch: pytest.MonkeyPatch, program: Program) -> None:
    monkeypatch.setitem(entry.COMMANDS, "nowhere", "Not part of this installation.")
    ended = program("--help", config_path=None)
    assert (ended.code, "nowhere" in ended.out) == (0, True)
    assert program("nowhere").code == 2


def test_version(program: Program) -> None:
    ended = program("--version", config_path=None)
    assert (ended.code, ended.out.startswith("sds-daemon, version ")) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    ["nonsense", "--nonsense", "sync", "runs show x", "runs show", "links drop", "", "runs --limit 0", "plugin"],
)
def test_usage_is_2(program: Program, arguments: str) -> None:
    ended = program(*arguments.split())
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert ended.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file"),
        ("[daemon\n", "is not TOML"),
        ("[deamon]\n", "did you mean daemon?"),
        ("[daemon]\nstate_dir = 3\n", "must be text, not a number"),
    ],
)
def test_a_wrong_configuration_is_2_without_traceback(
    process: Program, config: Path, text: str | None, message: str
) -> None:
    config.unlink() if text is None else config.write_text(text)
    ended = process("--config", "config.toml", "status")
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_the_configuration_by_variable_and_in_place(process: Program, config: Path) -> None:
    assert process("profiles", "list").code == 0
    config.rename(config.parent / "other.toml")
    assert process("profiles", "list").code == 2
    ended = process("profiles", "list", environment={"SDS_DAEMON_CONFIG": "other.toml"})
    assert (ended.code, "pilot" in ended.out) == (0, True)


@pytest.mark.parametrize("where", [("--config", "other.toml"), ("--config=other.toml",)])
def test_the_configuration_is_named_before_or_after_the_command(
    process: Program, config: Path, where: tuple[str, ...]
) -> None:
    config.rename(config.parent / "other.toml")
    before, after = process(*where, "profiles", "list", "--json"), process("profiles", "list", *where, "--json")
    assert (before.code, after.code) == (0, 0), after.err
    assert after.out == before.out
    assert process("profiles", "list", "--config").code == 2


def test_no_database_of_any_kind_is_a_state_error(process: Program, config: Path) -> None:
    (config.parent / "state").mkdir(mode=0o700)
    (config.parent / "state" / "state.db").write_text("this is no database" * 100)
    ended = process("status")
    assert ended.code == 3
    assert "Traceback" not in ended.err


def replaced(monkeypatch: pytest.MonkeyPatch, body: Callable[[], None]) -> None:
    monkeypatch.setattr(entry.cli, "get_command", lambda ctx, name: click.Command(name, callback=body))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no", remedy="do"), 2),
        (SourceRefused("no", remedy="do"), 3),
        (StateError("no", remedy="do"), 3),
        (SafetyStop("no", remedy="do"), 4),
        (click.FileError("x", "gone"), 2),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
    ],
)
def test_exit_code_of_each_error(
    program: Program, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def body() -> None:
        raise error

    replaced(monkeypatch, body)
    ended = program("status")
    assert ended.code == code
    assert "Traceback" not in ended.err
    if code in (3, 4):
        assert ended.err == "Error: no — do\n"


def test_a_commands_own_exit_code_is_kept(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        raise SystemExit(1)

    replaced(monkeypatch, body)
    assert program("status").code == 1


class TestDefects:
    """A bug of ours: one line on the terminal, the traceback in a private file, exit code 5."""

    @pytest.fixture(autouse=True)
    def _defect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        @click.pass_obj
        def body(context: object) -> None:
            context.settings()  # type: ignore[attr-defined]
            raise ZeroDivisionError("hidden detail")

        replaced(monkeypatch, body)

    def test_in_the_state_directory(self, program: Program, config: Path) -> None:
        ended = program("status")
        assert ended.code == 5
        assert (ended.err.startswith("defect: ZeroDivisionError"), ended.err.count("\n")) == (True, 1)
        assert "hidden detail" not in ended.err
        (file,) = (config.parent / "state" / "defects").iterdir()
        assert str(file) in ended.err
        assert "hidden detail" in file.read_text()
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700

    def test_elsewhere_when_that_cannot_be_written(
        self, program: Program, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (config.parent / "state").mkdir()
        (config.parent / "state" / "defects").write_text("in the way")
        monkeypatch.setattr(entry.tempfile, "tempdir", str(tmp_path))
        ended = program("status")
        assert ended.code == 5
        (file,) = tmp_path.glob("sds-daemon-defects-*/*.txt")
        assert str(file) in ended.err


def test_output_that_nobody_reads_is_no_defect(config: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "sds_daemon", "--config", str(config), "profiles", "list", "--json"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert ended.returncode not in (0, 5)
    assert ended.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
def test_output_that_finds_no_room_is_no_defect(config: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "sds_daemon", "--config", str(config), "profiles", "list", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == StateError.exit_code
    assert ended.stderr.startswith("Error: what this command writes is cut off: No space left on device — make room")
