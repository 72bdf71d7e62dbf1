"""Accounts made by the real program: names, what cannot be one, passwords, and whose they are."""

from __future__ import annotations

import csv
import re
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import Rig

from process.answers import SCHOOL, account, config_faults, issue_rows, issues, kinds, scope
from process.town import flat, school, section, start, student, teacher

pytestmark = pytest.mark.process

SUFFIX = "contoso.edu"
LONG = "x" * 80


def called(number: int, username: str, **columns: Any) -> dict[str, Any]:
    """A student with this username."""
    return {**student(number, SCHOOL), "username": username, **columns}


PEOPLE = [
    called(8501, "plain"),
    called(8502, f"holds.it@{SUFFIX.upper()}"),
    called(8503, "other@fabrikam.example"),
    called(8504, "twice"),
    called(8505, "TWICE"),
    called(8506, "taken"),
    called(8507, "bad name!/"),
    called(8508, "BAD NAME!\\"),
    called(8509, LONG),
    called(8510, LONG[:70] + "y"),
    called(8511, "nofirst", first_name=""),
    called(8512, "shared"),
    called(8513, "", last_name="Nameless"),
    called(8514, "zoë"),
    called(8515, "accent", first_name="Zoë", last_name="O'Brien-Núñez"),
    called(8516, "mailtaken"),
]
STAFF = [
    {**teacher(9501, SCHOOL), "teacher_username": "shared"},
    {**teacher(9502, SCHOOL), "teacher_username": "boss"},
]
REFUSED = {
    ("student", "8503"): "UsernameDomainMismatch",
    ("student", "8504"): "DuplicateTargetEntries",
    ("student", "8505"): "DuplicateTargetEntries",
    ("student", "8506"): "UserPrincipalNameTaken",
    ("student", "8507"): "AzureActiveDirectoryInvalidPropertyValue",
    ("student", "8508"): "AzureActiveDirectoryInvalidPropertyValue",
    ("student", "8511"): "MissingRequiredAttribute",
    ("student", "8512"): "TeacherIsAlsoStudent",
    ("student", "8513"): "MissingRequiredAttribute",
    ("student", "8514"): "AzureActiveDirectoryInvalidPropertyValue",
    ("student", "8516"): "UserPrincipalNameTaken",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A first sync that creates; strangers hold one sign-in name and one address."""
    rig = start(tmp_path_factory.mktemp("creating"))
    try:
        rig.change_school(*flat(school(SCHOOL), STAFF, PEOPLE, section(7501, SCHOOL, 9502, 8501, 8506, 8507)))
        rig.change_directory(
            account("taken", displayName="A Stranger"),
            account("elsewhere", mail=f"mailtaken@{SUFFIX}"),
        )
        scope(rig, SCHOOL)
        rig.sync(codes=(1,))
        yield rig
    finally:
        rig.stop()


def made_for(rig: Rig, number: int, kind: str = "student") -> dict[str, Any]:
    """The account made for a record."""
    user = rig.directory().user_of(kind, str(number))
    assert user is not None, f"{kind} {number} has no account"
    return user


def test_every_record_that_cannot_be_one_is_an_issue(made: Rig) -> None:
    """Each with its code, once, and nobody else."""
    found = issues(made)
    assert found == REFUSED
    assert all(row["detail"] for row in issue_rows(made))
    for row in issue_rows(made):
        assert "Nameless" not in row["detail"], "names of people do not stand in sentences"


def test_sign_in_name_is_username_at_domain(made: Rig) -> None:
    """A username that holds the domain already is taken as it is."""
    plain = made_for(made, 8501)
    assert plain["userPrincipalName"] == f"plain@{SUFFIX}"
    assert (plain["mailNickname"], plain["displayName"]) == ("plain", "Stu Student8501")
    assert (plain["givenName"], plain["surname"], plain["usageLocation"]) == ("Stu", "Student8501", "US")
    assert plain["accountEnabled"] is True
    holds = made_for(made, 8502)
    assert holds["userPrincipalName"].lower() == f"holds.it@{SUFFIX}"
    assert holds["mailNickname"] == "holds.it"
    assert made_for(made, 8515)["displayName"] == "Zoë O'Brien-Núñez"


def test_too_long_a_name_is_cut_and_marked(made: Rig) -> None:
    """At most 64 characters before the "@", and two that begin alike stay apart."""
    names = [made_for(made, number)["userPrincipalName"] for number in (8509, 8510)]
    assert names[0] != names[1]
    for name in names:
        local = name.partition("@")[0]
        assert len(local) == 64
        assert re.fullmatch(r"x{52}-x[a-z2-7]{10}", local)


def test_the_teacher_goes_before_the_student(made: Rig) -> None:
    """Of two records with one username the teacher's gets the account."""
    assert made_for(made, 9501, "teacher")["userPrincipalName"] == f"shared@{SUFFIX}"


def test_a_stranger_is_left_alone(made: Rig) -> None:
    """A sign-in name or address held by somebody else is never adopted."""
    for name in ("taken", "elsewhere"):
        stranger = made.directory().user(f"{name}@{SUFFIX}")
        assert stranger["education"]["primaryRole"] == "none"
        assert stranger["education"]["externalSource"] is None
    assert made.directory().user(f"taken@{SUFFIX}")["displayName"] == "A Stranger"
    group = made.directory().class_of("7501")
    assert group is not None
    assert sorted(group["members"]) == sorted([made_for(made, 8501)["id"], made_for(made, 9502, "teacher")["id"]])


def test_rows_of_the_refused_are_counted_under_them(made: Rig) -> None:
    """Two enrollments of students without account are no issues of their own."""
    rows = {row["sis_id"]: row["rows"] for row in issue_rows(made)}
    assert (rows["8506"], rows["8507"]) == (1, 1)


def state_folder(rig: Rig) -> Path:
    """Where the configuration says that state is kept."""
    return next(path.parent for path in Path(rig.ready["directory"]).rglob("passwords-district.csv"))


def test_passwords_are_handed_out_in_a_private_file_alone(made: Rig) -> None:
    """One line an account, mode 0600, strong, all different; not in the database, not in the request log's answers."""
    path = state_folder(made) / "passwords-district.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    accounts = {u["userPrincipalName"] for u in made.directory().state["users"] if u["education"]["externalSource"]}
    assert {row["user_principal_name"] for row in rows} == accounts
    passwords = [row["password"] for row in rows]
    assert len(set(passwords)) == len(accounts)
    for password in passwords:
        assert len(password) >= 12
        classes = [r"[a-z]", r"[A-Z]", r"[0-9]", r"[^A-Za-z0-9]"]
        assert sum(bool(re.search(pattern, password)) for pattern in classes) >= 3
    stored = b"".join(each.read_bytes() for each in state_folder(made).iterdir() if each.name.startswith("state.db"))
    assert not [password for password in passwords if password.encode() in stored]
    with sqlite3.connect(state_folder(made) / "state.db") as connection:
        assert connection.execute("select count(*) from link").fetchone()[0] > 0, "the search looked at the real file"


def test_the_password_must_be_changed_at_first_sign_in(made: Rig) -> None:
    """In every create, and every create carries the mark of its record: nothing can be made that is not found again."""
    creates = [row for row in made.writes_since(0) if row["method"] == "POST" and row["path"].endswith("/users")]
    assert len(creates) >= 6
    for row in creates:
        assert row["body"]["passwordProfile"]["forceChangePasswordNextSignIn"] is True
        part = row["body"].get("student") or row["body"].get("teacher")
        assert part["externalId"]
        assert row["body"]["externalSourceDetail"]


def test_second_cycle_writes_nothing(made: Rig) -> None:
    """The refused are looked at again, and nothing comes of it."""
    mark = made.request_mark()
    made.sync(codes=(1,))
    assert made.writes_since(mark) == []
    assert issues(made) == REFUSED


def test_replaced_characters_never_collide(made: Rig) -> None:
    """With the switch, what is not legal is replaced, with a hash of the record behind it; equal results stay apart."""
    made.edit("profiles.district", replace_invalid_characters=True)
    made.sync(codes=(1,))
    names = [made_for(made, number)["userPrincipalName"].partition("@")[0] for number in (8507, 8508)]
    assert re.fullmatch(r"bad_name!_-x[a-z2-7]{10}", names[0])
    assert re.fullmatch(r"BAD_NAME!_-x[a-z2-7]{10}", names[1])
    assert names[0].lower() != names[1].lower()
    assert re.fullmatch(r"zoe-x[a-z2-7]{10}", made_for(made, 8514)["userPrincipalName"].partition("@")[0])
    group = made.directory().class_of("7501")
    assert group is not None
    assert made_for(made, 8507)["id"] in group["members"], "who gets an account is put into the class in the same cycle"
    made.edit("profiles.district", replace_invalid_characters=False)
    mark = made.request_mark()
    made.sync(codes=(1,))
    assert made.writes_since(mark) == [], "a link, once made, holds when the switch goes back"


def test_cured_records_sync_by_themselves(made: Rig) -> None:
    """A renamed stranger, a corrected username: the issues are gone and the accounts are there."""
    made.change_directory({"op": "update_user", "upn": f"taken@{SUFFIX}", "userPrincipalName": f"free@{SUFFIX}",
                           "mailNickname": "free"})  # fmt: skip
    made.change_school(
        {"op": "update_student", "student": 8503, "username": "third"},
        {"op": "update_student", "student": 8505, "username": "once"},
        {"op": "update_student", "student": 8511, "first_name": "Now"},
    )
    made.sync(codes=(1,))
    left = issues(made)
    for number in (8503, 8504, 8505, 8506, 8511):
        assert ("student", str(number)) not in left
        assert made_for(made, number)
    assert made_for(made, 8504)["userPrincipalName"] == f"twice@{SUFFIX}"


def test_usernames_changed_later_rename_nobody(made: Rig) -> None:
    """The sign-in name is never renamed; first and last name follow the source on accounts made here."""
    made.change_school({"op": "update_student", "student": 8501, "username": "renamed", "last_name": "Married"})
    mark = made.request_mark()
    made.sync(codes=(1,))
    user = made_for(made, 8501)
    assert (user["userPrincipalName"], user["mailNickname"]) == (f"plain@{SUFFIX}", "plain")
    assert (user["displayName"], user["surname"]) == ("Stu Married", "Married")
    assert kinds(made.writes_since(mark)) == {"PATCH /education/users/*": 1}


def test_deleted_is_an_issue_purged_is_made_anew(made: Rig) -> None:
    """In the recycle bin the account is waited for; once purged there is a new one, and it is put into the class."""
    old = made_for(made, 8501)["id"]
    made.change_directory({"op": "delete_user", "id": old})
    mark = made.request_mark()
    made.sync(codes=(1,))
    assert issues(made)["student", "8501"] == "DirectoryObjectDeleted"
    assert made.writes_since(mark) == []
    made.change_directory({"op": "purge_user", "id": old})
    made.sync(codes=(1,))
    new = made_for(made, 8501)
    assert new["id"] != old
    assert new["userPrincipalName"] == f"renamed@{SUFFIX}"
    group = made.directory().class_of("7501")
    assert group is not None
    assert new["id"] in group["members"]
    assert ("student", "8501") not in issues(made)


def test_lost_database_makes_no_second_account(made: Rig) -> None:
    """Accounts, class, school and memberships are found by their marks; nothing is written."""
    before = made.directory().comparable()
    made.forget_state()
    mark = made.request_mark()
    made.sync(codes=(1,))
    assert made.writes_since(mark) == []
    assert made.directory().comparable() == before


def test_without_password_file_no_password_is_kept(tmp_path: Path) -> None:
    """keep_passwords = false: accounts are made, nothing is left to erase."""
    rig = start(tmp_path)
    try:
        rig.change_school(*flat(school(SCHOOL), student(8550, SCHOOL)))
        scope(rig, SCHOOL)
        rig.edit("profiles.district", keep_passwords=False)
        rig.sync()
        assert made_for(rig, 8550)["password_set"]
        assert not list(tmp_path.rglob("passwords*")) and not list(Path(rig.ready["directory"]).rglob("passwords*"))
    finally:
        rig.stop()


def test_password_file_that_cannot_be_written_makes_no_account(tmp_path: Path) -> None:
    """No line, no account: the run fails and says which file."""
    rig = start(tmp_path)
    try:
        rig.change_school(*flat(school(SCHOOL), student(8551, SCHOOL)))
        scope(rig, SCHOOL)
        folder = Path(rig.ready["directory"]) / "state"
        folder.mkdir(exist_ok=True, mode=0o700)
        (folder / "passwords-district.csv").mkdir()
        done = rig.run("sync", "district")
        assert done.code not in (0, 1)
        assert "passwords-district.csv" in done.err
        assert rig.directory().user_of("student", "8551") is None
    finally:
        rig.stop()


def test_no_domain_is_a_configuration_error(made: Rig) -> None:
    """create without domain: exit code 2, the table and the key named."""
    made.edit("profiles.district.students", domain=None)
    said = config_faults(made)
    assert "profiles.district.students" in said and "domain" in said
    made.edit("profiles.district.students", domain="fabrikam.example")
    refused = made.run("sync", "district").expect(2)
    assert "fabrikam.example" in refused.err and SUFFIX in refused.err
    made.edit("profiles.district.students", domain=SUFFIX)
