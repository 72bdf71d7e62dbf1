"""No record, whatever it holds, breaks a read or changes another record."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ps_rig import Script, enrollment, make_source, section, staff, student, term

from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import RosterEntry, Snapshot
from sds_daemon.sources.base import Scope
from sds_daemon.sources.powerschool.wire import (
    parse_course,
    parse_enrollment,
    parse_school,
    parse_section,
    parse_staff,
    parse_student,
    parse_term,
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["", "0", "-1", "51", "3", "2026-09-01", "2026-02-30", "A", "\ud800", "\x00", "9" * 2000, "a/../b"]
    )
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)

ORIGINALS: dict[str, dict[str, Any]] = {
    "section": section(52, term_id=10),
    "staff": staff(99, 98),
    "student": student(77),
    "term": term(12, 3, "2026-08-20", "2026-12-20", portion=2),
    "course": {"id": 21, "course_number": "X", "course_name": "Y"},
    "section_enrollment": enrollment(999, 1),
}


@st.composite
def damaged(draw: st.DrawFn, kind: str) -> Any:
    """A good row with some members replaced or taken away, or no row at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(values)
    row = dict(ORIGINALS[kind])
    for name in draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=3, unique=True)):
        if draw(st.booleans()):
            row[name] = draw(values)
        else:
            del row[name]
    return row


@given(values)
def test_no_value_breaks_a_parser(raw: Any) -> None:
    for parse in (parse_school, parse_course, parse_staff):
        parse(raw)
    for parse_listed in (parse_section, parse_student, parse_term, parse_enrollment):
        parsed = parse_listed(raw, "51")
        assert parsed.value is not None or parsed.faults


def read(script: Script) -> Snapshot:
    async def go() -> Snapshot:
        source = make_source(script)
        try:
            return await source.read(Scope())
        finally:
            await source.close()

    return asyncio.run(go())


@pytest.mark.parametrize("kind", sorted(ORIGINALS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_one_bad_row_costs_itself_alone(kind: str, data: st.DataObject) -> None:
    script = Script()
    table = "section/51/section_enrollment" if kind == "section_enrollment" else f"school/3/{kind}"
    script.tables["section/52/section_enrollment"] = []
    script.tables[table] = [*script.tables[table], data.draw(damaged(kind))]
    snapshot = read(script)
    assert {"1", "2"} <= snapshot.students.keys()
    assert snapshot.teachers["64"].username == "teacher64"
    assert {"1", "2"} <= set(snapshot.sections["51"].students)
    assert snapshot.sections["51"].teachers == (RosterEntry("64"),)
    if kind != "section_enrollment":
        assert snapshot.proof.doubt(Resource.ENROLLMENTS, "3", "51") is None
