"""The subset of FIQL that `q` understands: comparisons joined by `;`, lists in parentheses, `*` as a wildcard."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_TERM: Final = re.compile(r"^([A-Za-z_][\w.]*)(==|!=|=gt=|=ge=|=lt=|=le=)(.*)$", re.DOTALL)
Getter = Callable[[Any], Any]


class QueryError(ValueError):
    """The query cannot be read; the message is for the client."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison: any of `values` satisfies it."""

    key: str
    operator: str
    values: tuple[str, ...]


def parse(text: str) -> list[Condition]:
    """The conditions of `text`, all of which must hold; raises QueryError."""
    return [_condition(part) for part in _split(text)] if text.strip() else []


def _split(text: str) -> list[str]:
    parts, depth, current = [], 0, ""
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == ";" and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    if depth != 0:
        raise QueryError(f"Unbalanced parentheses in query: {text}")
    return [*parts, current]


def _condition(part: str) -> Condition:
    match = _TERM.match(part.strip())
    if match is None:
        raise QueryError(f"Invalid query expression: {part}")
    key, operator, value = match.groups()
    if value.startswith("(") and value.endswith(")"):
        values = tuple(item.strip() for item in value[1:-1].split(","))
    else:
        values = (value,)
    if operator not in ("==", "!=") and len(values) > 1:
        raise QueryError(f"A list of values needs == in query: {part}")
    return Condition(key, operator, values)


def predicate(conditions: list[Condition], getters: Mapping[str, Getter]) -> Callable[[Any], bool]:
    """A test for one row; `getters` gives the value of each key. Raises QueryError for a key or value that is none."""
    tests = [_test(condition, getters) for condition in conditions]
    return lambda row: all(test(row) for test in tests)


def _test(condition: Condition, getters: Mapping[str, Getter]) -> Callable[[Any], bool]:
    getter = getters.get(condition.key)
    if getter is None:
        raise QueryError(f"Invalid query field: {condition.key}")
    if condition.operator in ("==", "!="):
        wanted = condition.operator == "=="
        matchers = [_equals(value) for value in condition.values]
        return lambda row: any(matches(getter(row)) for matches in matchers) is wanted
    compare = _COMPARISONS[condition.operator]
    bound = condition.values[0]
    return lambda row: compare(_ordered(getter(row), bound))


def _equals(value: str) -> Callable[[Any], bool]:
    if "*" in value:
        pattern = re.compile(".*".join(map(re.escape, value.split("*"))), re.IGNORECASE | re.DOTALL)
        return lambda actual: pattern.fullmatch(_shown(actual)) is not None
    lowered = value.lower()
    return lambda actual: _shown(actual).lower() == lowered


_COMPARISONS: Final[dict[str, Callable[[int], bool]]] = {
    "=gt=": lambda order: order > 0,
    "=ge=": lambda order: order >= 0,
    "=lt=": lambda order: order < 0,
    "=le=": lambda order: order <= 0,
}


def _ordered(actual: Any, bound: str) -> int:
    """-1, 0 or 1 as `actual` is below, at or above the bound; numbers by value, everything else by its text."""
    if isinstance(actual, int):
        if not re.fullmatch(r"-?\d+", bound):
            raise QueryError(f"Invalid number '{bound}' in query")
        return (actual > int(bound)) - (actual < int(bound))
    text = _shown(actual)
    return (text > bound) - (text < bound)


def _shown(value: Any) -> str:
    return "" if value is None else str(value)
