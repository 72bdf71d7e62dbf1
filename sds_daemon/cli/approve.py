"""`sds-daemon approve RUN`: let exactly the held changes of a run go out."""

from __future__ import annotations

import click


@click.command("approve")
@click.argument("run", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print the run as one JSON object.")
@click.pass_obj
def command(context: object, run: int, as_json: bool) -> None:
    """Approve the changes held by RUN and apply them now: exactly that set, or nothing.

    When the set has changed since, nothing of it is applied and the difference is shown. Where RUN was stopped because
    the source had shrunk, exactly what it read is accepted, or nothing when the source has shrunk further. While the
    daemon works on the profile, its next cycle applies them.
    """
    import asyncio

    from sds_daemon.assembly import open_store, sync_profile, undo_profile
    from sds_daemon.cli.context import load_settings, stopping
    from sds_daemon.cli.progress import progress_bar
    from sds_daemon.cli.report import print_summary
    from sds_daemon.cli.undo import print_undo
    from sds_daemon.errors import LeaseHeld
    from sds_daemon.sync.approval import approve_run
    from sds_daemon.sync.undo import undone_run

    settings, clock = load_settings(context)
    store = open_store(settings, clock)

    async def carry_out(profile: str) -> int:
        with stopping() as stop, progress_bar(quiet=as_json) as progress:
            summary, decision = await sync_profile(
                settings, settings.profile(profile), store, clock, priority="interactive", stop=stop, progress=progress
            )
        print_summary(summary, decision, as_json=as_json)
        if summary.held and not as_json:
            click.echo("the approved set had changed in the meantime; what is held now is a new set", err=True)
            for notice in summary.notices:
                click.echo(notice, err=True)
        return summary.exit_code

    async def take_back(profile: str, undone: int) -> int:
        with stopping() as stop, progress_bar(quiet=as_json) as progress:
            summary, undoing = await undo_profile(
                settings, settings.profile(profile), store, clock, undone, stop=stop, progress=progress
            )
        print_undo(summary, undoing, as_json=as_json)
        if summary.held and not as_json:
            click.echo("the approved set had changed in the meantime; what is held now is a new set", err=True)
        return summary.exit_code

    try:
        name = approve_run(store, run)
        try:
            undone = undone_run(store, run)
            work = carry_out(name) if undone is None else take_back(name, undone)
            raise SystemExit(asyncio.run(work))
        except LeaseHeld:
            if undone is not None:  # no cycle takes a run back: the command has to be given again
                raise
            click.echo(f"approved; profile {name} is being worked on, its next cycle applies the changes")
    finally:
        store.close()
