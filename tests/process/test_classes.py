"""Classes and schools through the real program: both class APIs, names and aliases, large and impossible sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rig import Rig

from process.answers import SCHOOL, config_faults, issues, kinds, scope
from process.town import flat, school, section, start, student, teacher

pytestmark = pytest.mark.process

EXTENSION = "extension_fe2174665583431c953114ff7268b7b3_Education_"
MANY = range(8801, 8846)


def ids(rig: Rig, *numbers: int) -> set[str]:
    """Object ids of people: teachers have numbers from 9000 on."""
    found = [rig.directory().user_of("teacher" if n >= 9000 else "student", str(n)) for n in numbers]
    return {user["id"] for user in found if user is not None}


def class_of(rig: Rig, number: int) -> dict[str, Any]:
    """The class of a section that must be there."""
    group = rig.directory().class_of(str(number))
    assert group is not None, f"section {number} has no class"
    return group


@pytest.fixture(scope="module")
def education(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """An education tenant: a section of 45 students, one without teacher, one whose alias is taken, a big one."""
    rig = start(tmp_path_factory.mktemp("classes"))
    try:
        rig.change_school(
            *flat(
                school(SCHOOL), teacher(9801, SCHOOL), teacher(9802, SCHOOL), [student(n, SCHOOL) for n in MANY],
                section(7801, SCHOOL, 9801, *MANY), section(7802, SCHOOL, None, 8801), section(7803, SCHOOL, 9802),
                section(7804, SCHOOL, 9801, 8802), section(7805, SCHOOL, 9802, 8803),
                {"op": "update_course", "course": 27805, "name": ""},
            )
        )  # fmt: skip
        rig.change_directory(
            {"op": "create_group", "mailNickname": "Section_7804", "displayName": "The bowling club"},
        )
        scope(rig, SCHOOL)
        rig.edit("profiles.district", class_domain="fabrikam.example")
        yield rig
    finally:
        rig.stop()


def test_first_sync(education: Rig) -> None:
    """Everything that can be made is; a taken alias, a missing teacher and a missing course name are issues."""
    result = education.sync(codes=(1,))
    assert result["applied"]["class.create"] == 2
    assert issues(education) == {
        ("section", "7802"): "SectionWithoutTeacher",
        ("section", "7804"): "GroupAliasTaken",
        ("section", "7805"): "MissingRequiredAttribute",
    }
    warnings = [notice for notice in result["notices"] if "fabrikam.example" in notice]
    assert len(warnings) == 1, "one warning for all classes"
    assert "address policy" in warnings[0] and "contoso.edu" in warnings[0]


def test_forty_five_students_in_requests_of_twenty(education: Rig) -> None:
    """46 members and an owner; the owner goes first, no request carries more than 20, none is sent twice."""
    group = class_of(education, 7801)
    assert set(group["members"]) == ids(education, *MANY, 9801)
    assert set(group["owners"]) == ids(education, 9801)
    fills = [row for row in education.writes_since(0) if row["path"] == f"/groups/{group['id']}"]
    sizes = [sum(len(value) for key, value in row["body"].items() if key.endswith("@odata.bind")) for row in fills]
    assert sum(sizes) == 47
    assert max(sizes) <= 20
    assert len(sizes) == 3
    assert fills[0]["body"]["owners@odata.bind"]


def test_a_class_has_its_attributes(education: Rig) -> None:
    """Made by the education API: an anchor, course, term, code; attached to its school with everybody."""
    group = class_of(education, 7801)
    assert group["is_class"]
    assert group["displayName"] == "Course 7801 1"
    assert group["mailNickname"] == "Section_7801"
    assert (group["externalSource"], group["classCode"]) == ("sis", "C7801.1")
    assert group["course"]["courseNumber"] == "C7801"
    assert group["term"]["displayName"]
    [place] = education.directory().state["schools"]
    assert (place["externalId"], place["externalSource"]) == (str(SCHOOL), "sis")
    assert set(place["users"]) == ids(education, *MANY, 9801, 9802)
    assert set(place["classes"]) == {group["id"], class_of(education, 7803)["id"]}


def test_the_bowling_club_is_left_alone(education: Rig) -> None:
    """A group that holds the alias without our mark is neither filled nor marked."""
    [club] = [g for g in education.directory().state["groups"] if g["mailNickname"] == "Section_7804"]
    assert (club["members"], club["owners"], club["externalId"]) == ([], [], None)


def test_second_cycle_writes_nothing_and_warns_no_more(education: Rig) -> None:
    """Issues stay, notices about what was made do not come again."""
    mark = education.request_mark()
    result = education.sync(codes=(1,))
    assert education.writes_since(mark) == []
    assert not [notice for notice in result["notices"] if "address policy" in notice]


def test_teacherless_create_and_cure(education: Rig) -> None:
    """teacherless = "create" makes it without an owner; a freed alias and a course name cure the others."""
    education.edit("profiles.district", teacherless="create")
    education.change_school({"op": "update_course", "course": 27805, "name": "Named"})
    education.change_directory({"op": "delete_group", "mailNickname": "Section_7804"})
    education.sync(codes=(0,))
    assert issues(education) == {}
    orphan = class_of(education, 7802)
    assert (orphan["owners"], set(orphan["members"])) == ([], ids(education, 8801))
    assert set(class_of(education, 7804)["members"]) == ids(education, 8802, 9801)
    assert class_of(education, 7805)["displayName"] == "Named 1"
    education.edit("profiles.district", teacherless="hold")


def test_a_class_deleted_by_hand_is_not_made_again(education: Rig) -> None:
    """An issue with the two remedies, once; nothing is written to it. Restored, it goes on."""
    group = class_of(education, 7803)
    education.change_directory({"op": "delete_group", "id": group["id"]})
    education.change_school({"op": "enroll", "student": 8810, "section": 7803})
    mark = education.request_mark()
    education.sync(codes=(1,))
    assert issues(education) == {("section", "7803"): "DirectoryObjectDeleted"}
    assert education.writes_since(mark) == []
    education.change_directory({"op": "restore_group", "id": group["id"]})
    education.sync(codes=(0,))
    assert set(class_of(education, 7803)["members"]) == ids(education, 9802, 8810)


def test_more_owners_than_graph_allows(education: Rig) -> None:
    """With 100 owners put in by hand the teacher cannot become one: an issue of the teacher, members go on."""
    group = class_of(education, 7804)
    hands = [{"op": "create_user", "userPrincipalName": f"hand{n}@contoso.edu"} for n in range(99)]
    education.change_directory(*hands)
    education.change_directory(
        *[{"op": "add_owner", "group": group["id"], "user": f"hand{n}@contoso.edu"} for n in range(99)]
    )
    education.change_school({"op": "assign_teacher", "section": 7804, "teacher": 9802},
                            {"op": "enroll", "student": 8811, "section": 7804})  # fmt: skip
    education.sync(codes=(1,))
    assert issues(education) == {("teacher", "9802"): "TooManyOwners"}
    assert ids(education, 8811) <= set(class_of(education, 7804)["members"])
    education.change_directory({"op": "remove_owner", "group": group["id"], "user": "hand0@contoso.edu"})
    education.sync(codes=(0,))
    assert ids(education, 9802) <= set(class_of(education, 7804)["owners"])


def test_lost_database_finds_classes_and_schools(education: Rig) -> None:
    """No duplicate class or school, no membership written twice."""
    before = education.directory().comparable()
    education.forget_state()
    mark = education.request_mark()
    education.sync(codes=(0,))
    assert education.writes_since(mark) == []
    assert education.directory().comparable() == before


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The same kind of district with class_api = "groups", and templates of the operator's own."""
    rig = start(tmp_path_factory.mktemp("groups"))
    try:
        rig.change_school(
            *flat(
                school(SCHOOL), {**teacher(9851, SCHOOL), "last_name": "Lovelace"},
                [student(n, SCHOOL) for n in range(8851, 8881)],
                section(7851, SCHOOL, 9851, *range(8851, 8881)), section(7852, SCHOOL, 9851, 8851, expression="3(A)"),
                section(7853, SCHOOL, 9851),
                {"op": "update_course", "course": 27853, "name": "Größe (neu): x@y " + "long " * 60},
            )
        )  # fmt: skip
        scope(rig, SCHOOL)
        rig.edit(
            "profiles.district",
            class_api="groups",
            class_alias="North-{school_number}-{course_name}-{sis_id}",
            class_name="{course_name} / {teacher_last_name} {period} {year}",
        )
        rig.edit("profiles.district.sections", attributes=["course_name", "term_start", "period", "description"])
        rig.sync(codes=(0,))
        yield rig
    finally:
        rig.stop()


def group_named(rig: Rig, start_: str) -> dict[str, Any]:
    """The one group whose display name begins so."""
    [found] = [group for group in rig.directory().state["groups"] if group["displayName"].startswith(start_)]
    return dict(found)


def test_groups_are_hidden_and_silent(groups: Rig) -> None:
    """Hidden membership, no welcome mail, owner and first members in the create itself."""
    group = group_named(groups, "Course 7851")
    assert group["visibility"] == "HiddenMembership"
    assert "WelcomeEmailDisabled" in group["resourceBehaviorOptions"]
    assert group["groupTypes"] == ["Unified"]
    assert group[f"{EXTENSION}ObjectType"] == "Section"
    assert set(group["members"]) == ids(groups, *range(8851, 8881), 9851)
    assert set(group["owners"]) == ids(groups, 9851)
    creates = [row for row in groups.writes_since(0) if (row["method"], row["path"]) == ("POST", "/groups")]
    assert len(creates) == 3
    for row in creates:
        assert row["body"]["owners@odata.bind"], "never without an owner"
    sizes = [sum(len(v) for k, v in row["body"].items() if k.endswith("@odata.bind")) for row in creates]
    assert max(sizes) == 18, "of 32, as many as one request takes, in threes: 14 are left for the second"
    assert max(sizes) + 14 == len(group["owners"]) + len(group["members"])
    assert all(value.startswith("https://127.0.0.1") or "localhost" in value
               for row in creates for value in row["body"]["owners@odata.bind"])  # fmt: skip


def test_templates(groups: Rig) -> None:
    """Placeholders filled in; an alias that is not legal as it stands is made so and marked, at most 64 characters."""
    assert group_named(groups, "Course 7852")["displayName"].startswith("Course 7852 / Lovelace 3")
    odd = group_named(groups, "Größe (neu): x@y")
    assert len(odd["displayName"]) <= 256
    assert len(odd["mailNickname"]) <= 64 and odd["mailNickname"].isascii()
    assert not set(odd["mailNickname"]) & set('@()\\[]";:.<>, ')
    aliases = [group["mailNickname"] for group in groups.directory().state["groups"]]
    assert len({alias.lower() for alias in aliases}) == 3


def test_groups_second_cycle_and_lost_database(groups: Rig) -> None:
    """Found by uniqueName: nothing is written, also without a database."""
    mark = groups.request_mark()
    groups.sync(codes=(0,))
    assert groups.writes_since(mark) == []
    groups.forget_state()
    groups.sync(codes=(0,))
    assert groups.writes_since(mark) == []


def test_attributes_of_groups_follow(groups: Rig) -> None:
    """In the extension, by PATCH /groups."""
    groups.change_school({"op": "update_course", "course": 27852, "name": "Changed"})
    mark = groups.request_mark()
    groups.sync(codes=(0,))
    assert kinds(groups.writes_since(mark)) == {"PATCH /groups/*": 1}
    [group] = [g for g in groups.directory().state["groups"] if g.get(f"{EXTENSION}CourseName") == "Changed"]
    assert group["displayName"].startswith("Course 7852")


def test_impossible_templates_are_configuration_errors(groups: Rig) -> None:
    """An unknown placeholder, an alias without the section's id, a character no alias may hold."""
    groups.edit("profiles.district", class_name="{coarse_name}", class_alias="Class {school_number}")
    said = config_faults(groups)
    assert "class_name" in said and "course_name" in said
    assert "class_alias" in said and "{sis_id}" in said
