"""Whether a profile is settled: then a source that says the same as before needs no working out.

The argument. What a cycle decides is a function of the snapshot and of what `Ground` names: the rules, the tenant's
facts, links and memberships, the cached directory, the set held back; of the accepted baseline; and of answers the
target is asked for while it is decided. Nothing else is looked at, and the clock only in two ways: by the snapshot's
day, which is part of its fingerprint, and by absences that are to count from some instant on. A run is a fixed point if
it planned no change, left ground and baseline as it found them, had to ask the target for nothing, and no absence was
still to come. From the same snapshot and the same ground the next run would then decide exactly what it decided, and
write nothing: not to the directory, nor to the record. So it need not be worked out again; it is recorded with the
same outcome. When in doubt, and once a day at least, everything is worked out.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import msgspec

from sds_daemon import __version__
from sds_daemon.errors import UsageError
from sds_daemon.roster.records import Snapshot
from sds_daemon.store import migrations
from sds_daemon.sync.job import Decision, Footing, Ground, Job
from sds_daemon.sync.summary import RunSummary
from sds_daemon.targets.base import TenantFacts


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was a fixed point. `at`: an instant before it decided; `fingerprint`: of the snapshot it read.

    `notices`: sentences about what it read, and of the comparison with the accepted snapshot: they would be said again.
    """

    run: int
    at: datetime
    source_uuid: str
    fingerprint: str
    ground: Ground
    notices: list[str] = []


def ground_of(job: Job, facts: TenantFacts, source_uuid: str) -> Ground:
    """What a decision made now would rest on beside the snapshot."""
    record, directory = job.store.tallies(source_uuid, facts.tenant_id)
    held = job.store.held.current(job.profile.name)
    return Ground(
        rules=_rules(job, facts),
        record=record,
        directory=directory,
        held=(held.number, held.state, held.checksum) if held is not None else None,
    )


def _rules(job: Job, facts: TenantFacts) -> str:
    """Digest of the program, the profile with the limits in force, and the tenant's facts without free seats.

    The same in every process: a set has another order in each, and the directory need not list its domains in one.
    """
    tenant: dict[str, Any] = msgspec.to_builtins(facts, order="deterministic")
    tenant["domains"] = sorted(facts.domains)
    tenant["skus"] = {key: [sku.part_number, sku.plans, sku.enabled] for key, sku in facts.skus.items()}
    profile = job.profile.model_dump(mode="json")
    rules = (__version__, migrations.HEAD, profile, job.others, job.lag_horizon, tenant)
    return hashlib.blake2b(msgspec.json.encode(rules, order="deterministic"), digest_size=16).hexdigest()


def footing_of(job: Job, facts: TenantFacts, source_uuid: str, notices: list[str]) -> Footing:
    """Where a decision starts from. Call it when the directory is up to date, before anything is decided."""
    return Footing(
        at=job.clock.now(),
        ground=ground_of(job, facts, source_uuid),
        requests=_requests(job),
        notices=list(notices),
    )


def _requests(job: Job) -> tuple[int, ...]:
    return msgspec.structs.astuple(job.target.counts())


def settled_by(job: Job, run_id: int, decision: Decision) -> str:
    """What is to be kept of a run that was a fixed point; the empty text for any other. Call it before the baseline is
    accepted."""
    world, footing, name = decision.world, decision.footing, job.profile.name
    still = (
        bool(world.snapshot.fingerprint)
        and not world.snapshot.proof.unproved()
        and not decision.plan.changes
        and decision.release is None
        and not job.accept_shrink
        and _requests(job) == footing.requests
        and ground_of(job, world.facts, world.source_uuid) == footing.ground
        and job.store.baselines.get(name) == decision.baseline
        and job.store.source_stops.current(name) is None
        and not world.memberships.absent_later(name, footing.at)
    )
    if not still:
        return ""
    kept = Settled(
        run=run_id,
        at=footing.at,
        source_uuid=world.source_uuid,
        fingerprint=world.snapshot.fingerprint,
        ground=footing.ground,
        notices=[*_lasting(world.snapshot), *footing.notices],
    )
    return msgspec.json.encode(kept).decode()


def _lasting(snapshot: Snapshot) -> list[str]:
    return [sentence for sentence in snapshot.notices if sentence not in snapshot.passing]


async def undisturbed(job: Job, facts: TenantFacts) -> Settled | None:
    """The run whose ground still stands, with the directory brought up to date; None: everything is to be worked out.

    Asks the target for nothing unless the profile was settled. Raises TargetError, Interrupted.
    """
    settled = None if job.preview or job.full or job.accept_shrink or job.only is not None else _kept(job)
    if settled is None or not _stands(job, facts, settled):
        return None
    directory = job.store.directory(facts.tenant_id, lag=timedelta(seconds=job.lag_horizon))
    await job.target.refresh(directory, stop=job.stop, progress=job.progress)
    return settled if _stands(job, facts, settled) else None


def _stands(job: Job, facts: TenantFacts, settled: Settled) -> bool:
    """Whether a run now would start from where that one did. (A clock set back may put an absence into the future.)"""
    name, store = job.profile.name, job.store
    return (
        store.source_stops.current(name) is None
        and ground_of(job, facts, settled.source_uuid) == settled.ground
        and not store.memberships(settled.source_uuid, facts.tenant_id).absent_later(name, job.clock.now())
    )


def unsettle(job: Job) -> None:
    """Something may be decided anew: until a run is a fixed point again, everything is worked out."""
    if not job.preview:
        job.store.baselines.unsettle(job.profile.name)


def summary_of(job: Job, settled: Settled) -> RunSummary:
    """What the fixed point said of itself. Raises UsageError where the run is no longer kept."""
    return msgspec.convert(job.store.runs.get(settled.run).summary, RunSummary)


def _kept(job: Job) -> Settled | None:
    try:
        settled = msgspec.json.decode(job.store.baselines.settled(job.profile.name) or b"null", type=Settled | None)
        if settled is not None:
            summary_of(job, settled)
    except (msgspec.MsgspecError, UsageError):  # written by another version, or its run was cleaned up
        return None
    return settled
