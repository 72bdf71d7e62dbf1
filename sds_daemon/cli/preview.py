"""`sds-daemon preview PROFILE`: the plan, without being able to write."""

from __future__ import annotations

import click

from sds_daemon.cli.context import focus_options


@click.command("preview")
@click.argument("profile")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as one JSON object.")
@click.option("--all", "everything", is_flag=True, help="List every change, not the first of each kind.")
@focus_options
@click.pass_obj
def command(
    context: object, profile: str, as_json: bool, everything: bool, person: str | None, section: str | None
) -> None:
    """Show what a cycle of PROFILE would change. Nothing is written: the transport lets no write through.

    Works for disabled profiles, and with --config on a proposed configuration beside the running one.
    """
    import asyncio

    from sds_daemon.assembly import preview_profile
    from sds_daemon.cli.context import focus_of, load_settings
    from sds_daemon.cli.progress import progress_bar
    from sds_daemon.cli.report import print_preview

    settings, clock = load_settings(context)
    wanted, only = settings.profile(profile), focus_of(person, section)

    async def run() -> None:
        with progress_bar(quiet=as_json) as progress:
            summary, decision = await preview_profile(settings, wanted, clock, only=only, progress=progress)
        print_preview(summary, decision, as_json=as_json, everything=everything)

    asyncio.run(run())
