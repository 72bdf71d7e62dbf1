"""`sds-daemon`: the options before a command, the table of commands, and the way every error ends."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from sds_daemon import __version__
from sds_daemon.cli.context import CommandContext
from sds_daemon.errors import SdsError, StateError
from sds_daemon.redaction import redact

COMMANDS: dict[str, str] = {
    "init": "Ask for everything a profile needs and write it, disabled.",
    "check": "Try both connections, permissions, domains, licences and the identity rules.",
    "preview": "Show what a sync would do. Cannot write.",
    "sync": "Run one cycle of a profile now.",
    "run": "Run the daemon: every enabled profile, cycle after cycle.",
    "status": "Show how each profile stands.",
    "runs": "List runs, or show one.",
    "issues": "List or export the records that could not be synced.",
    "drift": "Show where the directory is not what was written: hand edits.",
    "reconcile": "Compare the directory with what was written. Writes nothing.",
    "explain": "Say why a person or section is, or is not, where it should be.",
    "reset": "Forget what is known of a person, section or profile, and read it anew.",
    "links": "Show or drop the link between a SIS record and its directory object.",
    "undo": "Take back what a run added, and pause its profile.",
    "profiles": "List, enable, disable or resume profiles.",
    "limits": "Show the limits of a profile, or relax them for a time.",
    "approve": "Let held changes, or a smaller source, through.",
    "reject": "Refuse held changes.",
    "plugin": "Build the plugin that PowerSchool installs.",
    "backup": "Copy the state database safely, while the daemon runs.",
    "sandbox": "Run a pretend PowerSchool and Entra tenant on this machine.",
    "demo": "Show the whole job on a pretend school district.",
}
DEFECT = 5
INTERRUPTED = 130
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that --help needs none of them.

    Each name of COMMANDS is a module of sds_daemon.cli with a click command called `command`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`--config` counts wherever it stands, before the command or after it."""
        return super().parse_args(ctx, _config_first(args))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the table's order, which is that of a newcomer's steps."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now. None for an unknown name, or one this installation lacks."""
        if cmd_name not in COMMANDS:
            return None
        module = f"sds_daemon.cli.{cmd_name}"
        try:
            command = importlib.import_module(module).command
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            return None
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _config_first(arguments: list[str]) -> list[str]:
    first: list[str] = []
    rest: list[str] = []
    given = iter(arguments)
    for word in given:
        if word == "--":
            rest += [word, *given]
        elif word.startswith("--config="):
            first.append(word)
        elif word == "--config" and (path := next(given, None)) is not None:
            first += [word, path]
        else:
            rest.append(word)
    return [*first, *rest]


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 done with issues, 2 configuration or usage, 3 source or tenant unreachable or "
    "refusing, 4 something held for approval, 5 defect.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration file. Default: $SDS_DAEMON_CONFIG, /etc/sds-daemon/config.toml, ./config.toml.",
)
@click.option("-v", "--verbose", count=True, help="Say more; twice for everything.")
@click.version_option(__version__, prog_name="sds-daemon")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, verbose: int) -> None:
    """Keep Microsoft 365 accounts, classes and memberships in step with PowerSchool."""
    options = ctx.ensure_object(CommandContext)
    options.config, options.verbose = config, verbose


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command line and exit with its code. No error of an operator's making shows a traceback.

    What it writes is private, whatever the shell's umask: pupils' data and secrets pass through its files.
    """
    before = os.umask(0o077)
    try:
        sys.exit(_run(arguments, CommandContext()))
    finally:
        os.umask(before)


def _run(arguments: list[str] | None, options: CommandContext) -> int:
    try:
        result: Any = cli.main(args=arguments, prog_name="sds-daemon", obj=options, standalone_mode=False)
    except click.Abort:
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return 2
    except SdsError as error:
        click.echo(f"Error: {redact(str(error))}", err=True)
        return error.exit_code
    except OSError as error:
        return _no_room(error) if error.errno in NO_ROOM else _defect(error, options)
    except Exception as error:  # noqa: BLE001 - the outermost boundary: a defect ends as one line and a file
        return _defect(error, options)
    return result if isinstance(result, int) else 0


def _no_room(error: OSError) -> int:
    """A full disk is nobody's defect. What was being written, the output itself included, is cut off."""
    where = f"{error.filename} " if error.filename else "what this command writes "
    click.echo(f"Error: {where}is cut off: {error.strerror} — make room, and try again", err=True)
    return StateError.exit_code


def _defect(error: Exception, options: CommandContext) -> int:
    """One line on the terminal, the traceback in a file only its owner can read."""
    try:
        where = f"the traceback is in {_keep_traceback(error, options)}"
    except OSError as problem:
        where = f"the traceback could not be written ({problem.strerror})"
    click.echo(f"defect: {type(error).__name__} in sds-daemon {__version__}; {where}; please report it", err=True)
    return DEFECT


def _keep_traceback(error: Exception, options: CommandContext) -> Path:
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    text = redact("".join(traceback.format_exception(error)))
    state = options.known_state_dir() or os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        with contextlib.suppress(OSError):
            return _write_private(Path(state) / "defects", name, text)
    return _write_private(Path(tempfile.mkdtemp(prefix="sds-daemon-defects-")), name, text)


def _write_private(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return path
