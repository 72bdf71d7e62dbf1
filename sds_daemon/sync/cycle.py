"""One cycle of one profile. Read `run_cycle` first: it is the list of steps, in their order."""

from __future__ import annotations

import time
from contextlib import nullcontext
from datetime import datetime, timedelta

import msgspec

from sds_daemon.clock import Clock
from sds_daemon.config.settings import Profile
from sds_daemon.errors import ConfigurationError, Interrupted, SdsError, TargetRefused
from sds_daemon.plan.change import Result
from sds_daemon.roster.records import RecordKind, Snapshot
from sds_daemon.sources.base import Unchanged
from sds_daemon.store import Directory, Lease, Links, SourceStop
from sds_daemon.store.safety import APPROVED
from sds_daemon.sync.adoption import adopt_anchored, recall_written, record_found_memberships
from sds_daemon.sync.aside import aside
from sds_daemon.sync.focus import Focus, narrow
from sds_daemon.sync.gate import Kept, gate, keep_held, refuse_many_issues
from sds_daemon.sync.hand_edits import heed_hand_edits, report_drift
from sds_daemon.sync.job import Decision, Job, refuse_paused, scope_of
from sds_daemon.sync.known import Known
from sds_daemon.sync.ledger import PasswordFile, RunLedger
from sds_daemon.sync.matching import MatchResult, match_people
from sds_daemon.sync.measure import Measure, measure
from sds_daemon.sync.planner import make_changes, store_matches
from sds_daemon.sync.recovery import claim_created, claim_unlicensed, recover_creates
from sds_daemon.sync.relaxing import relaxed
from sds_daemon.sync.reread import reread_reset
from sds_daemon.sync.run import Run
from sds_daemon.sync.seats import groups_named
from sds_daemon.sync.settled import Settled, footing_of, settled_by, undisturbed, unsettle
from sds_daemon.sync.sightings import record_sightings
from sds_daemon.sync.summary import RunSummary
from sds_daemon.sync.world import World
from sds_daemon.targets.base import TenantFacts

SET_BACK = timedelta(days=1)
"""A clock set back by at most this much does not turn the day back."""


async def run_cycle(job: Job) -> tuple[RunSummary, Decision | None]:
    """Lease, read, prove, match, plan, gate, apply, record. Returns the summary and what was decided.

    Where neither source nor directory have changed since a run that left everything as it was, nothing is decided anew
    (None): the run is recorded with the same outcome (see settled.py).

    Raises SdsError when the cycle could not be carried out; the run is then recorded as failed (SafetyStop: held).
    """
    started = time.monotonic()
    with nullcontext() if job.preview else job.store.lease(job.profile.name) as lease:
        if not job.preview:
            refuse_paused(job.store, job.profile.name)
        job, widened = relaxed(stopping_without(lease, job))
        run = Run(job, started)
        run.notices += widened
        try:
            facts = await preflight(job)
            settled = await undisturbed(job, facts)
            snapshot = await read(job, settled)
            if isinstance(snapshot, Unchanged):
                assert settled is not None
                return run.repeat(settled, snapshot, facts), None
            run.read(snapshot)
            unsettle(job)
            accepted = job.store.baselines.get(job.profile.name)
            measured = measure(
                snapshot, accepted, job.profile, accept_shrink=job.accept_shrink, approved=approved_stop(job)
            )
            decision = await decide(job, run, facts, snapshot, measured)
            del snapshot, measured  # nothing here may keep them alive while the plan is carried out
            if not job.preview:
                refuse_many_issues(run.issues, job.profile)
                await carry_out(job, run, decision)
            return run.finish(decision), decision
        except Interrupted:
            return run.interrupted(), None
        except SdsError as error:
            run.failed(error)
            raise


def stopping_without(lease: Lease | None, job: Job) -> Job:
    """The job, which also stops when another process has taken the lease over."""
    if lease is None:
        return job
    asked = job.stop
    return msgspec.structs.replace(job, stop=lambda: asked() or lease.lost)


def approved_stop(job: Job) -> SourceStop | None:
    """The stop by the source limit whose counts a person has accepted."""
    stop = job.store.source_stops.current(job.profile.name)
    return stop if stop is not None and stop.state == APPROVED else None


def latest_instant(job: Job) -> datetime | None:
    """When a run of this profile last began, by whatever clock, if that is at most a day ahead.

    A clock set back by an hour must not bring yesterday back: who joined today would be taken out again. One that was
    wrong by more is not followed.
    """
    return job.store.runs.latest_start(job.profile.name, job.clock.now() + SET_BACK)


async def preflight(job: Job) -> TenantFacts:
    """Permissions and domains, before anything is read. Raises TargetRefused or ConfigurationError, naming each."""
    facts = await job.target.facts()
    if facts.missing_permissions:
        raise TargetRefused(
            f"the app registration lacks: {', '.join(facts.missing_permissions)}",
            remedy="grant these application permissions in Entra and give admin consent",
        )
    verified = {domain.lower() for domain in facts.domains}
    wanted = {
        f"{table}.{key}": value
        for table, rules in (("students", job.profile.students), ("teachers", job.profile.teachers))
        for key, value in (("suffix", rules.suffix), ("domain", rules.domain if job.profile.creates else None))
        if value and value.lower() not in verified
    }
    if wanted:
        listed = "; ".join(
            f"[profiles.{job.profile.name}.{key.split('.')[0]}] {key.split('.')[1]} = {value!r}"
            for key, value in wanted.items()
        )
        raise ConfigurationError(
            f"not a verified domain of the tenant: {listed}",
            remedy=f"verified are: {', '.join(sorted(verified))}",
        )
    return facts


async def read(job: Job, settled: Settled | None) -> Snapshot | Unchanged:
    """Read the source; it may answer Unchanged only where a run is known to which that refers. Raises SourceError."""
    scope, known = scope_of(job, latest_instant(job)), settled.fingerprint if settled is not None else None
    return await job.source.read(scope, known=known, stop=job.stop, progress=job.progress)


async def decide(job: Job, run: Run, facts: TenantFacts, snapshot: Snapshot, measured: Measure) -> Decision:
    """Everything up to the plan that may go out. Writes to our own record only."""
    run.measured(measured)
    profile, store = job.profile, job.store
    store.runs.identify(run.id, snapshot.source_uuid, facts.tenant_id)
    links = store.links(snapshot.source_uuid, facts.tenant_id)
    memberships = store.memberships(snapshot.source_uuid, facts.tenant_id)
    directory = store.directory(facts.tenant_id, lag=timedelta(seconds=job.lag_horizon))
    await job.target.refresh(directory, stop=job.stop, progress=job.progress)
    footing = footing_of(job, facts, snapshot.source_uuid, measured.notices)
    job.progress("matching", 0, None)
    if not job.preview:
        await recover_creates(job.target, store, links, job.clock, profile.name, licensed_kinds(profile))
    known, match = await aside(matched, job, snapshot, facts, links, directory)
    await claim_unlicensed(match, job.target, licensed_kinds(profile))
    world = World(
        profile=profile,
        snapshot=snapshot,
        facts=facts,
        links=links,
        memberships=memberships,
        directory=directory,
        match=match,
        known=known,
        issues=run.issues,
        blocked=set(),
        suspended=measured.suspended,
    )
    await aside(adopt, world, job.clock)
    await reread_reset(world, job.target, run.id)
    await recall_written(world, job.target)
    strange = await record_found_memberships(world, job.target, run.id)
    await heed_hand_edits(world, job.target, job.clock)
    job.progress("planning", 0, None)
    kept = await aside(planned, job, run.id, world, first_sync=measured.first_sync)
    run.notices += kept.notices
    groups = await job.target.license_groups(groups_named(kept.plan.changes))
    if not job.preview:
        run.notices += report_drift(world, store, strange)
    decision = Decision(
        world=world,
        plan=kept.plan,
        release=kept.release,
        held_number=kept.number,
        baseline=measured.baseline,
        footing=footing,
        license_groups=groups,
    )
    return decision if job.only is None else narrowed(job.only, decision)


def matched(
    job: Job, snapshot: Snapshot, facts: TenantFacts, links: Links, directory: Directory
) -> tuple[Known, MatchResult]:
    """All links, and who is who in the snapshot."""
    known = Known(links.heads())
    match = match_people(
        snapshot,
        job.profile,
        links=known,
        directory=directory,
        source_uuid=snapshot.source_uuid,
        domains=facts.domains,
    )
    claim_created(match, job.store, job.profile.name, licensed_kinds(job.profile))
    return known, match


def adopt(world: World, clock: Clock) -> None:
    """Link what was matched, and what carries our mark."""
    store_matches(world, clock)
    adopt_anchored(world, clock)


def planned(job: Job, run_id: int, world: World, *, first_sync: bool) -> Kept:
    """All changes, through the gates, beside what is held."""
    world.load_managed()
    changes, unproved = make_changes(world)
    plan = gate(world, changes, unproved, first_sync=first_sync)
    return keep_held(job.store, job.profile, run_id, plan)


def narrowed(focus: Focus, decision: Decision) -> Decision:
    """The decision for one record alone. Raises UsageError for a record nobody knows."""
    approved = decision.release.changes if decision.release is not None else []
    left = narrow(focus, decision.world, decision.plan, approved)
    return msgspec.structs.replace(
        decision, plan=left.plan, release=None, only=left.ref, elsewhere=left.elsewhere, held_beside=decision.plan.held
    )


async def carry_out(job: Job, run: Run, decision: Decision) -> None:
    """Store the plan, write it, and accept the snapshot as the new measure, unless the rest was left alone."""
    plan, profile = decision.plan, job.profile
    await aside(record, job, run.id, decision)
    ledger = RunLedger(
        store=job.store,
        clock=job.clock,
        known=decision.world.known,
        run_id=run.id,
        profile=profile.name,
        links=decision.world.links,
        directory=decision.world.directory,
        memberships=decision.world.memberships,
        issues=run.issues,
        licensed_kinds=licensed_kinds(profile),
        passwords=PasswordFile(job.state_dir / f"passwords-{profile.name}.csv", job.clock)
        if profile.keep_passwords
        else None,
    )
    run.ledger = ledger
    if decision.release is not None:
        job.store.held.begin(decision.release.number)
    decision.world.let_go()
    if plan.changes:
        await job.target.apply(plan.changes, ledger, stop=job.stop, progress=job.progress)
    if decision.release is not None and not ledger.unapplied[Result.DEFERRED]:
        job.store.held.clear(profile.name)
    if decision.only is None:
        job.store.baselines.accept(profile.name, decision.baseline, settled_by(job, run.id, decision))
        if job.store.source_stops.current(profile.name) is not None:
            job.store.source_stops.end(profile.name)
    _compare_mail(run, profile, ledger)


def record(job: Job, run_id: int, decision: Decision) -> None:
    """Store the plan, and what was seen of the records it concerns."""
    runs, plan = job.store.runs, decision.plan
    runs.record_plan(run_id, plan.changes)
    runs.record_plan(run_id, plan.skipped, "skipped")
    runs.record_plan(run_id, [*decision.held_beside, *plan.held], "held")
    record_sightings(decision.world, plan, job.store, run_id)


def licensed_kinds(profile: Profile) -> frozenset[str]:
    """Kinds of people whose new accounts get licences."""
    roles = {RecordKind.STUDENT: profile.students, RecordKind.TEACHER: profile.teachers}
    return frozenset(kind.value for kind, rules in roles.items() if rules.gives_licenses)


def _compare_mail(run: Run, profile: Profile, ledger: RunLedger) -> None:
    """One warning where Exchange gives class groups another mail domain than the operator expects."""
    wanted = (profile.class_domain or "").lower()
    others = {mail.rpartition("@")[2].lower() for mail in ledger.group_mail.values() if mail} - {wanted}
    if wanted and others:
        run.notices.append(
            f"new class groups got addresses in {', '.join(sorted(others))}, not in {wanted}: Graph offers no choice; "
            "an Exchange e-mail address policy decides"
        )
