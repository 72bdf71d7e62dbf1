"""Taking back what one run added. Read `undo_run` first: it is the list of steps, in their order."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext

import msgspec
from loguru import logger

from sds_daemon.errors import SdsError, UsageError
from sds_daemon.plan.attributes import EDUCATION_ANCHOR
from sds_daemon.plan.change import REMOVALS, Change, Plan, Reason, Result
from sds_daemon.plan.issues import Severity
from sds_daemon.plan.limits import hold_excess
from sds_daemon.roster.records import Ref
from sds_daemon.store import Link, Membership, Role, RunRecord, Store
from sds_daemon.store.held import APPLYING, APPROVED
from sds_daemon.sync.gate import extent_of
from sds_daemon.sync.hand_edits import counted
from sds_daemon.sync.job import Job
from sds_daemon.sync.ledger import UPDATES, RunLedger
from sds_daemon.sync.plan_memberships import ADD, REMOVE, ROLE_OF, keep_last_owners
from sds_daemon.sync.recorded import permitted_facts, recorded_world
from sds_daemon.sync.summary import (
    FAILED,
    HELD,
    NOTHING_TO_DO,
    PREVIEW,
    SUCCESS,
    SUCCESS_WITH_ISSUES,
    RunSummary,
    count_changes,
    count_withheld,
)
from sds_daemon.sync.world import World, unchanged_beside

UNDO = "undo"
_REMOVAL_OF = {ADD[role]: kind for role, kind in REMOVE.items()}


class Undoing(msgspec.Struct, kw_only=True):
    """What taking a run back comes to.

    `listed`: what the run did that is left as it is, by kind of change. `marks`: linked objects that keep our mark.
    `moved_on`: memberships and attributes of the run that were changed since, and are no longer its own. `released`:
    the number of the held set a person approved, whose changes are in the plan. `paused`: whether the profile waits.
    """

    run: int
    plan: Plan
    listed: dict[str, int]
    marks: int = 0
    moved_on: int = 0
    released: int | None = None
    paused: bool = False


async def _untold() -> None:
    """Nobody to be told."""


async def undo_run(job: Job, number: int, tell: Callable[[], Awaitable[None]] = _untold) -> tuple[RunSummary, Undoing]:
    """Pause the profile, then take back what run `number` of it added. Raises UsageError, LeaseHeld, SdsError.

    Accounts, schools and groups stay, and so do licences. The limits of the profile hold; its policy does not: it is
    about what the source says, and this is a person's word. `tell` is called once it is known that the profile stays
    paused, before anything is written.
    """
    started, store, name = time.monotonic(), job.store, job.profile.name
    undone = undoable(store, name, number)
    with nullcontext(False) if job.preview else _leased_and_paused(store, name, number) as newly_paused:
        store.runs.mark_crashed(name)
        run_id = store.runs.begin(name, undone.source_uuid, undone.tenant_id, kind=UNDO)
        summary = RunSummary(run=run_id, profile=name, status=FAILED)
        try:
            facts = await permitted_facts(job)
            world = await recorded_world(job, undone.source_uuid or "", facts)
            undoing = gated(world, plan_undo(world, store, number))
            summary.held_number = keep_held(store, name, run_id, undoing)
            if not job.preview:
                undoing.paused = _stays_paused(job, run_id, undoing, newly_paused=newly_paused)
                if undoing.paused:
                    await tell()
                await _apply(job, world, run_id, undoing, summary)
            _close(job, world, undoing, summary)
        except SdsError as error:
            store.runs.finish(run_id, FAILED, summary.as_json(), str(error))
            if newly_paused:
                store.profiles.restate_pause(name, f"taking run {number} back failed: {error.message}")
            raise
        finally:
            summary.seconds = round(time.monotonic() - started, 3)
        return summary, undoing


@contextmanager
def _leased_and_paused(store: Store, profile: str, number: int) -> Iterator[bool]:
    """Whether the profile is paused only now. Under the lease, where no cycle runs and a cycle asks for pauses."""
    with store.lease(profile):
        yield store.profiles.pause(profile, f"run {number} is being taken back")


def _stays_paused(job: Job, run_id: int, undoing: Undoing, *, newly_paused: bool) -> bool:
    """Where nothing is taken back, the profile goes on as before; else it is said why it waits."""
    profiles, name = job.store.profiles, job.profile.name
    if undoing.plan.held:
        waits = f"part of what run {undoing.run} did is taken back only after sds-daemon approve {run_id}"
        profiles.restate_pause(name, waits)
    elif undoing.plan.changes:
        profiles.restate_pause(name, f"run {undoing.run} was taken back")
    elif newly_paused:
        profiles.resume(name)
    return profiles.state(name).paused


def undoable(store: Store, profile: str, number: int) -> RunRecord:
    """The run to be taken back. Raises UsageError for one that wrote nothing or is not of this profile."""
    run = store.runs.get(number)
    if run.profile != profile:
        raise UsageError(f"run {number} is of profile {run.profile}, not {profile}")
    if run.kind in (UNDO, "preview", "reconcile"):
        raise UsageError(
            f"run {number} is no sync but of kind {run.kind}", remedy="sds-daemon runs lists what can be taken back"
        )
    if not run.source_uuid or not run.tenant_id:
        raise UsageError(f"run {number} ended before it wrote anything", remedy="there is nothing to take back")
    return run


def plan_undo(world: World, store: Store, number: int) -> Undoing:
    """Removals of memberships the run added and former values of attributes it wrote, as far as they are its own still.

    A membership added again, or an attribute written again, by a later run is that run's.
    """
    own = {row for row in world.memberships.of_run(number) if (row.role, row.member) not in _taken_out(world, row)}
    rewritten: defaultdict[Ref, set[str]] = defaultdict(set)
    for later in store.runs.later_updates(number):
        rewritten[later.subject].update(later.values)
    changes: list[Change] = []
    listed: Counter[str] = Counter()
    undoing = Undoing(run=number, plan=Plan(changes=changes), listed={})
    for record in store.runs.changes(number, ("done",)):
        change = record.change
        if change.kind in _REMOVAL_OF:
            removal = _removal(change, own)
            changes += removal
            undoing.moved_on += not removal
        elif change.kind in UPDATES:
            undoing.marks += not change.values.keys().isdisjoint(EDUCATION_ANCHOR)
            former = _former_values(change, world.links.get(change.subject), rewritten[change.subject])
            changes += former
            undoing.moved_on += not former and not change.values.keys() <= set(EDUCATION_ANCHOR)
        else:
            listed[change.kind.value] += 1
    undoing.listed = dict(sorted(listed.items()))
    changes.sort(key=lambda change: (change.subject, change.kind, change.member or change.subject))
    return undoing


def _taken_out(world: World, row: Membership) -> frozenset[tuple[Role, Ref]]:
    return world.absent.get(row.container, frozenset())


def _removal(change: Change, own: set[Membership]) -> list[Change]:
    if change.member is None or Membership(change.subject, change.member, ROLE_OF[change.kind]) not in own:
        return []
    kind = _REMOVAL_OF[change.kind]
    return [Change(kind=kind, subject=change.subject, member=change.member, reason=Reason.UNDONE)]


def _former_values(change: Change, link: Link | None, rewritten: set[str]) -> list[Change]:
    if link is None:
        return []
    mine = {
        name
        for name, value in change.values.items()
        if name not in rewritten and name not in EDUCATION_ANCHOR and link.written.get(name) == value
    }
    if not mine:
        return []
    values = {name: change.before.get(name) for name in sorted(mine)}
    return [
        Change(
            kind=change.kind,
            subject=change.subject,
            values=values,
            before={name: link.written.get(name) for name in values},
            beside=unchanged_beside(change.subject.kind, values, {}, link.written),
            reason=Reason.UNDONE,
        )
    ]


def gated(world: World, undoing: Undoing) -> Undoing:
    """The last owner of a class stays, and what exceeds the limits waits for approval."""
    passing, owners = keep_last_owners(world, undoing.plan.changes)
    counted = [msgspec.structs.replace(change, reason=Reason.CHANGED) for change in passing]
    _, held = hold_excess(counted, extent_of(world, first_sync=False), world.profile.limits)
    reasons = {item.change.key: item for item in held}
    return msgspec.structs.replace(
        undoing,
        plan=Plan(
            changes=[change for change in passing if change.key not in reasons],
            skipped=owners,
            held=[
                msgspec.structs.replace(reasons[change.key], change=change)
                for change in passing
                if change.key in reasons
            ],
        ),
    )


def keep_held(store: Store, profile: str, run_id: int, undoing: Undoing) -> int | None:
    """Store what waits for approval; an approved set that is still the same joins the changes."""
    plan = undoing.plan
    if not plan.held:
        return None
    held = store.held.put(profile, run_id, plan.held)
    if held.state not in (APPROVED, APPLYING):
        return held.number
    undoing.released = held.number
    plan.changes = [*plan.changes, *(item.change for item in plan.held)]
    plan.held = []
    return None


async def _apply(job: Job, world: World, run_id: int, undoing: Undoing, summary: RunSummary) -> None:
    plan, store = undoing.plan, job.store
    store.runs.record_plan(run_id, plan.changes)
    store.runs.record_plan(run_id, plan.skipped, "skipped")
    store.runs.record_plan(run_id, plan.held, "held")
    ledger = RunLedger(
        store=store,
        clock=job.clock,
        known=world.known,
        run_id=run_id,
        profile=job.profile.name,
        links=world.links,
        directory=world.directory,
        memberships=world.memberships,
        issues=world.issues,
        licensed_kinds=frozenset(),
        passwords=None,
    )
    if undoing.released is not None:
        store.held.begin(undoing.released)
    if plan.changes:
        await job.target.apply(plan.changes, ledger, stop=job.stop, progress=job.progress)
    if undoing.released is not None and not ledger.unapplied[Result.DEFERRED]:
        store.held.clear(job.profile.name)
    summary.applied = {kind.value: count for kind, count in sorted(ledger.applied.items())}
    summary.deferred = sum(count for result, count in ledger.unapplied.items() if result.value == "deferred")
    summary.failed = sum(count for result, count in ledger.unapplied.items() if result.value == "failed")


def _close(job: Job, world: World, undoing: Undoing, summary: RunSummary) -> None:
    plan = undoing.plan
    summary.planned = count_changes(plan.changes)
    summary.skipped = count_withheld(plan.skipped)
    summary.held = count_withheld(plan.held)
    errors = [issue for issue in world.issues.all() if issue.severity is Severity.ERROR]
    summary.issues = dict(sorted(Counter(issue.code.value for issue in errors).items()))
    summary.requests = job.target.counts()
    summary.status = _status(job, undoing, summary)
    summary.notices = list(sentences(undoing, job.profile.name))
    job.store.runs.finish(
        summary.run, summary.status, {**summary.as_json(), "undoes": undoing.run, "left": undoing.listed}
    )
    logger.bind(profile=job.profile.name, run=summary.run, action="undo").info(
        "run {} taken back by run {}: {}; {} changes applied, {} held",
        undoing.run,
        summary.run,
        summary.status,
        sum(summary.applied.values()),
        sum(summary.held.values()),
    )


def _status(job: Job, undoing: Undoing, summary: RunSummary) -> str:
    if job.preview:
        return PREVIEW
    if undoing.plan.held:
        return HELD
    if not undoing.plan.changes:
        return NOTHING_TO_DO
    return SUCCESS_WITH_ISSUES if summary.deferred or summary.failed or summary.issues else SUCCESS


def sentences(undoing: Undoing, profile: str) -> Iterator[str]:
    """What is not taken back, and what resuming will do again."""
    if undoing.listed:
        left = ", ".join(f"{count} {kind}" for kind, count in undoing.listed.items())
        yield f"left as it is: {left} (sds-daemon runs show {undoing.run} lists each)"
    if undoing.marks:
        marked = counted(undoing.marks, "linked object")
        yield f"the program's mark stays on {marked}; sds-daemon links drop forgets a link"
    if undoing.moved_on:
        yield f"overtaken by later runs or by hand, and left alone: {counted(undoing.moved_on, 'change')}"
    planned = [*undoing.plan.changes, *(item.change for item in undoing.plan.held)]
    added = sum(change.kind in REMOVALS for change in planned)
    if planned:
        parts = [f"{counted(added, 'membership')} added"] * bool(added)
        parts += [f"{counted(len(planned) - added, 'object')} updated"] * (len(planned) > added)
        again = ", ".join(parts)
        yield (
            f"once resumed, the next sync does it again, as far as the source still says so: {again}. Correct the "
            f"source or the configuration first, look with sds-daemon preview {profile}, then: sds-daemon profiles "
            f"resume {profile}"
        )


def undone_run(store: Store, run_id: int) -> int | None:
    """The run that a run of kind "undo" takes back."""
    found = store.runs.get(run_id).summary.get("undoes")
    return int(found) if found is not None else None
