"""What every command is given, and what most commands open first. Imports nothing heavy before it is needed."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sds_daemon.clock import Clock
    from sds_daemon.config.settings import Settings
    from sds_daemon.store import Store
    from sds_daemon.sync.focus import Focus


@dataclass
class CommandContext:
    """The options before the command. `config`: --config as given; `verbose`: how many -v (0 to 2)."""

    config: Path | None = None
    verbose: int = 0
    _settings: Settings | None = field(default=None, repr=False)

    @property
    def config_path(self) -> Path:
        """The configuration file in use. Raises ConfigurationError when there is none."""
        from sds_daemon.config.load import find_config

        return find_config(self.config)

    def settings(self) -> Settings:
        """The configuration, read once; its warnings go to standard error. Raises ConfigurationError."""
        if self._settings is None:
            from sds_daemon.config.load import load

            self._settings = load(self.config_path)
            for warning in self._settings.warnings:
                click.echo(f"Warning: {warning}", err=True)
        return self._settings

    def known_state_dir(self) -> Path | None:
        """The state directory, if the configuration has been read by now."""
        return self._settings.daemon.state_dir if self._settings else None

    @property
    def log_level(self) -> str:
        """For commands a person types: quiet, unless -v (INFO) or -vv (DEBUG) asks for more."""
        return ("WARNING", "INFO", "DEBUG")[min(self.verbose, 2)]

    def start_logging(self) -> None:
        """Send log lines of this level to standard error, and nothing else anywhere."""
        from sds_daemon.logs import configure

        configure(self.log_level, sys.stderr, journal=False, errors_shown=True)

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The state database of the configuration, for a command that reads. Raises StateError; ConfigurationError.

        Where there is none yet an empty one is lent and thrown away: a look must not make files, least of all as
        another user than the daemon's.
        """
        from sds_daemon.clock import system_clock
        from sds_daemon.store import Store

        settings = self.settings()
        with contextlib.ExitStack() as stack:
            path = settings.daemon.database_path
            if not path.exists():
                path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sds-daemon-"))) / "state.db"
            yield stack.enter_context(Store.open(path, system_clock()))


def load_settings(context: object) -> tuple[Settings, Clock]:
    """The configuration and the clock, for a command that does its work in the open: logging is set up as well.

    `context` is the CommandContext click passes on as `obj`. Raises ConfigurationError.
    """
    from sds_daemon.clock import system_clock

    options = context if isinstance(context, CommandContext) else CommandContext()
    settings = options.settings()
    options.start_logging()
    return settings, system_clock()


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Inside a running event loop: a function that tells whether SIGINT or SIGTERM has asked to stop.

    A second signal ends the process at once, as if nothing had been installed.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    asked: list[signal.Signals] = []
    watched = (signal.SIGINT, signal.SIGTERM)

    def ask(number: signal.Signals) -> None:
        asked.append(number)
        click.echo("stopping after what is under way; once more ends at once", err=True)
        for each in watched:
            loop.remove_signal_handler(each)

    for number in watched:
        loop.add_signal_handler(number, ask, number)
    try:
        yield lambda: bool(asked)
    finally:
        for number in watched:
            loop.remove_signal_handler(number)


def focus_options(function: click.decorators.FC) -> click.decorators.FC:
    """`--person ID` and `--section ID`, passed on as `person` and `section`."""
    person = click.option(
        "--person",
        metavar="ID",
        help='This person alone: a SIS ID, "student 12", "teacher 7", or a user principal name.',
    )
    section = click.option("--section", metavar="ID", help="This section alone (SIS ID).")
    return person(section(function))


def focus_of(person: str | None, section: str | None) -> Focus | None:
    """What `focus_options` were given; None for the whole profile. Raises UsageError for both."""
    from sds_daemon.errors import UsageError
    from sds_daemon.sync.focus import Focus

    if person is not None and section is not None:
        raise UsageError("--person and --section do not go together", remedy="give one of them")
    if person is not None:
        return Focus("person", person)
    return Focus("section", section) if section is not None else None


pass_context = click.make_pass_decorator(CommandContext, ensure=True)


def json_option(function: click.decorators.FC) -> click.decorators.FC:
    """`--json`, passed on as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)
