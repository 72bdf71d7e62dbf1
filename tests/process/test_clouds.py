"""Tenants without the education API, and profiles that share people: through the real program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tomlkit
from rig import Rig

from process.answers import SCHOOL, account, issue_rows, issues, kinds, scope
from process.town import flat, school, section, start, student, teacher

pytestmark = pytest.mark.process

EAST, WEST, NORTH = 811, 812, 813


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A tenant without education licences: as in the national clouds there is no /education."""
    rig = start(tmp_path_factory.mktemp("plain"), "--no-education")
    try:
        rig.change_school(
            *flat(
                school(SCHOOL), teacher(9901, SCHOOL), student(8901, SCHOOL), student(8902, SCHOOL),
                section(7901, SCHOOL, 9901, 8901, 8902),
            )
        )  # fmt: skip
        scope(rig, SCHOOL)
        attributes = ["student_number", "grade", "school", "department"]
        rig.edit("profiles.district.students", attributes=attributes)
        yield rig
    finally:
        rig.stop()


def test_check_says_what_is_missing(plain: Rig) -> None:
    """No error: schools become administrative units."""
    said = plain.run("check", "district", "--quick").expect(0).out
    assert "administrative units" in said


def test_schools_are_administrative_units(plain: Rig) -> None:
    """People and classes in the unit; a silent hidden group as class; no request below /education that writes."""
    plain.sync(codes=(0,))
    state = plain.directory().state
    assert state["schools"] == []
    [unit] = state["administrativeUnits"]
    [group] = state["groups"]
    people = {user["id"] for user in state["users"]}
    assert len(people) == 3
    assert (unit["displayName"], set(unit["members"])) == (f"School {SCHOOL}", people | {group["id"]})
    assert set(group["members"]) == people
    assert group["visibility"] == "HiddenMembership"
    assert (group["mailNickname"], group["is_class"]) == ("Section_7901", False)
    found = plain.directory().user("s8901@contoso.edu")
    assert found["department"] == "Grade 9"
    assert found["education"]["primaryRole"] == "none"
    assert not [row for row in plain.writes_since(0) if "/education" in row["path"] or "extension_" in str(row["body"])]


def test_second_cycle_writes_nothing_in_a_plain_tenant(plain: Rig) -> None:
    """And without a database no class, no unit and no account is made a second time."""
    mark = plain.request_mark()
    plain.sync(codes=(0,))
    assert plain.writes_since(mark) == []
    before = plain.directory().comparable()
    plain.edit("profiles.district", users="match_or_create")
    for role in ("students", "teachers"):
        plain.edit(f"profiles.district.{role}", suffix="contoso.edu")
    plain.forget_state()
    plain.sync(codes=(0,))
    assert plain.directory().comparable() == before
    assert not [row for row in plain.writes_since(mark) if row["method"] in ("POST", "DELETE")]


def test_changes_reach_a_plain_tenant(plain: Rig) -> None:
    """A student leaves, one joins, the school is renamed."""
    plain.change_school(
        {"op": "drop", "student": 8902, "section": 7901}, student(8903, SCHOOL, 7901),
        {"op": "update_school", "school": SCHOOL, "name": "New Name"},
    )  # fmt: skip
    plain.sync(codes=(0,))
    directory = plain.directory()
    [group] = directory.state["groups"]
    names = {directory.users[member]["mailNickname"] for member in group["members"]}
    assert names == {"t9901", "s8901", "s8903"}
    assert [unit["displayName"] for unit in directory.state["administrativeUnits"]] == ["New Name"]


def add_profile(rig: Rig, name: str, at: int) -> None:
    """A second profile like the first, of another school."""
    document = tomlkit.parse(rig.config.read_text())
    values = document.unwrap()["profiles"]["district"]
    document["profiles"][name] = {**values, "schools": [str(at)]}
    rig.config.write_text(tomlkit.dumps(document))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Two profiles of one source and tenant; a teacher of both, students who attend where they are not at home."""
    rig = start(tmp_path_factory.mktemp("shared"))
    try:
        rig.change_school(
            *flat(
                school(EAST), school(WEST), school(NORTH),
                teacher(9951, EAST), {"op": "affiliate", "teacher": 9951, "school": WEST}, teacher(9952, WEST),
                student(8951, EAST), student(8952, WEST), student(8953, NORTH),
                section(7951, EAST, 9951, 8951, 8952, 8953), section(7952, EAST, 9951, 8952, 8953),
                section(7953, WEST, 9951, 8952, 8951),
            )
        )  # fmt: skip
        scope(rig, EAST)
        add_profile(rig, "west", WEST)
        yield rig
    finally:
        rig.stop()


def members(rig: Rig, number: int) -> set[str]:
    """Sign-in aliases of a class's members."""
    directory = rig.directory()
    group = directory.class_of(str(number))
    assert group is not None
    return {directory.users[member]["mailNickname"] for member in group["members"]}


def test_home_school_elsewhere_is_one_issue_with_a_count(shared: Rig) -> None:
    """Two students at home in schools no profile has synced: once each, with their rows; the rest goes on."""
    shared.sync(codes=(1,))
    assert issues(shared) == {("student", "8952"): "HomeSchoolNotInScope", ("student", "8953"): "HomeSchoolNotInScope"}
    assert {row["sis_id"]: row["rows"] for row in issue_rows(shared)} == {"8952": 2, "8953": 2}
    assert members(shared, 7951) == {"t9951", "s8951"}


def test_the_other_profile_uses_what_the_first_made(shared: Rig) -> None:
    """No second account for the shared teacher or student; each profile fills its own classes."""
    result = shared.sync(profile="west", codes=(0,))
    assert result["applied"]["user.create"] == 2, "8952 and 9952"
    assert members(shared, 7953) == {"t9951", "s8952", "s8951"}
    shared.sync(codes=(1,))
    assert members(shared, 7951) == {"t9951", "s8951", "s8952"}
    assert members(shared, 7952) == {"t9951", "s8952"}
    assert issues(shared) == {("student", "8953"): "HomeSchoolNotInScope"}


def test_only_the_owner_writes_attributes(shared: Rig) -> None:
    """The profile that made the link owns it: the other one sees the change and leaves it."""
    shared.change_school({"op": "update_teacher", "teacher": 9951, "last_name": "Renamed"})
    mark = shared.request_mark()
    shared.sync(profile="west", codes=(0,))
    assert shared.writes_since(mark) == []
    shared.sync(codes=(1,))
    assert kinds(shared.writes_since(mark)) == {"PATCH /education/users/*": 1}
    assert shared.directory().user("t9951@contoso.edu")["surname"] == "Renamed"


def test_profiles_may_not_share_a_school(shared: Rig) -> None:
    """Exit code 2, both tables named."""
    shared.edit("profiles.west", schools=[str(EAST), str(WEST)])
    said = shared.run("sync", "district").expect(2).err
    assert "profiles.west" in said and "profiles.district" in said


def test_check_of_a_tenant_with_problems(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Unverified domain, missing permission, AADConnect, matched people without Exchange: each named with a remedy."""
    rig = start(tmp_path_factory.mktemp("check"), "--users", "match", "--entra", "on_premises_sync=true")
    try:
        rig.change_school(*flat(school(SCHOOL), student(8981, SCHOOL), student(8982, SCHOOL), teacher(9981, SCHOOL)))
        rig.change_directory(
            account("s8981", usageLocation="US", licenses=["STANDARDWOFFPACK_STUDENT"]), account("t9981"),
        )  # fmt: skip
        scope(rig, SCHOOL)
        said = rig.run("check", "district").expect(0).out
        assert "AADConnect" in said
        assert "1 students unmatched" in said and "8982" in said
        assert "1 matched people have no Exchange plan, such as teacher" in said
        assert "have no SharePoint plan" in said
        rig.edit("profiles.district", users="match_or_create")
        for role in ("students", "teachers"):
            rig.edit(f"profiles.district.{role}", domain="fabrikam.example", suffix="unverified.example")
        rig.run("check", "district", "--quick").expect(2)
        rig.change_directory({"op": "revoke_role", "role": "Member.Read.Hidden"})
        said = rig.run("check", "district").expect(3).out
        assert 'users = "match"' in said, "in a synchronised tenant matching is advised"
        assert "fabrikam.example is not a verified domain" in said
        assert "unverified.example is not a verified domain" in said
        assert "Member.Read.Hidden is missing" in said
    finally:
        rig.stop()
