"""Answers written ahead: every text survives, rows can be cut out anywhere, and old answers make room for new ones."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sds_daemon.sandbox.powerschool.rendered import Form, Rendered, Shelf, render

VALUES = st.one_of(st.none(), st.integers(), st.text(), st.floats(-1e6, 1e6, allow_nan=False))
ROWS = st.lists(st.tuples(st.integers(), VALUES, VALUES), max_size=12)
FLAT = Form(("id", "one", "two"), "cc", 0, flattened=True)
NESTED = Form(("id", "sections.one", "two"), "cc", 0, flattened=False)


def decoded(answer: Rendered, start: int, stop: int, turn: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(b"[" + b"".join(answer.rows(start, stop, turn)) + b"]")
    return found


def shown(value: object) -> str | None:
    if value is None or value == "":
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@given(ROWS)
def test_every_value_is_shown_as_text_and_nothing_is_left_out_but_null(rows: list[tuple[int, Any, Any]]) -> None:
    answer = render(rows, FLAT, True, 1)
    expected = []
    for row in rows:
        values = {alias: shown(value) for alias, value in zip(FLAT.aliases, row, strict=True)}
        present = {alias: value for alias, value in values.items() if value is not None}
        expected.append({"_name": "CC", "_id": row[0], **present})
    assert decoded(answer, 0, len(rows)) == expected and answer.count == len(rows)
    nested = decoded(render(rows, NESTED, True, 1), 0, len(rows))
    assert [row["tables"].get("sections", {}).get("one") for row in nested] == [row.get("one") for row in expected]


@given(st.integers(0, 9), st.integers(0, 12), st.integers(1, 9), st.integers(0, 8))
def test_any_rows_can_be_cut_out_wherever_the_listing_begins(start: int, size: int, count: int, turn: int) -> None:
    answer = render([(n, n, n) for n in range(count)], FLAT, False, 1)
    turn %= count
    order = [*range(turn, count), *range(turn)]
    assert [row["_id"] for row in decoded(answer, start, start + size, turn)] == order[start : start + size]


def test_the_shelf_forgets_what_is_old_and_what_has_been_overtaken() -> None:
    answers = [render([(n, "x" * 100, "y")], FLAT, True, version=1) for n in range(4)]
    shelf = Shelf(memory=3 * answers[0].text.nbytes)
    for n in range(3):
        shelf.put(n, answers[n])
    assert shelf.get(0, 1) is answers[0]
    shelf.put(3, answers[3])
    assert shelf.get(1, 1) is None and shelf.get(0, 1) is answers[0] and shelf.get(3, 1) is answers[3]
    assert shelf.get(3, 2) is None and shelf.get(3, 1) is None
    shelf.put(9, render([(n, "x" * 100, "y") for n in range(9)], FLAT, True, version=1))
    assert shelf.get(9, 1) is None and shelf.get(0, 1) is answers[0]
