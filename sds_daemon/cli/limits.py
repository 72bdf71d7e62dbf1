"""`sds-daemon limits`: what one run may change before a person has to look, and widening that for a time."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from sds_daemon.cli.context import CommandContext, json_option, pass_context

if TYPE_CHECKING:
    from sds_daemon.store import Store

LONGEST = timedelta(days=92)
ALL_AT_ONCE = ("removal_percent", "section_removal_percent", "update_percent")
WORDS = {
    "shrink_percent": "the source may shrink by so many percent",
    "shrink_rows": "and by at least so many rows",
    "removal_percent": "removals, percent of what is managed",
    "removal_floor": "removals that always go",
    "section_removal_percent": "removals in one section, percent",
    "section_removal_floor": "removals in one section that always go",
    "update_percent": "attribute changes, percent of what is linked",
    "update_floor": "attribute changes that always go",
    "section_max_adds": "memberships added to one section",
    "max_adds": "memberships added in one run",
    "max_creates": "accounts, classes and schools made in one run",
    "max_issues": "records that may fail before the profile is quarantined",
}


def _percent(_context: click.Context, _option: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    number = value.strip().removesuffix("%").strip()
    if not number.isdecimal() or int(number) > 100:
        raise click.BadParameter("write a percentage from 0 to 100, like 40%")
    return int(number)


@click.group("limits")
def command() -> None:
    """Show the limits of a profile, or relax them until a day."""


@command.command("show")
@click.argument("profile")
@json_option
@pass_context
def show(context: CommandContext, profile: str, as_json: bool) -> None:
    """Show the limits of PROFILE: as configured, and as in force now."""
    from sds_daemon.cli.output import local, print_json, print_table
    from sds_daemon.sync.relaxing import widened

    limits = context.settings().profile(profile).limits
    with context.store() as store:
        active = store.relaxations.active(profile)
    now = widened(limits, active.limits) if active else limits
    if as_json:
        until = active.until if active else None
        print_json({"profile": profile, "configured": limits.model_dump(), "now": now.model_dump(), "until": until})
        return
    configured, in_force = limits.model_dump(), now.model_dump()
    rows = [(name, _shown(configured[name]), _shown(in_force[name]), words) for name, words in WORDS.items()]
    print_table(("limit", "configured", "now", "meaning"), rows)
    if active:
        click.echo(f"relaxed until {local(active.until)}; sds-daemon limits restore {profile} ends that")


@command.command("relax")
@click.argument("profile")
@click.option(
    "--until", required=True, metavar="DATE", help="The last day, like 2026-09-05; the limits come back by themselves."
)
@click.option("--removals", callback=_percent, metavar="N%", help="Removals, of all that is managed.")
@click.option("--section-removals", callback=_percent, metavar="N%", help="Removals in one section.")
@click.option("--updates", callback=_percent, metavar="N%", help="Attribute changes.")
@click.option("--shrink", callback=_percent, metavar="N%", help="How much the source may shrink.")
@click.option("--adds", type=click.IntRange(0), metavar="N", help="Memberships added in one run.")
@click.option("--creates", type=click.IntRange(0), metavar="N", help="Accounts, classes and schools made in one run.")
@pass_context
def relax(context: CommandContext, /, profile: str, until: str, **wanted: Any) -> None:
    """Widen the limits of PROFILE until the end of a day, at most 92 days away: for August, say.

    Without options, removals and attribute changes are not limited for that time. How much the source may shrink is
    relaxed only when asked for. A relaxation replaces the one before; it never narrows what is configured.
    """
    from sds_daemon.cli.output import local
    from sds_daemon.clock import system_clock
    from sds_daemon.sync.relaxing import words

    context.settings().profile(profile)
    end = _end_of(until, system_clock().now())
    limits = _limits(wanted)
    with _writing(context) as store:
        active = store.relaxations.put(profile, end, limits)
    click.echo(f"limits of {profile} are relaxed until {local(active.until)}: {words(active.limits)}")


@command.command("restore")
@click.argument("profile")
@pass_context
def restore(context: CommandContext, profile: str) -> None:
    """End the relaxation of PROFILE now."""
    context.settings().profile(profile)
    with _writing(context) as store:
        ended = store.relaxations.end(profile)
    click.echo(f"the configured limits of {profile} hold again" if ended else f"{profile} had no relaxed limits")


def _writing(context: CommandContext) -> Store:
    from sds_daemon.assembly import open_store
    from sds_daemon.clock import system_clock

    return open_store(context.settings(), system_clock())


def _limits(wanted: dict[str, Any]) -> dict[str, int | None]:
    names = {
        "removals": "removal_percent",
        "section_removals": "section_removal_percent",
        "updates": "update_percent",
        "shrink": "shrink_percent",
        "adds": "max_adds",
        "creates": "max_creates",
    }
    chosen: dict[str, int | None] = {names[key]: value for key, value in wanted.items() if value is not None}
    return chosen or dict.fromkeys(ALL_AT_ONCE, 100)


def _end_of(text: str, now: datetime) -> datetime:
    """The end of a day in this machine's time zone. Raises UsageError for a day that is over or too far away."""
    from sds_daemon.errors import UsageError

    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"--until {text!r} is not a day", remedy="write it like 2026-09-05") from None
    end = datetime.combine(day + timedelta(days=1), datetime.min.time()).astimezone()
    if end <= now:
        raise UsageError(f"--until {day} is over", remedy="name a day to come")
    if end - now > LONGEST:
        raise UsageError(
            f"--until {day} is more than {LONGEST.days} days away",
            remedy="relax for a shorter time, or change the limits in config.toml",
        )
    return end


def _shown(value: int | None) -> str:
    return "no limit" if value is None else str(value)
