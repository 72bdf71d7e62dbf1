"""The sandbox's property tables and paths against the published contract, where its folder lies beside the project."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import contracts
import pytest
from entra_rig import entra

from sds_daemon.sandbox.entra import routes, schema

RESOURCES = [
    schema.USER, schema.GROUP, schema.UNIT, schema.EDUCATION_USER, schema.EDUCATION_CLASS, schema.SCHOOL,
]  # fmt: skip
LEFT_OUT = {
    "accessType", "infoCatalogs", "isFavorite", "onPremisesExtensionAttributes", "organizationId",
    "unseenConversationsCount", "unseenMessagesCount",
}  # fmt: skip
NOT_IN_METADATA = {"GET /groups(uniqueName)/{}", "DELETE /groups/{}/members/{}", "GET /education/me"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    checker = contracts.oracle()
    if checker is None:
        pytest.skip(contracts.ABSENT)
    found: dict[str, Any] = checker.doc
    return found


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.type)
def test_properties_are_those_of_the_metadata(document: dict[str, Any], resource: schema.Resource) -> None:
    declared = document["components"]["schemas"][resource.type + ".request"]["properties"]
    theirs = {name: spec for name, spec in declared.items() if "@" not in name}
    assert set(theirs) - set(resource.props) <= LEFT_OUT
    assert set(resource.props) <= set(theirs)
    for name, spec in theirs.items():
        prop = resource.props.get(name)
        if prop is not None and spec.get("readOnly"):
            assert prop.read_only, name
        if prop is not None and "maxLength" in spec:
            assert prop.limit == spec["maxLength"], name


def test_every_path_and_method_exists(document: dict[str, Any]) -> None:
    known = {
        f"{method.upper()} {re.sub('{[^}]+}', '{}', path)}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    served = {f"{method} /{path.replace('microsoft.graph.', 'graph.')}" for method, path, *_ in routes._LINES}
    unknown = {line for line in served if line not in known and line + "()" not in known}
    assert unknown == NOT_IN_METADATA


async def test_what_the_contract_refuses_the_sandbox_refuses(tmp_path: Path) -> None:
    checker = contracts.oracle()
    if checker is None:
        pytest.skip(contracts.ABSENT)
    async with entra(tmp_path, tls=True) as rig:
        ada, group = await rig.user("ada"), await rig.group()
        new = rig.user_body("bob")
        class_ = {"displayName": "x", "mailNickname": "x"}
        group_ = {**class_, "mailEnabled": True, "securityEnabled": False, "groupTypes": ["Unified"]}
        for method, path, body in (
            ("POST", "/users", {**new, "favouriteColour": "red"}),
            ("POST", "/users", {**new, "accountEnabled": "true"}),
            ("POST", "/users", {**new, "employeeId": "12345678901234567"}),
            ("POST", "/user", new),
            ("PUT", f"/users/{ada}", {"department": "x"}),
            ("POST", "/groups", {**group_, "mailNickname": "math 101"}),
            ("POST", "/groups", {**group_, "member@odata.bind": []}),
            ("POST", "/education/classes", {**class_, schema.EDUCATION_PREFIX + "Status": "x"}),
            ("POST", f"/groups/{group}/members/$ref", {"id": ada}),
            ("DELETE", f"/groups/{group}/members/$ref", None),
            ("POST", f"/users/{ada}/assignLicense", {"addLicenses": [{"skuId": "x"}], "removeLicenses": []}),
            ("GET", "/users?$expandd=x", None),
        ):  # fmt: skip
            assert checker.check(method, path, body), (method, path)
            assert 400 <= (await rig.send(method, path, body)).status_code < 406, (method, path, body)
        for method, path, body in (
            ("POST", "/users", new), ("POST", "/groups", group_),
            ("POST", "/education/classes", {**class_, "mailNickname": "y"}),
            ("PATCH", f"/users/{ada}", {"department": "Grade 9"}),
            ("POST", f"/groups/{group}/members/$ref", rig.ref(ada)),
            ("GET", "/users?$select=id,displayName&$top=999&$filter=employeeId eq '1'", None),
            ("GET", "/groups/delta?$select=id,members", None), ("GET", "/subscribedSkus", None),
        ):  # fmt: skip
            assert checker.check(method, path, body) == []
            await rig.ok(method, path, body)
