"""`sds-daemon reject RUN`: refuse the held changes of a run."""

from __future__ import annotations

import click


@click.command("reject")
@click.argument("run", type=int)
@click.pass_obj
def command(context: object, run: int) -> None:
    """Refuse the changes held by RUN. They stay out as long as the source asks for exactly the same."""
    from sds_daemon.cli.frame import opened
    from sds_daemon.sync.approval import held_by

    with opened(context) as (_, store, _clock):
        held = held_by(store, run)
        store.held.reject(held.number)
    click.echo(f"rejected: {len(held.changes)} changes held for profile {held.profile}")
