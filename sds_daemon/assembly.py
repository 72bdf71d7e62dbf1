"""Puts the parts together: settings in, sources, targets, stores and cycles out."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from loguru import logger

from sds_daemon.clock import Clock
from sds_daemon.config.exposure import exposures
from sds_daemon.config.neighbours import neighbours
from sds_daemon.config.settings import Profile, Settings, SourceSettings, TenantSettings
from sds_daemon.errors import AtRest, LeaseHeld, SdsError
from sds_daemon.plan.attributes import EXTENSION_ATTRIBUTES
from sds_daemon.sources.base import Finding, Progress, SchoolChoice, Source, fault, no_progress
from sds_daemon.store import Store, copy_database
from sds_daemon.sync.asking import Asked, explain_present
from sds_daemon.sync.cycle import run_cycle
from sds_daemon.sync.focus import Focus
from sds_daemon.sync.job import Decision, Job, refuse_paused, scope_of
from sds_daemon.sync.reconcile import Reconciliation, reconcile
from sds_daemon.sync.standing import announce
from sds_daemon.sync.summary import RunSummary
from sds_daemon.sync.trace import Trace
from sds_daemon.sync.trial import try_identity
from sds_daemon.sync.undo import Undoing, undo_run
from sds_daemon.targets.base import Target, TenantFacts

BUSY_TRIES = 60
BUSY_PAUSE = 30.0
"""How often, and how many seconds apart, the nightly comparison tries a profile whose cycle is under way."""


def open_store(settings: Settings, clock: Clock) -> Store:
    """The state database, migrated. Raises StateError."""
    return Store.open(settings.daemon.database_path, clock)


def make_source(settings: Settings, profile: Profile, clock: Clock) -> Source:
    """The profile's source, not yet connected."""
    from sds_daemon.sources.powerschool.source import PowerSchoolSource

    return PowerSchoolSource(settings.sources[profile.source], clock)


def make_target(
    settings: Settings,
    profile: Profile,
    clock: Clock,
    *,
    store: Store | None = None,
    read_only: bool = False,
    priority: str = "bulk",
) -> Target:
    """The profile's tenant, not yet connected. A read-only one refuses writes in its transport.

    By the `store` processes that write to one tenant come to terms.
    """
    from sds_daemon.targets.entra.target import EntraTarget

    tenant = settings.tenants[profile.tenant]
    return EntraTarget(
        tenant,
        clock,
        class_api=profile.class_api,
        creating=profile.creates or writes_users(profile),
        licensing=bool(profile.students.licenses or profile.teachers.licenses),
        keep_passwords=profile.keep_passwords,
        read_only=read_only,
        priority=priority,
        right_of_way=store.right_of_way(tenant.tenant_id, tenant.client_id) if store is not None else None,
    )


def writes_users(profile: Profile) -> bool:
    """Whether attributes are chosen that are written to the user itself: that takes the permission creating takes."""
    chosen = {*profile.students.attributes, *profile.teachers.attributes}
    return not chosen.isdisjoint(EXTENSION_ATTRIBUTES)


@asynccontextmanager
async def connected(
    settings: Settings,
    profile: Profile,
    clock: Clock,
    *,
    store: Store | None = None,
    read_only: bool = False,
    priority: str = "bulk",
) -> AsyncIterator[tuple[Source, Target]]:
    """Source and target of a profile, closed at the end."""
    source = make_source(settings, profile, clock)
    try:
        target = make_target(settings, profile, clock, store=store, read_only=read_only, priority=priority)
        try:
            yield source, target
        finally:
            await target.close()
    finally:
        await source.close()


async def sync_profile(
    settings: Settings,
    profile: Profile,
    store: Store,
    clock: Clock,
    *,
    accept_shrink: bool = False,
    full: bool = False,
    only: Focus | None = None,
    priority: str = "bulk",
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = no_progress,
) -> tuple[RunSummary, Decision | None]:
    """One cycle that writes. Raises SdsError; AtRest for a disabled or paused profile.

    What it changes of the profile's standing is told to daemon.notify_command.
    """
    refuse_idle(profile, store)
    async with telling(settings, profile, store), working(settings, profile, store, clock, priority=priority) as job:
        job.accept_shrink, job.full, job.only = accept_shrink, full, only
        job.stop, job.progress = stop, progress
        return await run_cycle(job)


@asynccontextmanager
async def telling(settings: Settings, profile: Profile, store: Store) -> AsyncIterator[None]:
    """Announces at the end how the profile stands, however its cycle ended; not while another process works on it, and
    not when the cycle is cut off."""
    whole = True
    try:
        yield
    except asyncio.CancelledError:
        whole = False
        raise
    finally:
        if whole and store.lease_holder(profile.name) is None:
            await announce(store, profile, settings.daemon.notify_command)


def refuse_idle(profile: Profile, store: Store) -> None:
    """Raises AtRest for a profile that is disabled in the configuration or paused by a command."""
    if not profile.enabled:
        raise AtRest(
            f"profile {profile.name} is disabled", remedy=f"sds-daemon profiles enable {profile.name}, then try again"
        )
    refuse_paused(store, profile.name)


@asynccontextmanager
async def working(
    settings: Settings, profile: Profile, store: Store, clock: Clock, *, priority: str = "bulk", read_only: bool = False
) -> AsyncIterator[Job]:
    """A job on the real state. `read_only`: nothing is written to the directory."""
    connection = connected(settings, profile, clock, store=store, read_only=read_only, priority=priority)
    async with connection as (source, target):
        yield Job(
            profile=profile,
            source=source,
            target=target,
            store=store,
            clock=clock,
            state_dir=settings.daemon.state_dir,
            lag_horizon=settings.tenants[profile.tenant].lag_horizon,
            others=neighbours(settings, profile),
        )


async def undo_profile(
    settings: Settings,
    profile: Profile,
    store: Store,
    clock: Clock,
    run: int,
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = no_progress,
) -> tuple[RunSummary, Undoing]:
    """Pause the profile and take back what a run of it added. Raises SdsError.

    That it is paused is told to daemon.notify_command, before anything is written.
    """
    doing = working(settings, profile, store, clock, priority="interactive")
    async with telling(settings, profile, store), doing as job:
        job.stop, job.progress = stop, progress
        return await undo_run(job, run, tell=lambda: announce(store, profile, settings.daemon.notify_command))


async def preview_undo(
    settings: Settings, profile: Profile, clock: Clock, run: int, *, progress: Progress = no_progress
) -> tuple[RunSummary, Undoing]:
    """What taking a run back would change. Raises SdsError."""
    async with rehearsal(settings, profile, clock, progress=progress) as job:
        return await undo_run(job, run)


async def reconcile_profile(
    settings: Settings,
    profile: Profile,
    store: Store,
    clock: Clock,
    *,
    full: bool = False,
    priority: str = "bulk",
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = no_progress,
) -> Reconciliation:
    """Compare the directory with what was written for a profile; nothing can be written to it. Raises SdsError."""
    async with working(settings, profile, store, clock, priority=priority, read_only=True) as job:
        job.stop, job.progress = stop, progress
        return await reconcile(job, full=full)


async def reconcile_all(settings: Settings, store: Store, clock: Clock, stop: Callable[[], bool]) -> None:
    """The nightly comparison of every enabled profile, one after another; a cycle under way is waited for.

    What goes wrong with one profile is logged, and the next one has its turn.
    """
    for profile in settings.profiles.values():
        for _ in range(BUSY_TRIES if profile.enabled else 0):
            if stop():
                return
            try:
                await reconcile_profile(settings, profile, store, clock, stop=stop)
            except LeaseHeld:
                await asyncio.sleep(BUSY_PAUSE)
                continue
            except SdsError as error:
                logger.bind(profile=profile.name, action="reconcile").error("{}", error)
            break


@asynccontextmanager
async def rehearsal(
    settings: Settings, profile: Profile, clock: Clock, *, progress: Progress = no_progress
) -> AsyncIterator[Job]:
    """A job that can change nothing: a copy of the state, and a transport that lets no write through."""
    with tempfile.TemporaryDirectory(prefix="sds-daemon-preview-") as folder:
        copy = Path(folder) / "state.db"
        if settings.daemon.database_path.exists():
            copy_database(settings.daemon.database_path, copy)
        store = Store.open(copy, clock)
        try:
            async with connected(settings, profile, clock, read_only=True, priority="interactive") as (source, target):
                yield Job(
                    profile=profile,
                    source=source,
                    target=target,
                    store=store,
                    clock=clock,
                    state_dir=Path(folder),
                    lag_horizon=settings.tenants[profile.tenant].lag_horizon,
                    others=neighbours(settings, profile),
                    preview=True,
                    progress=progress,
                )
        finally:
            store.close()


async def preview_profile(
    settings: Settings,
    profile: Profile,
    clock: Clock,
    *,
    only: Focus | None = None,
    progress: Progress = no_progress,
) -> tuple[RunSummary, Decision | None]:
    """One cycle up to the plan. Raises SdsError."""
    async with rehearsal(settings, profile, clock, progress=progress) as job:
        job.only = only
        return await run_cycle(job)


async def explain_now(
    settings: Settings, profile: Profile, clock: Clock, asked: Asked, *, progress: Progress = no_progress
) -> list[Trace]:
    """Why a record is, or is not, where it should be: one cycle up to the plan, and what it knows. Raises SdsError."""
    async with rehearsal(settings, profile, clock, progress=progress) as job:
        return await explain_present(job, asked)


async def check_profile(
    settings: Settings, profile: Profile, clock: Clock, *, identity: bool = True, progress: Progress = no_progress
) -> list[Finding]:
    """Everything `check` finds out about a profile: source, tenant, and the identity rule on real records."""
    async with rehearsal(settings, profile, clock, progress=progress) as job:
        findings = open_files(settings, profile)
        findings += await job.source.check(scope_of(job))
        roles = (profile.students, profile.teachers)
        findings += await job.target.check(
            creating=profile.creates,
            licenses=sorted({sku for rules in roles for sku in rules.licenses}),
            license_groups=sorted({rules.license_group for rules in roles if rules.license_group}),
            domains=sorted({d for rules in roles for d in (rules.suffix, rules.domain) if d}),
        )
        if identity and not failed(findings):
            try:
                findings += await try_identity(job)
            except SdsError as error:
                findings.append(fault("identity", error))
        return findings


def open_files(settings: Settings, profile: Profile) -> list[Finding]:
    """A warning for each file with secrets or pupils' data that other users of this machine can reach."""
    return [
        Finding(level="warning", topic="files", message=f"{each.path} {each.what}", remedy=each.remedy)
        for each in exposures(settings, profile)
    ]


async def try_source(settings: SourceSettings, clock: Clock) -> tuple[list[Finding], list[SchoolChoice]]:
    """A source by itself, before any profile names it: findings, and its schools where none is an error."""
    from sds_daemon.sources.powerschool.source import PowerSchoolSource

    try:
        source = PowerSchoolSource(settings, clock)
    except SdsError as error:
        return [fault("source", error)], []
    try:
        findings = await source.check(None)
        schools = [] if failed(findings) else await source.list_schools()
    except SdsError as error:
        return [fault("source", error)], []
    finally:
        await source.close()
    return findings, schools


async def try_tenant(settings: TenantSettings, clock: Clock) -> tuple[list[Finding], TenantFacts | None]:
    """A tenant by itself: findings, and what it is and has where none is an error. Only reads can leave."""
    from sds_daemon.targets.entra.target import EntraTarget

    try:
        target = EntraTarget(settings, clock, read_only=True, creating=False, priority="interactive")
    except SdsError as error:
        return [fault("tenant", error)], None
    try:
        findings = await target.check(creating=False, licenses=(), domains=())
        facts = None if failed(findings) else await target.facts()
    except SdsError as error:
        return [fault("tenant", error)], None
    finally:
        await target.close()
    return findings, facts


def failed(findings: list[Finding]) -> bool:
    """Whether one of them keeps a sync from working."""
    return any(finding.level == "error" for finding in findings)
