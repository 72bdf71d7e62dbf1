"""A world from the record alone, for work that does not read the source: undo and reconciliation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

from sds_daemon.errors import TargetRefused, UsageError
from sds_daemon.roster.proof import Proof
from sds_daemon.roster.records import RecordKind, Ref, SchoolYear, Snapshot
from sds_daemon.store import Membership, Role
from sds_daemon.sync.hand_edits import PERSON_KINDS
from sds_daemon.sync.job import Job
from sds_daemon.sync.matching import MatchResult
from sds_daemon.sync.world import Absent, IssueList, World
from sds_daemon.targets.base import TenantFacts

RECENT = 1000


def source_of(job: Job, tenant_id: str) -> str:
    """The district the profile last synced into this tenant, by its uuid. Raises UsageError before any sync."""
    for run in job.store.runs.list(job.profile.name, RECENT):
        if run.source_uuid and run.tenant_id == tenant_id:
            return run.source_uuid
    raise UsageError(
        f"profile {job.profile.name} has never synced with this tenant", remedy=f"sds-daemon sync {job.profile.name}"
    )


async def recorded_world(job: Job, source_uuid: str, facts: TenantFacts) -> World:
    """Links, managed memberships and those removed by hand, the directory up to date, and a snapshot of nothing at all.

    Nothing may be concluded from what is not in that snapshot.
    """
    store, tenant_id = job.store, facts.tenant_id
    memberships = store.memberships(source_uuid, tenant_id)
    directory = store.directory(tenant_id, lag=timedelta(seconds=job.lag_horizon))
    await job.target.refresh(directory, stop=job.stop, progress=job.progress)
    world = World(
        profile=job.profile,
        snapshot=_nothing_read(job, source_uuid),
        facts=facts,
        links=store.links(source_uuid, tenant_id),
        memberships=memberships,
        directory=directory,
        match=MatchResult(linked={}, matched=[], creates=[], issues=[], foreign=set()),
        issues=IssueList(),
    )
    world.load_links()
    world.match.linked = {ref: link.object_id for ref, link in world.known.items() if ref.kind in PERSON_KINDS}
    sections = world.of_kind(RecordKind.SECTION)
    deleted = directory.deleted("group", [link.object_id for link in sections])
    world.blocked = {link.ref for link in sections if link.object_id in deleted}
    world.load_managed()
    world.absent = _by_container(memberships.absent(job.profile.name, job.clock.now()))
    return world


async def permitted_facts(job: Job) -> TenantFacts:
    """What is known of the tenant. Raises TargetRefused where a permission is missing."""
    facts = await job.target.facts()
    if facts.missing_permissions:
        raise TargetRefused(
            f"the app registration lacks: {', '.join(facts.missing_permissions)}",
            remedy="grant these application permissions in Entra and give admin consent",
        )
    return facts


def _by_container(rows: Iterable[Membership]) -> Absent:
    found: defaultdict[Ref, set[tuple[Role, Ref]]] = defaultdict(set)
    for row in rows:
        found[row.container].add((row.role, row.member))
    return {container: frozenset(pairs) for container, pairs in found.items()}


def _nothing_read(job: Job, source_uuid: str) -> Snapshot:
    today = job.clock.now().date()
    return Snapshot(
        source_uuid=source_uuid,
        reader="none",
        day=today,
        timezone="UTC",
        year=SchoolYear(today.year),
        schools={},
        sections={},
        students={},
        teachers={},
        proof=Proof(),
        rosters_complete=False,
    )
