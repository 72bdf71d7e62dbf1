"""`sds-daemon init`: ask for everything a profile needs."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sds_daemon.cli.context import CommandContext, pass_context


@click.command("init")
@pass_context
def command(context: CommandContext) -> None:
    """Ask for everything a profile needs, and write it to the configuration, disabled.

    Both connections are tried before the questions go on; domains, licences and schools are listed as the servers have
    them; check and preview show what would happen. Nothing is written before the last answer; comments in the file are
    kept, and a file that is not there yet is made. Answers may come through a pipe, a line each.
    """
    from sds_daemon.cli.wizard.ask import Asker
    from sds_daemon.cli.wizard.draft import open_draft
    from sds_daemon.cli.wizard.flow import run_wizard, say_next_steps
    from sds_daemon.clock import system_clock

    context.start_logging()
    path = _path(context)
    draft = open_draft(path, system_clock())
    asker = Asker()
    word = "is added to" if path.exists() else "makes"
    click.echo(f"This writes one profile: it {word} {path}. Nothing is written before the last answer; Ctrl-C ends it.")
    try:
        written = run_wizard(asker, draft)
    except KeyboardInterrupt:
        click.echo("\nNothing was written.")
        raise
    if not written:
        click.echo("Nothing was written.")
        return
    say_next_steps(draft, f" --config {context.config}" if context.config else "")


def _path(context: CommandContext) -> Path:
    """The configuration in use, or where a first one belongs: /etc/sds-daemon where that is there, else here."""
    from sds_daemon.config.load import LOCAL_FILE, SYSTEM_FILE, VARIABLE

    named = context.config or os.environ.get(VARIABLE)
    if named:
        return Path(named)
    for path in (SYSTEM_FILE, LOCAL_FILE):
        if path.exists():
            return path
    return SYSTEM_FILE if SYSTEM_FILE.parent.is_dir() else LOCAL_FILE
