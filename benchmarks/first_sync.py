"""First syncs of districts of several sizes: how much of the quota is used, and what that costs in CPU.

`python -m benchmarks.first_sync --students 20000 --cost-model thirds --counted`
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import microsoft, report
from benchmarks.bounds import Bound, fewest, guessed_scale
from benchmarks.rig import QUOTA, Rig, Setting, Usage

ITEMS_PER_SECOND = 500.0
"""How fast the compressed quota lets batch items through: well below what daemon and sandbox can do on two cores."""
MODELS = tuple((model, counted) for model in ("one", "thirds") for counted in (False, True))
Row = dict[str, Any]


def measure(setting: Setting, name: str, start_up: float, *, then: Callable[[Rig], None] | None = None) -> Row:
    """One first sync; a row for the table. `then` is called with the rig while the sandbox still runs."""
    with Rig(setting) as rig:
        before = rig.sandbox_usage()
        usage, summary = rig.sync()
        after = rig.sandbox_usage()
        counters, sizes = rig.statistics(), rig.get("entra/sizes")
        row = _row(setting, name, usage, start_up, counters, fewest(sizes, setting))
        row["planned"] = summary["planned"]
        row["status"] = summary["status"]
        row["by_kind"] = counters["by_kind"]
        row["sandbox CPU s"], row["sandbox MB"] = after.cpu - before.cpu, after.resident
        if then is not None:
            then(rig)
    return row


def _row(setting: Setting, name: str, usage: Usage, start_up: float, counters: Mapping[str, Any], bound: Bound) -> Row:
    first, last = counters["first_write"], counters["last_write"]
    seconds = last - first
    writes = sum(counters["by_kind"].values())
    refused = counters["refused_writes"]
    items = counters["batch_items"]
    writing = usage.cpu_at(last) - usage.cpu_at(first)
    return {
        "case": name,
        "multi-add": setting.cost_model,
        "edu counted": setting.counted,
        "scale": setting.scale,
        "writes": writes,
        "minimum": bound.requests,
        "cost": counters["write_cost"],
        "writing s": seconds,
        "bound s": bound.seconds(setting),
        "of quota": counters["write_cost"] / (QUOTA + setting.rate * seconds),
        "wall/bound": seconds / bound.seconds(setting) if bound.seconds(setting) else None,
        "refused %": 100 * refused / max(1, writes + refused),
        "items/s": items / seconds,
        "CPU s/1000 writing": 1000 * writing / items,
        "CPU s/1000 whole": 1000 * (usage.cpu - start_up) / items,
        "real": _clock_time(seconds * setting.scale),
        "before s": first - usage.began,
        "whole s": usage.wall,
        "CPU s": usage.cpu,
        "peak MB": usage.peak,
        "cost bound": bound.cost,
    }


def _clock_time(seconds: float) -> str:
    return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d}:{int(seconds % 60):02d}"


def start_up() -> float:
    """CPU seconds of a sync with next to nothing to do: interpreter, imports, connections."""
    with Rig(Setting(students=1)) as rig:
        rig.sync()
        return rig.sync()[0].cpu


def case(setting: Setting, start: float, *, items_per_second: float = ITEMS_PER_SECOND) -> Row:
    """A generated district; where it has more to write than the bucket holds, time is compressed to suit."""
    chosen = replace(setting, scale=guessed_scale(setting.students, setting, items_per_second))
    return measure(chosen, f"{chosen.students:,} students", start)


def microsoft_case(setting: Setting, start: float, *, items_per_second: float = ITEMS_PER_SECOND) -> Row:
    """Microsoft's table: existing users, all their classes new."""
    with tempfile.TemporaryDirectory(prefix="sds-bench-") as folder:
        scale = guessed_scale(microsoft.STUDENTS, setting, items_per_second)
        chosen = replace(setting, users="match", district=microsoft.write(Path(folder) / "district"), scale=scale)
        row = measure(chosen, "10k/3k/90k, match", start)
    row["times faster"] = microsoft.HOURS * 3600 / (row["writing s"] * chosen.scale)
    return row


def show(rows: Sequence[Row]) -> None:
    """The table; what the JSON has beside it is left out."""
    hidden = {
        "planned",
        "status",
        "by_kind",
        "cost bound",
        "students",
        "own CPU",
        "sandbox CPU s",
        "sandbox MB",
        "before s",
        "whole s",
        "CPU s",
    }
    report.table("First sync", [{k: v for k, v in row.items() if k not in hidden} for row in rows])
    kept = ("case", "before s", "whole s", "CPU s", "peak MB", "sandbox CPU s", "sandbox MB")
    report.table("First sync: the whole process", [{k: row[k] for k in kept} for row in rows])


def main(words: Sequence[str] | None = None) -> None:
    """Measure what the options name: one case, or `--models` for all four ways of counting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=1000)
    parser.add_argument("--microsoft", action="store_true", help="10,000 existing users, 3,000 classes, 90,000")
    parser.add_argument("--cost-model", choices=("one", "thirds"), default="one")
    parser.add_argument("--counted", action="store_true", help="calls under /education use the write quota")
    parser.add_argument("--models", action="store_true", help="all four ways of counting")
    parser.add_argument("--items-per-second", type=float, default=ITEMS_PER_SECOND)
    options = parser.parse_args(words)
    begun, start = time.monotonic(), start_up()
    models = MODELS if options.models else ((options.cost_model, options.counted),)
    rows = []
    for model, counted in models:
        setting = Setting(students=options.students, cost_model=model, counted=counted)
        one = microsoft_case if options.microsoft else case
        rows.append(one(setting, start, items_per_second=options.items_per_second))
    show(rows)
    path = report.save("first_sync", rows, start_up=start)
    print(f"start-up {start:.2f} s CPU (subtracted where it says so); {path}; {time.monotonic() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
