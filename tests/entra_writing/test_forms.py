"""A request made by its form is the one the SDK would have made."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bodies import ROOT, STUDENT_VALUES, requests
from writing_rig import create_class, create_school, create_user, school, section, student, teacher, update

from sds_daemon.plan.change import Change, ChangeKind
from sds_daemon.roster.records import RecordKind
from sds_daemon.targets.entra import bodies
from sds_daemon.targets.entra.bodies import BadAttribute
from sds_daemon.targets.entra.forms import PLACE
from sds_daemon.targets.entra.requests import Requests

ONE, ALL = requests(), {kind: requests() for kind in ("user", "class", "school")}
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12) | st.sampled_from(
    ['"', "\\", "\ue000", "\ue000grade\ue000", PLACE, "0001-01-01", "a\nb", "é", "</script>"]
)


def by_the_sdk(model: Any, url: str) -> dict[str, Any]:
    """What the SDK's own serialiser makes of a model."""
    info = getattr(ONE._builders.education, url).to_post_request_information(model)
    document: dict[str, Any] = msgspec.json.decode(info.content)
    return document


def sent(change: Change, builder: Requests) -> dict[str, Any]:
    make = {
        ChangeKind.CREATE_CLASS: builder.create_class,
        ChangeKind.CREATE_SCHOOL: builder.create_school,
    }[change.kind]
    document: dict[str, Any] = msgspec.json.decode(make(change).body or b"")
    return document


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=6, max_size=6), role=st.sampled_from([student, teacher]))
def test_an_account(texts: list[str], role: Any) -> None:
    names = ("display_name", "given_name", "surname", "department", "middle_name", "office_location")
    change = create_user(role(7), **dict(zip(names, texts, strict=True)))
    document = msgspec.json.decode(ALL["user"].create_user(change, texts[0]).body or b"")
    expected = by_the_sdk(bodies.education_user(change.subject.kind, change.values).model, "users")
    expected |= {"accountEnabled": True}
    assert document.pop("passwordProfile") == {"password": texts[0], "forceChangePasswordNextSignIn": True}
    assert document == expected


@settings(max_examples=40, deadline=None)
@given(name=TEXTS, term=TEXTS, begin=st.dates())
def test_a_class(name: str, term: str, begin: Any) -> None:
    change = create_class(section(9), display_name=name, term_name=term, term_start=begin.isoformat())
    assert sent(change, ALL["class"]) == by_the_sdk(bodies.education_class(change.values).model, "classes")


@settings(max_examples=40, deadline=None)
@given(name=TEXTS, city=TEXTS)
def test_a_school(name: str, city: str) -> None:
    change = create_school(school(), display_name=name, city=city)
    assert sent(change, ALL["school"]) == by_the_sdk(bodies.education_school(change.values).model, "schools")


def test_requests_of_one_shape_differ_in_their_values_alone() -> None:
    builder = requests()
    first = msgspec.json.decode(builder.create_user(create_user(student(1), **STUDENT_VALUES), "a").body or b"")
    second = msgspec.json.decode(builder.create_user(create_user(student(2), **STUDENT_VALUES), "b").body or b"")
    assert first["student"]["externalId"] == "1"
    assert second["student"]["externalId"] == "2"
    assert second["student"]["birthDate"] == STUDENT_VALUES["birth_date"]
    assert second["passwordProfile"]["password"] == "b"


def test_other_shapes_do_not_mix() -> None:
    builder = requests()
    cleared = builder.update_user(update(ChangeKind.UPDATE_USER, student(1), department=None), "one")
    written = builder.update_user(update(ChangeKind.UPDATE_USER, student(2), department="East"), "two")
    assert msgspec.json.decode(cleared[0].body or b"")["department"] is None
    assert msgspec.json.decode(written[0].body or b"")["department"] == "East"
    assert [cleared[0].url, written[0].url] == ["/education/users/one", "/education/users/two"]
    assert ROOT not in written[0].url


def test_an_odd_id_cannot_leave_its_place_in_the_address() -> None:
    builder = requests()
    for _ in range(2):
        (item,) = builder.update_user(update(ChangeKind.UPDATE_USER, student(1), surname="B"), "a/b?c#d")
        assert item.url == "/education/users/a%2Fb%3Fc%23d"


def test_a_bad_date_is_refused_when_the_form_is_known_as_well() -> None:
    builder = requests()
    builder.create_user(create_user(student(1), birth_date="2010-01-01"), "x")
    with pytest.raises(BadAttribute) as caught:
        builder.create_user(create_user(student(2), birth_date="01/02/2010"), "x")
    assert caught.value.name == "birth_date"
    assert bodies.person_fields(RecordKind.STUDENT, education=True)["birth_date"].convert is not str
