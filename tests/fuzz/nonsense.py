"""What a PowerSchool may send that means nothing: single values, rows, lists, whole answers.

Nothing here is a plausible truth. An enrollment that names another student, or a row marked as dropped, is no nonsense
but a leave, and nobody could tell it from one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
from fuzz_rig import copied, rows_of
from hypothesis import strategies as st
from ps_rig import Script, ok

KINDS = ("school", "term", "course", "section", "staff", "student", "section_enrollment")
JSON_TYPE = {"Content-Type": "application/json"}
TRUTHS = {"section_enrollment": {"entry_date", "exit_date", "dropped", "student_id"}, "section": {"staff_id"}}
"""Fields that have values, and an absence, of their own meaning: only wrong ones are put there."""


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


LONG_NAME = "Ж" * 5_000_000
MARKS = ["\u202egnirtS", "a\u200fb\u202e", "\ud800", "\udfff\ud83d", "\x00", "a\x1b[31mb", "\x7f\x85", "\ufeff", "￿"]
WRONG = [
    *MARKS,
    "<b>", "perhaps", "2026-13-45", "2026-02-30", "0000-00-00", "26-1-1", "1e999", "a/../b", "../../etc/passwd",
    "' OR 1=1", "9" * 3000, "x" * 100_000, "N/A", "null", "١٢", "1_000", "0x1F", " ", "\n",
    1.5, -0.5, 1e308, float("nan"), float("-inf"),
    [], {}, [[]], [{}], {"": {"": ""}}, {"@extensions": 1}, ["a", "b"], _nested(60),
]  # fmt: skip
"""No id, no day and no yes or no among them."""

wrong = st.sampled_from(WRONG)
any_value = st.recursive(
    wrong | st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@st.composite
def a_damaged_row(draw: st.DrawFn, script: Script) -> None:
    """Some members of a row take wrong values, or are missing where that means nothing else."""
    kind = draw(st.sampled_from(KINDS))
    _, rows = rows_of(script, kind, draw(st.integers(0, 1)))
    place = draw(st.integers(0, len(rows) - 1)) if kind != "school" else 0
    row = copied(rows[place])
    for name in draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=4, unique=True)):
        if name not in TRUTHS.get(kind, ()) and draw(st.integers(0, 3)) == 0:
            del row[name]
        else:
            row[name] = draw(wrong)
    rows[place] = row


@st.composite
def a_strange_name(draw: st.DrawFn, script: Script) -> None:
    """A record of good ids with text that no directory takes as it stands."""
    kind = draw(st.sampled_from(("school", "course", "staff", "student")))
    _, rows = rows_of(script, kind, 0)
    text = st.sampled_from([LONG_NAME, *MARKS]) | st.text(min_size=1, max_size=300)
    if kind in ("school", "course"):
        rows[0][f"{kind}_name" if kind == "course" else "name"] = draw(text)
    else:
        rows[0]["name"] = {"first_name": draw(text), "last_name": draw(text)}


@st.composite
def a_strange_grade(draw: st.DrawFn, script: Script) -> None:
    """Negative and other grades that are none."""
    row = script.tables["school/3/student"][draw(st.integers(0, 3))]
    row["school_enrollment"]["grade_level"] = draw(st.integers(-(10**12), 10**12) | wrong)


@st.composite
def a_double(draw: st.DrawFn, script: Script) -> None:
    """An id that comes twice, the second time with what belongs to another row."""
    kind = draw(st.sampled_from(KINDS))
    _, rows = rows_of(script, kind, draw(st.integers(0, 1)))
    first, other = copied(rows[0]), copied(rows[-1])
    rows.insert(draw(st.integers(0, len(rows))), {**other, "id": first["id"]})


@st.composite
def a_ring_of_names(draw: st.DrawFn, script: Script) -> None:
    """Students take each other's usernames, all round."""
    rows = script.tables["school/3/student"]
    names = [f"pupil{row['id']}" if isinstance(row.get("id"), int) else "pupil0" for row in rows]
    turn = draw(st.integers(1, 3))
    for row, name in zip(rows, names[turn:] + names[:turn], strict=True):
        row["student_username"] = name


@st.composite
def a_shared_name(draw: st.DrawFn, script: Script) -> None:
    """Two students with one username, or a teacher with a student's: a teacher who is a student."""
    rows = script.tables["school/3/student"]
    name = rows[1].get("student_username")
    if draw(st.booleans()):
        rows[0]["student_username"] = name
    else:
        script.tables["school/3/staff"][0]["teacher_username"] = name


@st.composite
def a_moved_section(draw: st.DrawFn, script: Script) -> None:
    """A section that another school lists, with or without saying so itself."""
    row = copied(script.tables["school/3/section"][0])
    place = draw(st.sampled_from(("moved", "claimed by both", "listed by the wrong one")))
    if place == "moved":
        del script.tables["school/3/section"][0]
    if place == "listed by the wrong one":
        script.tables["school/3/section"][0] = {**row, "school_id": 4}
    else:
        script.tables["school/4/section"].append({**row, "school_id": 4, "term_id": 11})


@st.composite
def dates_out_of_order(draw: st.DrawFn, script: Script) -> None:
    """A term that ends before it begins, or lies in another century."""
    days = st.sampled_from(["0001-01-01", "1970-01-01", "2026-08-20", "2027-06-11", "2100-02-29", "9999-12-31"])
    row = script.tables["school/3/term"][0]
    row["start_date"], row["end_date"] = draw(days), draw(days)


@st.composite
def a_broken_list(draw: st.DrawFn, script: Script) -> None:
    """A list that is empty although the server counts rows, or holds what is no row."""
    kind = draw(st.sampled_from(KINDS))
    name, rows = rows_of(script, kind, draw(st.integers(0, 1)))
    root = "staffs" if kind == "staff" else f"{kind}s"
    inner: Any = draw(st.sampled_from([{}, "", {kind: ""}, {kind: []}, {kind: [None]}, {kind: [rows, rows]}, {"x": 1}]))
    script.overrides[f"/ws/v1/{name}"] = ok({root: inner})


ROWS: tuple[Callable[[Script], st.SearchStrategy[None]], ...] = (
    a_damaged_row,
    a_damaged_row,
    a_damaged_row,
    a_strange_name,
    a_strange_grade,
    a_double,
    a_ring_of_names,
    a_shared_name,
    a_moved_section,
    dates_out_of_order,
)

PAGE = b"<!DOCTYPE html><html><head><title>PowerSchool</title></head><body>Down for maintenance</body></html>"
BODIES: list[tuple[bytes, dict[str, str]]] = [
    (PAGE, {"Content-Type": "text/html; charset=utf-8"}),
    (PAGE, JSON_TYPE),
    (b"", JSON_TYPE),
    (b"null", JSON_TYPE),
    (b"[]", JSON_TYPE),
    (b"{}", JSON_TYPE),
    (b'"', JSON_TYPE),
    (b"{" * 200_000, JSON_TYPE),
    (b"[" * 5_000 + b"]" * 5_000, JSON_TYPE),
    (b'{"a":' * 3_000 + b"1" + b"}" * 3_000, JSON_TYPE),
    (b"[" + b"0," * 3_000_000 + b"0]", JSON_TYPE),
    (b'{"students":{"student":[{"id":1', JSON_TYPE),
    (b'\xff\xfe{"resource":{"count":1}}', JSON_TYPE),
    (b'{"errorMessage":{"message":"\xe2\x80\xae\x1b[2J"}}', JSON_TYPE),
    (b"<?xml version='1.0'?><students/>", {"Content-Type": "application/xml"}),
    (b"id,name\n1,x", {"Content-Type": "text/csv"}),
    (b'{"resource":{"count":-3}}', JSON_TYPE),
    (b'{"resource":{"count":"many"}}', JSON_TYPE),
    (b'{"resource":{"count":99999999999999999999}}', JSON_TYPE),
]


@st.composite
def an_answer(draw: st.DrawFn, script: Script) -> None:
    """One path answers something else altogether, with status 200."""
    tables = [f"{name}{end}" for name in sorted(script.tables) if "4" not in name for end in ("", "/count")]
    path = draw(st.sampled_from(["metadata", *tables]))
    if draw(st.integers(0, 2)):
        body, headers = draw(st.sampled_from(BODIES))
    else:
        body, headers = json.dumps(draw(any_value)).encode(), JSON_TYPE
    script.overrides[f"/ws/v1/{path}"] = httpx.Response(200, content=body, headers=headers)
