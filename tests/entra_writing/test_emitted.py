"""The table of requests the program can send is the truth about the code, and the contract knows all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import contracts
import emitted
import msgspec
import pytest
from test_bodies import ID, OTHER, requests
from writing_rig import (
    create_class,
    create_school,
    create_user,
    join,
    license_of,
    link,
    restore_of,
    school,
    section,
    student,
    teacher,
    update,
)

from sds_daemon.plan.change import ChangeKind as K
from sds_daemon.targets.entra.batch import Item
from sds_daemon.targets.entra.requests import Add, Requests

Drive = Callable[[Requests], Any]
PUPIL = link(K.ADD_MEMBER, section(1), student(1))
LEAD = link(K.ADD_OWNER, section(1), teacher(1))
JOIN = join(student(1), ID)
DRIVEN: dict[str, Drive] = {
    "create_user": lambda r: r.create_user(create_user(student(1), grade="07"), "Secret-12"),
    "update_user": lambda r: r.update_user(update(K.UPDATE_USER, student(1), surname="B", state_id="1"), ID),
    "user_extras": lambda r: r.user_extras(create_user(student(1), state_id="1"), ID),
    "assign_license": lambda r: r.assign_license(license_of(student(1), OTHER), ID, [OTHER]),
    "create_class": lambda r: r.create_class(create_class(section(1)), [Add(LEAD, ID), Add(PUPIL, OTHER)]),
    "update_class": lambda r: r.update_class(update(K.UPDATE_CLASS, section(1), display_name="B", period="3"), ID),
    "class_extras": lambda r: r.class_extras(create_class(section(1), period="3"), ID),
    "restore_group": lambda r: r.restore_group(restore_of(section(1))),
    "create_school": lambda r: r.create_school(create_school(school())),
    "update_school": lambda r: r.update_school(update(K.UPDATE_SCHOOL, school(), display_name="B"), ID),
    "add_many": lambda r: [r.add_many(ID, adds) for adds in ([Add(LEAD, ID), Add(PUPIL, OTHER)], [Add(JOIN, OTHER)])],
    "add_one": lambda r: [r.add_one(ID, Add(change, OTHER)) for change in (PUPIL, LEAD, JOIN)],
    "remove_one": lambda r: [
        r.remove_one(link(kind, section(1), student(1)), ID, OTHER) for kind in (K.REMOVE_MEMBER, K.REMOVE_OWNER)
    ],
    "add_to_school": lambda r: [
        r.add_to_school(link(kind, school(), member), ID, OTHER)
        for kind, member in ((K.ADD_SCHOOL_USER, student(1)), (K.ADD_SCHOOL_CLASS, section(1)))
    ],
    "remove_from_school": lambda r: r.remove_from_school(link(K.REMOVE_SCHOOL_USER, school(), student(1)), ID, OTHER),
}
TENANTS = [(True, "education"), (True, "groups"), (False, "groups")]


def items(drive: Drive) -> list[Item]:
    """What a builder makes for every kind of tenant."""
    made: list[Item] = []
    for education, class_api in TENANTS:
        result = drive(requests(education=education, class_api=class_api))
        made += result if isinstance(result, list) else [result]
    return made


def test_every_place_that_writes_an_address_is_in_the_table() -> None:
    assert emitted.functions_in_the_code() == emitted.READS.keys() | emitted.WRITES.keys() | emitted.BELOW


def test_every_builder_of_writes_is_driven() -> None:
    public = {name for name, value in vars(Requests).items() if inspect.isfunction(value) and name[0] != "_"}
    assert public == DRIVEN.keys()
    assert {f"requests.Requests.{name}" for name in public} == emitted.WRITES.keys()


@pytest.mark.parametrize("name", DRIVEN)
def test_builders_make_the_requests_of_the_table_and_no_others(name: str) -> None:
    if contracts.oracle() is None:
        pytest.skip(contracts.ABSENT)
    made = items(DRIVEN[name])
    assert {contracts.template(item.method, item.url) for item in made} == emitted.WRITES[f"requests.Requests.{name}"]
    for item in made:
        document = None if item.body is None else msgspec.json.decode(item.body)
        assert contracts.oracle().check(item.method, item.url, document) == []


def test_the_contract_knows_every_request() -> None:
    if contracts.oracle() is None:
        pytest.skip(contracts.ABSENT)
    paths = contracts.oracle().doc["paths"]
    lines = [request.split() for request in emitted.requests()]
    assert [line for line in lines if line[0].lower() not in paths.get(line[1], {})] == []
