"""Names of accounts to be made: legality, domains, characters, lengths, uniqueness."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matching_rig import student, teacher

from sds_daemon.config.settings import PersonRules
from sds_daemon.errors import ConfigurationError
from sds_daemon.plan.issues import Issue, IssueCode
from sds_daemon.sync.naming import AccountNames, account_names, person_names

RULES = PersonRules(domain="contoso.com", usage_location="US")
LEGAL_UPN = re.compile(r"[A-Za-z0-9'._!#^~\-]{1,64}@[A-Za-z0-9.\-]{1,48}")
ILLEGAL_NICKNAME = re.compile(r"""[^\x21-\x7e]|[@()\\\[\]";:<>, ]""")


def made(username: str, *, replace: bool = False, **more: str) -> AccountNames:
    names = account_names(student("1", username, **more), RULES, replace=replace)
    assert isinstance(names, AccountNames), names
    return names


def refused(username: str, *, replace: bool = False, **more: str) -> Issue:
    issue = account_names(student("1", username, **more), RULES, replace=replace)
    assert isinstance(issue, Issue), issue
    return issue


def test_plain_username() -> None:
    names = made("Ada.Byron-7", first_name="Ada", last_name="Byron")
    assert names.values() == {
        "user_principal_name": "Ada.Byron-7@contoso.com",
        "mail_nickname": "Ada.Byron-7",
        "display_name": "Ada Byron",
        "given_name": "Ada",
        "surname": "Byron",
        "usage_location": "US",
    }


def test_what_is_not_set_is_not_a_value() -> None:
    names = account_names(teacher("1", "alan"), PersonRules(domain="contoso.com"), replace=False)
    assert isinstance(names, AccountNames)
    assert "usage_location" not in names.values()


@pytest.mark.parametrize("username", ["ada@contoso.com", "Ada@CONTOSO.com"])
def test_a_username_with_the_domain_is_taken_as_it_is(username: str) -> None:
    names = made(username)
    assert names.user_principal_name == username
    assert names.mail_nickname == username.partition("@")[0]


@pytest.mark.parametrize("username", ["ada@fabrikam.com", "ada@mail.contoso.com", "ada@contoso.co"])
def test_another_domain(username: str) -> None:
    assert refused(username).code is IssueCode.WRONG_DOMAIN
    assert refused(username, replace=True).code is IssueCode.WRONG_DOMAIN


@pytest.mark.parametrize("username", ["a@b@contoso.com", "ada@@contoso.com", "@contoso.com", "ada@", "@"])
@pytest.mark.parametrize("replace", [False, True])
def test_at_signs_are_never_mended(username: str, replace: bool) -> None:
    assert refused(username, replace=replace).code is IssueCode.INVALID_VALUE


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"username": " "}, "Username"),
        ({"username": "ada", "first_name": ""}, "First Name"),
        ({"username": "ada", "last_name": "\t"}, "Last Name"),
    ],
)
def test_missing_attribute_names_the_field(fields: dict[str, str], name: str) -> None:
    issue = account_names(student("1", **fields), RULES, replace=True)
    assert isinstance(issue, Issue)
    assert issue.code is IssueCode.MISSING_ATTRIBUTE
    assert name in issue.detail


@pytest.mark.parametrize(
    ("username", "kind", "mended"),
    [
        ("a da", "space", "a_da"),
        ("josé", "accent", "jose"),
        ("jose\u0301", "accent", "jose"),
        ("Straße", "accent", "Strasse"),
        ("Øystein", "accent", "Oystein"),
        ("阿达", "accent or outside A-Z", "__"),
        ("ada\u200f", "invisible", "ada"),
        ("\u202eada", "invisible", "ada"),
        ("a\x00da", "control", "ada"),
        ("a\tda", "control", "a_da"),
        ("ada\ud83d", "broken", "ada"),
        ("ada😀", "emoji", "ada_"),
        ("a/da", "punctuation", "a_da"),
        ("a+da", "punctuation", "a_da"),
        ('a"da', "punctuation", "a_da"),
        (".ada", "dot", "ada"),
        ("ada.", "dot", "ada"),
        ("a..da", "dots", "a.da"),
        ("ada.@contoso.com", "dot", "ada"),
    ],
)
def test_illegal_usernames(username: str, kind: str, mended: str) -> None:
    issue = refused(username)
    assert issue.code is IssueCode.INVALID_VALUE
    assert "Username" in issue.detail
    assert kind in issue.detail
    issue.joining_value.encode("utf-8")
    names = made(username, replace=True)
    assert re.fullmatch(re.escape(mended) + r"-x[a-z2-7]{10}@contoso\.com", names.user_principal_name)


@pytest.mark.parametrize("username", ["o'neil", "a_b-c!d#e^f~g", "0071", "A", "x" * 64])
def test_legal_usernames_stay_as_they_are(username: str) -> None:
    for replace in (False, True):
        assert made(username, replace=replace).user_principal_name == f"{username}@contoso.com"


def test_long_usernames_are_cut_and_told_apart() -> None:
    one, other = made("x" * 65), made("x" * 66)
    assert len(one.mail_nickname) == 64
    assert one.mail_nickname != other.mail_nickname
    assert one.mail_nickname.startswith("x" * 52)


def test_mended_usernames_of_two_people_differ() -> None:
    people = [student("1", "josé"), student("2", "josé"), teacher("1", "josé"), student("3", "jose")]
    names = [account_names(person, RULES, replace=True) for person in people]
    assert len({name.mail_nickname for name in names if isinstance(name, AccountNames)}) == 4


@pytest.mark.parametrize(("field", "name"), [("first_name", "First Name"), ("last_name", "Last Name")])
@pytest.mark.parametrize(
    ("value", "kind", "mended"),
    [
        ("A\x07da", "control", "Ada"),
        ("A\nda", "control", "A da"),
        ("A\u200eda", "invisible", "Ada"),
        ("A\udc00da", "broken", "Ada"),
        ("A\ufffdda", "broken", "Ada"),
        ("A?da", "punctuation", "A_da"),
        ("A\\da", "punctuation", "A_da"),
        ("A@da", "punctuation", "A_da"),
        ("A+da", "punctuation", "A_da"),
    ],
)
def test_illegal_names(field: str, name: str, value: str, kind: str, mended: str) -> None:
    issue = refused("ada", **{field: value})
    assert issue.code is IssueCode.INVALID_VALUE
    assert name in issue.detail
    assert kind in issue.detail
    assert value not in issue.detail
    names = made("ada", replace=True, **{field: value})
    assert mended in {names.given_name, names.surname}


@pytest.mark.parametrize(
    "name", ["José", "O’Neill", "van der Berg", "Nguyễn", "李", "محمد", "می\u200cخواهم", "D'Arcy-Smith, Jr."]
)
def test_names_of_people_are_not_ascii(name: str) -> None:
    assert made("ada", last_name=name).surname == name


def test_blanks_in_names_are_collapsed() -> None:
    assert made("ada", first_name="  Ada  Augusta ").display_name == "Ada Augusta Byron"


def test_long_names_are_cut() -> None:
    names = made("ada", first_name="é" * 100, last_name="😀" * 40)
    assert names.given_name == "é" * 64
    assert names.surname == "😀" * 32, "the directory counts an emoji as two"
    assert len(names.display_name) == 141


def test_names_of_nothing_but_broken_characters_are_missing() -> None:
    assert refused("ada", replace=True, first_name="\u200f\x01").code is IssueCode.MISSING_ATTRIBUTE


def test_names_alone() -> None:
    assert person_names(student("1", "not a legal username"), replace=False) == {
        "display_name": "Ada Byron",
        "given_name": "Ada",
        "surname": "Byron",
    }


def test_a_role_without_domain_is_the_operators_mistake() -> None:
    with pytest.raises(ConfigurationError, match="domain"):
        account_names(student("1", "ada"), PersonRules(), replace=False)


def test_a_domain_too_long_for_the_directory() -> None:
    rules = PersonRules(domain=f"{'x' * 50}.com")
    issue = account_names(student("1", "ada"), rules, replace=True)
    assert isinstance(issue, Issue)
    assert issue.code is IssueCode.INVALID_VALUE


WILD = st.text(st.characters(codec=None) | st.sampled_from(".@ \u200f\ud800é_'"), max_size=80)


@given(WILD, WILD, WILD, st.booleans())
def test_whatever_the_record_holds(username: str, first: str, last: str, replace: bool) -> None:
    person = student("1", username, first_name=first, last_name=last)
    names = account_names(person, RULES, replace=replace)
    assert account_names(person, RULES, replace=replace) == names
    if isinstance(names, Issue):
        f"{names.detail}{names.joining_value}".encode()
        return
    local, _, domain = names.user_principal_name.partition("@")
    assert LEGAL_UPN.fullmatch(names.user_principal_name)
    assert not (local.startswith(".") or local.endswith(".") or ".." in local)
    assert domain.lower() == "contoso.com"
    assert 1 <= len(names.mail_nickname) <= 64
    assert not ILLEGAL_NICKNAME.search(names.mail_nickname)
    for text, limit in ((names.display_name, 256), (names.given_name, 64), (names.surname, 64)):
        assert 1 <= len(text.encode("utf-16-le")) // 2 <= limit
        assert text == text.strip()
        assert text.isprintable() or "\u200c" in text or "\u200d" in text or not text.isascii()


@given(st.text(max_size=80), st.text(max_size=80))
def test_two_people_never_get_one_mended_name(one: str, other: str) -> None:
    assume(one.strip().lower() != other.strip().lower())
    people = student("1", one), student("2", other)
    names = [account_names(person, RULES, replace=True) for person in people]
    if all(isinstance(name, AccountNames) for name in names):
        upns = {name.user_principal_name.lower() for name in names if isinstance(name, AccountNames)}
        same = {person.username.strip().lower().removesuffix("@contoso.com") for person in people}
        assert len(upns) == len(same)
