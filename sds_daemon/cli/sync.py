"""`sds-daemon sync PROFILE`: one cycle now."""

from __future__ import annotations

import click

from sds_daemon.cli.context import focus_options


@click.command("sync")
@click.argument("profile")
@click.option("--json", "as_json", is_flag=True, help="Print the run as one JSON object.")
@click.option("--accept-shrink", is_flag=True, help="Go on although the source holds much less than last time.")
@focus_options
@click.pass_obj
def command(
    context: object, profile: str, as_json: bool, accept_shrink: bool, person: str | None, section: str | None
) -> None:
    """Run one cycle of PROFILE now: read, prove, match, plan, gate, apply, record.

    With --person or --section everything is read and judged all the same, and only what concerns that one goes out,
    with what it rests on: the account for a membership, the class and its owners for a member. The rest waits for the
    next whole sync.

    Shows progress on a terminal and is quiet otherwise. Exit code 0: done, 1: done with issues, 4: changes wait for
    approval.
    """
    import asyncio
    import json

    from sds_daemon.assembly import open_store, sync_profile
    from sds_daemon.cli.context import focus_of, load_settings, stopping
    from sds_daemon.cli.progress import progress_bar
    from sds_daemon.cli.report import print_summary
    from sds_daemon.errors import SdsError

    settings, clock = load_settings(context)
    wanted, only = settings.profile(profile), focus_of(person, section)
    store = open_store(settings, clock)

    async def run() -> int:
        with stopping() as stop, progress_bar(quiet=as_json) as progress:
            summary, decision = await sync_profile(
                settings,
                wanted,
                store,
                clock,
                accept_shrink=accept_shrink,
                only=only,
                priority="interactive",
                stop=stop,
                progress=progress,
            )
        print_summary(summary, decision, as_json=as_json)
        return summary.exit_code

    earlier = store.runs.list(profile, 1)
    try:
        raise SystemExit(asyncio.run(run()))
    except SdsError as error:
        last = store.runs.list(profile, 1)
        if as_json and last != earlier:
            click.echo(json.dumps({**last[0].summary, "error": str(error)}))
        raise
    finally:
        store.close()
