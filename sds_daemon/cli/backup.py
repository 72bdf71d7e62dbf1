"""`sds-daemon backup OUT`: a copy of the state database."""

from __future__ import annotations

from pathlib import Path

import click

from sds_daemon.cli.context import CommandContext, pass_context


@click.command("backup")
@click.argument("out", type=click.Path(path_type=Path))
@pass_context
def command(context: CommandContext, out: Path) -> None:
    """Copy the state database to OUT (mode 0600), whole and consistent, while the daemon goes on.

    To restore: stop the daemon, put the copy in the database's place, owned by the daemon's user, and start it.
    """
    from sds_daemon.errors import StateError, UsageError

    path = context.settings().daemon.database_path
    if not path.exists():
        raise StateError(f"there is no state database at {path}", remedy="correct state_dir; the first sync makes it")
    if out.is_dir():
        raise UsageError(f"{out} is a directory", remedy="name the file to write")
    if out.exists() and out.samefile(path):
        raise UsageError(f"{out} is the database itself", remedy="name another file")
    with context.store() as store:
        store.backup(out)
    click.echo(f"copied {path} to {out}")
