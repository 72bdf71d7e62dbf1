"""Matching people with accounts through the real program: every cell of the identity matrix, every collision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rig import Rig

from process.answers import SCHOOL, account, config_faults, issues, scope
from process.town import flat, school, start, student, teacher

pytestmark = pytest.mark.process

TARGETS = ("userPrincipalName", "mail", "mailNickname")
SHAPES = ("bare", "full", "number", "email")
SUFFIX = "contoso.edu"

# (source, suffix, target) -> the shapes of value that match: School Data Sync's matrix, cell by cell.
WORKS: dict[tuple[str, str | None, str], set[str]] = {
    ("username", None, "userPrincipalName"): {"full"},
    ("username", None, "mail"): {"full"},
    ("username", None, "mailNickname"): {"bare"},
    ("username", SUFFIX, "userPrincipalName"): {"bare"},
    ("username", SUFFIX, "mail"): {"bare"},
    ("number", None, "mailNickname"): {"number"},
    ("number", SUFFIX, "userPrincipalName"): {"number"},
    ("number", SUFFIX, "mail"): {"number"},
    ("secondary_email", None, "userPrincipalName"): {"email"},
    ("secondary_email", None, "mail"): {"email"},
}
# Cells where no value at all can match are refused with the configuration, and the key that is wrong is named.
REFUSED: dict[tuple[str, str | None, str], str] = {
    ("username", SUFFIX, "mailNickname"): "suffix",
    ("number", None, "userPrincipalName"): "suffix",
    ("number", None, "mail"): "suffix",
    ("number", SUFFIX, "mailNickname"): "suffix",
    ("secondary_email", SUFFIX, "userPrincipalName"): "suffix",
    ("secondary_email", SUFFIX, "mail"): "suffix",
    ("secondary_email", None, "mailNickname"): "target_property",
    ("secondary_email", SUFFIX, "mailNickname"): "suffix",
}


def number_of(shape: str, target: str) -> int:
    """The DCID of the student (and, 1000 higher, of the teacher) whose value has this shape and sits there."""
    return 8200 + 10 * SHAPES.index(shape) + TARGETS.index(target)


def word_of(dcid: int, shape: str) -> str:
    """The part before the "@" of what the person is known by."""
    return f"77{dcid}" if shape == "number" else f"Word{dcid}"


def record_of(kind: str, dcid: int, shape: str) -> dict[str, Any]:
    """A person known by one property; the others are such that nobody is called so."""
    word = word_of(dcid, shape)
    username = {"bare": word, "full": f"{word}@{SUFFIX}"}.get(shape, f"nobody{dcid}")
    number = word if shape == "number" else f"66{dcid}"
    email = f"{word}@{SUFFIX}" if shape == "email" else f"nobody{dcid}@elsewhere.example"
    if kind == "student":
        return {**student(dcid, SCHOOL), "username": username, "number": number, "email": email}
    return teacher(dcid, SCHOOL, teacher_username=username, teacher_number=number, email=email)


def account_of(dcid: int, shape: str, target: str) -> dict[str, Any]:
    """The account that holds the person's word in one property alone, in other letters."""
    word, other = word_of(dcid, shape).upper(), f"other{dcid}"
    values = {"userPrincipalName": f"{other}@{SUFFIX}", "mail": f"mail{other}@{SUFFIX}", "mailNickname": other}
    values[target] = word if target == "mailNickname" else f"{word}@{SUFFIX}"
    return {"op": "create_user", **values}


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A student and a teacher for each shape of value and each property an account can hold it in."""
    rig = start(tmp_path_factory.mktemp("matrix"), "--users", "match")
    try:
        people, accounts = [], []
        for shape in SHAPES:
            for target in TARGETS:
                dcid = number_of(shape, target)
                people += [record_of("student", dcid, shape), record_of("teacher", dcid + 1000, shape)]
                accounts += [account_of(dcid, shape, target), account_of(dcid + 1000, shape, target)]
        rig.change_school(*flat(school(SCHOOL), people))
        rig.change_directory(*accounts)
        scope(rig, SCHOOL)
        yield rig
    finally:
        rig.stop()


def set_rule(rig: Rig, role: str, rule: tuple[str, str | None, str]) -> None:
    """Write an identity rule into the configuration."""
    source, suffix, target = rule
    rig.edit(f"profiles.district.{role}", source_property=source, suffix=suffix, target_property=target)


@pytest.mark.parametrize("rule", WORKS, ids=str)
def test_a_cell_of_the_matrix(matrix: Rig, rule: tuple[str, str | None, str]) -> None:
    """Exactly the values the matrix says match, for both roles; the others are results per record, not failures."""
    set_rule(matrix, "students", rule)
    set_rule(matrix, "teachers", rule)
    expected = {number_of(shape, rule[2]) for shape in WORKS[rule]}
    plan = matrix.preview()
    matched = {
        (change["subject"]["kind"], int(change["subject"]["sis_id"]))
        for change in plan["changes"]
        if change["kind"] == "user.update"
    }
    assert matched == {("student", n) for n in expected} | {("teacher", n + 1000) for n in expected}
    assert plan["issues"] == {"UnmatchedEntry": 2 * (len(SHAPES) * len(TARGETS) - len(expected))}
    assert "user.create" not in plan["planned"]


@pytest.mark.parametrize("rule", REFUSED, ids=str)
def test_a_rule_that_cannot_match_is_refused(matrix: Rig, rule: tuple[str, str | None, str]) -> None:
    """Exit code 2, the table, the key and a remedy, before anything is read."""
    set_rule(matrix, "students", rule)
    set_rule(matrix, "teachers", rule)
    mark = matrix.request_mark()
    said = config_faults(matrix)
    for role in ("students", "teachers"):
        assert f"profiles.district.{role}" in said
    assert REFUSED[rule] in said
    assert not matrix.get("requests", since=mark)["requests"]


USERNAME_IS_NICKNAME = {"source_property": "username", "suffix": None, "target_property": "mailNickname"}


def pupil(number: int, username: str) -> dict[str, Any]:
    """A student with a username of choice."""
    return student(number, SCHOOL, username=username)


@pytest.fixture(scope="module")
def collisions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, list[dict[tuple[str, str], str]]]]:
    """Five cycles of a school in which people and accounts get into each other's way; the issues after each."""
    rig = start(tmp_path_factory.mktemp("collisions"), "--users", "match")
    try:
        rig.change_school(
            *flat(
                school(SCHOOL),
                teacher(9301, SCHOOL, teacher_username="both"),
                teacher(9302, SCHOOL, teacher_username="lead"),
                pupil(8301, "dup"), pupil(8302, "twin"), pupil(8303, "twin"), pupil(8304, "held"),
                pupil(8306, "both"), pupil(8307, "gone"), pupil(8308, "moves"),
            )
        )  # fmt: skip
        rig.change_directory(
            account("first", mailNickname="dup"), account("second", mailNickname="dup"),
            *[account(name) for name in ("twin", "held", "both", "lead", "gone", "moves")],
        )  # fmt: skip
        scope(rig, SCHOOL)
        for role in ("students", "teachers"):
            rig.edit(f"profiles.district.{role}", **USERNAME_IS_NICKNAME)
        yield rig, []
    finally:
        rig.stop()


def anchored(rig: Rig) -> dict[str, str]:
    """SIS ID -> sign-in name of every account that carries a mark, in the recycle bin or not."""
    found = {}
    for user in rig.directory().state["users"]:
        part = user["education"]["student"] or user["education"]["teacher"]
        if part:
            assert part["externalId"] not in found, f"two accounts for {part['externalId']}"
            found[part["externalId"]] = user["userPrincipalName"]
    return found


def test_first_cycle_of_collisions(collisions: Any) -> None:
    """Two candidates, two claimants, a teacher who is a student: nobody gets a wrong account."""
    rig, _ = collisions
    rig.sync(codes=(1,))
    assert issues(rig) == {
        ("student", "8301"): "DuplicateTargetEntries",
        ("student", "8302"): "DuplicateTargetEntries",
        ("student", "8303"): "DuplicateTargetEntries",
        ("student", "8306"): "TeacherIsAlsoStudent",
    }
    assert anchored(rig) == {
        "9301": f"both@{SUFFIX}", "9302": f"lead@{SUFFIX}", "8304": f"held@{SUFFIX}", "8307": f"gone@{SUFFIX}",
        "8308": f"moves@{SUFFIX}",
    }  # fmt: skip


def test_holder_newcomer_renames_and_recycle_bin(collisions: Any) -> None:
    """The holder keeps its account from a newcomer; renames on both sides break no link; a deleted one is an issue."""
    rig, _ = collisions
    rig.change_school(pupil(8305, "held"), {"op": "update_student", "student": 8308, "username": "moved.on"})
    rig.change_directory(
        {"op": "update_user", "upn": f"moves@{SUFFIX}", "userPrincipalName": f"wed@{SUFFIX}", "mailNickname": "wed"},
        {"op": "delete_user", "upn": f"gone@{SUFFIX}"},
        {"op": "delete_user", "upn": f"second@{SUFFIX}"},
    )
    mark = rig.request_mark()
    rig.sync(codes=(1,))
    found = issues(rig)
    assert found["student", "8305"] == "DuplicateTargetEntries"
    assert found["student", "8307"] == "DirectoryObjectDeleted"
    assert ("student", "8301") not in found, "one candidate is left: the issue is cured by itself"
    assert ("student", "8304") not in found
    assert ("student", "8308") not in found
    assert anchored(rig)["8301"] == f"first@{SUFFIX}"
    assert anchored(rig)["8308"] == f"wed@{SUFFIX}"
    renamed = rig.directory().user(f"wed@{SUFFIX}")["id"]
    assert not [row for row in rig.writes_since(mark) if renamed in row["path"]], "nothing renames it back"


def test_purged_account_is_matched_anew(collisions: Any) -> None:
    """Once the account is gone for good, the rule is asked again: first nobody, then the account made since."""
    rig, _ = collisions
    gone = next(user["id"] for user in rig.directory().state["users"] if user["mailNickname"] == "gone")
    rig.change_directory({"op": "purge_user", "id": gone})
    rig.sync(codes=(1,))
    assert issues(rig)["student", "8307"] == "UnmatchedEntry"
    rig.change_directory(account("again", mailNickname="gone"))
    rig.sync(codes=(1,))
    assert ("student", "8307") not in issues(rig)
    assert anchored(rig)["8307"] == f"again@{SUFFIX}"


def test_lost_database_finds_everybody_again(collisions: Any) -> None:
    """With the state lost, the marks in the directory tell who is who, renamed or not; nothing is written twice."""
    rig, _ = collisions
    before = anchored(rig)
    rig.forget_state()
    mark = rig.request_mark()
    rig.sync(codes=(1,))
    assert anchored(rig) == before
    assert rig.writes_since(mark) == []
    # The records of 8304 and 8305 have one username: the mark tells them apart.
    assert issues(rig)["student", "8305"] == "DuplicateTargetEntries"
    assert ("student", "8304") not in issues(rig)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """match_or_create: accounts for some, none for others, two for one."""
    rig = start(tmp_path_factory.mktemp("mixed"), "--users", "match")
    try:
        rig.change_school(
            *flat(school(SCHOOL), teacher(9401, SCHOOL), *[student(n, SCHOOL) for n in (8401, 8402, 8403, 8404)])
        )
        rig.change_directory(
            account("x1", mailNickname="s8401", displayName="By Hand", givenName="By", surname="Hand"),
            account("x3", mailNickname="s8403"), account("y3", mailNickname="s8403"),
            account("s8404", mailNickname="z4"),
        )  # fmt: skip
        scope(rig, SCHOOL)
        rig.edit("profiles.district", users="match_or_create")
        for role in ("students", "teachers"):
            rig.edit(f"profiles.district.{role}", **USERNAME_IS_NICKNAME, domain=SUFFIX, usage_location="US")
        yield rig
    finally:
        rig.stop()


def test_match_or_create_creates_on_no_candidate_only(mixed: Rig) -> None:
    """One candidate is used, none is made, two are an issue, and a sign-in name held by a stranger is never taken."""
    result = mixed.sync(codes=(1,))
    assert result["applied"]["user.create"] == 2
    assert anchored(mixed) == {"8401": f"x1@{SUFFIX}", "8402": f"s8402@{SUFFIX}", "9401": f"t9401@{SUFFIX}"}
    assert issues(mixed) == {
        ("student", "8403"): "DuplicateTargetEntries",
        ("student", "8404"): "UserPrincipalNameTaken",
    }
    matched = mixed.directory().user(f"x1@{SUFFIX}")
    assert (matched["displayName"], matched["givenName"]) == ("By Hand", "By"), "a matched account keeps its name"


def test_links_show_says_how_they_came_about(mixed: Rig) -> None:
    """The rule that matched and the fact of having been made are on record, and a link can be dropped."""
    shown = mixed.run("links", "show", "8401", "--json").expect(0).out
    assert "username=mailNickname" in shown
    assert "created" in mixed.run("links", "show", "8402", "--json").expect(0).out
