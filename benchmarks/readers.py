"""The two readers of PowerSchool on the same district: `python -m benchmarks.readers --students 20000`.

`python -m benchmarks.readers --read CONFIG` is the process that reads, and reads only: the sandbox's answers by the
reader the configuration names, first with the server's caches cold, then warm.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.rig import ROOT, Rig, Setting, Watched

READERS = ("v1", "powerquery")
Row = dict[str, Any]


async def read(config: Path) -> list[Row]:
    """Two snapshots by the program's own source, one after the other."""
    from sds_daemon.assembly import make_source
    from sds_daemon.clock import Clock
    from sds_daemon.config.load import load
    from sds_daemon.sources.base import Scope

    settings, clock = load(config), Clock()
    source = make_source(settings, settings.profile("district"), clock)
    figures: list[Row] = []
    try:
        for _ in range(2):
            cpu, wall = time.process_time(), time.perf_counter()
            snapshot = await source.read(Scope())
            figures.append(
                {
                    "cpu": time.process_time() - cpu,
                    "wall": time.perf_counter() - wall,
                    "enrollments": sum(len(section.students) for section in snapshot.sections.values()),
                    "proved": not snapshot.proof.unproved(),
                }
            )
            del snapshot
    finally:
        await source.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [{**figure, "peak": peak} for figure in figures]


def compare(students: int, readers: Sequence[str] = READERS) -> list[Row]:
    """A row for each reader; the ratios are to the first one."""
    rows: list[Row] = []
    with Rig(Setting(students=students, log=200_000)) as rig:
        for name in readers:
            rig.edit("sources.powerschool", reader=name)
            mark = rig.mark()
            words = (sys.executable, "-m", "benchmarks.readers", "--read", str(rig.config))
            usage = Watched(*words, folder=ROOT).wait()
            if usage.code:
                raise SystemExit(f"the reader {name} ended with {usage.code}: {usage.err[-3000:]}")
            cold, warm = json.loads(usage.out)
            calls = len(rig.requests("powerschool", mark)) // 2
            rows.append(
                {
                    "reader": name,
                    "students": students,
                    "enrollments": warm["enrollments"],
                    "calls": calls,
                    "wall s": warm["wall"],
                    "CPU s": warm["cpu"],
                    "first wall s": cold["wall"],
                    "first CPU s": cold["cpu"],
                    "peak MB": warm["peak"],
                    "wall ratio": rows[0]["wall s"] / warm["wall"] if rows else 1.0,
                    "CPU ratio": rows[0]["CPU s"] / warm["cpu"] if rows else 1.0,
                }
            )
    return rows


def show(rows: Sequence[Row]) -> None:
    """The table."""
    report.table("Readers of PowerSchool (the second snapshot of one process)", rows)


def main(words: Sequence[str] | None = None) -> None:
    """Compare, or be the process that reads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=1000)
    parser.add_argument("--read", type=Path, help="read with this configuration and print what it took")
    options = parser.parse_args(words)
    if options.read is not None:
        print(json.dumps(asyncio.run(read(options.read))))
        return
    rows = compare(options.students)
    show(rows)
    print(report.save("readers", rows))


if __name__ == "__main__":
    main()
