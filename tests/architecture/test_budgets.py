"""How long files and functions may be."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from source import modules

FILE_P90, FILE_MAX = 350, 600
FUNCTION_MEDIAN, FUNCTION_P90, FUNCTION_MAX = 10, 35, 80


def p90(values: Sequence[int]) -> float:
    return statistics.quantiles(values, n=10)[-1]


def test_files() -> None:
    lines = {module.path: module.lines for module in modules()}
    assert len(lines) > 100
    assert {path: count for path, count in lines.items() if count > FILE_MAX} == {}
    assert p90(list(lines.values())) <= FILE_P90


def test_functions() -> None:
    lines = {
        f"{module.path}:{function.lineno} {function.name}": (function.end_lineno or 0) - function.lineno + 1
        for module in modules()
        for function in module.functions()
    }
    assert len(lines) > 1000
    assert {place: count for place, count in lines.items() if count > FUNCTION_MAX} == {}
    assert p90(list(lines.values())) <= FUNCTION_P90
    assert statistics.median(lines.values()) <= FUNCTION_MEDIAN
