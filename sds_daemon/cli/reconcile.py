"""`sds-daemon reconcile PROFILE`: compare the directory with what was written, now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sds_daemon.sync.reconcile import Reconciliation


@click.command("reconcile")
@click.argument("profile")
@click.option("--full", is_flag=True, help="Compare everything, not the seventh whose turn it is today.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(context: object, profile: str, full: bool, as_json: bool) -> None:
    """Compare what was written for PROFILE with what the directory holds. Writes nothing to the directory.

    The daemon does this every night: what changed since the last cycle, then a seventh of the classes, schools and
    people, attribute by attribute and member by member. Differences are listed by `sds-daemon drift list`.
    """
    import json

    import msgspec

    from sds_daemon.assembly import reconcile_profile
    from sds_daemon.cli.frame import carried_out, opened

    with opened(context, profile) as (settings, store, clock):
        wanted = settings.profile(profile)
        found = carried_out(
            lambda stop, progress: reconcile_profile(
                settings, wanted, store, clock, full=full, priority="interactive", stop=stop, progress=progress
            ),
            quiet=as_json,
        )
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found)))
    else:
        _print(found)


def _print(found: Reconciliation) -> None:
    compared = ", ".join(f"{found.compared[kind]} of {count} {kind}s" for kind, count in found.linked.items() if count)
    click.echo(f"compared {compared} of profile {found.profile} in {found.seconds:.1f} s, {found.requests.reads} reads")
    for code, count in found.new.items():
        click.echo(f"  {count:>7}  new: {code}")
    for code, count in found.resolved.items():
        click.echo(f"  {count:>7}  gone: {code}")
    total = sum(found.open.values())
    click.echo(f"{total} differences in all: sds-daemon drift list {found.profile}" if total else "no drift")
