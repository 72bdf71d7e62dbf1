"""What the directory should hold of each record."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matching_rig import SOURCE, profile, section, snapshot, student, teacher

from sds_daemon.config.settings import AttributeChoice, PersonRules
from sds_daemon.plan.attributes import SCHOOL_CHOICES, SECTION_CHOICES, STUDENT_CHOICES, TEACHER_CHOICES
from sds_daemon.roster.records import Course, School, Term
from sds_daemon.sync.characters import cut, one_line, utf16_length
from sds_daemon.sync.values import class_values, grade_code, school_values, student_values, teacher_values

EVERYTHING = profile(
    students=PersonRules(attributes=STUDENT_CHOICES),
    teachers=PersonRules(attributes=TEACHER_CHOICES),
    sections=AttributeChoice(attributes=SECTION_CHOICES),
    school_records=AttributeChoice(attributes=SCHOOL_CHOICES),
)
NOTHING = profile(
    students=PersonRules(), teachers=PersonRules(), sections=AttributeChoice(), school_records=AttributeChoice()
)
ANCHOR = {"external_source": "sis", "external_source_detail": SOURCE}


def test_student() -> None:
    one = student(
        "71",
        number="0007",
        grade="9",
        state_id="S-1",
        email="ada@home.example",
        middle_name="King",
        birth_date="2011-12-10",
        graduation_year="2030",
    )
    assert student_values(one, snapshot(one), EVERYTHING, SOURCE) == {
        "primary_role": "student",
        "external_id": "71",
        **ANCHOR,
        "student_number": "0007",
        "grade": "9",
        "state_id": "S-1",
        "secondary_email": "ada@home.example",
        "middle_name": "King",
        "birth_date": "2011-12-10",
        "graduation_year": "2030",
        "department": "Grade 9",
        "office_location": "Oak School",
    }


def test_teacher() -> None:
    one = teacher("8", number="T1", email="alan@home.example", middle_name="M")
    assert teacher_values(one, snapshot(one), EVERYTHING, SOURCE) == {
        "primary_role": "teacher",
        "external_id": "8",
        **ANCHOR,
        "teacher_number": "T1",
        "secondary_email": "alan@home.example",
        "middle_name": "M",
        "department": "Oak School",
        "office_location": "Oak School",
    }


def test_class() -> None:
    term = Term(
        id="27",
        school_id="1",
        name="",
        abbreviation="S1",
        start=date(2026, 8, 1),
        end=date(2027, 1, 9),
        start_year=2026,
        full_year=False,
    )
    one = section("55", course=Course(id="40", number="MATH-1", name="Algebra I"), term=term, period="2(A)")
    assert class_values(one, snapshot(one), EVERYTHING, SOURCE) == {
        "display_name": "Algebra I 3",
        "mail_nickname": "Section_55",
        "external_id": "55",
        **ANCHOR,
        "course_id": "40",
        "course_name": "Algebra I",
        "course_number": "MATH-1",
        "term_id": "27",
        "term_name": "S1",
        "term_start": "2026-08-01",
        "term_end": "2027-01-09",
        "section_number": "3",
        "period": "2(A)",
        "class_code": "MATH-1.3",
        "description": "Algebra I, Oak School, S1, 2026-27",
    }


def test_a_class_without_course_still_has_a_name_and_a_code() -> None:
    one = section("55")
    values = class_values(one, snapshot(one), EVERYTHING, SOURCE)
    assert values["display_name"] == "55 3"
    assert values["class_code"] == "3"
    assert values["course_number"] is None


def test_school() -> None:
    one = School(id="2", name=" Elm\tSchool ", number="200", low_grade="-1", high_grade="5", street="1 Main St")
    values = school_values(one, EVERYTHING, SOURCE)
    assert values["display_name"] == "Elm School"
    assert values["external_id"] == "2"
    assert (values["low_grade"], values["high_grade"], values["street"]) == ("PK", "5", "1 Main St")
    assert values["principal_name"] is None, "chosen, and the source says nothing"
    assert school_values(School(id="2", name="", number="200"), EVERYTHING, SOURCE)["display_name"] == "200"


def test_nothing_chosen_leaves_identity() -> None:
    one, two, three = student("1", grade="9"), teacher("2"), section("3")
    data = snapshot(one, two, three)
    assert student_values(one, data, NOTHING, SOURCE) == {"primary_role": "student", "external_id": "1", **ANCHOR}
    assert teacher_values(two, data, NOTHING, SOURCE) == {"primary_role": "teacher", "external_id": "2", **ANCHOR}
    assert set(class_values(three, data, NOTHING, SOURCE)) == {"display_name", "mail_nickname", "external_id", *ANCHOR}
    assert set(school_values(data.schools["1"], NOTHING, SOURCE)) == {"display_name", "external_id", *ANCHOR}


SAME = ("9", "01", "12", "13", "KG", "PK", "UG", "", "-", "²")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("0", "KG"),
        ("00", "KG"),
        ("-0", "KG"),
        ("-1", "PK"),
        ("-2", "PK"),
        *((same, same) for same in SAME),
        (" 7 ", "7"),
    ],
)
def test_grade_codes(source: str, code: str) -> None:
    assert grade_code(source) == code


@given(st.text(st.characters(codec=None), max_size=400))
def test_values_are_storable_and_fit(text: str) -> None:
    one = student("1", number=text, middle_name=text, state_id=text)
    values = student_values(one, snapshot(one), EVERYTHING, SOURCE)
    for name, limit in (("student_number", 256), ("middle_name", 64), ("state_id", 256)):
        value = values[name]
        if value is not None:
            value.encode("utf-8")
            assert 1 <= len(value.encode("utf-16-le")) // 2 <= limit
            assert "\n" not in value
            assert one_line(value) == value, "writing it again changes nothing"


@pytest.mark.parametrize(
    ("text", "limit", "cut_text"),
    [
        ("abcdef", 3, "abc"),
        ("ab cdef", 3, "ab"),
        ("ab😀", 3, "ab"),
        ("ab😀", 4, "ab😀"),
        ("abe\u0323\u0302x", 4, "ab"),
        ("👩\u200d🎓", 4, ""),
        ("", 3, ""),
    ],
)
def test_cutting_splits_no_character(text: str, limit: int, cut_text: str) -> None:
    assert cut(text, limit) == cut_text
    assert utf16_length(cut(text, limit)) <= limit
