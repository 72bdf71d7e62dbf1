"""Limits a person has widened for a time."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sds_daemon.config.settings import LimitSettings
from sds_daemon.sync.job import Job


def relaxed(job: Job) -> tuple[Job, list[str]]:
    """The job with the limits in force now, and what there is to announce of them."""
    active = job.store.relaxations.active(job.profile.name)
    if active is None:
        return job, []
    profile = job.profile.model_copy(update={"limits": widened(job.profile.limits, active.limits)})
    until = active.until.astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return msgspec.structs.replace(job, profile=profile), [f"limits are relaxed until {until}: {words(active.limits)}"]


def widened(limits: LimitSettings, wider: Mapping[str, int | None]) -> LimitSettings:
    """The limits, each replaced where `wider` allows more (None: everything). A relaxation never tightens."""
    found = {name: value for name, value in wider.items() if _allows_more(value, getattr(limits, name))}
    return limits.model_copy(update=found)


def words(limits: Mapping[str, int | None]) -> str:
    """Widened limits in words."""
    return ", ".join(f"{name} {'none' if value is None else value}" for name, value in sorted(limits.items()))


def _allows_more(value: int | None, configured: int | None) -> bool:
    return configured is not None and (value is None or value > configured)
