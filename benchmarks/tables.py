"""The tables of docs/performance.md from the last results: `python -m benchmarks.tables`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks import report

SYNC = {
    "case": "case", "multi-add": "k members cost", "edu counted": "education counted", "writes": "writes",
    "minimum": "fewest", "of quota": "of the quota", "wall/bound": "time / bound", "refused %": "refused %",
    "CPU s/1000 writing": "CPU s per 1,000 items", "CPU s/1000 whole": "the same, reading included",
    "real": "at the real quota", "peak MB": "peak MB",
}  # fmt: skip
OTHERS = {
    "who": "who", "writes": "writes", "requests": "HTTP requests", "writing s": "seconds", "of quota": "of the quota",
    "refused %": "refused %", "CPU s/1000 writing": "CPU s per 1,000 writes", "CPU s": "CPU s in all",
    "peak MB": "peak MB",
}  # fmt: skip
CEILING = {
    "who": "who", "items/s creating": "items/s, creating", "items/s updating": "items/s, updating",
    "sandbox CPU s/1000": "sandbox CPU s per 1,000", "client CPU s/1000": "client CPU s per 1,000",
}  # fmt: skip
PAGES = {"who": "who", "users": "users", "CPU s/1000 users": "CPU s per 1,000 users", "peak MB": "peak MB"}
UNCHANGED = {
    "case": "case", "rows": "rows", "source calls": "calls", "graph requests": "Graph requests", "CPU s": "CPU s",
    "bare CPU s": "bare reader", "CPU ratio": "ratio", "wall s": "wall s", "bare wall s": "bare reader",
    "wall ratio": "ratio", "peak MB": "peak MB", "resident MB": "resident MB",
}  # fmt: skip
CHANGED = {
    "case": "case", "changes": "changes", "CPU s": "CPU s", "beyond full": "CPU s per 1,000 beyond a full cycle",
    "wall s": "wall s",
}  # fmt: skip
STEADY = {"case": "case", "cycles": "cycles", "early MB": "early MB", "late MB": "late MB", "most MB": "most MB"}
READERS = {
    "reader": "reader", "students": "students", "calls": "calls", "wall s": "wall s", "CPU s": "CPU s",
    "peak MB": "peak MB", "wall ratio": "times faster", "CPU ratio": "times less CPU",
}  # fmt: skip
START = {"command": "command", "median s": "median s", "best s": "best s", "CPU s": "CPU s"}
PLACES: tuple[tuple[str, str, str, Mapping[str, str]], ...] = (
    ("First sync", "first_sync", "rows", SYNC),
    ("The same by msgraph-sdk", "naive", "rows", OTHERS),
    ("The sandbox's ceiling", "naive", "ceiling", CEILING),
    ("Typed pages", "naive", "paging", PAGES),
    ("Nothing changed", "no_change", "rows", UNCHANGED),
    ("A little changed", "no_change", "changed", CHANGED),
    ("Memory", "no_change", "steady", STEADY),
    ("Readers", "readers", "rows", READERS),
    ("Start", "startup", "rows", START),
)


def main() -> None:
    """Print what there is."""
    for title, name, key, names in PLACES:
        found = report.load(name)
        rows: Any = (found or {}).get(key)
        if rows:
            print(f"\n### {title}\n\n{report.markdown(rows if isinstance(rows, list) else [rows], names)}")
    grown = report.load("growth")
    if grown:
        print(f"\n### Growth\n\n{report.markdown(grown['rows'], {key: key for key in grown['rows'][0]})}")
        print(f"\n{grown['machine']}")


if __name__ == "__main__":
    main()
