"""Comparing what was written with what the directory holds, and writing nothing. Read `reconcile` first."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from loguru import logger

from sds_daemon.errors import Interrupted, SdsError
from sds_daemon.plan.attributes import EDUCATION_ANCHOR
from sds_daemon.plan.drift import Drift, DriftCode
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Head, Role
from sds_daemon.sync.hand_edits import absences, heed_hand_edits, log_drift, seen_whole, unexplained
from sds_daemon.sync.job import Job
from sds_daemon.sync.recorded import permitted_facts, recorded_world, source_of
from sds_daemon.sync.world import World
from sds_daemon.targets.base import MembersSeen, RequestCounts

T = TypeVar("T")
RECONCILE = "reconcile"
NIGHTS = 7
"""Nights in which everything has been compared once."""
PORTION = 500
"""Objects compared at a time: between two portions a stop is heeded."""


class Reconciliation(msgspec.Struct, kw_only=True):
    """What a comparison came to. `compared`: classes, schools and people looked at; `open`: all drift there is now."""

    run: int
    profile: str
    status: str = "failed"
    full: bool = False
    compared: dict[str, int] = {}
    linked: dict[str, int] = {}
    new: dict[str, int] = {}
    resolved: dict[str, int] = {}
    open: dict[str, int] = {}
    requests: RequestCounts = msgspec.field(default_factory=RequestCounts)
    seconds: float = 0.0


async def reconcile(job: Job, *, full: bool) -> Reconciliation:
    """Delta first, then a seventh of the classes, schools and people in turn (`full`: all of them).

    Raises LeaseHeld while somebody works on the profile, UsageError before its first sync, Interrupted, TargetError.
    """
    started, store, name = time.monotonic(), job.store, job.profile.name
    with store.lease(name):
        store.runs.mark_crashed(name)
        facts = await permitted_facts(job)
        source_uuid = source_of(job, facts.tenant_id)
        found = Reconciliation(run=store.runs.begin(name, source_uuid, facts.tenant_id, kind=RECONCILE), profile=name)
        found.full = full
        try:
            world = await recorded_world(job, source_uuid, facts)
            tonight = _tonight(world, job, full=full)
            strange = await _compare_classes(world, job, tonight)
            await _compare_schools(world, job, tonight)
            await heed_hand_edits(world, job.target, job.clock)
            changed = await _compare_attributes(world, job, tonight)
            _record(world, job, tonight, found, strange, changed)
            found.status = "success"
        except SdsError as error:
            found.status = "interrupted" if isinstance(error, Interrupted) else "failed"
            store.runs.finish(found.run, found.status, msgspec.to_builtins(found), str(error))
            raise
        found.requests, found.seconds = job.target.counts(), round(time.monotonic() - started, 3)
        store.runs.finish(found.run, found.status, msgspec.to_builtins(found))
        return found


def due(ref: Ref, day: int) -> bool:
    """Whether a record's turn is on this day (a count of days): each comes up once in NIGHTS days."""
    return zlib.crc32(str(ref).encode()) % NIGHTS == day % NIGHTS


def _tonight(world: World, job: Job, *, full: bool) -> dict[Ref, Head]:
    """Links of the profile whose turn it is, without classes that are deleted."""
    day = job.clock.now().date().toordinal()
    return {
        ref: link
        for ref, link in sorted(world.known.items())
        if link.profile == world.profile.name and ref not in world.blocked and (full or due(ref, day))
    }


async def _compare_classes(world: World, job: Job, tonight: Mapping[Ref, Head]) -> list[Drift]:
    """Owners and members of classes; returns people in them whom nothing explains."""
    classes = {link.object_id: ref for ref, link in tonight.items() if ref.kind is RecordKind.SECTION}
    strange: list[Drift] = []
    for portion in _portions(job, sorted(classes), "comparing classes"):
        members = await job.target.group_members(portion)
        world.directory.observe_members(seen for group, found in members.items() for seen in seen_whole(group, found))
        for group, found in members.items():
            ref = classes[group]
            inside = {Role.OWNER: found.owners, Role.MEMBER: found.members}
            strange += unexplained(world, ref, world.managed.get(ref, frozenset()), inside)
    return strange


async def _compare_schools(world: World, job: Job, tonight: Mapping[Ref, Head]) -> None:
    """People and classes attached to schools."""
    schools = [link.object_id for ref, link in tonight.items() if ref.kind is RecordKind.SCHOOL]
    for portion in _portions(job, schools, "comparing schools"):
        attached = await job.target.school_members(portion)
        world.directory.observe_members(
            MembersSeen(id=school, relation=relation, present=tuple(everyone), complete=True)
            for school, everyone in attached.items()
            for relation in ("users", "classes")
        )


async def _compare_attributes(world: World, job: Job, tonight: Mapping[Ref, Head]) -> list[Drift]:
    """Attributes that were written and are other ones now."""
    written = [ref for ref, link in tonight.items() if not link.blank]
    changed: list[Drift] = []
    for portion in _portions(job, written, "comparing attributes"):
        links = world.links.some(portion)
        held = await job.target.held_values({ref: link.object_id for ref, link in links.items()})
        for ref, values in held.items():
            changed += _differences(world, ref, links[ref].written, values)
    return changed


def _differences(world: World, ref: Ref, written: Mapping[str, Any], held: Mapping[str, str]) -> list[Drift]:
    """Marks are compared where the tenant holds them as attributes: elsewhere they are part of another value."""
    allowed = world.facts.writable[ref.kind]
    found = []
    for name, value in sorted(written.items()):
        if name not in allowed or (name in EDUCATION_ANCHOR and name not in held):
            continue
        before, now = "" if value is None else str(value), held.get(name, "")
        if before != now:
            found.append(Drift(code=DriftCode.ATTRIBUTE, subject=ref, name=name, written=before, found=now))
    return found


def _record(
    world: World,
    job: Job,
    tonight: Mapping[Ref, Head],
    found: Reconciliation,
    strange: Sequence[Drift],
    changed: Sequence[Drift],
) -> None:
    store, name = job.store, job.profile.name
    reports = (
        store.drift.record(name, absences(world), codes={DriftCode.REMOVED}),
        store.drift.record(name, strange, codes={DriftCode.UNEXPLAINED}, subjects=set(tonight)),
        store.drift.record(name, changed, codes={DriftCode.ATTRIBUTE}, subjects=set(tonight)),
    )
    log_drift(name, *reports)
    found.compared = _by_kind(tonight)
    found.linked = _by_kind({ref: link for ref, link in world.known.items() if link.profile == name})
    found.new = _by_code(drift for report in reports for drift in report.new)
    found.resolved = _by_code(drift for report in reports for drift in report.resolved)
    found.open = _by_code(record.drift for record in store.drift.open(name))
    logger.bind(profile=name, run=found.run, action="reconcile").info(
        "compared {} objects of {}: {} new differences, {} gone, {} in all",
        sum(found.compared.values()),
        sum(found.linked.values()),
        sum(found.new.values()),
        sum(found.resolved.values()),
        sum(found.open.values()),
    )


def _portions(job: Job, items: Sequence[T], stage: str) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), PORTION):
        if job.stop():
            raise Interrupted("stopped while comparing")
        job.progress(stage, start, len(items))
        yield items[start : start + PORTION]


def _by_kind(refs: Mapping[Ref, object]) -> dict[str, int]:
    counts = {kind.value: 0 for kind in RecordKind}
    for ref in refs:
        counts[ref.kind.value] += 1
    return counts


def _by_code(drifts: Iterable[Drift]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for drift in drifts:
        counts[drift.code.value] = counts.get(drift.code.value, 0) + 1
    return dict(sorted(counts.items()))
