"""`sds-daemon reset PROFILE`: forget what is known of a record, and read it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sds_daemon.cli.context import CommandContext, focus_of, focus_options, pass_context

if TYPE_CHECKING:
    from sds_daemon.sync.reset import Forgetting

OBJECTS = {"student": "students' accounts", "teacher": "teachers' accounts", "section": "classes", "school": "schools"}


@click.command("reset")
@click.argument("profile")
@focus_options
@click.option("--profile", "whole", is_flag=True, help="Everything of PROFILE.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_context
def command(
    context: CommandContext, profile: str, person: str | None, section: str | None, whole: bool, yes: bool
) -> None:
    """Forget what PROFILE knows of a person, a section, or everything; the next sync reads it anew.

    Forgotten are the attributes last written, open issues, and what runs saw; memberships are compared with the
    directory. Links, and the measure of the last accepted snapshot, stay. Nothing is sent to the directory.
    """
    import sys

    from sds_daemon.clock import system_clock
    from sds_daemon.errors import UsageError
    from sds_daemon.sync.evidence import Past
    from sds_daemon.sync.reset import carry_out_reset, plan_reset

    focus = focus_of(person, section)
    if (focus is None) is not whole:
        raise UsageError("reset needs one of --person, --section and --profile", remedy="say what is to be forgotten")
    wanted = context.settings().profile(profile)
    with context.store() as store:
        forgetting = plan_reset(store, wanted, Past(store, wanted, system_clock().now()), focus)
        _say(forgetting)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("nobody can be asked here", remedy="add --yes")
            click.confirm("Forget it?", abort=True)
        with store.lease(profile):
            carry_out_reset(store, forgetting)
    click.echo(f"forgotten; sds-daemon sync {profile} reads it anew")


def _say(forgetting: Forgetting) -> None:
    what = f"{forgetting.ref} in profile {forgetting.profile}" if forgetting.ref else f"profile {forgetting.profile}"
    click.echo(f"reset of {what}. Forgotten in the daemon's own record:")
    for kind, number in forgetting.links.items():
        click.echo(f"  {number:>7}  {OBJECTS[kind.value]}: what was last written to them")
    click.echo(f"  {forgetting.issues:>7}  open issues")
    click.echo(f"  {forgetting.memberships:>7}  memberships: compared with the directory, then kept as found there")
    if forgetting.ref is None:
        click.echo("  the delta links of the tenant: the next sync reads its whole directory")
    click.echo("The directory is not touched now. At the next sync attributes that differ from the source are written,")
    click.echo("and people whom the source asks for are put back, also where somebody removed them by hand.")
