"""Generated districts: repeatable, of the asked size, and with the unpleasant rows real ones have."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest
from powerschool_rig import TODAY

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.generate import generate
from sds_daemon.sandbox.powerschool.app import state


@pytest.fixture(scope="module")
def district() -> model.District:
    return generate(students=3000, seed=4, today=TODAY)


def current_sections(district: model.District) -> list[model.Section]:
    return [s for s in district.sections.values() if district.terms[s.term].start_year == 2026]


def test_the_same_seed_makes_the_same_district_and_another_one_another() -> None:
    one, two, other = (generate(students=200, seed=seed, today=TODAY) for seed in (1, 1, 2))
    assert state(one) == state(two)
    assert state(one)["students"] != state(other)["students"]
    assert one.uuid != other.uuid


@pytest.mark.parametrize("count", [1, 2, 24, 26, 500, 501, 1999])
def test_exactly_so_many_active_students(count: int) -> None:
    made = generate(students=count, seed=1, today=TODAY)
    active = [s for s in made.students.values() if s.enroll_status == model.ACTIVE]
    assert len(active) == count
    assert len(made.schools) - 2 == max(1, -(-count // 500))


def test_a_district_needs_a_student() -> None:
    with pytest.raises(ValueError, match="student"):
        generate(students=0, seed=1, today=TODAY)


@pytest.mark.parametrize(
    "today", [dt.date(2026, 7, 1), dt.date(2027, 6, 30), dt.date(2028, 2, 29), dt.date(2027, 1, 1)]
)
def test_today_lies_in_the_school_year_and_everybody_has_six_classes(today: dt.date) -> None:
    made = generate(students=150, seed=2, today=today)
    for school in made.schools.values():
        assert made.current_year(school.dcid, today) == (today.year if today.month > 6 else today.year - 1)
    table = made.enrollments
    active = Counter(table.student[row] for row in table.rows() if table.is_active(row, today))
    assert {active[s.dcid] for s in made.students.values() if s.enroll_status == model.ACTIVE} == {6}


def test_sections_have_about_25_students_and_teachers_about_six_sections(district: model.District) -> None:
    sizes = []
    taught: Counter[int] = Counter()
    for section in current_sections(district):
        rows = [r for r in district.enrollments.of_section(section.dcid) if district.enrollments.is_active(r, TODAY)]
        sizes.append(len(rows))
        if section.staff is not None and rows:
            taught[district.staff[section.staff].user] += 1
    busy = [size for size in sizes if size]
    assert 20 <= sum(busy) / len(busy) <= 30
    assert 5 <= sum(taught.values()) / len(taught) <= 7


def test_the_unpleasant_rows_are_there(district: model.District) -> None:
    sections = current_sections(district)
    assert any(s.staff is None for s in sections)
    assert any(not district.enrollments.of_section(s.dcid) for s in sections)
    assert {s.enroll_status for s in district.students.values()} == {-1, 0, 2, 3, 4}
    assert any(district.schools[s.school].number == model.GRADUATED for s in district.students.values())
    assert any(row.status == 2 for row in district.staff.values())
    assert any(row.type != 1 for row in district.staff.values())
    assert any(t.role == model.ROLE_CO_TEACHER for t in district.section_teachers.values())
    two = Counter(row.user for row in district.staff.values() if row.type == 1)
    assert max(two.values()) == 2
    assert any(s.number.startswith("0") for s in sections) and any(not s.number.startswith("0") for s in sections)
    assert any(c.school is None for c in district.courses.values())
    assert set(district.students) & set(district.users)
    assert {district.terms[s.term].start_year for s in district.sections.values()} == {2025, 2026, 2027}
    assert {district.terms[s.term].portion for s in sections} == {1, 2}


def test_enrollment_rows_of_every_sort(district: model.District) -> None:
    rows = [district.enrollments.view(row) for row in district.enrollments.rows()]
    assert any(row.dropped for row in rows)
    assert any(row.entry_date == row.exit_date for row in rows)
    pairs = Counter((row.section, row.student) for row in rows)
    assert max(pairs.values()) == 2
    standing = Counter(
        (row.section, row.student) for row in rows if not row.dropped and row.entry_date <= TODAY < row.exit_date
    )
    assert max(standing.values()) == 1


def test_references_hold_and_usernames_are_unique_and_short(district: model.District) -> None:
    for section in district.sections.values():
        term = district.terms[section.term]
        assert term.school == section.school and section.course in district.courses
        if section.staff is not None:
            assert district.staff[section.staff].school == section.school
    for row in district.enrollments.rows():
        assert district.enrollments.section[row] in district.sections
        assert district.enrollments.student[row] in district.students
    names = [s.username for s in district.students.values()]
    names += [u.teacher_username or u.admin_username for u in district.users.values()]
    assert len({name.lower() for name in names}) == len(names)
    assert all(name.isascii() and 0 < len(name) <= 20 for name in names)


def test_every_twelfth_section_has_a_co_teacher_and_some_are_over_or_to_come(district: model.District) -> None:
    current = {section.dcid for section in current_sections(district)}
    rows = [t for t in district.section_teachers.values() if t.role == model.ROLE_CO_TEACHER]
    assert len(current) / 16 < len({row.section for row in rows} & current) < len(current) / 10
    assert any(row.end_date < TODAY for row in rows) and any(row.start_date > TODAY for row in rows)
    assert sum(row.start_date <= TODAY <= row.end_date for row in rows) > len(rows) / 2
    for row in rows:
        assert row.staff != district.sections[row.section].staff and row.start_date <= row.end_date
        assert district.staff[row.staff].school == district.sections[row.section].school


def test_every_section_with_a_lead_teacher_has_the_row_that_says_so(district: model.District) -> None:
    leads = {(t.section, t.staff) for t in district.section_teachers.values() if t.role == model.ROLE_LEAD}
    assert leads == {(s.dcid, s.staff) for s in district.sections.values() if s.staff is not None}
