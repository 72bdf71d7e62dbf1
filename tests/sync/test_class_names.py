"""Aliases and display names of classes."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matching_rig import section, snapshot, teacher

from sds_daemon.errors import ConfigurationError
from sds_daemon.roster.records import Course, RosterEntry, RosterRole, Section
from sds_daemon.sync.naming import class_alias, class_display_name, template_context

DEFAULT_NAME, DEFAULT_ALIAS = "{course_name} {section_number}", "Section_{sis_id}"
ILLEGAL = re.compile(r"""[^\x21-\x7e]|[@()\\\[\]";:.<>, ]""")
ALGEBRA = Course(id="40", number="MATH-1", name="Algebra I")
MARKED = r"-x[a-z2-7]{10}"


def alias(one: Section, template: str = DEFAULT_ALIAS) -> str:
    return class_alias(one, template, template_context(one, snapshot(one)))


def display(one: Section, template: str = DEFAULT_NAME, *others: object) -> str:
    return class_display_name(one, template, template_context(one, snapshot(one, *others)))  # type: ignore[arg-type]


def test_defaults() -> None:
    one = section("12345", course=ALGEBRA, number="3")
    assert alias(one) == "Section_12345"
    assert display(one) == "Algebra I 3"


def test_every_placeholder() -> None:
    one = section(
        "9",
        course=ALGEBRA,
        number="03",
        period="2(A-E)",
        teachers=(RosterEntry("7", RosterRole.CO_TEACHER), RosterEntry("8", RosterRole.LEAD)),
    )
    people = teacher("7", last_name="Curie"), teacher("8", last_name="Hopper")
    template = (
        "{sis_id}|{course_name}|{course_number}|{section_number}|{term_name}|{school_name}|{school_number}"
        "|{period}|{year}|{teacher_last_name}"
    )
    assert display(one, template, *people) == "9|Algebra I|MATH-1|03|Year|Oak School|100|2(A-E)|2026-27|Hopper"


@pytest.mark.parametrize(
    ("course", "name"),
    [
        (Course(id="40", number="MATH-1", name=" "), "MATH-1 3"),
        (Course(id="40", number="", name=""), "12 3"),
        (None, "12 3"),
    ],
)
def test_a_course_without_name(course: Course | None, name: str) -> None:
    assert display(section("12", course=course)) == name


def test_nothing_left_is_the_id() -> None:
    assert display(section("12"), "{period}") == "12"
    assert display(section("12"), "{period} - {teacher_last_name}") == "12"


def test_separators_of_empty_placeholders_go() -> None:
    one = section("12", course=ALGEBRA)
    assert display(one, "{course_name} - {period}") == "Algebra I"
    assert display(one, "- {course_name} -") == "- Algebra I -", "what the operator wrote stays otherwise"


def test_display_name_is_one_line_and_fits() -> None:
    one = section("12", course=Course(id="1", name=" Alge\u202ebra\n\n I\x00" + "é" * 400))
    name = display(one)
    assert name.startswith("Algebra I")
    assert len(name) == 256


def test_braces_in_the_source_are_not_placeholders() -> None:
    one = section("12", course=Course(id="1", name="{sis_id} {nonsense}"))
    assert display(one) == "{sis_id} {nonsense} 3"


def test_unknown_placeholder() -> None:
    with pytest.raises(ConfigurationError, match=r"\{teacher\}"):
        display(section("12"), "{teacher}")


@pytest.mark.parametrize(
    ("sis_id", "start"),
    [("AB", "Section_AB"), ("a b", "Section_a_b"), ("a.b", "Section_a_b"), ("é", "Section_e"), ("1-2", "Section_1-2")],
)
def test_ids_that_are_not_plain_end_in_a_hash(sis_id: str, start: str) -> None:
    assert re.fullmatch(re.escape(start) + MARKED, alias(section(sis_id)))


@pytest.mark.parametrize("sis_id", ["1", "007", "008200123", "0a1b"])
def test_plain_ids_stay(sis_id: str) -> None:
    assert alias(section(sis_id)) == f"Section_{sis_id}"


def test_other_placeholders_stay_where_the_id_can_be_told() -> None:
    one = section("12", course=ALGEBRA)
    assert alias(one, "{course_number}_{sis_id}") == "MATH-1_12"
    assert alias(one, "{sis_id}_{course_number}") == "12_MATH-1"
    assert re.fullmatch("MATH-112" + MARKED, alias(one, "{course_number}{sis_id}"))
    assert re.fullmatch("Algebra_I_12" + MARKED, alias(one, "{course_name}_{sis_id}"))


def test_long_aliases_are_cut() -> None:
    aliases = {alias(section(str(n)), "x" * 70 + "{sis_id}") for n in range(20)}
    assert len(aliases) == 20
    assert {len(one) for one in aliases} == {64}


IDS = st.text(max_size=70) | st.sampled_from(["1", "01", "a", "A", "1-2", "2", "x", "é", "e", "ab", "AB", "aB"])
NUMBERS = st.text(max_size=70) | st.sampled_from(["", "1", "12", "1-1", "MATH"])
TEMPLATES = st.sampled_from(
    [
        DEFAULT_ALIAS,
        "{sis_id}",
        "{course_number}{sis_id}",
        "{course_number}-{sis_id}",
        "{sis_id}-{course_number}",
        "{course_number}-{sis_id}-{section_number}",
        "S{sis_id}{sis_id}",
        "x" * 60 + "-{sis_id}",
        "K {sis_id}",
    ]
)


@given(TEMPLATES, IDS, IDS, NUMBERS, NUMBERS)
def test_two_sections_never_share_an_alias(template: str, one: str, other: str, first: str, second: str) -> None:
    assume(one != other)
    sections = [
        section(sis_id, number=number, course=Course(id="1", number=number, name="x"))
        for sis_id, number in ((one, first), (other, second))
    ]
    aliases = [alias(each, template) for each in sections]
    assert aliases[0].lower() != aliases[1].lower()
    for text in aliases:
        assert 1 <= len(text) <= 64
        assert not ILLEGAL.search(text)
    assert aliases == [alias(each, template) for each in sections]


def test_an_id_that_looks_like_our_hash_gets_one_of_its_own() -> None:
    assert re.fullmatch("S-xabcdefgh27" + MARKED, alias(section("xabcdefgh27"), "S-{sis_id}"))


@given(st.text(st.sampled_from("ab-x27"), min_size=1, max_size=30), st.text(st.sampled_from("AB .é"), min_size=1))
def test_a_plain_alias_never_looks_like_a_hashed_one(plain: str, odd: str) -> None:
    hashed = alias(section(odd))
    assert alias(section(hashed.removeprefix("Section_"))).lower() != hashed.lower()
    assert alias(section(plain)).lower() != hashed.lower()
