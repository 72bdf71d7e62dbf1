"""`sds-daemon check [PROFILE]`: try everything before the first sync."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sds_daemon.sources.base import Finding

MARKS = {"ok": ("ok", "green"), "note": ("note", None), "warning": ("warning", "yellow"), "error": ("error", "red")}
WRONG = 2
FAILED = 3


@click.command("check")
@click.argument("profile", required=False)
@click.option("--quick", is_flag=True, help="Leave out trying the identity rule on real records.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
@click.pass_obj
def command(context: object, profile: str | None, quick: bool, as_json: bool) -> None:
    """Try both connections, permissions, domains, licences and the identity rules of PROFILE, or of all profiles.

    Writes nothing. Exit code 2 when the configuration alone would keep a sync from working, 3 when a server would, 0
    otherwise.
    """
    import asyncio
    import json

    import msgspec

    from sds_daemon.assembly import check_profile
    from sds_daemon.cli.context import load_settings
    from sds_daemon.cli.output import NO_PROFILE
    from sds_daemon.cli.progress import progress_bar

    settings, clock = load_settings(context)
    profiles = [settings.profile(profile)] if profile else list(settings.profiles.values())

    async def run() -> dict[str, list[Finding]]:
        with progress_bar(quiet=as_json) as progress:
            return {
                each.name: await check_profile(settings, each, clock, identity=not quick, progress=progress)
                for each in profiles
            }

    found = asyncio.run(run())
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins({"profiles": found})))
    else:
        for name, findings in found.items():
            _print_profile(name, findings)
        if not found:
            click.echo(NO_PROFILE)
    errors = [finding for findings in found.values() for finding in findings if finding.level == "error"]
    raise SystemExit((WRONG if all(error.configuration for error in errors) else FAILED) if errors else 0)


def _print_profile(name: str, findings: list[Finding]) -> None:
    click.echo(f"profile {name}")
    print_findings(findings)


def print_findings(findings: list[Finding]) -> None:
    """A line each, and its remedy below it."""
    for finding in findings:
        word, color = MARKS[finding.level]
        click.echo(f"  {click.style(f'{word:<7}', fg=color)} {finding.topic}: {finding.message}")
        if finding.remedy:
            click.echo(f"          {finding.remedy}")
