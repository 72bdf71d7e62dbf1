"""`sds-daemon sync PROFILE`: one cycle now."""

from __future__ import annotations

import click

from sds_daemon.cli.context import focus_options


@click.command("sync")
@click.argument("profile")
@click.option("--json", "as_json", is_flag=True, help="Print the run as one JSON object.")
@click.option("--full", is_flag=True, help="Work everything out, even where nothing has changed since the last run.")
@click.option("--accept-shrink", is_flag=True, help="Go on although the source holds much less than last time.")
@focus_options
@click.pass_obj
def command(
    context: object,
    profile: str,
    as_json: bool,
    full: bool,
    accept_shrink: bool,
    person: str | None,
    section: str | None,
) -> None:
    """Run one cycle of PROFILE now: read, prove, match, plan, gate, apply, record.

    With --person or --section everything is read and judged all the same, and only what concerns that one goes out,
    with what it rests on: the account for a membership, the class and its owners for a member. The rest waits for the
    next whole sync.

    Shows progress on a terminal and is quiet otherwise. Exit code 0: done, 1: done with issues, 4: changes wait for
    approval.
    """
    import json

    from sds_daemon.assembly import sync_profile
    from sds_daemon.cli.context import focus_of
    from sds_daemon.cli.frame import carried_out, opened
    from sds_daemon.cli.report import print_summary
    from sds_daemon.errors import SdsError

    only = focus_of(person, section)
    with opened(context, profile) as (settings, store, clock):
        wanted, earlier = settings.profile(profile), store.runs.list(profile, 1)
        try:
            summary, decision = carried_out(
                lambda stop, progress: sync_profile(
                    settings,
                    wanted,
                    store,
                    clock,
                    accept_shrink=accept_shrink,
                    full=full,
                    only=only,
                    priority="interactive",
                    stop=stop,
                    progress=progress,
                ),
                quiet=as_json,
            )
        except SdsError as error:
            last = store.runs.list(profile, 1)
            if as_json and last != earlier:
                click.echo(json.dumps({**last[0].summary, "error": str(error)}))
            raise
    print_summary(summary, decision, as_json=as_json)
    raise SystemExit(summary.exit_code)
