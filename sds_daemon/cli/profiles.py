"""`sds-daemon profiles`: list, enable, disable and resume."""

from __future__ import annotations

import click

from sds_daemon.cli.context import CommandContext, json_option, pass_context


@click.group("profiles")
def command() -> None:
    """List, enable or disable profiles, or resume a paused one.

    Enabling and disabling edit the file; a running daemon takes it up on reload (SIGHUP). A pause is kept in the state.
    """


@command.command("list")
@json_option
@pass_context
def list_profiles(context: CommandContext, as_json: bool) -> None:
    """Every profile of the configuration."""
    from sds_daemon.cli.output import NO_PROFILE, print_json, print_table

    profiles = context.settings().profiles.values()
    if as_json:
        keys = ("name", "enabled", "source", "tenant", "schools", "school_year", "users", "policy")
        print_json({"profiles": [{key: getattr(profile, key) for key in keys} for profile in profiles]})
        return
    print_table(
        ("profile", "enabled", "source", "tenant", "schools", "users", "policy"),
        (
            (p.name, "yes" if p.enabled else "no", p.source, p.tenant, _schools(p.schools), p.users, p.policy)
            for p in profiles
        ),
        empty=NO_PROFILE,
    )


@command.command("enable")
@click.argument("profile")
@pass_context
def enable(context: CommandContext, profile: str) -> None:
    """Set enabled = true. The whole configuration must be free of faults."""
    context.settings().profile(profile)
    _set(context, profile, True)


@command.command("disable")
@click.argument("profile")
@pass_context
def disable(context: CommandContext, profile: str) -> None:
    """Set enabled = false. Works on a configuration with faults too."""
    _set(context, profile, False)


@command.command("resume")
@click.argument("profile")
@pass_context
def resume(context: CommandContext, profile: str) -> None:
    """Let PROFILE sync again: ends the pause that `undo` began, and quarantine.

    What was taken back is done again where it is due.
    """
    from sds_daemon.assembly import open_store
    from sds_daemon.clock import system_clock
    from sds_daemon.store.profiles import QUARANTINED

    settings = context.settings()
    name = settings.profile(profile).name
    store = open_store(settings, system_clock())
    try:
        before = store.profiles.state(name)
        store.profiles.resume(name)
        if before.state == QUARANTINED:
            store.profiles.release(name)
    finally:
        store.close()
    stood_still = before.paused or before.state == QUARANTINED
    click.echo(f"{name} is resumed" if stood_still else f"{name} was not paused")
    if not settings.profiles[name].enabled:
        click.echo(f"it is disabled: sds-daemon profiles enable {name}")


def _set(context: CommandContext, profile: str, enabled: bool) -> None:
    from sds_daemon.config.edit import set_enabled
    from sds_daemon.config.environment import enabled_variable

    path = context.config_path
    word = "enabled" if enabled else "disabled"
    changed = set_enabled(path, profile, enabled)
    click.echo(f"{profile} is {word} in {path}" if changed else f"{profile} was {word} already")
    variable = enabled_variable(profile)
    if variable:
        click.echo(f"Warning: ${variable} is set and overrides the file", err=True)
    if changed:
        click.echo("a running daemon takes it up with: systemctl reload sds-daemon")


def _schools(schools: str | tuple[str, ...]) -> str:
    return schools if isinstance(schools, str) else ", ".join(schools)
