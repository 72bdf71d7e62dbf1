"""Parts of the program alone, each as a process: `python -m benchmarks.programs PART CONFIG`.

`source`: two snapshots by the reader the configuration names. `directory`: the tenant's users, groups and units into a
new state database. Each prints one JSON value: CPU and wall seconds of the work itself, first imports included.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sds_daemon.assembly import make_source, make_target, open_store
from sds_daemon.clock import Clock
from sds_daemon.config.load import load
from sds_daemon.config.settings import Settings
from sds_daemon.sources.base import Scope

PROFILE = "district"
Figures = dict[str, Any]


@contextmanager
def _timed(figures: Figures) -> Iterator[None]:
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    figures["cpu"], figures["wall"] = time.process_time() - cpu, time.perf_counter() - wall
    figures["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def read_source(settings: Settings) -> list[Figures]:
    """Two snapshots, one after the other: the server's caches cold, then warm."""
    source = make_source(settings, settings.profile(PROFILE), Clock())
    rounds: list[Figures] = [{}, {}]
    try:
        for figures in rounds:
            with _timed(figures):
                snapshot = await source.read(Scope())
            figures["enrollments"] = sum(len(section.students) for section in snapshot.sections.values())
            figures["proved"] = not snapshot.proof.unproved()
            del snapshot
    finally:
        await source.close()
    return rounds


async def read_directory(settings: Settings) -> Figures:
    """A first read of the whole directory by delta."""
    profile, figures = settings.profile(PROFILE), Figures()
    target = make_target(settings, profile, Clock(), read_only=True)
    with tempfile.TemporaryDirectory(prefix="sds-bench-") as folder:
        database = settings.daemon.model_copy(update={"database": Path(folder) / "state.db"})
        store = open_store(settings.model_copy(update={"daemon": database}), Clock())
        try:
            facts = await target.facts()
            directory = store.directory(facts.tenant_id, lag=timedelta(seconds=900))
            with _timed(figures):
                await target.refresh(directory)
        finally:
            await target.close()
            store.close()
    return figures


def main() -> None:
    """Do the part named and print its figures."""
    parts = {"source": read_source, "directory": read_directory}
    work: Any = parts[sys.argv[1]]
    print(json.dumps(asyncio.run(work(load(Path(sys.argv[2]))))))


if __name__ == "__main__":
    main()
