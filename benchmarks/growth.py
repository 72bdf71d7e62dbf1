"""How time and memory grow with the size of the district: exponents between sizes, 1 being proportional."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from benchmarks import report

Row = dict[str, Any]


def exponents(rows: Sequence[Mapping[str, Any]], what: Mapping[str, str]) -> list[Row]:
    """For each figure the exponent from one size to the next; `what` maps keys of the rows to words.

    The rows need "students"; the same size twice counts once, the last of them.
    """
    sizes = {int(row["students"]): row for row in rows}
    ordered = sorted(sizes)
    found = []
    for key, words in what.items():
        line: Row = {"figure": words}
        for small, big in pairwise(ordered):
            low, high = float(sizes[small].get(key) or 0), float(sizes[big].get(key) or 0)
            exponent = math.log(high / low) / math.log(big / small) if low > 0 and high > 0 else None
            line[f"{small:,} to {big:,}"] = exponent
        found.append(line)
    return found


def show(rows: Sequence[Row]) -> None:
    """The table."""
    report.table("Growth: exponent from size to size", rows)
