"""The daemon: cycle after cycle of every enabled profile, until it is told to stop. Read `serve` first."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from loguru import logger

from sds_daemon.clock import Clock
from sds_daemon.config.settings import Profile, Settings
from sds_daemon.daemon.notify import Notifier
from sds_daemon.daemon.schedule import Schedule
from sds_daemon.errors import AtRest, Interrupted, LeaseHeld, SdsError, StateError
from sds_daemon.store import ProfileState, Store
from sds_daemon.store.profiles import QUARANTINED
from sds_daemon.sync.summary import RunSummary

Stop = Callable[[], bool]
RunProfile = Callable[[Settings, Profile, Stop], Awaitable[RunSummary]]
Nightly = Callable[[Settings, Stop], Awaitable[None]]

KEEP_DAYS = 90
DRAIN_SECONDS = 100.0  # less than TimeoutStopSec= of the unit
HELD_ELSEWHERE_SECONDS = 60.0
FAILURE_SECONDS = 60.0
STATUS_SECONDS = 30.0


async def serve(
    settings: Settings,
    *,
    run_profile: RunProfile,
    store: Store,
    clock: Clock,
    reload: Callable[[], Settings],
    applied: Callable[[Settings], None] = lambda _: None,
    nightly: Nightly | None = None,
    notifier: Notifier | None = None,
    drain: float = DRAIN_SECONDS,
) -> None:
    """Run until SIGTERM or SIGINT. Returns when every cycle has ended; a second signal cancels what still runs.

    `run_profile` carries out one cycle and looks at its stop between batches. `reload` reads the configuration anew on
    SIGHUP (a ConfigurationError keeps the old one); `applied` is called with each configuration that takes effect after
    the first. `nightly` is the reconciliation. `drain`: seconds cycles get to end before they are cancelled.
    """
    service = Service(settings, run_profile, store, clock, notifier or Notifier(), nightly)
    with service.signals(lambda: service.reload(reload, applied)):
        service.start()
        await service.stopped()
        await service.drain(drain)


class Service:
    """What `serve` is made of. Everything happens on one loop; the store's waits are kept off it."""

    def __init__(
        self,
        settings: Settings,
        run_profile: RunProfile,
        store: Store,
        clock: Clock,
        notifier: Notifier,
        nightly: Nightly | None,
    ) -> None:
        self._settings = settings
        self._run_profile = run_profile
        self._store = store
        self._clock = clock
        self._notifier = notifier
        self._nightly = nightly
        self._schedule = Schedule(default_pause=FAILURE_SECONDS)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._changed: set[str] = set()
        self._reloading = asyncio.Lock()

    def start(self) -> None:
        """Arm every enabled profile and the clock jobs; tell systemd."""
        for name in self._enabled(self._settings):
            self._schedule.add(name, self.cycle)
        self._schedule.nightly("clean-up", 3, 10, self._clean_up)
        if self._nightly is not None:
            self._schedule.nightly("reconciliation", 3, 30, self._reconcile)
        self._schedule.start()
        self._spawn(self._beat())
        logger.bind(action="start").info("started with {} enabled profiles", len(self._enabled(self._settings)))
        self._notifier.ready()

    async def stopped(self) -> None:
        """Wait for the first signal to stop."""
        await self._stop.wait()

    def stop(self, why: str) -> None:
        """Stop between batches; asked a second time, at once."""
        if self._stop.is_set():
            logger.bind(action="stop").warning("{} again: what still runs is cut off", why)
            self._hurry.set()
            return
        logger.bind(action="stop").info("{}: stopping; cycles end after the batch they are in", why)
        self._stop.set()
        self._notifier.stopping()

    async def drain(self, seconds: float) -> None:
        """Let running cycles end, cut off what takes longer, and only then shut the scheduler down."""
        self._schedule.hold()
        await asyncio.sleep(0)  # a cycle handed to the loop a moment ago begins, sees the stop and ends
        if self._running:
            await self._wait_for(list(self._running.values()), seconds)
        self._schedule.shutdown()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        logger.bind(action="stop").info("stopped")

    async def cycle(self, name: str) -> float:
        """One cycle of a profile, whatever comes of it. Returns the seconds until the next."""
        profile = self._settings.profiles.get(name)
        if profile is None or self._halted(name):
            return FAILURE_SECONDS
        with self._tracked(name):
            before = await self._state(name)
            if before.paused or self._in_quarantine(name, before):
                return FAILURE_SECONDS
            calls = 0
            try:
                calls = (await self._run_profile(self._settings, profile, lambda: self._halted(name))).source_calls
            except asyncio.CancelledError:
                logger.bind(profile=name, action="stop").warning(
                    "the cycle was cut off; the next one looks up what it had sent"
                )
            except LeaseHeld as error:
                logger.bind(profile=name, action="lease").info("{}", error)
                return HELD_ELSEWHERE_SECONDS
            except Interrupted:
                pass
            except AtRest as error:
                logger.bind(profile=name, action="rest").info("{}", error)
                return FAILURE_SECONDS
            except SdsError as error:
                return await self._failed(name, before, str(error))
            except Exception as error:  # noqa: BLE001 - a defect in a cycle must not end the service
                logger.bind(profile=name, action="defect").opt(exception=True).error("the cycle met a defect")
                return await self._failed(name, before, f"defect: {type(error).__name__}")
            return float(profile.rest_after(calls))

    async def reload(self, read: Callable[[], Settings], applied: Callable[[Settings], None]) -> None:
        """Read the configuration anew; a bad one is refused in one line and the old one goes on."""
        bound = logger.bind(action="reload")
        async with self._reloading:
            self._notifier.reloading()
            try:
                settings = await asyncio.to_thread(read)
            except SdsError as error:
                bound.error("the new configuration is refused, the old one goes on: {}", "; ".join(_lines(error)))
            except Exception:  # noqa: BLE001 - nor may a defect in reading it
                bound.opt(exception=True).error("the new configuration could not be read, the old one goes on")
            else:
                self._take(settings)
                applied(settings)
                bound.info("configuration read anew; {} profiles enabled", len(self._enabled(settings)))
            finally:
                self._notifier.ready()

    @contextmanager
    def signals(self, reload: Callable[[], Coroutine[Any, Any, None]]) -> Iterator[None]:
        """SIGTERM and SIGINT stop, SIGHUP reloads, while the context lasts."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(reload()))
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def describe(self) -> str:
        """What runs, what fails, what comes next: the line `systemctl status` shows."""
        parts = [f"{len(self._enabled(self._settings))} profiles enabled"]
        if self._stop.is_set():
            parts.append("stopping")
        if self._running:
            parts.append(f"running: {', '.join(sorted(self._running))}")
        waiting = {name: due for name, due in self._schedule.next_runs().items() if name not in self._running}
        if waiting and not self._stop.is_set():
            name = min(waiting, key=lambda profile: waiting[profile])
            parts.append(f"next: {name} at {waiting[name].astimezone():%H:%M:%S}")
        return "; ".join(parts)

    async def _failed(self, name: str, before: ProfileState, reason: str) -> float:
        """The pause after a failure. A run that had begun has counted its failure itself; else it is done here."""
        bound = logger.bind(profile=name, action="failed")
        state = await self._state(name)
        if state.failures == before.failures:
            bound.error("the cycle could not begin or end: {}", reason)
            try:
                state = await asyncio.to_thread(self._store.profiles.failed, name, reason)
            except StateError as error:
                bound.error("{}", error)
                return FAILURE_SECONDS
        if state.next_attempt is None:
            return FAILURE_SECONDS
        pause = max((state.next_attempt - self._clock.now()).total_seconds(), 0.0)
        bound.warning("{} failures in a row ({}); next attempt in {:.0f} s", state.failures, state.state, pause)
        return min(pause, FAILURE_SECONDS) if state.state == QUARANTINED else pause

    def _in_quarantine(self, name: str, state: ProfileState) -> bool:
        """Whether the profile has to wait. It is looked at again and again, since a person may end the quarantine; a
        changed configuration is tried at once."""
        changed = name in self._changed
        self._changed.discard(name)
        if changed or state.state != QUARANTINED or state.next_attempt is None:
            return False
        return state.next_attempt > self._clock.now()

    async def _state(self, name: str) -> ProfileState:
        try:
            return await asyncio.to_thread(self._store.profiles.state, name)
        except StateError:
            return ProfileState()

    def _halted(self, name: str) -> bool:
        """Whether a cycle should end: the service stops, or its profile was disabled or taken out meanwhile."""
        return self._stop.is_set() or name not in self._enabled(self._settings)

    @staticmethod
    def _enabled(settings: Settings) -> list[str]:
        return [name for name, profile in settings.profiles.items() if profile.enabled]

    def _take(self, settings: Settings) -> None:
        old, self._settings = self._settings, settings
        before, after = set(self._enabled(old)), set(self._enabled(settings))
        for name in before - after:
            self._schedule.remove(name)
        for name in after:
            if name not in before:
                self._schedule.add(name, self.cycle)
            if name not in before or _rules_of(old, name) != _rules_of(settings, name):
                self._changed.add(name)
                self._schedule.kick(name, running=name in self._running)
        if old.daemon.database_path != settings.daemon.database_path:
            logger.bind(action="reload").warning("daemon.database and daemon.state_dir take effect after a restart")
        self._tell()

    @contextmanager
    def _tracked(self, name: str) -> Iterator[None]:
        """Count the current task as work to be drained."""
        task = asyncio.current_task()
        assert task is not None
        self._running[name] = task
        self._tell()
        try:
            yield
        finally:
            del self._running[name]
            self._tell()

    async def _wait_for(self, tasks: list[asyncio.Task[Any]], seconds: float) -> None:
        logger.bind(action="stop").info("waiting for {}", ", ".join(sorted(self._running)))
        ended = asyncio.ensure_future(asyncio.wait(tasks))
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({ended, hurry}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        hurry.cancel()
        await asyncio.gather(ended, hurry, return_exceptions=True)

    async def _beat(self) -> None:
        """Signs of life. They come from the loop that does the work, so a loop that hangs falls silent."""
        while True:
            self._notifier.alive()
            self._tell()
            self._schedule.heed_clock()
            await asyncio.sleep(min(self._notifier.watchdog_pause or STATUS_SECONDS, STATUS_SECONDS))

    async def _clean_up(self) -> None:
        with self._tracked("clean-up"):
            try:
                runs = await asyncio.to_thread(self._store.runs.prune, KEEP_DAYS)
                issues = await asyncio.to_thread(self._store.issues.prune, KEEP_DAYS)
                await asyncio.to_thread(self._store.drift.prune, KEEP_DAYS)
                logger.bind(action="clean_up").info("removed {} old runs and {} resolved issues", runs, issues)
            except StateError as error:
                logger.bind(action="clean_up").error("{}", error)

    async def _reconcile(self) -> None:
        assert self._nightly is not None
        with self._tracked("reconciliation"):
            try:
                await self._nightly(self._settings, self._stop.is_set)
            except SdsError as error:
                logger.bind(action="reconcile").error("{}", error)
            except Exception:  # noqa: BLE001 - as for cycles
                logger.bind(action="defect").opt(exception=True).error("the nightly reconciliation met a defect")

    def _tell(self) -> None:
        self._notifier.status(self.describe())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _rules_of(settings: Settings, name: str) -> tuple[object, ...]:
    """All settings a profile's cycle depends on."""
    profile = settings.profiles[name]
    return (profile, settings.sources.get(profile.source), settings.tenants.get(profile.tenant))


def _lines(error: SdsError) -> list[str]:
    return [line.strip() for line in str(error).splitlines() if line.strip()]
