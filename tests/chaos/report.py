"""The counts of all chaos tests of a session: printed at its end, and written to $CHAOS_REPORT as JSON."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

MOMENTS = {
    "unsent": "intention stored and unsent",
    "unanswered": "sent and unanswered",
    "unrecorded": "answered and unrecorded",
    "between": "between batches",
    "reading": "while reading",
}


def gathered(reports: Iterable[Any]) -> dict[str, dict[str, int]]:
    """The counts of all tests together; nothing when none of them was run."""
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for report in reports:
        for name, counts in getattr(report, "user_properties", ()):
            if name == "chaos" and report.when == "teardown":
                for kind, numbers in counts.items():
                    sums[kind].update(numbers)
    return {kind: dict(sorted(numbers.items())) for kind, numbers in sums.items()}


def lines(counts: dict[str, dict[str, int]]) -> Iterator[str]:
    """The counts for people."""
    yield "runs: " + _listed(counts["runs"])
    by_moment: Counter[str] = Counter()
    for name, number in counts["kills"].items():
        _, _, moment = name.rpartition(" ")
        by_moment[MOMENTS.get(moment, name)] += number
    yield f"kill -9, {sum(by_moment.values())} in all: " + _listed(by_moment)
    table: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, number in counts["faults"].items():
        kind, _, endpoint = name.partition(" | ")
        table[endpoint][kind] += number
    yield f"faults, {sum(counts['faults'].values())} in all, by endpoint:"
    for endpoint, kinds in sorted(table.items()):
        yield f"  {endpoint}: {_listed(kinds)}"
    yield "harm: " + _listed(counts["harm"])


def _listed(counts: dict[str, int] | Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items())) or "none"


def conclude(terminal: Any) -> None:
    """Print and write the counts of a session."""
    outcomes = ("passed", "failed", "error", "")
    counts = gathered(report for outcome in outcomes for report in terminal.stats.get(outcome, ()))
    if not counts:
        return
    terminal.section("chaos")
    for line in lines(counts):
        terminal.write_line(line)
    if os.environ.get("CHAOS_REPORT"):
        Path(os.environ["CHAOS_REPORT"]).write_text(json.dumps(counts, indent=1, sort_keys=True) + "\n")
