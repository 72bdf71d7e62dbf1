"""Districts from SDS V1 CSV folders."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from sds_daemon.sandbox.district.csv_v1 import CsvError, load

TODAY = dt.date(2026, 11, 25)
FILES = {
    "School": "SIS ID,Name\n10,Alder High\n20,Birch High\n",
    "Section": (
        "SIS ID,School SIS ID,Section Name,Term SIS ID,Term StartDate,Term EndDate,Section Number\n"
        "31,10,Maths,7,9/1/2017,6/15/2018,007\n32,20,Art,7,9/1/2017,6/15/2018,2\n"
    ),
    "Student": (
        "SIS ID,School SIS ID,Username,First Name,Last Name,Grade\n41,10,00123,Ada,Berg,KG\n42,20,Bo,Bo,Cole,9\n"
    ),
    "Teacher": "SIS ID,School SIS ID,Username\n41,10,TFirst\n41,20,TFirst\n51,20,TSecond\n",
    "StudentEnrollment": "Section SIS ID,SIS ID\n31,41\n32,42\n",
    "TeacherRoster": "Section SIS ID,SIS ID\n31,41\n32,51\n32,41\n",
}


def write(folder: Path, **changed: str | None) -> Path:
    for name, text in {**FILES, **changed}.items():
        if text is not None:
            (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def test_ids_usernames_and_numbers_come_out_as_given(tmp_path: Path) -> None:
    district = load(write(tmp_path), TODAY)
    assert set(district.schools) == {10, 20}
    assert set(district.sections) == {31, 32} and district.sections[31].number == "007"
    assert district.students[41].username == "00123" and district.students[41].grade == 0
    assert set(district.users) == {41, 51}
    assert district.users[41].teacher_username == "TFirst"


def test_one_person_in_two_schools_has_two_staff_rows(tmp_path: Path) -> None:
    district = load(write(tmp_path), TODAY)
    assert sorted(row.school for row in district.staff_of(41)) == [10, 20]
    assert not set(district.staff) & set(district.users)


def test_the_first_in_the_roster_leads_and_the_others_help(tmp_path: Path) -> None:
    district = load(write(tmp_path), TODAY)
    lead = district.sections[32].staff
    assert lead is not None and district.staff[lead].user == 51
    assert sorted(t.role for t in district.section_teachers.values() if t.section == 32) == [1, 2]


@pytest.mark.parametrize(
    ("today", "first"),
    [
        (dt.date(2026, 11, 25), dt.date(2026, 9, 1)),
        (dt.date(2027, 6, 15), dt.date(2026, 9, 1)),
        (dt.date(2026, 9, 1), dt.date(2026, 9, 1)),
        (dt.date(2016, 10, 1), dt.date(2016, 9, 1)),
    ],
)
def test_the_term_moves_by_whole_years_to_hold_today(tmp_path: Path, today: dt.date, first: dt.date) -> None:
    district = load(write(tmp_path), today)
    for term in district.terms.values():
        assert term.first_day == first and term.first_day <= today <= term.last_day
        assert term.start_year == first.year
    table = district.enrollments
    assert all(table.is_active(row, today) for row in table.rows())


def test_order_of_columns_case_and_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    text = "\ufeffname,STATE,sis id\r\nAlder High,WA,10\r\nBirch High,WA,20\r\n"
    district = load(write(tmp_path, School=text), TODAY)
    assert district.schools[10].name == "Alder High"


def test_minimum_columns_are_enough(tmp_path: Path) -> None:
    sections = "SIS ID,School SIS ID,Section Name\n31,10,Maths\n32,20,Art\n"
    people = "SIS ID,School SIS ID,Username\n41,10,ABerg\n42,20,Bo\n"
    district = load(write(tmp_path, Section=sections, Student=people), TODAY)
    assert {s.dcid: district.courses[s.course].name for s in district.sections.values()} == {31: "Maths", 32: "Art"}
    assert district.current_year(10, TODAY) == 2026
    assert len(district.enrollments) == 2


def test_half_year_terms_get_a_full_year_beside_them(tmp_path: Path) -> None:
    sections = (
        "SIS ID,School SIS ID,Section Name,Term SIS ID,Term Name,Term StartDate,Term EndDate\n"
        "31,10,Maths,7,S1,2017-08-01,2017-12-31\n32,20,Art,8,S2,20180101,20180615\n"
    )
    district = load(write(tmp_path, Section=sections), TODAY)
    assert {t.portion for t in district.terms.values() if t.school == 10} == {1, 2}
    assert district.current_year(10, TODAY) == 2026
    assert district.terms[district.sections[32].term].first_day == dt.date(2027, 1, 1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"TeacherRoster": None}, "TeacherRoster.csv"),
        ({"School": "Name\nAlder\n"}, "School.csv lacks the column SIS ID"),
        ({"School": "SIS ID,Name\n"}, "no school"),
        ({"School": "SIS ID,Name\nten,Alder\n"}, "School.csv, line 2: SIS ID must be a whole number"),
        ({"School": "SIS ID,Name\n10,A\n10,B\n20,C\n"}, "School.csv, line 3: school 10 is listed twice"),
        ({"StudentEnrollment": "Section SIS ID,SIS ID\n31,99\n"}, "StudentEnrollment.csv, line 2: SIS ID 99"),
        ({"TeacherRoster": "Section SIS ID,SIS ID\n99,41\n"}, "Section SIS ID 99"),
        ({"Student": "SIS ID,School SIS ID,Username\n41,77,A\n42,20,B\n"}, "School SIS ID 77 is not in School.csv"),
        ({"Student": "SIS ID,School SIS ID,Username,Grade\n41,10,A,tall\n42,20,B,1\n"}, "no grade"),
        ({"Section": "SIS ID,School SIS ID,Section Name,Term StartDate,Term EndDate\n31,10,A,soon,later\n"}, "no date"),
    ],
)
def test_a_bad_folder_is_refused_with_file_and_line(
    tmp_path: Path, changed: dict[str, str | None], message: str
) -> None:
    with pytest.raises(CsvError, match=message):
        load(write(tmp_path, **changed), TODAY)


def test_a_missing_folder_and_text_that_is_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(CsvError, match="not a folder"):
        load(tmp_path / "nowhere", TODAY)
    write(tmp_path)
    (tmp_path / "School.csv").write_bytes(b"SIS ID,Name\n10,Caf\xe9\n")
    with pytest.raises(CsvError, match="UTF-8"):
        load(tmp_path, TODAY)
