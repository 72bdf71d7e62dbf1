"""Operations on a district: what each does to the rows, and that refused ones do nothing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from powerschool_rig import TODAY

from sds_daemon.sandbox.district import changes, model
from sds_daemon.sandbox.district.generate import generate
from sds_daemon.sandbox.district.school_day import school_day
from sds_daemon.sandbox.powerschool.app import state


@pytest.fixture
def district() -> model.District:
    return generate(students=1000, seed=9, today=TODAY)


def apply(district: model.District, **operation: Any) -> dict[str, Any]:
    return changes.apply(district, [operation], TODAY)[0]


def attended(district: model.District, student: int, day: dt.date = TODAY) -> set[int]:
    table = district.enrollments
    return {table.section[row] for row in table.of_student(student) if table.is_active(row, day)}


def a_class(district: model.District, nth: int = 0) -> tuple[model.Section, int]:
    """The nth current section with a lead and students, and one of its students."""
    found = 0
    for section in district.sections.values():
        rows = [r for r in district.enrollments.of_section(section.dcid) if district.enrollments.is_active(r, TODAY)]
        if section.staff is not None and rows:
            if found == nth:
                return section, district.enrollments.student[rows[0]]
            found += 1
    raise AssertionError("no such section")


@pytest.mark.parametrize(
    ("how", "dropped", "kept"), [("exit", False, True), ("dropped", True, True), ("delete", False, False)]
)
def test_drop_ends_marks_or_removes_the_row(district: model.District, how: str, dropped: bool, kept: bool) -> None:
    section, student = a_class(district)
    (dcid,) = apply(district, op="drop", student=student, section=section.dcid, how=how)["enrollments"]
    assert section.dcid not in attended(district, student)
    row = district.enrollments.position(dcid)
    assert (row is not None) is kept
    if row is not None:
        view = district.enrollments.view(row)
        assert (view.dropped, view.exit_date) == (dropped, TODAY)


def test_drop_may_lie_in_the_future(district: model.District) -> None:
    section, student = a_class(district)
    apply(district, op="drop", student=student, section=section.dcid, exit_date="2026-12-01")
    assert section.dcid in attended(district, student)
    assert section.dcid not in attended(district, student, dt.date(2026, 12, 1))


def test_left_and_returned_are_two_rows(district: model.District) -> None:
    section, student = a_class(district)
    apply(district, op="drop", student=student, section=section.dcid)
    apply(district, op="reenroll", student=student, section=section.dcid)
    rows = [r for r in district.enrollments.of_student(student) if district.enrollments.section[r] == section.dcid]
    assert len(rows) == 2 and section.dcid in attended(district, student)


def test_enroll_lasts_to_the_end_of_the_term(district: model.District) -> None:
    section, _ = a_class(district)
    student = next(s.dcid for s in district.students.values() if section.dcid not in attended(district, s.dcid))
    made = apply(district, op="enroll", student=student, section=section.dcid)["enrollment"]
    view = district.enrollments.view(district.enrollments.position(made) or -1)
    assert view.entry_date == TODAY
    assert view.exit_date == district.terms[section.term].last_day + dt.timedelta(days=1)


def test_teacher_replaced_and_taken_away(district: model.District) -> None:
    section, _ = a_class(district)
    before = section.staff
    other = next(r for r in district.staff_at(section.school) if r.type == 1 and r.status == 1 and r.dcid != before)
    result = apply(district, op="assign_teacher", section=section.dcid, teacher=other.user)
    assert section.staff == other.dcid == result["staff"]
    leads = [t for t in district.section_teachers.values() if t.section == section.dcid and t.role == model.ROLE_LEAD]
    assert sorted(t.end_date >= TODAY for t in leads) == [False, True]
    apply(district, op="unassign_teacher", section=section.dcid)
    assert section.staff is None


def test_teacher_from_another_school_gets_a_staff_row_there(district: model.District) -> None:
    section, _ = a_class(district)
    stranger = next(
        u for u in district.users.values() if {r.school for r in district.staff_of(u.dcid)}.isdisjoint({section.school})
    )
    apply(district, op="assign_teacher", section=section.dcid, teacher=stranger.dcid)
    assert section.school in {row.school for row in district.staff_of(stranger.dcid)}


def test_co_teachers_come_and_go(district: model.District) -> None:
    section, _ = a_class(district)
    other = next(r for r in district.staff_at(section.school) if r.type == 1 and r.dcid != section.staff)
    apply(district, op="add_co_teacher", section=section.dcid, teacher=other.user)
    with pytest.raises(changes.ChangeError, match="already"):
        apply(district, op="add_co_teacher", section=section.dcid, teacher=other.user)
    apply(district, op="remove_co_teacher", section=section.dcid, teacher=other.user)
    assert not [t for t in district.section_teachers.values() if t.section == section.dcid and t.staff == other.dcid]


def test_transfer_ends_the_old_school_and_begins_the_new(district: model.District) -> None:
    section, student = a_class(district)
    target = next(s for s in district.sections.values() if s.school != section.school and s.staff)
    apply(district, op="transfer_student", student=student, school=target.school, sections=[target.dcid])
    assert district.students[student].school == target.school
    assert attended(district, student) == {target.dcid}


@pytest.mark.parametrize(
    ("status", "code", "stays"), [("T", 2, False), ("P", -1, True), ("g", 3, False), ("7", 7, False)]
)
def test_enroll_status(district: model.District, status: str, code: int, stays: bool) -> None:
    section, student = a_class(district)
    apply(district, op="set_enroll_status", student=student, status=status)
    assert district.students[student].enroll_status == code
    assert (section.dcid in attended(district, student)) is stays


def test_students_and_teachers_are_added_changed_and_gone(district: model.District) -> None:
    section, _ = a_class(district)
    made = apply(
        district, op="add_student", school=section.school, first_name="Nell", last_name="Now", username="007",
        sections=[section.dcid],
    )  # fmt: skip
    student = district.students[made["student"]]
    assert student.username == "007" and attended(district, student.dcid) == {section.dcid}
    apply(district, op="update_student", student=student.dcid, last_name="Then", birth_date="2012-02-03", grade=11)
    assert (student.last_name, student.birth_date, student.grade) == ("Then", dt.date(2012, 2, 3), 11)
    apply(district, op="delete_student", student=student.dcid)
    assert student.dcid not in district.students and not district.enrollments.of_student(student.dcid)

    schools = [s.dcid for s in district.schools.values() if 0 < s.number < 999999]
    hired = apply(district, op="hire", first_name="Tom", last_name="Both", schools=schools, teacher_username="tboth")
    assert len(hired["staff"]) == 2
    apply(district, op="update_teacher", teacher=hired["teacher"], email="tom@contoso.edu")
    assert district.users[hired["teacher"]].email == "tom@contoso.edu"
    apply(district, op="leave", teacher=hired["teacher"], school=schools[0])
    assert [row.status for row in district.staff_of(hired["teacher"])] == [2, 1]
    apply(district, op="affiliate", teacher=hired["teacher"], school=schools[0], type=2)
    assert [(row.status, row.type) for row in district.staff_of(hired["teacher"])] == [(1, 2), (1, 1)]


def test_sections_courses_schools_and_terms(district: model.District) -> None:
    school = apply(district, op="add_school", name="Elm High School", number=777)["school"]
    assert district.current_year(school, TODAY) == 2026
    course = apply(district, op="add_course", name="Chess", number="CH1", school=school)["course"]
    teacher = next(iter(district.users))
    students = [s.dcid for s in district.students.values()][:2]
    section = apply(
        district, op="add_section", school=school, course=course, teacher=teacher, students=students, number="09"
    )["section"]
    assert district.sections[section].number == "09" and len(district.enrollments.of_section(section)) == 2
    apply(district, op="update_course", course=course, name="Chess II")
    apply(district, op="update_section", section=section, room="12", number="10")
    assert (district.courses[course].name, district.sections[section].room) == ("Chess II", "12")
    term = apply(
        district,
        op="add_term",
        school=school,
        start_year=2026,
        portion=4,
        first_day="2026-09-01",
        last_day="2026-11-01",
    )
    assert term["local_id"] // 100 == 36
    apply(district, op="update_term", term=term["term"], last_day="2026-11-30")
    assert district.terms[term["term"]].last_day == dt.date(2026, 11, 30)
    apply(district, op="update_section", section=section, term=term["term"])
    assert district.sections[section].term == term["term"]
    apply(district, op="update_school", school=school, name="Elm School")
    apply(district, op="delete_section", section=section)
    assert section not in district.sections and not district.enrollments.of_section(section)
    apply(district, op="delete_school", school=school)
    assert school not in district.schools and not [t for t in district.terms.values() if t.school == school]


def test_deleting_a_school_takes_its_students_and_sections_along(district: model.District) -> None:
    school = next(s for s in district.schools.values() if 0 < s.number < 999999)
    with pytest.raises(changes.ChangeError, match="students"):
        apply(district, op="delete_school", school=school.dcid, students="refuse")
    apply(district, op="delete_school", school=school.dcid)
    assert not district.students_of(school.dcid) and not district.sections_of(school.dcid)
    assert all(district.enrollments.section[row] in district.sections for row in district.enrollments.rows())


BAD: list[dict[str, Any]] = [
    {},
    {"op": "dance"},
    {"op": ["drop"]},
    {"op": "enroll", "student": 1001},
    {"op": "enroll", "student": 1, "section": 1502},
    {"op": "enroll", "student": "many", "section": 1502},
    {"op": "enroll", "student": True, "section": 1502},
    {"op": "drop", "student": 1001, "section": 1503, "how": "gently"},
    {"op": "update_student", "student": 1001},
    {"op": "update_student", "student": 1001, "shoe_size": 38},
    {"op": "update_student", "student": 1001, "last_name": "X", "shoe_size": 38},
    {"op": "update_student", "student": 1001, "school": 4711},
    {"op": "update_student", "student": 1001, "birth_date": "03.02.2012"},
    {"op": "add_student", "school": 3, "first_name": "A", "last_name": "B", "id": 1001},
    {"op": "add_student", "school": 3, "first_name": "A", "last_name": "B", "sections": [1502, 1]},
    {"op": "add_section", "school": 3, "course_name": "A", "students": 5},
    {"op": "add_section", "school": 3, "course_name": "A", "teacher": 1},
    {"op": "set_enroll_status", "student": 1001, "status": "Z"},
    {"op": "hire", "first_name": "A", "last_name": "B", "schools": []},
    {"op": "update_term", "term": 322, "last_day": "2000-01-01"},
    {"op": "update_school", "school": 3, "number": 0},
    {"op": "add_school", "name": "X", "number": 0},
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(bad)[:60])
def test_refused_operations_undo_everything_before_them(district: model.District, bad: dict[str, Any]) -> None:
    before = state(district)
    section, student = a_class(district)
    good = [
        {"op": "drop", "student": student, "section": section.dcid},
        {"op": "delete_student", "student": 1010},
        {
            "op": "add_student",
            "school": section.school,
            "first_name": "A",
            "last_name": "B",
            "sections": [section.dcid],
        },
        {"op": "assign_teacher", "section": section.dcid, "teacher": max(district.users)},
    ]
    with pytest.raises(changes.ChangeError):
        changes.apply(district, [*good, bad], TODAY)
    assert _sorted(state(district)) == _sorted(before)


def _sorted(tables: dict[str, Any]) -> dict[str, Any]:
    return {
        name: sorted(rows, key=lambda row: row["dcid"]) if isinstance(rows, list) else rows
        for name, rows in tables.items()
    }


def test_enrolling_twice_is_refused(district: model.District) -> None:
    section, student = a_class(district)
    with pytest.raises(changes.ChangeError, match="already"):
        apply(district, op="enroll", student=student, section=section.dcid)


def test_a_school_day_is_repeatable_readable_and_touches_each_thing_once(district: model.District) -> None:
    day = school_day(district, TODAY)
    assert day == school_day(generate(students=1000, seed=9, today=TODAY), TODAY)
    assert [operation["op"] for operation in day] == [
        "drop", "assign_teacher", "add_student", "add_section", "update_student", "delete_student",
    ]  # fmt: skip
    assert all(operation["note"] for operation in day)
    students = [o["student"] for o in day if "student" in o] + list(day[3]["students"])
    assert len(set(students)) == len(students) == 6
    sections = [o["section"] for o in day if "section" in o] + list(day[2]["sections"])
    assert len(set(sections)) == len(sections) == 4
    before = {dcid: attended(district, dcid) for dcid in district.students}
    changes.apply(district, day, TODAY)
    after = {dcid: attended(district, dcid) for dcid in district.students}
    lost = {(d, s) for d, sections in before.items() for s in sections - after.get(d, set())}
    gained = {(d, s) for d, sections in after.items() for s in sections - before.get(d, set())}
    assert {d for d, _ in lost} == {day[0]["student"], day[5]["student"]}
    assert len(gained) == 2 + 3


@pytest.mark.parametrize("count", [1, 3, 30])
def test_a_school_day_of_a_tiny_district_can_be_applied(count: int) -> None:
    tiny = generate(students=count, seed=1, today=TODAY)
    changes.apply(tiny, school_day(tiny, TODAY), TODAY)


def test_many_students_change_sections_at_once(district: model.District) -> None:
    table = district.enrollments
    before = {row for row in table.rows() if table.is_active(row, TODAY)}
    moved = apply(district, op="move_students", count=100, seed=3)["moved"]
    after = {row for row in table.rows() if table.is_active(row, TODAY)}
    left, entered = before - after, after - before
    assert len(left) == len(entered) == moved > 90
    assert sorted(table.student[row] for row in left) == sorted(table.student[row] for row in entered)
    places = {table.student[row]: district.sections[table.section[row]].school for row in left}
    assert all(district.sections[table.section[row]].school == places[table.student[row]] for row in entered)
    doubled = [(table.student[row], table.section[row]) for row in after]
    assert len(doubled) == len(set(doubled))


def test_more_students_than_there_are_cannot_change(district: model.District) -> None:
    with pytest.raises(changes.ChangeError, match="cannot be moved"):
        apply(district, op="move_students", count=10**6)
