"""`sds-daemon explain`: why is this child not in this class?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sds_daemon.cli.context import CommandContext, json_option, pass_context

if TYPE_CHECKING:
    from sds_daemon.config.settings import Profile
    from sds_daemon.sync.asking import Asked
    from sds_daemon.sync.trace import Trace

MARKS = {True: ("ok", "green"), False: ("no", "red"), None: ("-", None)}


@click.command("explain")
@click.argument("record", nargs=-1, required=True, metavar="RECORD")
@click.option("--section", help="Ask about RECORD in this section (SIS ID).")
@click.option("--profile", help="Only this profile.")
@click.option("--now", is_flag=True, help="Read both sides now and work it out anew. Writes nothing.")
@json_option
@pass_context
def command(
    context: CommandContext, record: tuple[str, ...], section: str | None, profile: str | None, now: bool, as_json: bool
) -> None:
    """Tell step by step why RECORD is, or is not, where it should be.

    RECORD is "student 123", "teacher 77", "section 1501" or "school 4"; a bare SIS ID (every kind it fits); an
    account's user principal name; or a directory object id. Without --now the answer is that of the stored record: what
    the last runs read, decided, sent and were told.
    """
    from sds_daemon.cli.output import print_json
    from sds_daemon.errors import UsageError
    from sds_daemon.sync.asking import Asked

    asked = Asked(text=" ".join(record), section=section)
    settings = context.settings()
    profiles = [settings.profile(profile)] if profile else list(settings.profiles.values())
    traces = _look_now(context, profiles, asked, quiet=as_json) if now else _look_back(context, profiles, asked)
    if not traces:
        hint = "check the id" if now else "check the id, or let --now read both sides"
        raise UsageError(f"nothing is known of {asked.text}", remedy=hint)
    if as_json:
        print_json({"traces": traces})
        return
    for number, trace in enumerate(traces):
        click.echo("" if number else None, nl=bool(number))
        print_trace(trace)


def _look_back(context: CommandContext, profiles: list[Profile], asked: Asked) -> list[Trace]:
    from sds_daemon.clock import system_clock
    from sds_daemon.sync.asking import explain_past

    with context.store() as store:
        return [trace for each in profiles for trace in explain_past(store, each, asked, system_clock())]


def _look_now(context: CommandContext, profiles: list[Profile], asked: Asked, *, quiet: bool) -> list[Trace]:
    import asyncio

    from sds_daemon.assembly import explain_now
    from sds_daemon.cli.context import load_settings
    from sds_daemon.cli.progress import progress_bar

    settings, clock = load_settings(context)

    async def look() -> list[Trace]:
        with progress_bar(quiet=quiet) as progress:
            found = [await explain_now(settings, each, clock, asked, progress=progress) for each in profiles]
        return [trace for traces in found for trace in traces]

    return asyncio.run(look())


def print_trace(trace: Trace) -> None:
    """A line for each step, the answer last."""
    from sds_daemon.cli.output import clean, local

    basis = "worked out now; nothing was written" if trace.live else f"as run {trace.run} left it ({local(trace.at)})"
    if not trace.live and trace.run is None:
        basis = "no run has read the source yet"
    click.secho(f"{trace.title}, profile {trace.profile}: {basis}", bold=True)
    for step in trace.steps:
        word, color = MARKS[step.ok]
        head = f"  {step.stage:<10}{click.style(f'{word:<3}', fg=color)}"
        for line in step.lines:
            click.echo(f"{head} {clean(line)}")
            head = " " * 15
    click.echo(f"=> {clean(trace.answer)}")
    if trace.remedy:
        click.echo(f"   {clean(trace.remedy)}")
