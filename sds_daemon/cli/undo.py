"""`sds-daemon undo RUN`: take back what a run added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sds_daemon.sync.summary import RunSummary
    from sds_daemon.sync.undo import Undoing


@click.command("undo")
@click.argument("run", type=int)
@click.option("--preview", is_flag=True, help="Show what would be taken back. Cannot write.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--all", "everything", is_flag=True, help="List every change, not the first of each kind.")
@click.pass_obj
def command(context: object, run: int, preview: bool, as_json: bool, everything: bool) -> None:
    """Take back what RUN added: memberships are removed, attributes get their former values.

    Accounts, schools and groups are listed and never deleted; licences stay. The profile is paused first, until
    `sds-daemon profiles resume`, or its next sync would do it all again. The profile's limits hold: what exceeds them
    waits for `sds-daemon approve`. Look first, with --preview.
    """
    from sds_daemon.assembly import preview_undo, undo_profile
    from sds_daemon.cli.frame import carried_out, opened

    with opened(context) as (settings, store, clock):
        profile = settings.profile(store.runs.get(run).profile)
        summary, undoing = carried_out(
            lambda stop, progress: (
                preview_undo(settings, profile, clock, run, progress=progress)
                if preview
                else undo_profile(settings, profile, store, clock, run, stop=stop, progress=progress)
            ),
            quiet=as_json,
        )
    print_undo(summary, undoing, as_json=as_json, everything=everything)
    raise SystemExit(summary.exit_code)


def print_undo(summary: RunSummary, undoing: Undoing, *, as_json: bool, everything: bool = False) -> None:
    """What was, or would be, taken back."""
    import json

    from sds_daemon.cli.report import KIND_WORDS, print_changes, print_withheld

    if as_json:
        click.echo(json.dumps(as_plain(summary, undoing)))
        return
    previewing = summary.status == "preview"
    if previewing:
        click.echo(f"preview of taking run {undoing.run} of profile {summary.profile} back: nothing was written")
    else:
        click.echo(f"run {summary.run} took run {undoing.run} of profile {summary.profile} back: {summary.status}")
        if undoing.paused:
            click.echo(f"profile {summary.profile} is paused until: sds-daemon profiles resume {summary.profile}")
    if not (undoing.plan.changes or undoing.plan.held or undoing.plan.skipped):
        click.echo("there is nothing to take back")
    if previewing:
        print_changes("would be applied", undoing.plan.changes, everything=everything)
    for kind, count in summary.applied.items():
        click.echo(f"  {count:>7}  {KIND_WORDS.get(kind, kind)}: done")
    print_withheld("kept back", undoing.plan.skipped)
    print_withheld("waiting for approval", undoing.plan.held)
    if undoing.plan.held and not previewing:
        click.echo(f"look at them: sds-daemon runs show {summary.run}; then sds-daemon approve {summary.run}")
    for notice in summary.notices:
        click.echo(f"note: {notice}")


def as_plain(summary: RunSummary, undoing: Undoing) -> dict[str, Any]:
    """Both as JSON's own types."""
    from sds_daemon.cli.report import change_row, withheld_row

    return {
        **summary.as_json(),
        "undoes": undoing.run,
        "left": undoing.listed,
        "changes": [change_row(change) for change in undoing.plan.changes],
        "skipped_changes": [withheld_row(item) for item in undoing.plan.skipped],
        "held_changes": [withheld_row(item) for item in undoing.plan.held],
    }
