"""What is sent, attribute by attribute, and that the contract allows it."""

from __future__ import annotations

from typing import Any

import contracts
import msgspec
import pytest
from kiota_abstractions.authentication.anonymous_authentication_provider import AnonymousAuthenticationProvider
from msgraph import GraphServiceClient
from msgraph.graph_request_adapter import GraphRequestAdapter
from writing_rig import (
    SOURCE,
    create_class,
    create_school,
    create_user,
    license_of,
    link,
    school,
    section,
    student,
    teacher,
    update,
)

from sds_daemon.plan import attributes
from sds_daemon.plan.change import Change, ChangeKind
from sds_daemon.targets.entra.batch import Item
from sds_daemon.targets.entra.bodies import EXTENSION, BadAttribute
from sds_daemon.targets.entra.requests import Add, Requests

ROOT = "https://graph.microsoft.com/v1.0"
ID = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"


def requests(*, education: bool = True, class_api: str = "education") -> Requests:
    builders = GraphServiceClient(request_adapter=GraphRequestAdapter(AnonymousAuthenticationProvider()))
    return Requests(builders, ROOT, education=education, class_api=class_api)


def body(item: Item) -> dict[str, Any]:
    """The body; the contract must allow the request."""
    document = msgspec.json.decode(item.body) if item.body is not None else None
    checker = contracts.oracle()
    if checker is not None:
        assert checker.check(item.method, item.url, document) == []
    return document or {}


STUDENT_VALUES = {
    "student_number": "1001",
    "grade": "KG",
    "middle_name": "Q",
    "birth_date": "2010-02-03",
    "graduation_year": "2028",
    "department": "East",
    "office_location": "B2",
    "state_id": "S9",
    "secondary_email": "home@example.org",
    "school": "1",
}


def test_a_student_is_made_in_one_write() -> None:
    sent = body(requests().create_user(create_user(student(7), **STUDENT_VALUES), "Secret-1"))
    assert sent["student"] == {
        "externalId": "7",
        "studentNumber": "1001",
        "grade": "KG",
        "birthDate": "2010-02-03",
        "graduationYear": "2028",
    }
    assert sent["passwordProfile"] == {"password": "Secret-1", "forceChangePasswordNextSignIn": True}
    assert (sent["primaryRole"], sent["externalSource"], sent["externalSourceDetail"]) == ("student", "sis", SOURCE)
    assert (sent["usageLocation"], sent["middleName"], sent["accountEnabled"]) == ("US", "Q", True)
    assert "teacher" not in sent


def test_a_teacher_carries_teacher_values_only() -> None:
    sent = body(requests().create_user(create_user(teacher(7), teacher_number="T1", grade="9"), "Secret-1"))
    assert sent["teacher"] == {"externalId": "7", "teacherNumber": "T1"}
    assert "student" not in sent


def test_every_attribute_of_the_vocabulary_finds_its_place() -> None:
    """In an education tenant each choice is sent, in the first or the second write (`school` is an attachment)."""
    for choices, ref in ((attributes.STUDENT_CHOICES, student(1)), (attributes.TEACHER_CHOICES, teacher(1))):
        for name in set(choices) - {"school"}:
            change = update(ChangeKind.UPDATE_USER, ref, **{name: "2010-02-03"})
            [item] = requests().update_user(change, ID)
            assert b"2010-02-03" in (item.body or b""), name
            body(item)
    for name in attributes.SECTION_CHOICES:
        for api in ("education", "groups"):
            items = requests(class_api=api).update_class(
                update(ChangeKind.UPDATE_CLASS, section(1), **{name: "2010-02-03"}), ID
            )
            if (name, api) != ("class_code", "groups"):
                assert b"2010-02-03" in (items[0].body or b""), (name, api)
                body(items[0])
    for name in attributes.SCHOOL_CHOICES:
        [item] = requests().update_school(update(ChangeKind.UPDATE_SCHOOL, school(), **{name: "2010-02-03"}), ID)
        assert b"2010-02-03" in (item.body or b""), name
        body(item)


def test_what_only_the_extension_holds_goes_in_a_second_write() -> None:
    items = requests().update_user(
        update(ChangeKind.UPDATE_USER, student(1), grade="9", state_id="S9", secondary_email=None), ID
    )
    first, second = map(body, items)
    assert first["student"] == {"grade": "9"}
    assert items[1].url == f"/users/{ID}"
    assert second[f"{EXTENSION}StateId"] == "S9"
    assert second[f"{EXTENSION}Email"] is None


def test_only_what_changed_is_sent_and_none_clears_it() -> None:
    [item] = requests().update_user(
        update(ChangeKind.UPDATE_USER, student(1), student_number=None, middle_name=None, grade="8"), ID
    )
    sent = body(item)
    sent.pop("@odata.type", None)
    assert sent == {"student": {"grade": "8", "studentNumber": None}, "middleName": None}
    assert (item.method, item.url) == ("PATCH", f"/education/users/{ID}")


def test_a_structured_value_is_written_whole() -> None:
    change = update(ChangeKind.UPDATE_USER, student(1), {"external_id": "1", "student_number": "7"}, grade="8")
    [item] = requests().update_user(change, ID)
    assert body(item)["student"] == {"externalId": "1", "studentNumber": "7", "grade": "8"}


def test_a_create_leaves_empty_values_out() -> None:
    sent = body(requests().create_user(create_user(student(1), grade=None, middle_name=None), "Secret-1"))
    assert "middleName" not in sent
    assert "grade" not in sent["student"]


def test_a_plain_tenant_gets_no_education_attribute() -> None:
    made = requests(education=False)
    sent = body(made.create_user(create_user(student(7), **STUDENT_VALUES), "Secret-1"))
    assert set(sent) - {"@odata.type"} == {
        "accountEnabled", "displayName", "givenName", "surname", "mailNickname", "userPrincipalName", "usageLocation",
        "passwordProfile", "department", "officeLocation",
    }  # fmt: skip
    assert made.update_user(update(ChangeKind.UPDATE_USER, student(7), grade="9", state_id="x"), ID) == []
    group = body(made.create_class(create_class(section(3), period="2")))
    assert not [name for name in group if name.startswith("extension_")]
    assert group["uniqueName"] == f"sds-daemon.{SOURCE.replace('-', '')}.section.3"
    assert made.class_extras(create_class(section(3), period="2"), ID) == []
    unit = made.create_school(create_school(school(4)))
    assert unit.url == "/directory/administrativeUnits"
    assert body(unit)["description"].endswith(f"[sds-daemon {SOURCE} school 4]")


def test_a_class_by_the_education_api() -> None:
    item = requests().create_class(create_class(section(3), class_code="M1", course_number="101", description="d"))
    sent = body(item)
    assert (item.url, item.create, item.education) == ("/education/classes", True, True)
    assert sent["course"] == {"externalId": "7", "displayName": "Algebra", "courseNumber": "101"}
    assert sent["term"] == {"externalId": "2600", "startDate": "2026-08-20", "endDate": "2027-06-10"}
    assert (sent["externalId"], sent["externalSource"], sent["mailNickname"]) == ("3", "sis", "Section_3")


def test_a_group_takes_first_members_along() -> None:
    adds = [Add(link(ChangeKind.ADD_OWNER, section(3), teacher(1)), ID)]
    adds += [Add(link(ChangeKind.ADD_MEMBER, section(3), student(n)), OTHER) for n in range(19)]
    item = requests(class_api="groups").create_class(create_class(section(3)), adds)
    sent = body(item)
    assert sent["owners@odata.bind"] == [f"{ROOT}/directoryObjects/{ID}"]
    assert len(sent["members@odata.bind"]) == 19
    assert sent["visibility"] == "HiddenMembership"
    assert "WelcomeEmailDisabled" in sent["resourceBehaviorOptions"]
    assert sent[f"{EXTENSION}ObjectType"] == "Section"
    assert (item.adds, item.needs, len(item.changes)) == (20, frozenset({ID, OTHER}), 21)


def test_a_school_and_its_address() -> None:
    sent = body(requests().create_school(create_school(school(4), street="1 Road", country="US", low_grade="KG")))
    assert sent["address"] == {"street": "1 Road", "countryOrRegion": "US"}
    assert sent["lowestGrade"] == "KG"


@pytest.mark.parametrize(("education", "api"), [(True, "education"), (True, "groups"), (False, "groups")])
@pytest.mark.parametrize("kind", [ChangeKind.ADD_SCHOOL_USER, ChangeKind.ADD_SCHOOL_CLASS])
def test_attachments_to_schools(education: bool, api: str, kind: ChangeKind) -> None:
    made = requests(education=education, class_api=api)
    member = student(1) if kind is ChangeKind.ADD_SCHOOL_USER else section(1)
    item = made.add_to_school(link(kind, school(), member), ID, OTHER)
    assert body(item)["@odata.id"].endswith(OTHER)
    assert item.objects == frozenset({ID})
    assert item.url.endswith("/$ref")


def test_a_removal_always_names_the_reference() -> None:
    """Without /$ref Graph would delete the person."""
    made = requests()
    removals = [
        made.remove_one(link(ChangeKind.REMOVE_MEMBER, section(1), student(1)), ID, OTHER),
        made.remove_one(link(ChangeKind.REMOVE_OWNER, section(1), teacher(1)), ID, OTHER),
        made.remove_from_school(link(ChangeKind.REMOVE_SCHOOL_USER, school(), student(1)), ID, OTHER),
        requests(education=False).remove_from_school(
            link(ChangeKind.REMOVE_SCHOOL_USER, school(), student(1)), ID, OTHER
        ),
    ]
    for item in removals:
        assert item.method == "DELETE"
        assert item.url.endswith(f"/{OTHER}/$ref")
        body(item)


def test_licences_of_a_role_are_one_write() -> None:
    item = requests().assign_license(license_of(student(1)), ID, [OTHER, ID])
    assert [entry["skuId"] for entry in body(item)["addLicenses"]] == [OTHER, ID]
    assert body(item)["removeLicenses"] == []


def test_an_adopted_class_gets_our_mark() -> None:
    change = Change(
        kind=ChangeKind.ADOPT_CLASS, subject=section(3), values=create_class(section(3)).values, object_id=ID
    )
    [item] = requests(class_api="groups").update_class(change, ID)
    assert body(item)["extension_fe2174665583431c953114ff7268b7b3_Education_AnchorId"] == "Section_3"
    assert "uniqueName" not in body(item)  # it can be set at creation alone
    [item] = requests().update_class(change, ID)
    assert body(item)["externalSourceDetail"] == SOURCE


def test_a_date_that_is_none_is_a_bad_attribute() -> None:
    with pytest.raises(BadAttribute) as raised:
        requests().create_user(create_user(student(1), birth_date="someday"), "x")
    assert raised.value.name == "birth_date"
