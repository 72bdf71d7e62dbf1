"""The same first sync as a user would write it with msgraph-sdk, beside ours, and what the sandbox itself can take.

`python -m benchmarks.naive --students 1000`
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import report
from benchmarks.rig import QUOTA, ROOT, Rig, Setting, Usage, Watched

Row = dict[str, Any]
FREE = {"throttling": False, "lag_seconds": 0.0, "service_seconds": 0.0}


def client(rig: Rig, name: str, *arguments: str) -> tuple[Usage, dict[str, Any]]:
    """Run one of `benchmarks.clients`; what it used and what it counted."""
    watched = Watched(sys.executable, "-m", "benchmarks.clients", name, str(rig.config), *arguments, folder=ROOT)
    usage = watched.wait()
    if usage.code:
        raise SystemExit(f"the client {name} ended with {usage.code}: {usage.err[-3000:]}")
    counts: dict[str, Any] = json.loads(usage.out)
    return usage, counts


def ceiling(batches: int) -> Row:
    """The sandbox without quota or lag, under prebuilt batches."""
    with Rig(Setting()) as rig:
        rig.post("entra/settings", FREE)
        before = rig.sandbox_usage().cpu
        usage, counts = client(rig, "bare", str(batches))
        cpu = rig.sandbox_usage().cpu - before
    items = counts["items"]
    return {
        "who": "sandbox's own ceiling (bare httpx, prebuilt batches)",
        "items/s creating": counts["creates"],
        "items/s updating": counts["updates"],
        "client CPU s/1000": 1000 * usage.cpu / items,
        "sandbox CPU s/1000": 1000 * cpu / items,
    }


def ours(setting: Setting) -> Row:
    """The program's first sync."""
    with Rig(setting) as rig:
        before = rig.sandbox_usage().cpu
        usage, _ = rig.sync()
        return _row("sds-daemon", setting, usage, rig.statistics(), rig.sandbox_usage().cpu - before, 0)


def theirs(setting: Setting) -> Row:
    """The same by msgraph-sdk, request after request in 16 tasks."""
    with Rig(setting) as rig:
        district = rig.folder / "district.json"
        district.write_text(json.dumps(rig.get("powerschool/state")))
        before = rig.sandbox_usage().cpu
        usage, counts = client(rig, "sdk", str(district))
        used = rig.sandbox_usage().cpu - before
        return _row("msgraph-sdk, 16 tasks", setting, usage, rig.statistics(), used, counts["lost"])


def _row(who: str, setting: Setting, usage: Usage, counters: Mapping[str, Any], sandbox_cpu: float, lost: int) -> Row:
    first, last = counters["first_write"], counters["last_write"]
    writes, refused = sum(counters["by_kind"].values()), counters["refused_writes"]
    writing = usage.cpu_at(last) - usage.cpu_at(first)
    return {
        "who": who,
        "multi-add": setting.cost_model,
        "edu counted": setting.counted,
        "scale": setting.scale,
        "writes": writes,
        "writing s": last - first,
        "writes/s": writes / (last - first),
        "of quota": counters["write_cost"] / (QUOTA + setting.rate * (last - first)),
        "refused %": 100 * refused / (writes + refused),
        "lost": lost,
        "CPU s/1000 writing": 1000 * writing / writes,
        "CPU s": usage.cpu,
        "peak MB": usage.peak,
        "sandbox CPU s": sandbox_cpu,
        "requests": counters["outer_requests"],
    }


def pages(setting: Setting) -> list[Row]:
    """Reading all users: the program's own first read (which keeps them in its database), and typed pages."""
    with Rig(setting) as rig:
        watched = Watched(sys.executable, "-m", "benchmarks.programs", "directory", str(rig.config), folder=ROOT)
        own = watched.wait()
        if own.code:
            raise SystemExit(f"reading the directory ended with {own.code}: {own.err[-3000:]}")
        figures = json.loads(own.out)
        _, counts = client(rig, "paging")
    users = counts["users"]
    return [_read("sds-daemon", users, figures), _read("msgraph-sdk, typed pages", users, counts)]


def _read(who: str, users: int, figures: Mapping[str, Any]) -> Row:
    return {
        "who": who,
        "users": users,
        "wall s/1000 users": 1000 * figures["wall"] / users,
        "CPU s/1000 users": 1000 * figures["cpu"] / users,
        "peak MB": figures["peak"],
    }


def compare(students: int, batches: int, scale: float = 10.0) -> None:
    """Both at one size under one quota, the typed pages, and the ceiling; printed and saved."""
    setting = Setting(students=students, scale=scale, counted=True)
    rows = [ours(setting), theirs(setting)]
    reading = pages(Setting(students=2 * students, users="match"))
    limit = ceiling(batches)
    report.table(f"First sync of {students:,} students", rows)
    report.table("Reading the directory", reading)
    report.table("The sandbox", [limit])
    report.save("naive", rows, paging=reading, ceiling=limit)


def main(words: Sequence[str] | None = None) -> None:
    """Compare at one size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=1000)
    parser.add_argument("--scale", type=float, default=10.0, help="how much time is compressed")
    parser.add_argument("--batches", type=int, default=500, help="for the ceiling")
    options = parser.parse_args(words)
    compare(options.students, options.batches, options.scale)


if __name__ == "__main__":
    main()
