"""A daemon with pretended cycles, and a systemd that listens."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sds_daemon.clock import Clock
from sds_daemon.config.secrets import Secret
from sds_daemon.config.settings import DaemonSettings, Profile, Settings, SourceSettings, TenantSettings
from sds_daemon.daemon.notify import Notifier
from sds_daemon.daemon.service import Stop, serve
from sds_daemon.store import Store
from sds_daemon.sync.summary import RunSummary

Behaviour = Callable[[Profile, Stop], Awaitable[None]]


def settings(
    state: Path, *profiles: str, pause: int = 0, url: str = "https://sis.example.org", **more: Any
) -> Settings:
    """Settings with enabled profiles of these names."""
    rules = {"source": "sis", "tenant": "school", "schools": "all", "users": "match", "pause": pause} | more
    return Settings(
        daemon=DaemonSettings(state_dir=state),
        sources={
            "sis": SourceSettings(
                name="sis", type="powerschool", url=url, client_id=Secret("id"), client_secret=Secret("secret")
            )
        },
        tenants={
            "school": TenantSettings(name="school", tenant_id="7b0c9d3e-0000-4000-8000-000000000002", client_id="app")
        },
        profiles={name: Profile(name=name, **({"enabled": True} | rules)) for name in profiles},
    )


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.05)
        self._heard: list[str] = []
        self._open = True
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while self._open:
            try:
                self._heard.append(self._socket.recv(4096).decode())
            except TimeoutError:
                pass

    def heard(self) -> list[str]:
        """All messages so far (a moment is given to those on their way)."""
        time.sleep(0.02)
        return list(self._heard)

    def notifier(self, watchdog: float | None = None) -> Notifier:
        """What the daemon uses to speak to it."""
        environment = {"NOTIFY_SOCKET": str(self.path)}
        if watchdog is not None:
            environment["WATCHDOG_USEC"] = str(int(watchdog * 1_000_000))
        return Notifier(environment)

    def close(self) -> None:
        """Stop listening."""
        self._open = False
        self._reader.join()
        self._socket.close()


class Daemon:
    """`serve` with pretended cycles: `behave[name]` says what one of a profile does; `begun` lists all begun."""

    def __init__(self, current: Settings, store: Store, clock: Clock, **options: Any) -> None:
        self.configuration: Settings | Exception = current
        self.behave: dict[str, Behaviour] = {}
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.seen: list[tuple[str, str]] = []
        self.applied: list[Settings] = []
        self._start = current
        self._store = store
        self._clock = clock
        self._options = options

    async def _cycle(self, current: Settings, profile: Profile, stop: Stop) -> RunSummary:
        self.begun.append(profile.name)
        self.seen.append((profile.name, current.sources["sis"].url))
        try:
            if profile.name in self.behave:
                await self.behave[profile.name](profile, stop)
        finally:
            self.ended.append(profile.name)
        return RunSummary(run=len(self.begun), profile=profile.name, status="nothing_to_do")

    def _reload(self) -> Settings:
        if isinstance(self.configuration, Exception):
            raise self.configuration
        return self.configuration

    async def serve(self) -> None:
        """Until SIGTERM."""
        await serve(
            self._start,
            run_profile=self._cycle,
            store=self._store,
            clock=self._clock,
            reload=self._reload,
            applied=self.applied.append,
            **self._options,
        )


@asynccontextmanager
async def serving(daemon: Daemon) -> AsyncIterator[asyncio.Task[None]]:
    """The daemon as a task, told to stop at the end by a real signal."""
    task = asyncio.create_task(daemon.serve())
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 20)


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something to become true; fail when it does not."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def until_stopped(_: Profile, stop: Stop) -> None:
    """A cycle that goes from batch to batch until it is asked to stop."""
    while not stop():
        await asyncio.sleep(0.005)


async def for_ever(_: Profile, __: Stop) -> None:
    """A cycle that does not look at its stop."""
    await asyncio.sleep(3600)
