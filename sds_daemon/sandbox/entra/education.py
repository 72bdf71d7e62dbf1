"""/education: schools (administrative units), classes (Microsoft 365 groups) and people with their education side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sds_daemon.sandbox.entra import errors, groups, links, units, users, validate
from sds_daemon.sandbox.entra.call import Call, Result, entity_result, list_result
from sds_daemon.sandbox.entra.errors import GraphError, bad_request, segment_not_found
from sds_daemon.sandbox.entra.query import check_select
from sds_daemon.sandbox.entra.schema import EDUCATION_CLASS, EDUCATION_USER, GROUP, SCHOOL, UNIT, USER, Resource
from sds_daemon.sandbox.entra.state import Entity, Group, Unit, User

_NO_EDUCATION = (
    "Property 'extension_fe2174665583431c953114ff7268b7b3_Education_ObjectType' does not exist as a declared property "
    "or extension property."
)


def available(call: Call) -> None:
    """400 where the tenant owns no education licence; the segment is missing altogether in national clouds."""
    if not call.tenant.options.education_api:
        raise segment_not_found("education")
    if not call.tenant.options.education:
        raise bad_request(_NO_EDUCATION)


def _split(resource: Resource, checked: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    edu = {name: value for name, value in checked.items() if name in resource.education}
    props = {name: value for name, value in checked.items() if name not in resource.education}
    return props, edu


def _creator(call: Call) -> dict[str, Any]:
    application = {"id": call.tenant.options.client_id, "displayName": None}
    return {"application": application, "device": None, "user": None}


def _checked(call: Call, resource: Resource, create: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    return _split(resource, validate.body(resource, call.object(), create=create, extensions=False))


# Schools


def find_school(call: Call, key: str) -> Unit:
    """The school with this id if reads find it; 404 otherwise."""
    unit = call.tenant.directory.units.seen(key.lower(), call.tenant.now())
    if unit is None or unit.edu is None:
        raise errors.not_found(key)
    return unit


def _is_school(entity: Entity) -> bool:
    return entity.edu is not None


def schools(call: Call) -> Result:
    """GET /education/schools."""
    return list_result(call, SCHOOL, call.tenant.directory.units.order, _is_school)


def school(call: Call) -> Result:
    """GET /education/schools/{id}."""
    check_select(call.query, SCHOOL, False)
    return entity_result(call, SCHOOL, find_school(call, call.args[0]))


def create_school(call: Call) -> Result:
    """POST /education/schools -> 201, with an administrative unit of the same id."""
    props, edu = _checked(call, SCHOOL, create=True)
    unit = units.new_unit(call.tenant, props, {"createdBy": _creator(call), **edu})
    return entity_result(call, SCHOOL, unit, 201)


def update_school(call: Call) -> Result:
    """PATCH /education/schools/{id} -> 200 and the school."""
    unit = find_school(call, call.args[0])
    props, edu = _checked(call, SCHOOL, create=False)
    call.tenant.directory.update(unit, props, edu, call.tenant.seen_from())
    return entity_result(call, SCHOOL, unit)


def delete_school(call: Call) -> Result:
    """DELETE /education/schools/{id} -> 204, the administrative unit with it."""
    call.tenant.directory.purge(find_school(call, call.args[0]), call.tenant.seen_from())
    return Result()


def _members_of(call: Call, unit: Unit, kind: type[Entity], keep: Callable[[Entity], bool]) -> list[Entity]:
    now, directory = call.tenant.now(), call.tenant.directory
    found = (directory.find(object_id) for object_id, seen_at in unit.members.items() if seen_at <= now)
    return [entity for entity in found if isinstance(entity, kind) and keep(entity)]


def school_classes(call: Call) -> Result:
    """GET /education/schools/{id}/classes."""
    unit = find_school(call, call.args[0])
    return list_result(call, EDUCATION_CLASS, _members_of(call, unit, Group, _is_school))


def school_users(call: Call) -> Result:
    """GET /education/schools/{id}/users."""
    unit = find_school(call, call.args[0])
    return list_result(call, EDUCATION_USER, _members_of(call, unit, User, lambda entity: True))


def school_unit(call: Call) -> Result:
    """GET /education/schools/{id}/administrativeUnit."""
    return entity_result(call, UNIT, find_school(call, call.args[0]))


def add_school_class(call: Call) -> Result:
    """POST /education/schools/{id}/classes/$ref -> 204."""
    unit = find_school(call, call.args[0])
    entity = links.target(call.tenant, links.posted_reference(call))
    if not isinstance(entity, Group) or entity.edu is None:
        raise errors.not_found(entity.id)
    links.enter_unit(call, unit, entity)
    return Result()


def add_school_user(call: Call) -> Result:
    """POST /education/schools/{id}/users/$ref -> 204; 400 "conflicting object" if already there."""
    unit = find_school(call, call.args[0])
    entity = links.target(call.tenant, links.posted_reference(call))
    if not isinstance(entity, User):
        raise errors.not_found(entity.id)
    links.enter_unit(call, unit, entity)
    return Result()


def remove_from_school(call: Call) -> Result:
    """DELETE /education/schools/{id}/{classes|users}/{oid}/$ref -> 204."""
    links.leave_unit(call, find_school(call, call.args[0]), call.args[1].lower())
    return Result()


# Classes


def find_class(call: Call, key: str) -> Group:
    """The class with this id if reads find it; 404 otherwise."""
    group = call.tenant.directory.groups.seen(key.lower(), call.tenant.now())
    if group is None or group.edu is None:
        raise errors.not_found(key)
    return group


def classes(call: Call) -> Result:
    """GET /education/classes."""
    return list_result(call, EDUCATION_CLASS, call.tenant.directory.groups.order, _is_school)


def education_class(call: Call) -> Result:
    """GET /education/classes/{id}."""
    check_select(call.query, EDUCATION_CLASS, False)
    return entity_result(call, EDUCATION_CLASS, find_class(call, call.args[0]))


def create_class(call: Call) -> Result:
    """POST /education/classes -> 201, with a Microsoft 365 group of the same id, and no team."""
    props, edu = _checked(call, EDUCATION_CLASS, create=True)
    full = {
        **props,
        "groupTypes": ["Unified"],
        "mailEnabled": True,
        "securityEnabled": False,
        "visibility": "HiddenMembership",
        "creationOptions": ["ExchangeProvisioningFlags:461", "classAssignments"],
        "resourceBehaviorOptions": [],
    }
    group = groups.new_group(call.tenant, full, {"createdBy": _creator(call), **edu})
    return entity_result(call, EDUCATION_CLASS, group, 201)


def update_class(call: Call) -> Result:
    """PATCH /education/classes/{id} -> 200 and the class."""
    group = find_class(call, call.args[0])
    props, edu = _checked(call, EDUCATION_CLASS, create=False)
    groups.change(call.tenant, group, props, edu)
    return entity_result(call, EDUCATION_CLASS, group)


def delete_class(call: Call) -> Result:
    """DELETE /education/classes/{id} -> 204, the group with it."""
    groups.remove(call.tenant, find_class(call, call.args[0]))
    return Result()


def class_group(call: Call) -> Result:
    """GET /education/classes/{id}/group."""
    return entity_result(call, GROUP, find_class(call, call.args[0]))


def class_members(call: Call) -> Result:
    """GET /education/classes/{id}/members."""
    return groups.linked_page(call, find_class(call, call.args[0]).members, EDUCATION_USER)


def class_teachers(call: Call) -> Result:
    """GET /education/classes/{id}/teachers: the group's owners."""
    return groups.linked_page(call, find_class(call, call.args[0]).owners, EDUCATION_USER)


def class_schools(call: Call) -> Result:
    """GET /education/classes/{id}/schools."""
    group = find_class(call, call.args[0])
    found = [call.tenant.directory.units.by_id[unit_id] for unit_id in group.units]
    return list_result(call, SCHOOL, found, _is_school)


def add_class_member(call: Call) -> Result:
    """POST /education/classes/{id}/members/$ref -> 204."""
    links.add_to_group(call, find_class(call, call.args[0]), "members", _person(call))
    return Result()


def add_class_teacher(call: Call) -> Result:
    """POST /education/classes/{id}/teachers/$ref -> 204: an owner, who is not thereby a member."""
    links.add_to_group(call, find_class(call, call.args[0]), "owners", _person(call))
    return Result()


def _person(call: Call) -> str:
    object_id = links.posted_reference(call)
    if not isinstance(links.target(call.tenant, object_id), User):
        raise errors.not_found(object_id)
    return object_id


def remove_class_member(call: Call) -> Result:
    """DELETE /education/classes/{id}/members/{uid}/$ref -> 204."""
    return _remove(call, "members")


def remove_class_teacher(call: Call) -> Result:
    """DELETE /education/classes/{id}/teachers/{uid}/$ref -> 204; 400 for the last owner."""
    return _remove(call, "owners")


def _remove(call: Call, relation: str) -> Result:
    group, object_id = find_class(call, call.args[0]), call.args[1].lower()
    linked = group.members if relation == "members" else group.owners
    if object_id not in linked and call.tenant.directory.seen(object_id, call.tenant.now()) is not None:
        raise bad_request(errors.REMOVED.format(relation))
    links.remove_from_group(call, group, relation, object_id)
    return Result()


# People


def people(call: Call) -> Result:
    """GET /education/users."""
    return list_result(call, EDUCATION_USER, call.tenant.directory.users.order)


def person(call: Call) -> Result:
    """GET /education/users/{id}."""
    check_select(call.query, EDUCATION_USER, False)
    return entity_result(call, EDUCATION_USER, users.find(call, call.args[0]))


def create_person(call: Call) -> Result:
    """POST /education/users -> 201."""
    props, edu = _checked(call, EDUCATION_USER, create=True)
    user = users.new_user(call.tenant, _on_premises(props), {"createdBy": _creator(call), **edu})
    return entity_result(call, EDUCATION_USER, user, 201)


def update_person(call: Call) -> Result:
    """PATCH /education/users/{id} -> 200 and the person."""
    user = users.find(call, call.args[0])
    props, edu = _checked(call, EDUCATION_USER, create=False)
    users.change(call.tenant, user, _on_premises(props), edu)
    return entity_result(call, EDUCATION_USER, user)


def _on_premises(props: dict[str, Any]) -> dict[str, Any]:
    info = props.pop("onPremisesInfo", None)
    if info is not None:
        props["onPremisesImmutableId"] = info.get("immutableId")
    return props


def delete_person(call: Call) -> Result:
    """DELETE /education/users/{id} -> 204, the user with it."""
    return users.delete(call)


def person_user(call: Call) -> Result:
    """GET /education/users/{id}/user."""
    return entity_result(call, USER, users.find(call, call.args[0]))


def person_classes(call: Call) -> Result:
    """GET /education/users/{id}/classes: where the person is a member."""
    user = users.find(call, call.args[0])
    return _classes_of(call, user, user.groups, "members")


def person_taught_classes(call: Call) -> Result:
    """GET /education/users/{id}/taughtClasses: where the person is an owner."""
    user = users.find(call, call.args[0])
    return _classes_of(call, user, user.owned, "owners")


def _classes_of(call: Call, user: User, group_ids: dict[str, None], relation: str) -> Result:
    now = call.tenant.now()
    found = []
    for group_id in group_ids:
        group = call.tenant.directory.groups.by_id[group_id]
        linked = group.members if relation == "members" else group.owners
        if linked[user.id] <= now:
            found.append(group)
    return list_result(call, EDUCATION_CLASS, found, _is_school)


def person_schools(call: Call) -> Result:
    """GET /education/users/{id}/schools."""
    user = users.find(call, call.args[0])
    found = [call.tenant.directory.units.by_id[unit_id] for unit_id in user.units]
    return list_result(call, SCHOOL, found, _is_school)


def me(call: Call) -> Result:
    """GET /education/me: there is no signed-in user for an application."""
    raise GraphError(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
