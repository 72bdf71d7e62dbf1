"""Tables for people and JSON for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
Row = Mapping[str, Any]


def table(title: str, rows: Sequence[Row]) -> None:
    """Print rows under the names of their keys, in aligned columns; what is text stands left."""
    if not rows:
        return
    names = list(dict.fromkeys(key for row in rows for key in row))
    columns = [_column(name, [row.get(name) for row in rows]) for name in names]
    print(f"\n{title}")
    for line in zip(*columns, strict=True):
        print("  ".join(line).rstrip())


def markdown(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    """Rows as a table for the documentation; `names` maps the keys to show to their headings."""
    left = {key for key in names if any(isinstance(row.get(key), str) for row in rows)}
    lines = [list(names.values()), ["---" if key in left else "---:" for key in names]]
    lines += [[shown(row.get(key)) for key in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _column(name: str, values: Sequence[Any]) -> list[str]:
    """Two lines of heading, a rule and the values, padded to one width."""
    head, _, tail = name.rpartition(" ") if len(name) > 7 else ("", "", name)
    cells = [head, tail, *(shown(value) for value in values)]
    width = max(map(len, cells))
    left = any(isinstance(value, str) for value in values)
    padded = [cell.ljust(width) if left else cell.rjust(width) for cell in cells]
    return [*padded[:2], "-" * width, *padded[2:]]


def shown(value: Any) -> str:
    """A figure as a person reads it: three digits that count, thousands apart."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
    return str(value)


def save(name: str, rows: Sequence[Row], **more: Any) -> Path:
    """Write `results/NAME.json`: the rows, what else was found, and the machine."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), "rows": list(rows), **more}, indent=1) + "\n")
    return path


def load(name: str) -> dict[str, Any] | None:
    """What `save` wrote, None where that benchmark has not been run."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found


def machine() -> dict[str, Any]:
    """What the figures were measured on, without a name or a date."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load": round(os.getloadavg()[0], 1),
    }
