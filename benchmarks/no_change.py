"""Cycles in which nothing changed, beside a bare reader of the same answers; then cycles in which a little did.

`python -m benchmarks.no_change --students 20000`
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from benchmarks import report
from benchmarks.bounds import guessed_scale
from benchmarks.cycles import run_cycles
from benchmarks.first_sync import ITEMS_PER_SECOND
from benchmarks.naive import client
from benchmarks.rig import PROFILE, Rig, Setting, Usage

LOG_ROWS = 20_000
SHARE = 0.005
Row = dict[str, Any]


def unchanged(rig: Rig, name: str, *, cycles: int = 3) -> Row:
    """After a first sync: cycles of one daemon process, and the bare reader after it."""
    rig.sync()  # sees the first sync's work come back by delta
    mark = rig.mark()
    series = run_cycles(rig, cycles + 1)
    asked = _one_cycle(rig, mark, cycles + 1)
    planned = [cycle.summary["planned"] for cycle in series.cycles]
    reader = bare_reader(rig, asked, cycles)
    cpu, wall = series.median(series.cpu), series.median([cycle.wall for cycle in series.cycles])
    bare_cpu, bare_wall = statistics.median(reader["cpu"]), statistics.median(reader["wall"])
    return {
        "case": name,
        "rows": reader["rows"],
        "source calls": len(asked),
        "graph requests": round(series.graph_requests / (cycles + 1), 1),
        "CPU s": cpu,
        "bare CPU s": bare_cpu,
        "CPU ratio": cpu / bare_cpu,
        "wall s": wall,
        "bare wall s": bare_wall,
        "wall ratio": wall / bare_wall,
        "peak MB": series.usage.peak,
        "resident MB": series.median(series.resident),
        "planned": sum(sum(kinds.values()) for kinds in planned),
        "each CPU": [round(value, 2) for value in series.cpu],
    }


def _one_cycle(rig: Rig, mark: int, cycles: int) -> list[dict[str, Any]]:
    """The requests to PowerSchool of one cycle among several alike; the token is asked for once and left out."""
    rows = [row for row in rig.requests("powerschool", mark) if not row["path"].startswith("/oauth")]
    return rows[-(len(rows) // cycles) :]


def bare_reader(rig: Rig, asked: Sequence[Row], rounds: int) -> dict[str, Any]:
    """The same requests by httpx and msgspec alone: CPU and wall of each round."""
    path = rig.folder / "asked.json"
    path.write_text(json.dumps([{key: row[key] for key in ("method", "path", "query", "body")} for row in asked]))
    usage, counts = client(rig, "reader", str(path), str(rounds))
    return {**counts, "peak": usage.peak}


def little_changed(rig: Rig, name: str, shares: Sequence[float]) -> list[Row]:
    """Shares of all enrollments end and begin elsewhere, a process for each, after one that finds nothing new and one
    that works everything out all the same."""
    rig.sync()
    still, summary = rig.sync()
    whole = rig.run("sync", PROFILE, "--full", "--json")
    rows = [_cost(f"{name}, nothing", 0, 0, still, whole), _cost(f"{name}, nothing, in full", 0, 0, whole, whole)]
    for share in shares:
        rig.post("clock", {"now": datetime.now(UTC).isoformat()})
        count = round(share * summary["snapshot"]["enrollments"])
        moved = rig.post("powerschool/change", [{"op": "move_students", "count": count}])["results"][0]["moved"]
        usage, changed = rig.sync()
        rows.append(_cost(f"{name}, {share:.2%}", moved, sum(changed["applied"].values()), usage, whole))
    return rows


def _cost(case: str, moved: int, changes: int, usage: Usage, whole: Usage) -> Row:
    return {
        "case": case,
        "moved": moved,
        "changes": changes,
        "CPU s": usage.cpu,
        "beyond full": 1000 * (usage.cpu - whole.cpu) / changes if changes else None,
        "wall s": usage.wall,
        "peak MB": usage.peak,
    }


def steady(rig: Rig, name: str, cycles: int) -> Row:
    """Resident memory over many cycles of one process."""
    series = run_cycles(rig, cycles)
    level = series.resident
    tenth = max(1, cycles // 10)
    return {
        "case": name,
        "cycles": cycles,
        "first MB": level[0],
        "early MB": statistics.median(level[1 : 1 + tenth]),
        "late MB": statistics.median(level[-tenth:]),
        "most MB": max(level),
        "peak MB": series.usage.peak,
        "CPU s a cycle": series.median(series.cpu),
    }


def everything(rig: Rig, name: str, *, hundred: int = 0) -> dict[str, list[Row]]:
    """All that is measured after a first sync."""
    found: dict[str, list[Row]] = {"unchanged": [unchanged(rig, name)], "steady": [], "changed": []}
    if hundred:
        found["steady"].append(steady(rig, name, hundred))
    found["changed"] = little_changed(rig, name, (SHARE / 2, SHARE))
    return found


def show(found: dict[str, list[Row]]) -> None:
    """The tables."""
    rows = [{key: value for key, value in row.items() if key != "each CPU"} for row in found["unchanged"]]
    report.table("Nothing changed (median cycle of one process; the bare reader fetches and decodes the same)", rows)
    report.table(
        "A few enrollments changed (a process each, start included; beyond full: CPU s per 1,000 changes)",
        found["changed"],
    )
    report.table("Memory over many cycles", found["steady"])


def main(words: Sequence[str] | None = None) -> None:
    """A first sync of some size, then the cycles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=1000)
    parser.add_argument("--hundred", type=int, default=0, help="so many cycles to watch the memory over")
    options = parser.parse_args(words)
    begun = time.monotonic()
    setting = Setting(students=options.students, counted=True, log=LOG_ROWS)
    setting = replace(setting, scale=guessed_scale(options.students, setting, 2 * ITEMS_PER_SECOND))
    with Rig(setting) as rig:
        rig.sync()
        found = everything(rig, f"{options.students:,} students", hundred=options.hundred)
    show(found)
    path = report.save("no_change", found["unchanged"], **{k: v for k, v in found.items() if k != "unchanged"})
    print(f"{path}; {time.monotonic() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
