"""All benchmarks one after the other: `make bench` (some minutes), `make bench-full` (up to an hour)."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks import first_sync, growth, naive, no_change, readers, report, startup
from benchmarks.bounds import guessed_scale
from benchmarks.rig import Rig, Setting

Row = dict[str, Any]
SYNC_FIGURES = {"own CPU": "CPU s of a first sync", "peak MB": "peak memory of a first sync"}
CYCLE_FIGURES = {
    "CPU s": "CPU s of a cycle without change",
    "wall s": "wall s of a cycle without change",
    "peak MB": "peak memory of such cycles",
    "resident MB": "resident memory of such cycles",
}


@dataclass(frozen=True)
class Plan:
    """How much is measured. `sizes`: first syncs followed by cycles; `models`: the size with all ways of counting."""

    compared: int
    sizes: tuple[int, ...]
    models: int | None
    microsoft: bool
    hundred: dict[int, int]
    readers: int
    items_per_second: float
    batches: int


SHORT = Plan(
    compared=300, sizes=(1000, 4000), models=None, microsoft=False, hundred={1000: 20}, readers=1000,
    items_per_second=500.0, batches=400,
)  # fmt: skip
FULL = Plan(
    compared=1000, sizes=(1000, 20_000, 200_000), models=20_000, microsoft=True, hundred={20_000: 100},
    readers=20_000, items_per_second=500.0, batches=1000,
)  # fmt: skip


@dataclass
class Found:
    """What has been measured so far."""

    start_up: float = 0.0
    syncs: list[Row] = field(default_factory=list)
    cycles: dict[str, list[Row]] = field(default_factory=lambda: {"unchanged": [], "steady": [], "changed": []})


def measure(plan: Plan) -> None:
    """Everything in turn; each table is printed and saved as soon as it is there."""
    found = Found()
    _timed("start", _start)
    _timed("others", lambda: naive.compare(plan.compared, plan.batches))
    _timed("readers", lambda: _readers(plan.readers))
    found.start_up = first_sync.start_up()
    for students in plan.sizes:
        _timed(f"{students:,} students", lambda students=students: _size(plan, students, found))  # type: ignore[misc]
    if plan.models is not None:
        _timed("ways of counting", lambda: _models(plan, found))
    if plan.microsoft:
        _timed("Microsoft's case", lambda: _microsoft(plan, found))
    _growth(found)


def _timed(name: str, work: Callable[[], None]) -> None:
    begun = time.monotonic()
    print(f"\n==> {name}", flush=True)
    work()
    print(f"({time.monotonic() - begun:.0f} s)", flush=True)


def _start() -> None:
    rows = startup.measure()
    startup.show(rows)
    report.save("startup", rows)


def _readers(students: int) -> None:
    rows = readers.compare(students)
    readers.show(rows)
    report.save("readers", rows)


def _size(plan: Plan, students: int, found: Found) -> None:
    """A first sync by the costliest way of counting, and the cycles after it in the same sandbox."""
    setting = Setting(students=students, cost_model="thirds", counted=True, log=no_change.LOG_ROWS)
    setting = replace(setting, scale=guessed_scale(students, setting, plan.items_per_second))
    name = f"{students:,} students"

    def then(rig: Rig) -> None:
        more = no_change.everything(rig, name, hundred=plan.hundred.get(students, 0))
        for kind, rows in more.items():
            found.cycles[kind] += [{**row, "students": students} for row in rows]

    row = first_sync.measure(setting, name, found.start_up, then=then)
    found.syncs.append({**row, "students": students, "own CPU": row["CPU s"] - found.start_up})
    first_sync.show([found.syncs[-1]])
    no_change.show({kind: [row for row in rows if row["students"] == students] for kind, rows in found.cycles.items()})
    _save(found)


def _models(plan: Plan, found: Found) -> None:
    rows = []
    for model, counted in first_sync.MODELS:
        if (model, counted) != ("thirds", True):
            setting = Setting(students=plan.models or 0, cost_model=model, counted=counted)
            rows.append(first_sync.case(setting, found.start_up, items_per_second=plan.items_per_second))
    first_sync.show(rows)
    found.syncs += rows
    _save(found)


def _microsoft(plan: Plan, found: Found) -> None:
    rows = []
    for model, counted in (("one", False), ("thirds", True)):
        setting = Setting(cost_model=model, counted=counted)
        rows.append(first_sync.microsoft_case(setting, found.start_up, items_per_second=plan.items_per_second))
    first_sync.show(rows)
    found.syncs += rows
    _save(found)


def _save(found: Found) -> None:
    report.save("first_sync", found.syncs, start_up=found.start_up)
    cycles = found.cycles
    report.save("no_change", cycles["unchanged"], changed=cycles["changed"], steady=cycles["steady"])


def _growth(found: Found) -> None:
    syncs = [row for row in found.syncs if "students" in row]
    rows = growth.exponents(syncs, SYNC_FIGURES) + growth.exponents(found.cycles["unchanged"], CYCLE_FIGURES)
    growth.show(rows)
    report.save("growth", rows)


def main(words: Sequence[str] | None = None) -> None:
    """Short unless told otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all sizes up to 200,000 students")
    begun = time.monotonic()
    measure(FULL if parser.parse_args(words).full else SHORT)
    print(f"\n{(time.monotonic() - begun) / 60:.1f} minutes; JSON in {report.RESULTS}; {report.machine()}")


if __name__ == "__main__":
    main()
