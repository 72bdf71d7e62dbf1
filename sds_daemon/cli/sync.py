"""`sds-daemon sync PROFILE`: one cycle now."""

from __future__ import annotations

import click


@click.command("sync")
@click.argument("profile")
@click.option("--json", "as_json", is_flag=True, help="Print the run as one JSON object.")
@click.option("--accept-shrink", is_flag=True, help="Go on although the source holds much less than last time.")
@click.pass_obj
def command(context: object, profile: str, as_json: bool, accept_shrink: bool) -> None:
    """Run one cycle of PROFILE now: read, prove, match, plan, gate, apply, record.

    Shows progress on a terminal and is quiet otherwise. Exit code 0: done, 1: done with issues, 4: changes wait for
    approval.
    """
    import asyncio
    import json

    from sds_daemon.assembly import open_store, sync_profile
    from sds_daemon.cli.context import load_settings, stopping
    from sds_daemon.cli.progress import progress_bar
    from sds_daemon.cli.report import print_summary
    from sds_daemon.errors import SdsError

    settings, clock = load_settings(context)
    wanted = settings.profile(profile)
    store = open_store(settings, clock)

    async def run() -> int:
        with stopping() as stop, progress_bar(quiet=as_json) as progress:
            summary, decision = await sync_profile(
                settings,
                wanted,
                store,
                clock,
                accept_shrink=accept_shrink,
                priority="interactive",
                stop=stop,
                progress=progress,
            )
        print_summary(summary, decision, as_json=as_json)
        return summary.exit_code

    earlier = store.runs.last(profile)
    try:
        raise SystemExit(asyncio.run(run()))
    except SdsError as error:
        last = store.runs.last(profile)
        if as_json and last is not None and (earlier is None or last.id != earlier.id):
            click.echo(json.dumps({**last.summary, "error": str(error)}))
        raise
    finally:
        store.close()
