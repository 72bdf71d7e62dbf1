"""The district of `fuzz_rig` as the plugin's PowerQueries give it, and what may be wrong with that."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
from fuzz_rig import a_day_later, copied, district
from hypothesis import strategies as st
from nonsense import BODIES, JSON_TYPE, any_value, wrong
from ps_rig import Script
from query_rig import Queries, Rows, json_answer

from sds_daemon.sources.powerschool.queries import PREFIX, QUERY_ROOT

TRUTHS = {
    "enrollments": {"entry", "exit"},
    "section_teachers": {"first_day", "last_day"},
    "sections": {"teacher", "staff"},
}
"""Fields whose absence has a meaning of its own: only wrong values are put there."""

UNTOUCHED = {"section_teachers": {"role"}}
"""A role of the district's own is none of ours, and any text may be one."""

NAMES = {"schools": ("name",), "courses": ("name",), "staff": ("first_name", "last_name"), "students": ("last_name",)}


def bulk_district() -> tuple[Script, Queries]:
    """The first day."""
    return _with_queries(district(), rows())


def bulk_day_later() -> tuple[Script, Queries]:
    """Student 8 has left section 53, and student 9 has come."""
    later = rows()
    later["students"].append(_student(9, 4))
    later["enrollments"][-1]["exit"] = "2026-09-20"
    later["enrollments"].append(_enrollment(929, 9, 53))
    return _with_queries(a_day_later(), later)


def _with_queries(script: Script, found: dict[str, Rows]) -> tuple[Script, Queries]:
    return script, Queries(script, **found)


def rows() -> dict[str, Rows]:
    """The rows of each query. Section 51 has a co-teacher, who leads section 52."""
    return {
        "schools": [
            {"id": "3", "school_number": "101", "name": "North High"},
            {"id": "4", "school_number": "102", "name": "South High"},
        ],
        "terms": [_term(10, 3), _term(11, 4)],
        "courses": [{"id": "20", "number": "MA1", "name": "Algebra"}, {"id": "21", "number": "BI1", "name": "Biology"}],
        "sections": [_section(51, 67), _section(52, 68), _section(53, 69, school="4", term="11", course="21")],
        "section_teachers": [
            *(_teacher(number, number, number + 16, "Lead Teacher") for number in (51, 52, 53)),
            _teacher(54, 51, 68, "Co-teacher"),
        ],
        "staff": [_staff(67, 64, 3), _staff(68, 65, 3), _staff(69, 66, 4)],
        "students": [_student(number, 3 if number < 5 else 4) for number in range(1, 9)],
        "enrollments": [
            *(_enrollment(900 + number, number, 51) for number in (1, 2, 3)),
            *(_enrollment(910 + number, number, 52) for number in (2, 3, 4)),
            *(_enrollment(920 + number, number, 53) for number in (5, 6, 7, 8)),
        ],
    }


def _term(number: int, school: int) -> dict[str, Any]:
    days = {"first_day": "2026-08-20", "last_day": "2027-06-11"}
    names = {"abbreviation": "T", "name": "Year"}
    return {"id": f"{number}", "school": f"{school}", "year": "36", "portion": "1", **names, **days}


def _section(number: int, staff: int, school: str = "3", term: str = "10", course: str = "20") -> dict[str, Any]:
    teacher = {"teacher": f"{staff}", "staff": f"{staff}"}
    return {
        "id": f"{number}",
        "school": school,
        "term": term,
        "course": course,
        "number": "5",
        "period": "1",
        **teacher,
    }


def _teacher(number: int, section: int, staff: int, role: str) -> dict[str, Any]:
    days = {"first_day": "2026-08-20", "last_day": "2027-06-11"}
    return {"id": f"{number}", "section": f"{section}", "staff": f"{staff}", "role": role, **days}


def _staff(number: int, person: int, school: int) -> dict[str, Any]:
    names = {"first_name": "Tess", "last_name": "Teach", "email": f"t{person}@example.org"}
    works = {"person": f"{person}", "school": f"{school}", "type": "1", "status": "1"}
    return {"id": f"{number}", "number": "4711", "username": f"teacher{person}", **works, **names}


def _student(number: int, school: int) -> dict[str, Any]:
    names = {"first_name": "Pat", "last_name": "Pupil", "username": f"pupil{number}", "number": f"{100000 + number}"}
    more = {"grade": "9", "birth_date": "2010-05-06", "graduation_year": "2029", "email": f"p{number}@example.org"}
    return {"id": f"{number}", "school": f"{school}", "status": "0", **names, **more}


def _enrollment(number: int, student: int, section: int) -> dict[str, Any]:
    days = {"entry": "2026-08-20", "exit": "2027-06-12"}
    return {"id": f"{number}", "section": f"{section}", "student": f"{student}", **days}


@st.composite
def a_damaged_row(draw: st.DrawFn, queries: Queries) -> None:
    """Some members of a row take wrong values, or are missing where that means nothing else; or it is no row."""
    name = draw(st.sampled_from(sorted(queries.rows)))
    found = queries.rows[name]
    place = draw(st.integers(0, len(found) - 1))
    row = copied(found[place])
    for field in draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=3, unique=True)):
        if field in UNTOUCHED.get(name, ()):
            continue
        if field not in TRUTHS.get(name, ()) and draw(st.integers(0, 3)) == 0:
            del row[field]
        else:
            row[field] = draw(wrong)
    found[place] = row


@st.composite
def a_double(draw: st.DrawFn, queries: Queries) -> None:
    """An id that comes twice, the second time with what belongs to another row, before or after the first."""
    found = queries.rows[draw(st.sampled_from(sorted(queries.rows)))]
    first, other = copied(found[0]), copied(found[-1])
    found.insert(draw(st.integers(0, len(found))), {**other, "id": first.get("id")})


@st.composite
def a_strange_name(draw: st.DrawFn, queries: Queries) -> None:
    """A record of good ids with text that no directory takes as it stands."""
    name = draw(st.sampled_from(sorted(NAMES)))
    for field in NAMES[name]:
        queries.rows[name][0][field] = draw(wrong | st.text(min_size=1, max_size=300))


@st.composite
def a_shared_name(draw: st.DrawFn, queries: Queries) -> None:
    """Two students with one username, or a teacher with a student's."""
    students, staff = queries.rows["students"], queries.rows["staff"]
    (staff if draw(st.booleans()) else students)[0]["username"] = students[1].get("username", "")


ROWS = (a_damaged_row, a_damaged_row, a_damaged_row, a_double, a_double, a_strange_name, a_shared_name)


def _path(draw: st.DrawFn, queries: Queries) -> str:
    return f"{QUERY_ROOT}{PREFIX}{draw(st.sampled_from(sorted(queries.rows)))}"


@st.composite
def a_broken_list(draw: st.DrawFn, script: Script, queries: Queries) -> None:
    """An answer without the rows that are counted, with others, or with what is no row."""
    path = _path(draw, queries)
    found = queries.rows[path.rpartition(PREFIX)[2]]
    record: Any = draw(st.sampled_from([None, "", [], [None], [[]], found[0], [found, found], found[1:], {"x": 1}]))
    script.overrides[path] = json_answer(json.dumps({"name": "x", "record": record, "@extensions": ""}).encode())


def emptied(*names: str) -> Callable[[Queries], None]:
    """Lists without a row, and counts that say so too."""

    def change(queries: Queries) -> None:
        for name in names:
            queries.rows[name].clear()

    return change


def doubled(name: str, first: int, instead_of: int) -> Callable[[Queries], None]:
    """A row that comes twice, in the place of another: the count is as it should be."""

    def change(queries: Queries) -> None:
        queries.rows[name][instead_of] = copied(queries.rows[name][first])

    return change


def without(name: str, field: str, *places: int) -> Callable[[Queries], None]:
    """Rows at these places without a value that a true row has."""

    def change(queries: Queries) -> None:
        for place in places:
            del queries.rows[name][place][field]

    return change


PLAUSIBLE: dict[str, Callable[[Queries], None]] = {
    **{
        f"no {name}": emptied(name)
        for name in ("schools", "courses", "sections", "section_teachers", "staff", "students")
    },
    "no enrollments": emptied("enrollments"),
    "nobody": emptied("students", "enrollments"),
    "an enrollment twice": doubled("enrollments", 0, 1),
    "an enrollment twice, apart": doubled("enrollments", 0, 2),
    "an assignment twice": doubled("section_teachers", 2, 3),
    "a student twice": doubled("students", 0, 1),
    "one of the staff twice": doubled("staff", 0, 1),
    "a section twice": doubled("sections", 0, 1),
    "a co-teacher without a role": without("section_teachers", "role", 3),
    "assignments without a role": without("section_teachers", "role", 0, 1, 2, 3),
    "students without a school": without("students", "school", *range(9)),
    "enrollments without a student": without("enrollments", "student", *range(11)),
}
"""What fits its counts, and is wrong all the same."""


@st.composite
def an_answer(draw: st.DrawFn, script: Script, queries: Queries) -> None:
    """One query, or its count, answers something else altogether, with status 200."""
    path = _path(draw, queries) + draw(st.sampled_from(("", "", "/count")))
    if draw(st.integers(0, 2)):
        body, headers = draw(st.sampled_from(BODIES))
    else:
        body, headers = json.dumps(draw(any_value)).encode(), JSON_TYPE
    script.overrides[path] = httpx.Response(200, content=body, headers=headers)
