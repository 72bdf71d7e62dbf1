"""`sds-daemon status`: how each profile stands, in School Data Sync's words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from sds_daemon.cli.context import CommandContext, json_option, pass_context

if TYPE_CHECKING:
    from sds_daemon.config.settings import Profile, TenantSettings
    from sds_daemon.store import ProfileState, RunRecord, Store


@click.command("status")
@click.argument("profile", required=False)
@json_option
@pass_context
def command(context: CommandContext, profile: str | None, as_json: bool) -> None:
    """Show how PROFILE, or each profile, stands: its status, the last run, and the next.

    paused: disabled, or stopped by undo. never run: enabled, and not begun yet (--json: paused, the word School Data
    Sync has for it). inProgress: a run is under way. success: the last run went through, with or without issues.
    validationError: something is held until a person has looked. error: the last run failed. quarantined: it failed too
    often, or met too many issues, and is tried seldom. Named below the table: a credential of the tenant that has
    expired or will within 30 days.
    """
    from sds_daemon.cli.output import NO_PROFILE, local, print_json, print_table
    from sds_daemon.clock import system_clock

    settings, now = context.settings(), system_clock().now()
    wanted = [settings.profile(profile)] if profile else list(settings.profiles.values())
    with context.store() as store:
        found = [
            {**describe(store, each), "credentials": credentials(store, each, settings.tenants[each.tenant], now)}
            for each in wanted
        ]
    if as_json:
        print_json({"profiles": found})
        return
    print_table(
        ("profile", "status", "last run", "ended", "last success", "next", "issues", "held"),
        map(_line, found),
        empty=NO_PROFILE,
    )
    for each in found:
        if each["reason"]:
            click.echo(f"{each['profile']}: {each['reason']}")
        if each["limits_relaxed_until"]:
            click.echo(f"{each['profile']}: limits are relaxed until {local(each['limits_relaxed_until'])}")
        for warning in each["credentials"]:
            click.echo(f"{each['profile']}: {warning['message']} — {warning['remedy']}")


def describe(store: Store, profile: Profile) -> dict[str, Any]:
    """A profile's standing as plain values; instants are aware datetimes or None. `next` None: not before enabled."""
    from sds_daemon.sync.standing import standing

    holder = store.lease_holder(profile.name)
    now = standing(store, profile, working=holder is not None)
    state, last = now.state, now.last
    success = store.runs.last_success(profile.name)
    relaxed = store.relaxations.active(profile.name)
    return {
        "profile": profile.name,
        "enabled": profile.enabled,
        "status": now.status,
        "working": holder,
        "last_run": _run(last),
        "last_success": _run(success),
        "next": _next(profile, state, last) if profile.enabled and holder is None and not state.paused else None,
        "paused_since": state.paused_since,
        "failures": state.failures,
        "reason": now.reason,
        "issues": sum(1 for each in store.issues.open(profile.name) if each.issue.severity.value == "error"),
        "held": now.held_run,
        "limits_relaxed_until": relaxed.until if relaxed else None,
    }


def credentials(store: Store, profile: Profile, tenant: TenantSettings, now: datetime) -> list[dict[str, str]]:
    """What is wrong, or soon will be, with the credential of the profile's tenant: `level`, `message`, `remedy`."""
    from sds_daemon.sync.standing import telling_run
    from sds_daemon.targets.entra.expiry import ended, expiry

    last = telling_run(store, profile.name)
    known = (expiry(tenant, now), ended(last.error, tenant.name) if last else None)
    return [
        {"level": each.level, "message": each.message, "remedy": each.remedy}
        for each in known
        if each is not None and each.level in ("warning", "error")
    ]


def _next(profile: Profile, state: ProfileState, last: RunRecord | None) -> datetime | None:
    """When the daemon, if it runs, begins the next cycle: after a failure sooner or later than the profile's pause.

    None: at once.
    """
    if state.next_attempt is not None:
        return state.next_attempt
    if last is None or last.finished is None:
        return None
    return last.finished + timedelta(seconds=profile.rest_after(last.summary.get("source_calls") or 0))


def _run(run: RunRecord | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {"run": run.id, "status": run.status, "started": run.started, "finished": run.finished, "error": run.error}


def _line(each: dict[str, Any]) -> tuple[object, ...]:
    from sds_daemon.cli.output import local
    from sds_daemon.sync.standing import NEVER_RUN

    last, success = each["last_run"], each["last_success"]
    coming = local(each["next"]) if each["next"] else "at once"
    return (
        each["profile"],
        "never run" if each["reason"] == NEVER_RUN else each["status"],
        f"{last['run']} {last['status']}" if last else "-",
        local(last["finished"]) if last else "-",
        local(success["finished"]) if success else "-",
        "now" if each["working"] else coming if each["enabled"] and not each["paused_since"] else "-",
        each["issues"],
        f"run {each['held']}" if each["held"] else "-",
    )
