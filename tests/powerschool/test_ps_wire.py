"""From documented JSON to records, and what becomes of values that are wrong."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from ps_rig import enrollment, section, staff, student, term

from sds_daemon.roster.records import Course, School
from sds_daemon.sources.powerschool.wire import (
    Affiliation,
    parse_course,
    parse_enrollment,
    parse_school,
    parse_section,
    parse_staff,
    parse_student,
    parse_term,
)


def test_a_school() -> None:
    raw = {
        "id": 2,
        "name": "East",
        "school_number": 3,
        "low_grade": 9,
        "high_grade": 12,
        "addresses": {"physical": {"street": "1 Main St", "city": "X", "state_province": "WA", "postal_code": 12345}},
        "phones": {"main": {"number": 5551234}},
        "principal": {"name": {"first_name": "Ann", "middle_name": "", "last_name": "Lee"}, "email": "a@example.org"},
        "assistant_principal": "",
    }
    assert parse_school(raw).value == School(
        id="2",
        name="East",
        number="3",
        low_grade="9",
        high_grade="12",
        principal_name="Ann Lee",
        principal_email="a@example.org",
        phone="5551234",
        street="1 Main St",
        city="X",
        state="WA",
        postal_code="12345",
    )


def test_a_school_of_empty_elements() -> None:
    parsed = parse_school({"id": 2, "name": "East", "addresses": "", "phones": "", "principal": ""})
    assert (parsed.value, parsed.faults) == (School(id="2", name="East"), [])


def test_a_school_with_a_broken_phone_is_kept_without_it() -> None:
    parsed = parse_school({"id": 2, "name": "East", "phones": {"main": {"number": ["1", "2"]}}})
    assert parsed.value == School(id="2", name="East")
    assert parsed.faults == ["phones.main.number is a list where text belongs"]


@pytest.mark.parametrize(("number", "expected"), [(5, "5"), ("05", "05"), ("", ""), ("8(A)", "8(A)")])
def test_section_numbers_are_text(number: Any, expected: str) -> None:
    parsed = parse_section(section(51, section_number=number), "3").value
    assert parsed is not None
    assert parsed.number == expected


def test_a_section_s_period_is_the_external_expression_else_the_expression() -> None:
    both = parse_section(section(51, expression="8(A-E)", external_expression="6(M-F)"), "3").value
    one = parse_section(section(51, expression="8(A-E)"), "3").value
    assert both is not None
    assert one is not None
    assert (both.period, one.period) == ("6(M-F)", "8(A-E)")


def test_a_section_takes_its_term_id_from_the_nested_term_if_need_be() -> None:
    raw = {**section(51), "term": term(10, 3, "2026-08-20", "2027-06-11")}
    del raw["term_id"]
    parsed = parse_section(raw, "3").value
    assert parsed is not None
    assert parsed.term_id == "10"


def test_a_section_without_term_is_unusable() -> None:
    raw = section(51)
    del raw["term_id"]
    parsed = parse_section(raw, "3")
    assert (parsed.id, parsed.value, parsed.faults) == ("51", None, ["term_id is missing"])


def test_a_course() -> None:
    raw = {"id": 2135, "course_number": 101, "course_name": "Algebra"}
    assert parse_course(raw).value == Course(id="2135", number="101", name="Algebra")


def test_a_term() -> None:
    parsed = parse_term(term(10, 3, "2026-08-20", "2027-06-11"), "3").value
    assert parsed is not None
    assert (parsed.start, parsed.end, parsed.start_year, parsed.full_year) == (
        date(2026, 8, 20),
        date(2027, 6, 11),
        2026,
        True,
    )


def test_a_term_s_year_can_be_read_from_its_number() -> None:
    raw = term(10, 3, "2026-08-20", "2027-06-11")
    del raw["start_year"]
    raw["local_id"] = 3601
    parsed = parse_term(raw, "3").value
    assert parsed is not None
    assert parsed.start_year == 2026


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"start_date": ""}, "start_date is missing"),
        ({"end_date": "soon"}, "end_date is not a date like 2026-09-01"),
        ({"end_date": "2026-01-01"}, "end_date lies before start_date"),
        ({"start_year": "", "local_id": ""}, "start_year is missing"),
        ({"id": ""}, "id is missing"),
    ],
)
def test_unusable_terms(changes: dict[str, Any], fault: str) -> None:
    parsed = parse_term({**term(10, 3, "2026-08-20", "2027-06-11"), **changes}, "3")
    assert (parsed.value, parsed.faults) == (None, [fault])


@pytest.mark.parametrize(
    ("affiliations", "expected"),
    [
        ("", ()),
        ({"school_affiliation": {"school_id": 6, "type": 1, "status": 1}}, (Affiliation("6", 1, 1),)),
        (
            {
                "school_affiliation": [
                    {"school_id": 6, "type": 2, "status": 1},
                    {"school_id": 7, "type": 1, "status": 2},
                ]
            },
            (Affiliation("6", 2, 1), Affiliation("7", 1, 2)),
        ),
    ],
)
def test_affiliations_in_each_form(affiliations: Any, expected: tuple[Affiliation, ...]) -> None:
    parsed = parse_staff(staff(67, 64, school_affiliations=affiliations)).value
    assert parsed is not None
    assert parsed.affiliations == expected


def test_staff_numbers_and_usernames_of_digits() -> None:
    parsed = parse_staff(staff(67, 64, local_id="00012", teacher_username=78654, emails="")).value
    assert parsed is not None
    assert (parsed.number, parsed.username, parsed.email, parsed.usable) == ("00012", "78654", "", True)


def test_staff_with_a_broken_name_are_known_but_not_usable() -> None:
    parsed = parse_staff(staff(67, 64, name={"first_name": "A\x00", "last_name": "B"})).value
    assert parsed is not None
    assert (parsed.person_id, parsed.usable) == ("64", False)
    assert parsed.faults == ("name.first_name holds control characters or broken text",)


def test_staff_without_person_are_no_record() -> None:
    parsed = parse_staff(staff(67, 64, users_dcid=""))
    assert (parsed.id, parsed.value, parsed.faults) == ("67", None, ["users_dcid is missing"])


def test_a_student() -> None:
    parsed = parse_student(student(1, student_username=78654), "3").value
    assert parsed is not None
    assert (parsed.id, parsed.username, parsed.number, parsed.grade) == ("1", "78654", "100001", "9")
    assert (parsed.birth_date, parsed.graduation_year, parsed.status) == ("2010-05-06", "2029", "active")


@pytest.mark.parametrize(
    ("enrolled", "status"),
    [
        ({"enroll_status": "A"}, "active"),
        ({"enroll_status": "a"}, "active"),
        ({"enroll_status_code": 0}, "active"),
        ({"enroll_status_code": "-1"}, "pre-registered"),
        ({"enroll_status": "P"}, "pre-registered"),
        ({"enroll_status_code": 2}, "transferred out"),
        ({"enroll_status": "G"}, "graduated"),
        ({"enroll_status_code": 4}, "historical"),
        ({"enroll_status_code": 17}, "inactive"),
        ({"enroll_status": "Z"}, "inactive"),
    ],
)
def test_the_status_by_letter_or_code(enrolled: dict[str, Any], status: str) -> None:
    parsed = parse_student(student(1, school_enrollment={**enrolled, "school_id": 3}), "3").value
    assert parsed is not None
    assert parsed.status == status


def test_a_student_without_username_is_kept_for_the_core_to_judge() -> None:
    raw = student(1)
    del raw["student_username"], raw["name"]
    parsed = parse_student(raw, "3")
    assert parsed.value is not None
    assert (parsed.value.username, parsed.value.last_name, parsed.faults) == ("", "", [])


@pytest.mark.parametrize(
    "changes",
    [
        {"student_username": {"x": 1}},
        {"student_username": "a\u0007b"},
        {"name": {"first_name": "\ud800", "last_name": "B"}},
        {"name": ["A", "B"]},
        {"name": {"first_name": "x" * 2000, "last_name": "B"}},
        {"school_enrollment": ""},
        {"id": ""},
        {"id": "9" * 100},
    ],
)
def test_students_that_cannot_be_used(changes: dict[str, Any]) -> None:
    parsed = parse_student(student(1, **changes), "3")
    assert parsed.value is None
    assert parsed.faults


@pytest.mark.parametrize(
    "changes",
    [{"local_id": []}, {"contact_info": {"email": "a\x00b"}}, {"demographics": {"birth_date": "yesterday"}}],
)
def test_optional_values_that_are_wrong_are_left_empty_and_told(changes: dict[str, Any]) -> None:
    parsed = parse_student(student(1, **changes), "3")
    assert parsed.value is not None
    assert len(parsed.faults) == 1


def test_faults_do_not_quote_values() -> None:
    parsed = parse_student(student(1, name={"first_name": "Zebulon\x00", "last_name": "Q"}), "3")
    assert "Zebulon" not in " ".join(parsed.faults)


def test_an_enrollment() -> None:
    parsed = parse_enrollment(enrollment(900, 1), "51").value
    assert parsed is not None
    assert (parsed.id, parsed.student_id, parsed.entry, parsed.exit, parsed.dropped) == (
        "900",
        "1",
        date(2026, 8, 20),
        date(2027, 6, 12),
        False,
    )


def test_a_dropped_enrollment_with_a_negative_section() -> None:
    parsed = parse_enrollment(enrollment(900, 1, section_id=-51, dropped=True), "51").value
    assert parsed is not None
    assert parsed.dropped


@pytest.mark.parametrize(
    "changes",
    [
        {"student_id": ""},
        {"entry_date": ""},
        {"entry_date": "2026-13-01"},
        {"exit_date": "never"},
        {"dropped": "perhaps"},
        {"section_id": 52},
        {"id": {}},
    ],
)
def test_enrollments_that_cannot_be_used(changes: dict[str, Any]) -> None:
    parsed = parse_enrollment({**enrollment(900, 1), **changes}, "51")
    assert parsed.value is None
    assert parsed.faults


@pytest.mark.parametrize("raw", ["text", 5, None, [], True])
def test_rows_that_are_no_objects(raw: Any) -> None:
    for parse in (parse_school, parse_course, parse_staff):
        parsed = parse(raw)
        assert parsed.value is None
        assert parsed.faults[0] == "the record is not an object"
