"""`sds-daemon status`: how each profile stands, in School Data Sync's words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from sds_daemon.cli.context import CommandContext, json_option, pass_context

if TYPE_CHECKING:
    from sds_daemon.config.settings import Profile
    from sds_daemon.store import ProfileState, RunRecord, Store

PAUSED = "paused"
IN_PROGRESS = "inProgress"
SUCCESS = "success"
ERROR = "error"
VALIDATION_ERROR = "validationError"
QUARANTINED = "quarantined"

_OF_RUN = {
    "success": SUCCESS,
    "success_with_issues": SUCCESS,
    "nothing_to_do": SUCCESS,
    "held": VALIDATION_ERROR,
}


@click.command("status")
@click.argument("profile", required=False)
@json_option
@pass_context
def command(context: CommandContext, profile: str | None, as_json: bool) -> None:
    """Show how PROFILE, or each profile, stands: its status, the last run, and the next.

    paused: disabled, stopped by undo, or never run. inProgress: a run is under way. success: the last run went through,
    with or without issues. validationError: something is held until a person has looked. error: the last run failed.
    quarantined: it failed too often and is tried seldom.
    """
    from sds_daemon.cli.output import print_json, print_table

    settings = context.settings()
    wanted = [settings.profile(profile)] if profile else list(settings.profiles.values())
    with context.store() as store:
        found = [describe(store, each) for each in wanted]
    if as_json:
        print_json({"profiles": found})
        return
    print_table(
        ("profile", "status", "last run", "ended", "last success", "next", "issues", "held"),
        map(_line, found),
        empty="no profile yet; write one with sds-daemon init",
    )
    for each in found:
        if each["reason"]:
            click.echo(f"{each['profile']}: {each['reason']}")


def describe(store: Store, profile: Profile) -> dict[str, Any]:
    """A profile's standing as plain values; instants are aware datetimes or None. `next` None: not before enabled."""
    state = store.profiles.state(profile.name)
    holder = store.lease_holder(profile.name)
    last = _telling_run(store, profile.name)
    success = store.runs.last_success(profile.name)
    held = store.held.current(profile.name)
    status = status_of(profile, state, last, working=holder is not None)
    return {
        "profile": profile.name,
        "enabled": profile.enabled,
        "status": status,
        "working": holder,
        "last_run": _run(last),
        "last_success": _run(success),
        "next": _next(profile, state, last) if profile.enabled and holder is None and not state.paused else None,
        "paused_since": state.paused_since,
        "failures": state.failures,
        "reason": _reason(status, state, last),
        "issues": sum(1 for each in store.issues.open(profile.name) if each.issue.severity.value == "error"),
        "held": held.run_id if held and held.state == "waiting" else None,
    }


def status_of(profile: Profile, state: ProfileState, last: RunRecord | None, *, working: bool) -> str:
    """SDS's status value (Graph docs: educationSynchronizationProfileStatus)."""
    if working:
        return IN_PROGRESS
    if not profile.enabled or state.paused:
        return PAUSED
    if state.state == QUARANTINED:
        return QUARANTINED
    if last is None:
        return PAUSED
    return _OF_RUN.get(last.status, ERROR)


def _telling_run(store: Store, profile: str) -> RunRecord | None:
    """The last run, passing over those a person stopped: they tell nothing of the profile."""
    for run in store.runs.list(profile, 20):
        if run.kind == "sync" and (run.status != "interrupted" or run.error):
            return run
    return None


def _next(profile: Profile, state: ProfileState, last: RunRecord | None) -> datetime | None:
    """When the daemon, if it runs, begins the next cycle; None: at once."""
    due = last.finished + timedelta(seconds=profile.pause) if last and last.finished else None
    times = [each for each in (due, state.next_attempt) if each]
    return max(times) if times else None


def _reason(status: str, state: ProfileState, last: RunRecord | None) -> str:
    if status in (ERROR, VALIDATION_ERROR) and last:
        return last.error or (f"sds-daemon runs show {last.id} tells what is held" if status != ERROR else "")
    if status == PAUSED and state.paused:
        return f"{state.pause_reason}; it goes on after sds-daemon profiles resume"
    return state.reason if status == QUARANTINED else ""


def _run(run: RunRecord | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {"run": run.id, "status": run.status, "started": run.started, "finished": run.finished, "error": run.error}


def _line(each: dict[str, Any]) -> tuple[object, ...]:
    from sds_daemon.cli.output import local

    last, success = each["last_run"], each["last_success"]
    coming = local(each["next"]) if each["next"] else "at once"
    return (
        each["profile"],
        each["status"],
        f"{last['run']} {last['status']}" if last else "-",
        local(last["finished"]) if last else "-",
        local(success["finished"]) if success else "-",
        "now" if each["working"] else coming if each["enabled"] and not each["paused_since"] else "-",
        each["issues"],
        f"run {each['held']}" if each["held"] else "-",
    )
