"""Which path and method does what, with which application permissions (Graph docs: permissions reference) and cost.

Prices are section "identity and access" of Graph's throttling limits: resource units of reads; writes cost one unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from sds_daemon.sandbox.entra import (
    delta,
    directory,
    education,
    errors,
    group_licensing,
    groups,
    licensing,
    links,
    units,
    users,
)
from sds_daemon.sandbox.entra.call import Call, Operation
from sds_daemon.sandbox.entra.options import EntraOptions
from sds_daemon.sandbox.entra.throttle import Price

_ALL_READ = ("Directory.Read.All", "Directory.ReadWrite.All")
_ALL_WRITE = ("Directory.ReadWrite.All",)
_USER_READ = ("User.Read.All", "User.ReadWrite.All", "User.ReadBasic.All", *_ALL_READ)
_USER_WRITE = ("User.ReadWrite.All", *_ALL_WRITE)
_USER_PATCH = (*_USER_WRITE, "User.EnableDisableAccount.All", "User-PasswordProfile.ReadWrite.All")
_USER_DELETE = (*_USER_WRITE, "User.DeleteRestore.All")
_LICENSE_WRITE = ("LicenseAssignment.ReadWrite.All", *_USER_WRITE)
_GROUP_LICENSE = ("LicenseAssignment.ReadWrite.All", "Group.ReadWrite.All", *_ALL_WRITE)
_GROUP_READ = ("Group.Read.All", "Group.ReadWrite.All", "GroupMember.Read.All", "GroupMember.ReadWrite.All", *_ALL_READ)
_GROUP_WRITE = ("Group.ReadWrite.All", *_ALL_WRITE)
_GROUP_CREATE = ("Group.Create", *_GROUP_WRITE)
_MEMBER_WRITE = ("GroupMember.ReadWrite.All", *_GROUP_WRITE)
_UNIT_READ = ("AdministrativeUnit.Read.All", "AdministrativeUnit.ReadWrite.All", *_ALL_READ)
_UNIT_WRITE = ("AdministrativeUnit.ReadWrite.All", *_ALL_WRITE)
_EDU_READ = ("EduRoster.Read.All", "EduRoster.ReadWrite.All", "EduRoster.ReadBasic.All")
_EDU_WRITE = ("EduRoster.ReadWrite.All",)
_SKU_READ = ("LicenseAssignment.Read.All", "LicenseAssignment.ReadWrite.All", "Organization.Read.All",
             "Organization.ReadWrite.All", *_ALL_READ)  # fmt: skip
_ORGANIZATION = ("Organization.Read.All", "Organization.ReadWrite.All", *_ALL_READ)
_DOMAINS = ("Domain.Read.All", "Domain.ReadWrite.All", *_ALL_READ)
_OBJECTS = (*_USER_READ, "Group.Read.All", "Group.ReadWrite.All")


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `lock`: a write that holds the object of the first path argument. `reads`: it changes nothing."""

    operation: Operation
    roles: tuple[str, ...]
    units: int = 1
    education: bool = False
    lock: bool = False
    reads: bool = False
    kind: str = ""


@dataclass
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)


_Line = tuple[str, str, Operation, tuple[str, ...]]

_LINES: list[_Line] = [
    ("GET", "users", users.listing, _USER_READ),
    ("POST", "users", users.create, _USER_WRITE),
    ("GET", "users/$count", users.count, _USER_READ),
    ("GET", "users/delta", delta.users, _USER_READ),
    ("GET", "users/{}", users.get, _USER_READ),
    ("PATCH", "users/{}", users.update, _USER_PATCH),
    ("DELETE", "users/{}", users.delete, _USER_DELETE),
    ("POST", "users/{}/assignLicense", licensing.assign, _LICENSE_WRITE),
    ("POST", "users/{}/reprocessLicenseAssignment", group_licensing.reprocess, _LICENSE_WRITE),
    ("GET", "users/{}/licenseDetails", users.license_details, (*_USER_READ, "LicenseAssignment.Read.All")),
    ("GET", "users/{}/memberOf", users.member_of, _USER_READ),
    ("GET", "users/{}/manager", users.manager, _USER_READ),
    ("PUT", "users/{}/manager/$ref", users.set_manager, _USER_WRITE),
    ("DELETE", "users/{}/manager/$ref", users.remove_manager, _USER_WRITE),
    ("GET", "groups", groups.listing, _GROUP_READ),
    ("POST", "groups", groups.create, _GROUP_CREATE),
    ("GET", "groups/$count", users.group_count, _GROUP_READ),
    ("GET", "groups/delta", delta.groups, _GROUP_READ),
    ("GET", "groups(uniqueName)/{}", groups.get_by_unique_name, _GROUP_READ),
    ("GET", "groups/{}", groups.get, _GROUP_READ),
    ("PATCH", "groups/{}", groups.update, _MEMBER_WRITE),
    ("DELETE", "groups/{}", groups.delete, _GROUP_WRITE),
    ("POST", "groups/{}/assignLicense", group_licensing.assign, _GROUP_LICENSE),
    ("GET", "groups/{}/membersWithLicenseErrors", group_licensing.members_with_errors, _GROUP_READ),
    ("GET", "groups/{}/members", groups.members, _GROUP_READ),
    ("POST", "groups/{}/members/$ref", groups.add_member, _MEMBER_WRITE),
    ("DELETE", "groups/{}/members/{}", groups.remove_member_object, _MEMBER_WRITE),
    ("DELETE", "groups/{}/members/{}/$ref", groups.remove_member, _MEMBER_WRITE),
    ("GET", "groups/{}/owners", groups.owners, _GROUP_READ),
    ("POST", "groups/{}/owners/$ref", groups.add_owner, _GROUP_WRITE),
    ("DELETE", "groups/{}/owners/{}/$ref", groups.remove_owner, _GROUP_WRITE),
    ("GET", "directory/administrativeUnits", units.listing, _UNIT_READ),
    ("POST", "directory/administrativeUnits", units.create, _UNIT_WRITE),
    ("GET", "directory/administrativeUnits/delta", delta.units, _UNIT_READ),
    ("GET", "directory/administrativeUnits/{}", units.get, _UNIT_READ),
    ("PATCH", "directory/administrativeUnits/{}", units.update, _UNIT_WRITE),
    ("DELETE", "directory/administrativeUnits/{}", units.delete, _UNIT_WRITE),
    ("GET", "directory/administrativeUnits/{}/members", units.members, _UNIT_READ),
    ("POST", "directory/administrativeUnits/{}/members/$ref", units.add_member, _UNIT_WRITE),
    ("DELETE", "directory/administrativeUnits/{}/members/{}/$ref", units.remove_member, _UNIT_WRITE),
    ("GET", "directory/deletedItems/microsoft.graph.user", directory.deleted_users, _USER_READ),
    ("GET", "directory/deletedItems/graph.user", directory.deleted_users, _USER_READ),
    ("GET", "directory/deletedItems/microsoft.graph.group", directory.deleted_groups, _GROUP_READ),
    ("GET", "directory/deletedItems/graph.group", directory.deleted_groups, _GROUP_READ),
    ("GET", "directory/deletedItems/{}", directory.deleted_item, _OBJECTS),
    ("POST", "directory/deletedItems/{}/restore", directory.restore_item, (*_USER_DELETE, *_GROUP_WRITE)),
    ("DELETE", "directory/deletedItems/{}", directory.purge_item, (*_USER_DELETE, *_GROUP_WRITE)),
    ("POST", "directoryObjects/getByIds", directory.by_ids, _OBJECTS),
    ("GET", "directoryObjects/{}", directory.directory_object, _OBJECTS),
    ("GET", "subscribedSkus", licensing.listing, _SKU_READ),
    ("GET", "subscribedSkus/{}", licensing.sku_by_id, _SKU_READ),
    ("GET", "organization", directory.organization, _ORGANIZATION),
    ("GET", "organization/{}", directory.organization, _ORGANIZATION),
    ("GET", "domains", directory.domains, _DOMAINS),
    ("GET", "domains/{}", directory.domain, _DOMAINS),
    ("GET", "education/me", education.me, _EDU_READ),
    ("GET", "education/schools", education.schools, _EDU_READ),
    ("POST", "education/schools", education.create_school, _EDU_WRITE),
    ("GET", "education/schools/delta", delta.education_schools, _EDU_READ),
    ("GET", "education/schools/{}", education.school, _EDU_READ),
    ("PATCH", "education/schools/{}", education.update_school, _EDU_WRITE),
    ("DELETE", "education/schools/{}", education.delete_school, _EDU_WRITE),
    ("GET", "education/schools/{}/administrativeUnit", education.school_unit, _EDU_READ),
    ("GET", "education/schools/{}/classes", education.school_classes, _EDU_READ),
    ("POST", "education/schools/{}/classes/$ref", education.add_school_class, _EDU_WRITE),
    ("DELETE", "education/schools/{}/classes/{}/$ref", education.remove_from_school, _EDU_WRITE),
    ("GET", "education/schools/{}/users", education.school_users, _EDU_READ),
    ("POST", "education/schools/{}/users/$ref", education.add_school_user, _EDU_WRITE),
    ("DELETE", "education/schools/{}/users/{}/$ref", education.remove_from_school, _EDU_WRITE),
    ("GET", "education/classes", education.classes, _EDU_READ),
    ("POST", "education/classes", education.create_class, _EDU_WRITE),
    ("GET", "education/classes/delta", delta.education_classes, _EDU_READ),
    ("GET", "education/classes/{}", education.education_class, _EDU_READ),
    ("PATCH", "education/classes/{}", education.update_class, _EDU_WRITE),
    ("DELETE", "education/classes/{}", education.delete_class, _EDU_WRITE),
    ("GET", "education/classes/{}/group", education.class_group, _EDU_READ),
    ("GET", "education/classes/{}/schools", education.class_schools, _EDU_READ),
    ("GET", "education/classes/{}/members", education.class_members, _EDU_READ),
    ("POST", "education/classes/{}/members/$ref", education.add_class_member, _EDU_WRITE),
    ("DELETE", "education/classes/{}/members/{}/$ref", education.remove_class_member, _EDU_WRITE),
    ("GET", "education/classes/{}/teachers", education.class_teachers, _EDU_READ),
    ("POST", "education/classes/{}/teachers/$ref", education.add_class_teacher, _EDU_WRITE),
    ("DELETE", "education/classes/{}/teachers/{}/$ref", education.remove_class_teacher, _EDU_WRITE),
    ("GET", "education/users", education.people, _EDU_READ),
    ("POST", "education/users", education.create_person, _EDU_WRITE),
    ("GET", "education/users/delta", delta.education_users, _EDU_READ),
    ("GET", "education/users/{}", education.person, _EDU_READ),
    ("PATCH", "education/users/{}", education.update_person, _EDU_WRITE),
    ("DELETE", "education/users/{}", education.delete_person, _EDU_WRITE),
    ("GET", "education/users/{}/user", education.person_user, _EDU_READ),
    ("GET", "education/users/{}/classes", education.person_classes, _EDU_READ),
    ("GET", "education/users/{}/taughtClasses", education.person_taught_classes, _EDU_READ),
    ("GET", "education/users/{}/schools", education.person_schools, _EDU_READ),
]

_UNITS = {
    "users": 2,
    "groups/{}/members": 3,
    "subscribedSkus": 3,
    "users/{}/licenseDetails": 2,
    "users/{}/memberOf": 2,
    "directoryObjects/getByIds": 5,
}
_READING_POSTS = frozenset({"directoryObjects/getByIds"})
_KEYED = re.compile(r"(?P<name>[A-Za-z]+)\((?:(?P<prop>[A-Za-z]+)=)?'(?P<key>(?:[^']|'')*)'\)$")


def _grown(lines: Iterable[_Line]) -> _Node:
    root = _Node()
    for method, path, operation, roles in lines:
        node = root
        for segment in path.split("/"):
            node = node.children.setdefault(segment.lower() if segment != "{}" else segment, _Node())
        writes = method != "GET" and path not in _READING_POSTS
        units_ = _UNITS.get(path, 1) if method == "GET" or path in _READING_POSTS else 1
        shown = path.replace("{}", "{id}")
        node.routes[method] = Route(
            operation, roles, units_, path.startswith("education"), writes and "{}" in path, not writes,
            f"{method} /{shown}",
        )  # fmt: skip
    return root


_ROOT = _grown(_LINES)


def find(method: str, path: str) -> tuple[Route, list[str]]:
    """The route for a path below the version, and its variable segments; 400 for unknown paths, 405 for methods."""
    node, args = _ROOT, []
    for segment in _segments(path):
        following = node.children.get(segment.lower())
        if following is None:
            following = node.children.get("{}")
            if following is None:
                raise errors.segment_not_found(segment)
            args.append(segment)
        node = following
    route = node.routes.get(method)
    if route is None:
        if not node.routes:
            raise errors.segment_not_found(path.rpartition("/")[2])
        raise errors.method_not_allowed()
    return route, args


def _segments(path: str) -> list[str]:
    parts = path.strip("/").split("/")
    if "%" in path:
        parts = [unquote(part) for part in parts]
    if "(" not in path and "%28" not in path:
        return parts
    segments = []
    for part in parts:
        keyed = _KEYED.match(part)
        if keyed is None:
            segments.append(part)
            continue
        name = keyed["name"] + (f"({keyed['prop']})" if keyed["prop"] else "")
        segments += [name, keyed["key"].replace("''", "'")]
    return segments


def price(route: Route, call: Call, options: EntraOptions) -> Price:
    """What the request costs, by its kind, query options, and the number of members it adds."""
    if not route.reads:
        return Price(1, _write_cost(call, options), route.education)
    units_ = route.units
    query = call.query
    if query.select is not None:
        units_ = 2 if route.units == 5 else units_ - 1
    if "$expand" in query.options:
        units_ += 1
    if query.top is not None and query.top < 20:
        units_ -= 1
    return Price(max(1, units_), 0, route.education)


def _write_cost(call: Call, options: EntraOptions) -> int:
    if options.cost_model == "one" or not call.body or b"@odata.bind" not in call.body:
        return 1
    try:
        thirds = -(-links.bind_count(call.json()) // 3)
    except errors.GraphError:
        return 1
    return 1 + thirds if call.method == "POST" else max(1, thirds)
