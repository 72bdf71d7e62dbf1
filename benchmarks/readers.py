"""The two readers of PowerSchool on the same district: `python -m benchmarks.readers --students 20000`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import report
from benchmarks.rig import ROOT, Rig, Setting, Watched

READERS = ("v1", "powerquery")
Row = dict[str, Any]


def compare(students: int, readers: Sequence[str] = READERS) -> list[Row]:
    """A row for each reader; the ratios are to the first one."""
    rows: list[Row] = []
    with Rig(Setting(students=students, log=200_000)) as rig:
        for name in readers:
            rig.edit("sources.powerschool", reader=name)
            mark = rig.mark()
            words = (sys.executable, "-m", "benchmarks.programs", "source", str(rig.config))
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
    """Compare at one size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=1000)
    rows = compare(parser.parse_args(words).students)
    show(rows)
    print(report.save("readers", rows))


if __name__ == "__main__":
    main()
