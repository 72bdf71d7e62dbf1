"""The short way of a row is v1's way: whatever stands in it, both come to the same."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ps_rig import Script, make_session

from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import RosterEntry, RosterRole, School, Section, Term
from sds_daemon.sources.base import no_progress
from sds_daemon.sources.powerschool import bulk_records
from sds_daemon.sources.powerschool.bulk import MOST_RANGES, ranges_of
from sds_daemon.sources.powerschool.bulk_records import StudentMaker, _student, distinct, file_parts
from sds_daemon.sources.powerschool.bulk_rosters import RosterMaker, _enrollment, add_co_teachers, seat_students
from sds_daemon.sources.powerschool.desk import Desk
from sds_daemon.sources.powerschool.fetch import Batch, Call
from sds_daemon.sources.powerschool.people import Students, file_student
from sds_daemon.sources.powerschool.queries import (
    SECTION_TEACHERS,
    EnrollmentRecord,
    Range,
    SectionTeacherRecord,
    StudentRecord,
)
from sds_daemon.sources.powerschool.spool import Spool
from sds_daemon.sources.powerschool.wire import StaffRow, parse_enrollment
from sds_daemon.sources.powerschool.year import members

TODAY = date(2026, 10, 1)
TERM = Term(
    id="10", school_id="3", name="T", start=date(2026, 8, 20), end=date(2027, 6, 11), start_year=2026, full_year=True
)
SCHOOLS = {"3": School(id="3", name="North", number="101"), "4": School(id="4", name="South", number="102")}

SESSION = make_session(Script())

TEXTS = st.one_of(
    st.sampled_from(["", "Ana", "Zoë", " x", "x ", "a\tb", "a|b", "|", "\u00a0x", "\x00", "\ud800", "12", "x" * 1025]),
    st.text(max_size=8),
)
IDS = st.sampled_from(["1", "2", "3", "", "x", " 1", "1.0", "-5", "٣", "9" * 70])
DAYS = st.sampled_from(
    ["2026-08-20", "2026-10-01", "2026-10-02", "2027-06-11", "2026-02-30", "", "soon", " 2026-08-20"]
)


def make_desk() -> Desk:
    return Desk(SESSION, no_progress)


def told(desk: Desk) -> list[tuple[str, str, str]]:
    return [(str(each.ref), each.code, each.detail) for each in desk.problems]


@st.composite
def student_records(draw: st.DrawFn) -> StudentRecord:
    values = {name: draw(TEXTS) for name in StudentRecord.__struct_fields__}
    values |= {"id": draw(IDS), "school": draw(st.sampled_from(["3", "4", "9", "", "x"])), "birth_date": draw(DAYS)}
    values["status"] = draw(st.sampled_from(["0", "-1", "2", "3", "4", "7", "", "x", "0.0"]))
    return StudentRecord(**values)


@given(st.lists(student_records(), max_size=6), st.booleans())
def test_students(records: list[StudentRecord], preregistered: bool) -> None:
    records = list({record.id.strip().removesuffix(".0"): record for record in records}.values())
    enrolled = {record.id for record in records}
    quick, slow = make_desk(), make_desk()
    one, other = (Students(SCHOOLS, include_preregistered=preregistered) for _ in range(2))
    StudentMaker(quick, SCHOOLS, one, enrolled).take(records)
    for record in records:
        file_student(slow, other, _student(record), "", f"student list of school {record.school}")
    assert (one.taken, one.absences, one.unusable) == (other.taken, other.absences, other.unusable)
    assert told(quick) == told(slow)
    for record in records:  # once more, as the range of another school brings it
        StudentMaker(quick, SCHOOLS, one, enrolled).take([record])
    assert (one.taken, one.absences, one.unusable) == (other.taken, other.absences, other.unusable)
    assert told(quick) == told(slow)


def test_one_id_with_two_rows_that_differ_is_in_doubt() -> None:
    desk, students = make_desk(), Students(SCHOOLS, include_preregistered=False)
    maker = StudentMaker(desk, SCHOOLS, students, {"1"})
    maker.take(
        [StudentRecord(id="1", status="0", school="3", username="a"), StudentRecord(id="1", school="4", status="0")]
    )
    assert maker.doubted == {"3", "4"}
    assert [code for _, code, _ in told(desk)] == ["DuplicateSisId"]


def test_students_nobody_asked_for_say_nothing() -> None:
    """Pre-registered ones, and those of schools out of scope: v1 does not list them either."""
    desk, students = make_desk(), Students(SCHOOLS, include_preregistered=False)
    maker = StudentMaker(desk, SCHOOLS, students, {"5"})
    broken = {"first_name": "a\tb", "last_name": "B", "school": "3"}
    maker.take(
        [StudentRecord(id="4", status="-1", **broken), StudentRecord(id="6", status="0", **{**broken, "school": "9"})]
    )
    assert (students.taken, students.absences, told(desk)) == ({}, {}, [])
    maker.take([StudentRecord(id="5", status="-1", first_name="A", last_name="B", school="3")])
    assert set(students.absences) == {"5"}


@st.composite
def enrollment_records(draw: st.DrawFn) -> EnrollmentRecord:
    return EnrollmentRecord(
        id=draw(st.sampled_from(["900", "901", "", "x"])),
        section=draw(st.sampled_from(["51", "52", "99"])),
        student=draw(IDS),
        entry=draw(DAYS),
        exit=draw(DAYS),
    )


def two_sections() -> dict[str, Section]:
    late = msgspec.structs.replace(TERM, id="11", start=date(2026, 10, 2))
    return {
        "51": Section(id="51", school_id="3", number="1", term=TERM, course_id="20"),
        "52": Section(id="52", school_id="4", number="1", term=late, course_id="20"),
    }


@given(st.lists(enrollment_records(), max_size=12), st.integers(1, 5))
def test_rosters(records: list[EnrollmentRecord], slice_size: int) -> None:
    sections, desk = two_sections(), make_desk()
    maker = RosterMaker(desk, sections, TODAY)
    for start in range(0, len(records), slice_size):
        maker.take(records[start : start + slice_size])
    found = maker.members()
    for section in sections.values():
        parsed = [parse_enrollment(_enrollment(each), section.id) for each in records if each.section == section.id]
        usable = [each.value for each in parsed if each.value is not None]
        assert found.get(section.id, ()) == members(usable, section.term, TODAY)
        assert (section.id in maker.gaps) == any(each.value is None for each in parsed)
        assert maker.received[section.id] == len(parsed)


def test_a_row_nobody_can_place_leaves_every_school_in_doubt() -> None:
    sections, desk = two_sections(), make_desk()
    maker = RosterMaker(desk, sections, TODAY)
    maker.take([EnrollmentRecord(id="1", section="\x00", student="1", entry="2026-08-20")])
    seat_students(desk, sections, SCHOOLS, [], maker)
    assert all(desk.proof.doubt(Resource.ENROLLMENTS, school) for school in SCHOOLS)


def assignments(*rows: dict[str, str]) -> list[Batch]:
    spool = Spool()
    spool.write(msgspec.json.encode({"name": "x", "record": [{"_name": "X", "_id": 1, **row} for row in rows]}))
    spool.end_document()
    return [Batch(Call(SECTION_TEACHERS), spool, len(rows), len(rows), len(rows))]


def assignment(staff: str, role: str = "Co-teacher", **changes: str) -> dict[str, str]:
    return {"id": "1", "section": "51", "staff": staff, "role": role, "first_day": "2026-08-20", **changes}


def staff_of(*people: str) -> dict[str, StaffRow]:
    names: dict[str, Any] = dict.fromkeys(
        ("username", "first_name", "middle_name", "last_name", "number", "email"), "x"
    )
    return {each: StaffRow(id=each, person_id=f"p{each}", affiliations=(), **names) for each in people}


def co_teachers(*rows: dict[str, str]) -> tuple[list[tuple[str, RosterRole]], Desk]:
    desk, sections = make_desk(), two_sections()
    sections["51"] = msgspec.structs.replace(sections["51"], teachers=(RosterEntry("p1"),))
    seat = RosterMaker(desk, sections, TODAY)
    seat_students(desk, sections, SCHOOLS, [], seat)
    for part in desk.proof.parts:
        part.resource = Resource.SECTIONS
    add_co_teachers(desk, sections, assignments(*rows), staff_of("1", "2", "3"), TODAY)
    return [(entry.teacher_id, entry.role) for entry in sections["51"].teachers], desk


def test_the_lead_comes_first_and_once_and_others_while_they_teach() -> None:
    found, desk = co_teachers(
        assignment("1", "Lead Teacher"),
        assignment("3", last_day="2026-10-01"),
        assignment("2", first_day="2026-10-02"),
        assignment("2", last_day="2026-09-30"),
    )
    assert found == [("p1", RosterRole.LEAD), ("p3", RosterRole.CO_TEACHER)]
    assert (told(desk), desk.notices) == ([], [])


def test_a_role_of_the_districts_own_is_told_once() -> None:
    found, desk = co_teachers(assignment("2", "Aide"), assignment("3", "Aide"), assignment("2", "CO-TEACHER "))
    assert found == [("p1", RosterRole.LEAD), ("p2", RosterRole.CO_TEACHER)]
    assert len(desk.notices) == 1 and "'Aide'" in desk.notices[0]


def test_a_teacher_who_cannot_be_read_leaves_the_section_in_doubt() -> None:
    for row in (assignment("77"), assignment(""), assignment("2", first_day="soon")):
        found, desk = co_teachers(row)
        assert found == [("p1", RosterRole.LEAD)]
        assert desk.proof.doubt(Resource.SECTIONS, "3", "51") is not None
        assert desk.proof.doubt(Resource.SECTIONS, "3", "52") is None
        assert len(desk.problems) == 1


def test_an_assignment_without_a_role_leaves_the_section_in_doubt() -> None:
    found, desk = co_teachers(assignment("1", "Lead Teacher"), assignment("2", "", id="2"))
    assert found == [("p1", RosterRole.LEAD)]
    assert desk.proof.doubt(Resource.SECTIONS, "3", "51") is not None
    assert desk.proof.doubt(Resource.SECTIONS, "3", "52") is None


def test_a_school_of_whose_leads_nothing_is_said_is_in_doubt() -> None:
    for rows in ((), (assignment("2", section="52"),)):
        _, desk = co_teachers(*rows)
        assert "not even a lead teacher" in (desk.proof.doubt(Resource.SECTIONS, "3", "51") or "")
        assert desk.proof.doubt(Resource.SECTIONS, "4", "52") is None
    assert co_teachers(assignment("1", "Lead Teacher"))[1].proof.doubt(Resource.SECTIONS, "3", "51") is None


@given(st.lists(st.integers(1, 6).map(str), max_size=8).map(sorted), st.integers(1, 3))
def test_a_row_that_comes_twice_is_counted_wherever_the_answer_is_cut(ids: list[str], step: int) -> None:
    (batch,) = batches = assignments(*({**assignment("1"), "id": each} for each in ids))
    cut = [ids[start : start + step] for start in range(0, len(ids), step)]
    with pytest.MonkeyPatch.context() as patch:
        slices = [[SectionTeacherRecord(id=each) for each in part] for part in cut]
        patch.setattr(bulk_records, "read_rows", lambda spool, kind: iter(slices))
        assert [row.id for rows in distinct(batches, SectionTeacherRecord) for row in rows] == ids
    assert batch.doubled == len(ids) - len(set(ids))
    assert (batch.reason is None) == (batch.doubled == 0) or not ids


def schools(*numbers: int | str) -> list[School]:
    return [School(id=f"s{number}", name="", number=str(number)) for number in numbers]


@given(st.sets(st.integers(0, 40), min_size=1), st.sets(st.integers(0, 40)))
def test_ranges_hold_every_chosen_school_and_few_others(chosen: set[int], others: set[int]) -> None:
    found = ranges_of(schools(*chosen), schools(*chosen | others))
    assert all(any(each.first <= number <= each.last for each in found) for number in chosen)
    assert 1 <= len(found) <= MOST_RANGES
    if len(found) > 1:
        assert not any(each.first <= number <= each.last for each in found for number in others - chosen)


def test_all_schools_are_one_range_and_a_school_without_number_asks_for_all() -> None:
    assert ranges_of(schools(3, 1, 2), schools(1, 2, 3)) == [Range(1, 3)]
    assert ranges_of(schools(1, "x"), schools(1, 2)) == [Range(0, 999_999_999)]


def test_a_school_outside_of_what_was_asked_for_is_not_proved() -> None:
    """A district with a school without a number is asked for by all usual numbers; this one is longer."""
    desk, (batch,) = make_desk(), assignments()
    (asked,) = ranges_of(schools("x", 9_999_999_999), schools("x", 9_999_999_999))
    batch.call = Call(SECTION_TEACHERS, {}, asked)
    of = {school.id: school for school in schools("x", 9_999_999_999, 101)}
    file_parts(desk, Resource.ENROLLMENTS, of, [batch], {})
    assert "not asked for" in (desk.proof.doubt(Resource.ENROLLMENTS, "s9999999999") or "")
    assert [desk.proof.doubt(Resource.ENROLLMENTS, school) for school in ("s101", "sx")] == [None, None]
