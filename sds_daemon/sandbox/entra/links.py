"""Members and owners of groups, and members of administrative units: references, caps, and what Graph says to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sds_daemon.sandbox.entra import errors
from sds_daemon.sandbox.entra.call import Call
from sds_daemon.sandbox.entra.errors import bad_request, odata
from sds_daemon.sandbox.entra.state import Entity, Group, Unit, User
from sds_daemon.sandbox.entra.tenant import Tenant

MAX_BINDS = 20
_COLLECTIONS = frozenset(
    {"users", "groups", "directoryObjects", "education/users", "education/classes", "education/schools",
     "directory/administrativeUnits"}
)  # fmt: skip


def reference(tenant: Tenant, uri: object, where: str) -> str:
    """The object id in an @odata.id or @odata.bind value; 400 unless it is a URL of this Graph, known collection."""
    prefix = tenant.root + "/"
    if not isinstance(uri, str) or not uri.startswith(prefix):
        raise bad_request(f"Invalid URL format specified in {where}.")
    path = uri[len(prefix) :].rstrip("/")
    if path.endswith("')") and "('" in path:
        path = path[:-2].replace("('", "/", 1)
    collection, _, object_id = path.rpartition("/")
    if collection not in _COLLECTIONS or not object_id:
        raise bad_request(f"Invalid URL format specified in {where}.")
    return object_id.lower() if "@" not in object_id else object_id


def target(tenant: Tenant, object_id: str) -> Entity:
    """The referenced object if reads find it already; 404 naming it otherwise."""
    if "@" in object_id:
        user = tenant.user_by_key(object_id)
        object_id = user.id if user is not None else object_id
    entity = tenant.directory.seen(object_id, tenant.now())
    if entity is None:
        raise errors.not_found(object_id)
    return entity


def posted_reference(call: Call) -> str:
    """The id in a $ref body `{"@odata.id": url}`."""
    data = call.object()
    if set(data) != {"@odata.id"}:
        raise odata("The request body must contain exactly one '@odata.id' property.")
    return reference(call.tenant, data["@odata.id"], "@odata.id")


def binds(data: object) -> dict[str, list[Any]]:
    """`members` and `owners` of a group body as lists of URLs, without looking at them closely."""
    found: dict[str, list[Any]] = {}
    if isinstance(data, Mapping):
        for relation in ("members", "owners"):
            value = data.get(f"{relation}@odata.bind")
            if isinstance(value, list):
                found[relation] = value
    return found


def bind_count(data: object) -> int:
    """How many relationships a body asks for."""
    return sum(len(urls) for urls in binds(data).values())


def resolve_binds(call: Call, data: dict[str, Any], group: Group | None) -> dict[str, list[str]]:
    """All references of a create or PATCH checked before any is made: cap, quota, existence, double entries."""
    for relation in ("members", "owners"):
        value = data.get(f"{relation}@odata.bind")
        if value is not None and not isinstance(value, list):
            raise bad_request(f"Invalid URL format specified in @odata.bind for {relation}.")
    wanted = binds(data)
    if sum(len(urls) for urls in wanted.values()) > MAX_BINDS:
        raise bad_request(
            f"The request contains more than the maximum of '{MAX_BINDS}' references that can be added in one request."
        )
    resolved: dict[str, list[str]] = {}
    for relation, urls in wanted.items():
        ids = [reference(call.tenant, url, f"@odata.bind for {relation}") for url in urls]
        held = _held(group, relation)
        _check_assigned(group, relation)
        check_quota(call.tenant, relation, len(held) + len(ids))
        found = [_linkable(target(call.tenant, object_id), relation).id for object_id in ids]
        if len(set(found)) != len(found) or any(object_id in held for object_id in found):
            raise bad_request(errors.ADDED.format(relation))
        resolved[relation] = found
    return resolved


def _held(group: Group | None, relation: str) -> Mapping[str, float]:
    if group is None:
        return {}
    return group.members if relation == "members" else group.owners


def _check_assigned(group: Group | None, relation: str) -> None:
    """403 for members of a group whose rule decides who is in it."""
    if group is not None and relation == "members" and "DynamicMembership" in (group.props.get("groupTypes") or ()):
        raise errors.forbidden()


def _linkable(entity: Entity, relation: str) -> Entity:
    if isinstance(entity, Unit) or (relation == "owners" and not isinstance(entity, User)):
        raise bad_request(f"An invalid object type was specified for the '{relation}' reference.")
    return entity


def check_quota(tenant: Tenant, relation: str, wanted: int) -> None:
    """403 when a group would have too many owners or members."""
    limit = tenant.options.max_owners if relation == "owners" else tenant.options.max_members
    if wanted > limit:
        raise errors.forward_link_quota(wanted, limit, relation)


def add_to_group(call: Call, group: Group, relation: str, object_id: str) -> None:
    """One $ref: 404 for what is not there, 403 over quota, 400 for what is linked already."""
    entity = _linkable(target(call.tenant, object_id), relation)
    held = _held(group, relation)
    _check_assigned(group, relation)
    if entity.id in held:
        raise bad_request(errors.ADDED.format(relation))
    check_quota(call.tenant, relation, len(held) + 1)
    call.tenant.directory.link(group, relation, [entity.id], call.tenant.seen_from())


def remove_from_group(call: Call, group: Group, relation: str, object_id: str) -> None:
    """Remove one link: 404 if it is not there, 400 for the last user who owns the group."""
    held = _held(group, relation)
    if object_id not in held:
        raise errors.not_found(object_id)
    if relation == "owners" and isinstance(call.tenant.directory.find(object_id), User):
        users = sum(1 for owner in held if owner in call.tenant.directory.users.by_id)
        if users <= 1:
            raise bad_request(errors.LAST_OWNER)
    call.tenant.directory.unlink(group, relation, object_id, call.tenant.seen_from())


def enter_unit(call: Call, unit: Unit, entity: Entity) -> None:
    """Make an object a member of an administrative unit; 400 if it is one, 403 over the 30 units it may be in."""
    if entity.id in unit.members:
        raise bad_request(errors.CONFLICT)
    limit = call.tenant.options.max_units
    if len(entity.units) >= limit:
        raise errors.forward_link_quota(len(entity.units) + 1, limit, "memberOf")
    call.tenant.directory.enter(unit, entity.id, call.tenant.seen_from())


def leave_unit(call: Call, unit: Unit, object_id: str) -> None:
    """Take a member out of an administrative unit; 404 if it is none."""
    if object_id not in unit.members:
        raise errors.not_found(object_id)
    call.tenant.directory.leave(unit, object_id, call.tenant.seen_from())
