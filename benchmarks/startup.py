"""How long the command line takes to say something: `python -m benchmarks.startup`."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.rig import PROGRAM, Watched

COMMANDS = (("--help",), ("sync", "--help"), ("--version",))
Row = dict[str, Any]


def measure(times: int = 11) -> list[Row]:
    """Median and best wall time and CPU of each command, the first run (cold caches) left out."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="sds-bench-") as folder:
        for words in COMMANDS:
            used = [Watched(*PROGRAM, *words, folder=Path(folder)).wait() for _ in range(times)][1:]
            if any(one.code for one in used):
                raise SystemExit(f"{words} ended with {used[0].code}: {used[0].err}")
            walls = [one.wall for one in used]
            rows.append(
                {
                    "command": f"sds-daemon {' '.join(words)}",
                    "median s": statistics.median(walls),
                    "best s": min(walls),
                    "CPU s": statistics.median(one.cpu for one in used),
                    "peak MB": max(one.peak for one in used),
                }
            )
    return rows


def show(rows: list[Row]) -> None:
    """The table."""
    report.table("Start", rows)


def main() -> None:
    """Measure and print."""
    rows = measure()
    show(rows)
    print(report.save("startup", rows))


if __name__ == "__main__":
    main()
