"""A person's decision about what a run held back, or about a source that shrank."""

from __future__ import annotations

from sds_daemon.errors import UsageError
from sds_daemon.store import HeldSet, Store
from sds_daemon.store.held import CURRENT
from sds_daemon.sync.gate import differences

_LOOK = "sds-daemon runs lists runs and what they hold"


def approve_run(store: Store, run_id: int) -> str:
    """Let through what a run held, or accept what it read when the source limit stopped it; the profile's name.

    Raises UsageError where there is nothing to approve, and where something else is held by now, saying what differs.
    """
    stop = store.source_stops.by_run(run_id)
    if stop is not None:
        return store.source_stops.approve(run_id).profile
    held = held_by(store, run_id)
    store.held.approve(held.number)
    return held.profile


def held_by(store: Store, run_id: int) -> HeldSet:
    """The set a run holds, still current. Raises UsageError: with what differs, when another took its place."""
    held = store.held.by_run(run_id)
    if held is None:
        store.runs.get(run_id)
        stopped = store.source_stops.by_run(run_id) is not None
        what = "was stopped by the source limit and holds no changes" if stopped else "holds nothing"
        raise UsageError(f"run {run_id} {what}", remedy=_LOOK)
    if held.state in CURRENT:
        return held
    current = store.held.current(held.profile)
    if current is None:
        raise UsageError(f"what run {run_id} held is no longer current: nothing is held now", remedy=_LOOK)
    raise UsageError(
        f"what run {run_id} held is no longer current: {'; '.join(differences(held, current))}",
        remedy=f"look at sds-daemon runs show {current.run_id} and decide on that one",
    )
