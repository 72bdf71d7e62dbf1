"""The identity rule: the matrix, missing values, several candidates, case, wholeness of strings."""

from __future__ import annotations

import pytest
from matching_rig import (
    S1,
    S2,
    T1,
    Book,
    Directory,
    StoredLink,
    codes,
    match,
    matching_on,
    profile,
    rules,
    snapshot,
    student,
    teacher,
    user,
)

from sds_daemon.plan.issues import IssueCode
from sds_daemon.sync.people import compared_value

ACCOUNT = user("u1", "JohnSmith@contoso.com", mail="JohnSmith@contoso.com", nickname="JohnSmith")
NUMBERED = user("u1", "1234567@contoso.com", mail="1234567@contoso.com", nickname="1234567")

SHORT, LONG, NUMBER, EMAIL = "JohnSmith", "JohnSmith@contoso.com", "1234567", "JohnSmith@contoso.com"
MATRIX = [
    # source property, value, suffix, works on: UPN, mail, nickname
    ("username", SHORT, None, False, False, True),
    ("username", SHORT, "contoso.com", True, True, False),
    ("username", LONG, None, True, True, False),
    ("username", LONG, "contoso.com", False, False, False),
    ("number", NUMBER, None, False, False, True),
    ("number", NUMBER, "contoso.com", True, True, False),
    ("secondary_email", EMAIL, None, True, True, False),
    ("secondary_email", EMAIL, "contoso.com", False, False, False),
]
CELLS = [
    (source, value, suffix, target, works)
    for source, value, suffix, *answers in MATRIX
    for target, works in zip(("userPrincipalName", "mail", "mailNickname"), answers, strict=True)
]


@pytest.mark.parametrize("make", [student, teacher])
@pytest.mark.parametrize(("source", "value", "suffix", "target", "works"), CELLS)
def test_matrix(make, source: str, value: str, suffix: str | None, target: str, works: bool) -> None:
    field = "email" if source == "secondary_email" else source
    person = make("1", **{"username": "other", field: value})
    directory = Directory(NUMBERED if source == "number" else ACCOUNT)
    result = match(snapshot(person), matching_on(source, suffix, target), directory)
    ref = S1 if make is student else T1
    assert (ref in result.linked) is works
    if works:
        assert result.linked == {ref: "u1"}
        assert result.issues == []
    else:
        assert codes(result) == {ref: IssueCode.UNMATCHED}
        assert result.issues[0].joining_value == (f"{value}@{suffix}" if suffix else value)


def test_each_role_has_its_own_rule() -> None:
    chosen = profile(
        students=matching_on("number", None, "mailNickname").students,
        teachers=matching_on("secondary_email", None, "mail").teachers,
    )
    data = snapshot(student("1", "x", number="700"), teacher("1", "x", email="alan@staff.contoso.com"))
    directory = Directory(
        user("u1", "a@contoso.com", nickname="700"), user("u2", "b@contoso.com", mail="Alan@staff.contoso.com")
    )
    result = match(data, chosen, directory)
    assert rules(result) == {
        S1: ("u1", "number=mailNickname"),
        T1: ("u2", "secondary_email=mail"),
    }


@pytest.mark.parametrize("value", ["johnsmith", "JOHNSMITH", " JohnSmith "])
def test_case_and_outer_blanks_do_not_matter(value: str) -> None:
    result = match(
        snapshot(student("1", value)), matching_on("username", "Contoso.COM", "userPrincipalName"), Directory(ACCOUNT)
    )
    assert result.linked == {S1: "u1"}


@pytest.mark.parametrize("value", ["John", "JohnSmithX", "XJohnSmith", "John Smith", "%", "*", "JohnSmith%"])
def test_only_the_whole_text_matches(value: str) -> None:
    result = match(
        snapshot(student("1", value)), matching_on("username", "contoso.com", "userPrincipalName"), Directory(ACCOUNT)
    )
    assert codes(result) == {S1: IssueCode.UNMATCHED}


@pytest.mark.parametrize(
    ("source", "field"),
    [("username", "Username"), ("number", "Student Number"), ("secondary_email", "Secondary Email")],
)
def test_missing_value_names_the_field_and_asks_nobody(source: str, field: str) -> None:
    directory = Directory(user("u1", "@contoso.com"), user("u2", "x@contoso.com"))
    suffix = "contoso.com" if source != "secondary_email" else None
    result = match(snapshot(student("1", "  ")), matching_on(source, suffix, "userPrincipalName"), directory)
    assert codes(result) == {S1: IssueCode.MISSING_ATTRIBUTE}
    assert field in result.issues[0].detail
    assert directory.asked_for == []


def test_two_candidates_are_not_picked_from() -> None:
    directory = Directory(user("u1", "a@contoso.com", nickname="ada"), user("u2", "b@contoso.com", nickname="ADA"))
    result = match(snapshot(student("1", "ada")), matching_on("username", None, "mailNickname"), directory)
    assert codes(result) == {S1: IssueCode.DUPLICATE_TARGET}
    assert result.matched == []


def test_two_candidates_stand_in_the_way_of_creating_too() -> None:
    rules = matching_on("username", None, "mailNickname").students.model_copy(update={"domain": "contoso.com"})
    directory = Directory(user("u1", "a@contoso.com", nickname="ada"), user("u2", "b@contoso.com", nickname="ada"))
    result = match(snapshot(student("1", "ada")), profile("match_or_create", students=rules), directory)
    assert codes(result) == {S1: IssueCode.DUPLICATE_TARGET}
    assert result.creates == []


def test_broken_characters_never_reach_the_directory() -> None:
    directory = Directory(ACCOUNT)
    result = match(snapshot(student("1", "ada\ud800")), matching_on("username", None, "mailNickname"), directory)
    assert codes(result) == {S1: IssueCode.UNMATCHED}
    for text in [*directory.asked_for, result.issues[0].joining_value]:
        text.encode("utf-8")


def test_issue_sentences_name_nobody() -> None:
    data = snapshot(student("1", "secretname"), student("2", "secretname"), teacher("1", ""), teacher("2", "nobody"))
    chosen = matching_on("username", "contoso.com", "userPrincipalName")
    result = match(data, chosen, Directory(user("u1", "secretname@contoso.com")))
    assert len(result.issues) == 4
    assert not [issue for issue in result.issues if "secretname" in issue.detail or "Byron" in issue.detail]


def test_questions_do_not_grow_with_people() -> None:
    directory = Directory(*(user(f"u{n}", f"s{n}@contoso.com") for n in range(300)))
    people = [student(str(n), f"s{n}") for n in range(300)] + [teacher(str(n), f"t{n}") for n in range(300)]
    result = match(snapshot(*people), matching_on("username", "contoso.com", "userPrincipalName"), directory)
    assert len(result.linked) == 300
    assert len(result.issues) == 300
    assert directory.questions <= 6


def test_linked_people_are_not_looked_up() -> None:
    directory = Directory(ACCOUNT, user("u9", "new@contoso.com"))
    book = Book({S1: StoredLink("u1")})
    result = match(
        snapshot(student("1", "JohnSmith"), student("2", "new")),
        matching_on("username", "contoso.com", "userPrincipalName"),
        directory,
        book,
    )
    assert result.linked == {S1: "u1", S2: "u9"}
    assert directory.asked_for == ["new@contoso.com"]


def test_suffix_is_added_to_the_compared_text_only() -> None:
    person = student("1", "ada")
    rule = matching_on("username", "contoso.com", "mail").students
    assert compared_value(person, rule) == "ada@contoso.com"
    assert person.username == "ada"
