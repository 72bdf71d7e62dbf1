"""Every request to Graph the program can send, by the function that writes its address.

A test compares the functions with the code, so that a new request cannot stay out of this table; another one drives all
builders of writes; and a run of all tests fails when one of these requests was never sent.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import contracts

import sds_daemon

FOLDER = Path(sds_daemon.__file__).parent / "targets" / "entra"

_USER, _PERSON, _GROUP = "/users/{user-id}", "/education/users/{educationUser-id}", "/groups/{group-id}"
_CLASS, _SCHOOL = "/education/classes/{educationClass-id}", "/education/schools/{educationSchool-id}"
_UNIT = "/directory/administrativeUnits/{administrativeUnit-id}"

READS: dict[str, set[str]] = {
    "ages.Ages._is_deleted": {"/directory/deletedItems/{directoryObject-id}"},
    "classes.ClassStrand._with_mail": {_GROUP},
    "check._license_group": {f"{_GROUP}/membersWithLicenseErrors"},
    "creating.restore": {_GROUP},
    "filling._sifted": {f"{_GROUP}/owners", f"{_GROUP}/members"},
    "facts": {"/organization", "/subscribedSkus", "/education/schools"},
    "find.Finder._user": {"/users", _PERSON},
    "find.Finder._class": {"/groups", _CLASS},
    "find.Finder._school": {"/education/schools", "/directory/administrativeUnits"},
    "held._reads": {_USER, _PERSON, _GROUP, _CLASS, _SCHOOL, _UNIT},
    "license_groups.address": {_GROUP},
    "members.group_members": {f"{_GROUP}/owners", f"{_GROUP}/members"},
    "members.school_members": {f"{_SCHOOL}/users", f"{_SCHOOL}/classes", f"{_UNIT}/members"},
    "members.plans_of": {"/users"},
    "reading.Reading._users": {"/users/delta"},
    "reading.Reading._people": {"/education/users/delta"},
    "reading.Reading._person": {_PERSON},
    "reading.Reading._all_groups": {"/education/classes/delta", "/groups/delta"},
    "reading.Reading._class_mark": {_CLASS},
    "reading.Reading._schools": {"/education/schools", "/directory/administrativeUnits"},
    "reading.Reading._by_id": {"/users", "/groups"},
}
"""Paths of GET requests."""

WRITES: dict[str, set[str]] = {
    "requests.Requests.create_user": {"POST /users", "POST /education/users"},
    "requests.Requests.update_user": {f"PATCH {_USER}", f"PATCH {_PERSON}"},
    "requests.Requests.user_extras": {f"PATCH {_USER}"},
    "requests.Requests.assign_license": {f"POST {_USER}/assignLicense"},
    "requests.Requests.create_class": {"POST /groups", "POST /education/classes"},
    "requests.Requests.update_class": {f"PATCH {_GROUP}", f"PATCH {_CLASS}"},
    "requests.Requests.class_extras": {f"PATCH {_GROUP}"},
    "requests.Requests.restore_group": {"POST /directory/deletedItems/{directoryObject-id}/restore"},
    "requests.Requests.create_school": {"POST /directory/administrativeUnits", "POST /education/schools"},
    "requests.Requests.update_school": {f"PATCH {_UNIT}", f"PATCH {_SCHOOL}"},
    "requests.Requests.add_many": {f"PATCH {_GROUP}"},
    "requests.Requests.add_one": {f"POST {_GROUP}/owners/$ref", f"POST {_GROUP}/members/$ref"},
    "requests.Requests.remove_one": {
        f"DELETE {_GROUP}/owners/{{directoryObject-id}}/$ref",
        f"DELETE {_GROUP}/members/{{directoryObject-id}}/$ref",
    },
    "requests.Requests.add_to_school": {
        f"POST {_SCHOOL}/users/$ref",
        f"POST {_SCHOOL}/classes/$ref",
        f"POST {_UNIT}/members/$ref",
    },
    "requests.Requests.remove_from_school": {
        f"DELETE {_SCHOOL}/users/{{educationUser-id}}/$ref",
        f"DELETE {_UNIT}/members/{{directoryObject-id}}/$ref",
    },
}

BELOW = {
    "requests.Requests._reference",
    "requests.Requests._school_relation",
    "requests.Requests._unreference",
    "reading.filter_by_ids",
    "reading.select",
}
"""Functions that write addresses for those of the table."""


def requests() -> set[str]:
    """All of them as "METHOD /path/{of}/the/contract"."""
    reads = {f"GET {path}" for paths in READS.values() for path in paths}
    return {"POST /$batch"} | reads | {request for requests in WRITES.values() for request in requests}


def missing() -> list[str]:
    """Requests of the table that nothing has sent; none where the contract is absent."""
    return [] if contracts.oracle() is None else sorted(requests() - contracts.counts.keys())


def functions_in_the_code() -> set[str]:
    """Functions ("module.Class.function") and modules that write an address of Graph."""
    found: set[str] = set()
    for path in sorted(FOLDER.glob("*.py")):
        for place, node in _places(ast.parse(path.read_text(encoding="utf-8")), path.stem):
            if _is_address(node):
                found.add(place)
    return found


def _places(node: ast.AST, place: str) -> Iterator[tuple[str, ast.AST]]:
    """Every node with the function or module it stands in; docstrings left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        inside = place
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inside = f"{place}.{child.name}" if "." not in place or place.split(".")[-1][0].isupper() else place
        yield inside, child
        yield from _places(child, inside)


def _is_address(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name.endswith("_request_information") or name in _CALLS
    if isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant):
        return str(node.values[0].value).startswith("/")
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(_ROOTS)


_CALLS = {"filter_by_ids", "select", "_reference", "_unreference"}
_ROOTS = (
    "/users",
    "/groups",
    "/education/",
    "/directory/",
    "/directoryObjects/getByIds",
    "/organization",
    "/subscribedSkus",
    "/domains",
)
