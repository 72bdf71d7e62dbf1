"""Attributes through the real program: the chosen ones, written when the source changed and at no other time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rig import Rig

from process.answers import SCHOOL, account, config_faults, issue_rows, kinds, scope
from process.town import flat, school, section, start, student, teacher

pytestmark = pytest.mark.process

EXTENSION = "extension_fe2174665583431c953114ff7268b7b3_Education_"
SUFFIX = "contoso.edu"


def rich(number: int, **columns: Any) -> dict[str, Any]:
    """A student about whom the source says much."""
    much = {
        "middle_name": "Mid", "email": f"home{number}@elsewhere.example", "state_number": f"ST{number}",
        "birth_date": "2012-02-29", "graduation_year": 2030, "grade": 0,
    }  # fmt: skip
    return {**student(number, SCHOOL), **much, **columns}


ALL_OF_A_STUDENT = [
    "student_number", "grade", "school", "state_id", "secondary_email", "middle_name", "birth_date",
    "graduation_year", "department", "office_location",
]  # fmt: skip


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Accounts found by the rule: one plain, one mastered on premises, one without anything in the source."""
    rig = start(tmp_path_factory.mktemp("attributes"), "--users", "match")
    try:
        rig.change_school(
            *flat(
                school(SCHOOL, street="1 Road", city="Contoso", principal_first="Pat", principal_last="Principal"),
                {**teacher(9701, SCHOOL), "middle_name": "Em", "email": "tea@elsewhere.example"},
                rich(8701), rich(8702), {**student(8703, SCHOOL), "number": "", "grade": -1},
                section(7701, SCHOOL, 9701, 8701, 8702, 8703),
            )
        )  # fmt: skip
        rig.change_directory(
            account("t9701", displayName="Hand Made"),
            account("s8701", displayName="Hand Made", givenName="Hand", surname="Made"),
            account("s8702", onPremisesSyncEnabled=True, department="From AD"),
            account("s8703"),
        )
        scope(rig, SCHOOL)
        rig.edit("profiles.district.students", attributes=ALL_OF_A_STUDENT)
        rig.edit("profiles.district.teachers", attributes=["teacher_number", "school", "secondary_email"])
        rig.edit("profiles.district.sections", attributes=["course_id", "class_code", "period", "section_number"])
        rig.edit("profiles.district.school_records", attributes=["school_number", "street", "city", "principal_name"])
        rig.sync(codes=(0, 1))
        yield rig
    finally:
        rig.stop()


def of(rig: Rig, alias: str) -> dict[str, Any]:
    """The account with this sign-in name."""
    return rig.directory().user(f"{alias}@{SUFFIX}")


def test_every_attribute_of_a_student(synced: Rig) -> None:
    """By the education API what it has, the rest in Microsoft's extension; names of a matched account stay."""
    user = of(synced, "s8701")
    assert user["education"]["primaryRole"] == "student"
    assert user["education"]["externalSource"] == "sis"
    assert user["education"]["externalSourceDetail"] == synced.district()["uuid"]
    assert user["education"]["student"] == {
        "externalId": "8701", "studentNumber": "8701", "grade": "KG", "birthDate": "2012-02-29",
        "graduationYear": "2030",
    }  # fmt: skip
    assert user["education"]["middleName"] == "Mid"
    assert user[f"{EXTENSION}StateId"] == "ST8701"
    assert user[f"{EXTENSION}Email"] == "home8701@elsewhere.example"
    assert (user["department"], user["officeLocation"]) == ("Grade KG", f"School {SCHOOL}")
    assert (user["displayName"], user["givenName"]) == ("Hand Made", "Hand")


def test_only_what_was_chosen(synced: Rig) -> None:
    """A teacher's department was not chosen; of the section neither term nor course name."""
    user = of(synced, "t9701")
    assert user["education"]["teacher"] == {"externalId": "9701", "teacherNumber": "N9701"}
    assert user[f"{EXTENSION}Email"] == "tea@elsewhere.example"
    assert user.get("department") is None
    assert user["education"]["middleName"] is None
    group = synced.directory().class_of("7701")
    assert group is not None
    assert group["course"] == {"externalId": "27701"}
    assert group["term"] is None
    assert group[f"{EXTENSION}SectionNumber"] == "1"
    [place] = synced.directory().state["schools"]
    assert place["address"] == {"street": "1 Road", "city": "Contoso"}
    assert (place["principalName"], place["lowestGrade"]) == ("Pat Principal", None)


def test_nothing_said_nothing_written(synced: Rig) -> None:
    """What the source leaves empty is not sent, not even as null; grades below kindergarten have SDS's code."""
    assert of(synced, "s8703")["education"]["student"] == {"externalId": "8703", "grade": "PK"}
    mine = [row for row in synced.writes_since(0) if of(synced, "s8703")["id"] in row["path"] and row["body"]]
    assert not [row for row in mine if "null" in str(row["body"]) or None in row["body"].values()]


def test_mastered_on_premises_is_left_alone_and_said_once(synced: Rig) -> None:
    """The education part is written, the rest is a note, not an error, and no request is spent on it again."""
    user = of(synced, "s8702")
    assert user["education"]["student"]["externalId"] == "8702"
    assert user["department"] == "From AD"
    assert user[f"{EXTENSION}StateId"] == "ST8702", "extension attributes of education stay writable"
    notes = [row for row in issue_rows(synced) if row["code"] == "OnPremisesMastered"]
    assert [(row["sis_id"], row["severity"]) for row in notes] == [("8702", "note")]
    mark = synced.request_mark()
    result = synced.sync(codes=(0,))
    assert result["status"] in ("nothing_to_do", "success")
    assert synced.writes_since(mark) == []


def test_changes_by_hand_survive(synced: Rig) -> None:
    """An attribute is written when the source value differs from the one last written, not from the one found."""
    synced.change_directory(
        {"op": "update_user", "upn": f"s8701@{SUFFIX}", "department": "By Hand", "displayName": "Nick"},
        {"op": "update_group", "mailNickname": "Section_7701", "displayName": "Our class"},
    )
    mark = synced.request_mark()
    synced.sync(codes=(0,))
    assert synced.writes_since(mark) == []
    synced.change_school({"op": "update_student", "student": 8701, "state_number": "NEW"})
    synced.sync(codes=(0,))
    user = of(synced, "s8701")
    assert user[f"{EXTENSION}StateId"] == "NEW"
    assert user["department"] == "By Hand"
    assert kinds(synced.writes_since(mark)) == {"PATCH /users/*": 1}


def test_changed_and_cleared_at_the_source(synced: Rig) -> None:
    """One cycle later the directory has it; what became empty is cleared; the other attributes are not sent."""
    synced.change_school(
        {"op": "update_student", "student": 8701, "grade": 3, "middle_name": "", "email": ""},
        {"op": "update_teacher", "teacher": 9701, "teacher_number": "N2"},
        {"op": "update_school", "school": SCHOOL, "city": "Newtown", "name": "Renamed School"},
        {"op": "update_section", "section": 7701, "number": "2"},
    )
    synced.sync(codes=(0,))
    user = of(synced, "s8701")
    assert user["education"]["student"]["grade"] == "3"
    assert user["education"]["student"]["birthDate"] == "2012-02-29"
    assert user["education"]["middleName"] is None
    assert user.get(f"{EXTENSION}Email") is None
    assert of(synced, "t9701")["education"]["teacher"]["teacherNumber"] == "N2"
    [place] = synced.directory().state["schools"]
    assert (place["displayName"], place["address"]["city"], place["address"]["street"]) == (
        "Renamed School", "Newtown", "1 Road",
    )  # fmt: skip
    group = synced.directory().class_of("7701")
    assert group is not None
    assert group["displayName"] == "Our class", "class_name_updates is off"
    assert group[f"{EXTENSION}SectionNumber"] == "2"
    mark = synced.request_mark()
    synced.sync(codes=(0,))
    assert synced.writes_since(mark) == []


def test_class_name_updates(synced: Rig) -> None:
    """Switched on, the class follows the source's name, but only where the source changed since."""
    synced.edit("profiles.district", class_name_updates=True)
    synced.change_school({"op": "update_course", "course": 27701, "name": "New Name"})
    synced.sync(codes=(0,))
    group = synced.directory().class_of("7701")
    assert group is not None
    assert group["displayName"] == "New Name 2"


def test_attribute_no_longer_chosen_stays(synced: Rig) -> None:
    """Leaving an attribute out stops writing it; it is not taken away."""
    synced.edit("profiles.district.students", attributes=["grade"])
    synced.change_school({"op": "update_student", "student": 8701, "state_number": "UNSEEN"})
    mark = synced.request_mark()
    synced.sync(codes=(0,))
    assert synced.writes_since(mark) == []
    assert of(synced, "s8701")[f"{EXTENSION}StateId"] == "NEW"


def test_lost_database_reads_every_attribute_back(synced: Rig) -> None:
    """Chosen attributes of every kind, in the education part and in the extension, are known again without a write."""
    synced.edit("profiles.district.students", attributes=ALL_OF_A_STUDENT)
    synced.sync(codes=(0,))
    synced.change_directory(
        {"op": "update_user", "upn": f"s8701@{SUFFIX}", "department": "Grade 3", "officeLocation": "Renamed School"}
    )
    synced.sync(codes=(0,))
    synced.forget_state()
    mark = synced.request_mark()
    synced.sync(codes=(0,))
    assert synced.writes_since(mark) == []


def test_unknown_attributes_are_configuration_errors(synced: Rig) -> None:
    """Every table is looked at; the nearest name is offered."""
    synced.edit("profiles.district.students", attributes=["grad"])
    synced.edit("profiles.district.sections", attributes=["course_nam"])
    said = config_faults(synced)
    assert "profiles.district.students" in said and "profiles.district.sections" in said
    assert "grade" in said and "course_name" in said
