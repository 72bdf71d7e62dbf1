"""/directory/administrativeUnits and their members."""

from __future__ import annotations

from typing import Any

from sds_daemon.sandbox.entra import errors, groups, links, validate
from sds_daemon.sandbox.entra.call import Call, Result, entity_result, list_result
from sds_daemon.sandbox.entra.query import check_select
from sds_daemon.sandbox.entra.schema import UNIT, USER
from sds_daemon.sandbox.entra.state import Unit
from sds_daemon.sandbox.entra.tenant import Tenant


def find(call: Call, key: str) -> Unit:
    """The unit with this id if reads find it; 404 otherwise."""
    unit = call.tenant.directory.units.seen(key.lower(), call.tenant.now())
    if unit is None:
        raise errors.not_found(key)
    return unit


def new_unit(tenant: Tenant, props: dict[str, Any], edu: dict[str, Any] | None) -> Unit:
    """Make a unit of checked properties."""
    tenant.check_room()
    unit_id = tenant.directory.new_id()
    unit = Unit(unit_id, {"id": unit_id, **props}, edu, tenant.seen_from())
    tenant.directory.add(unit)
    return unit


def listing(call: Call) -> Result:
    """GET /directory/administrativeUnits."""
    return list_result(call, UNIT, call.tenant.directory.units.order)


def get(call: Call) -> Result:
    """GET /directory/administrativeUnits/{id}."""
    check_select(call.query, UNIT, call.tenant.extensions)
    return entity_result(call, UNIT, find(call, call.args[0]))


def create(call: Call) -> Result:
    """POST /directory/administrativeUnits -> 201."""
    props = validate.body(UNIT, call.object(), create=True, extensions=call.tenant.extensions)
    visibility = props.get("visibility")
    if visibility is not None and visibility.lower() not in ("public", "hiddenmembership"):
        raise errors.invalid_value("visibility", UNIT.label)
    return entity_result(call, UNIT, new_unit(call.tenant, props, None), 201)


def update(call: Call) -> Result:
    """PATCH /directory/administrativeUnits/{id} -> 204; members go by $ref only."""
    unit = find(call, call.args[0])
    props = validate.body(UNIT, call.object(), create=False, extensions=call.tenant.extensions)
    call.tenant.directory.update(unit, props, {}, call.tenant.seen_from())
    return Result()


def delete(call: Call) -> Result:
    """DELETE /directory/administrativeUnits/{id} -> 204, for good."""
    call.tenant.directory.purge(find(call, call.args[0]), call.tenant.seen_from())
    return Result()


def members(call: Call) -> Result:
    """GET /directory/administrativeUnits/{id}/members: users and groups."""
    return groups.linked_page(call, find(call, call.args[0]).members, USER)


def add_member(call: Call) -> Result:
    """POST /directory/administrativeUnits/{id}/members/$ref -> 204."""
    unit = find(call, call.args[0])
    entity = links.target(call.tenant, links.posted_reference(call))
    if isinstance(entity, Unit):
        raise errors.bad_request("An invalid object type was specified for the 'members' reference.")
    links.enter_unit(call, unit, entity)
    return Result()


def remove_member(call: Call) -> Result:
    """DELETE /directory/administrativeUnits/{id}/members/{oid}/$ref -> 204."""
    links.leave_unit(call, find(call, call.args[0]), call.args[1].lower())
    return Result()
