"""The frame of the commands that work on a profile: configuration and state opened, signals heeded, progress shown."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from sds_daemon.clock import Clock
    from sds_daemon.config.settings import Settings
    from sds_daemon.sources.base import Progress
    from sds_daemon.store import Store

T = TypeVar("T")
Stop = Callable[[], bool]


class Office(NamedTuple):
    """What the work is done with."""

    settings: Settings
    store: Store
    clock: Clock


@contextmanager
def opened(context: object, profile: str | None = None) -> Iterator[Office]:
    """The configuration, the state database (migrated; closed at the end) and the clock, with logging set up.

    `context` is what click passes on as `obj`. Raises UsageError for a `profile` that is not configured, before any
    file is made; ConfigurationError, StateError.
    """
    from sds_daemon.assembly import open_store
    from sds_daemon.cli.context import load_settings

    settings, clock = load_settings(context)
    if profile is not None:
        settings.profile(profile)
    store = open_store(settings, clock)
    try:
        yield Office(settings, store, clock)
    finally:
        store.close()


def carried_out(work: Callable[[Stop, Progress], Coroutine[Any, Any, T]], *, quiet: bool) -> T:
    """The result of `work`, which is given a function that tells whether a signal has asked to stop, and a progress
    sink. `quiet`: no progress even on a terminal. Raises what `work` raises."""
    from sds_daemon.cli.context import stopping
    from sds_daemon.cli.progress import progress_bar
    from sds_daemon.event_loop import run

    async def watched() -> T:
        with stopping() as stop, progress_bar(quiet=quiet) as progress:
            return await work(stop, progress)

    return run(watched())
