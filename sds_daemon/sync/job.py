"""What a cycle is given, and what it decides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from sds_daemon.clock import Clock
from sds_daemon.config.settings import Profile
from sds_daemon.errors import AtRest
from sds_daemon.plan.change import Plan, Withheld
from sds_daemon.roster.records import Ref
from sds_daemon.sources.base import Progress, Scope, Source, no_progress
from sds_daemon.store import Baseline, Store
from sds_daemon.sync.focus import Focus
from sds_daemon.sync.gate import Release
from sds_daemon.sync.world import World
from sds_daemon.targets.base import LicenseGroup, Target


class Job(msgspec.Struct, kw_only=True):
    """Everything a cycle needs. `preview` stops before the first write; the store is then a throw-away copy.

    `only`: carry out what concerns one record; the whole is read and judged all the same. `others`: the `schools` of
    the profiles that fill the same tenant from the same server. `full`: work everything out, even where nothing has
    changed since the last run.
    """

    profile: Profile
    source: Source
    target: Target
    store: Store
    clock: Clock
    state_dir: Path
    lag_horizon: float = 900.0
    preview: bool = False
    accept_shrink: bool = False
    full: bool = False
    only: Focus | None = None
    others: dict[str, str | tuple[str, ...]] = {}
    stop: Callable[[], bool] = lambda: False
    progress: Progress = no_progress


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision rests on beside the snapshot; two equal ones mean that nothing of it has changed.

    `rules`: digest of the profile, the limits in force, the program and the tenant's facts. `record`, `directory`: how
    often links and memberships, and the cached directory, were changed. `held`: number, state and checksum of the
    current held set.
    """

    rules: str
    record: int
    directory: int
    held: tuple[int, str, str] | None


class Footing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a decision started from. `requests`: how many of each sort the target had been sent by then. `notices`:
    what the comparison with the accepted snapshot had to say."""

    at: datetime
    ground: Ground
    requests: tuple[int, ...]
    notices: list[str]


class Decision(msgspec.Struct, kw_only=True):
    """What a cycle decided before it wrote: the hard line between deciding and doing.

    `only`: the one record this run is about, and `elsewhere` the changes it leaves alone, counted by kind;
    `held_beside` is the whole held set then, since it is approved as a whole. `license_groups`: those the plan puts
    people into, by id.
    """

    world: World
    plan: Plan
    release: Release | None
    held_number: int | None
    baseline: Baseline
    footing: Footing
    only: Ref | None = None
    elsewhere: dict[str, int] = {}
    held_beside: list[Withheld] = []
    license_groups: dict[str, LicenseGroup] = {}


def scope_of(job: Job, not_before: datetime | None = None) -> Scope:
    """What the profile wants read. `not_before`: an instant its runs have seen already."""
    profile = job.profile
    accepted = job.store.baselines.get(profile.name)
    return Scope(
        schools=profile.schools,
        school_year=profile.school_year,
        lead_days=profile.lead_days,
        include_preregistered=profile.include_preregistered,
        not_before=not_before,
        others=job.others,
        known=accepted.named if accepted is not None else {},
    )


def refuse_paused(store: Store, profile: str) -> None:
    """Raises AtRest for a profile that a command has paused.

    To be asked again under the lease: whoever pauses a profile holds it.
    """
    state = store.profiles.state(profile)
    if state.paused:
        raise AtRest(
            f"profile {profile} is paused: {state.pause_reason}",
            remedy=f"sds-daemon profiles resume {profile}, then try again",
        )
