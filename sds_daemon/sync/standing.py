"""How a profile stands, in School Data Sync's words, and telling a command about it when that changes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import Any

import msgspec
from loguru import logger

from sds_daemon.config.settings import Profile
from sds_daemon.store import ProfileState, RunRecord, Store
from sds_daemon.store.held import WAITING
from sds_daemon.store.profiles import QUARANTINED as IN_QUARANTINE

PAUSED = "paused"
IN_PROGRESS = "inProgress"
SUCCESS = "success"
ERROR = "error"
VALIDATION_ERROR = "validationError"
QUARANTINED = "quarantined"

NEVER_RUN = "it has never run; sds-daemon run or sds-daemon sync begins it"

PATIENCE = 30.0
"""Seconds a notification command may take."""

_OF_RUN = {
    "success": SUCCESS,
    "success_with_issues": SUCCESS,
    "nothing_to_do": SUCCESS,
    "held": VALIDATION_ERROR,
}
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME")


class Standing(msgspec.Struct, kw_only=True):
    """How a profile stands. `reason`: one sentence, or empty. `held_run`: the run whose changes wait, if any do."""

    status: str
    reason: str
    state: ProfileState
    last: RunRecord | None
    held_run: int | None


def standing(store: Store, profile: Profile, *, working: bool = False) -> Standing:
    """Read how a profile stands; `working`: a run of it is under way. What a person has decided on waits no more."""
    state, last = store.profiles.state(profile.name), telling_run(store, profile.name)
    held = store.held.current(profile.name)
    status = status_of(profile, state, last, working=working)
    decided = held is not None and held.state != WAITING
    if status == VALIDATION_ERROR and decided and last is not None and not last.error:
        status = SUCCESS
    return Standing(
        status=status,
        reason=_reason(status, state, last, enabled=profile.enabled),
        state=state,
        last=last,
        held_run=held.run_id if held is not None and not decided else None,
    )


def status_of(profile: Profile, state: ProfileState, last: RunRecord | None, *, working: bool) -> str:
    """SDS's status value (Graph docs: educationSynchronizationProfileStatus)."""
    if working:
        return IN_PROGRESS
    if not profile.enabled or state.paused:
        return PAUSED
    if state.state == IN_QUARANTINE:
        return QUARANTINED
    if last is None:
        return PAUSED
    return _OF_RUN.get(last.status, ERROR)


async def announce(store: Store, profile: Profile, command: Sequence[str], *, patience: float = PATIENCE) -> None:
    """Log a change of the profile's standing, and hand it to the notification command; nothing when it is as before.

    A change is kept before it is said: a command that fails is not run again for the same change. Raises StateError.
    """
    now, before = standing(store, profile), store.announcements.last(profile.name)
    if before is not None and (before.status, before.held) == (now.status, now.held_run):
        return
    store.announcements.put(profile.name, now.status, now.held_run)
    if before is None and now.status in (SUCCESS, PAUSED):
        return
    bound = logger.bind(profile=profile.name, action="standing", status=now.status)
    was = before.status if before is not None else "new"
    level = "INFO" if now.status in (SUCCESS, PAUSED) else "WARNING"
    bound.log(level, "profile {} was {} and is {}", profile.name, was, now.status)
    if command:
        problem = await _hand_over(command, message(profile, was, now), patience)
        if problem:
            bound.error("the notification command {} {}", command[0], problem)


def message(profile: Profile, before: str, now: Standing) -> dict[str, Any]:
    """What a notification command reads: instants as ISO 8601 in UTC, no names of people, no secrets."""
    state, last = now.state, now.last
    return {
        "profile": profile.name,
        "status": now.status,
        "before": before,
        "reason": now.reason,
        "failures": state.failures,
        "next_attempt": state.next_attempt,
        "run": last.id if last else None,
        "run_status": last.status if last else None,
        "held_run": now.held_run,
        "held": last.summary.get("held", {}) if last else {},
        "issues": sum(last.summary.get("issues", {}).values()) if last else 0,
    }


async def _hand_over(command: Sequence[str], content: dict[str, Any], patience: float) -> str | None:
    """Run the command with the content as JSON on its standard input; what went wrong, in words, or None.

    It gets no environment but a few harmless variables: secrets may be kept in ours.
    """
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=nothing, stderr=nothing, env=environment, start_new_session=True
        )
    except OSError as error:
        return f"could not be started: {error.strerror or error}"
    try:
        async with asyncio.timeout(patience):
            await process.communicate(msgspec.json.encode(content) + b"\n")
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        return f"took longer than {patience:.0f} s and was ended"
    return f"ended with exit code {process.returncode}" if process.returncode else None


def telling_run(store: Store, profile: str) -> RunRecord | None:
    """The last run, passing over those a person stopped: they tell nothing of the profile."""
    for run in store.runs.list(profile, 20):
        if run.kind == "sync" and (run.status != "interrupted" or run.error):
            return run
    return None


def _reason(status: str, state: ProfileState, last: RunRecord | None, *, enabled: bool) -> str:
    if status in (ERROR, VALIDATION_ERROR) and last:
        return last.error or (f"sds-daemon runs show {last.id} tells what is held" if status != ERROR else "")
    if status == PAUSED and state.paused:
        return f"{state.pause_reason}; it goes on after sds-daemon profiles resume"
    if status == PAUSED:
        return NEVER_RUN if enabled else ""
    return state.reason if status == QUARANTINED else ""
