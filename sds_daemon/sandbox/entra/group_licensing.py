"""Licences by group (Entra docs: group-based licensing): members of a licensed group receive its licences.

Whom no seat is left for keeps a CountViolation until one is free and the licence is reprocessed.
"""

from __future__ import annotations

from collections.abc import Iterable

from sds_daemon.sandbox.entra import groups, users
from sds_daemon.sandbox.entra.call import Call, Result, entity_result, list_result
from sds_daemon.sandbox.entra.errors import bad_request
from sds_daemon.sandbox.entra.licensing import UNKNOWN, provision, read_lists
from sds_daemon.sandbox.entra.schema import GROUP, USER
from sds_daemon.sandbox.entra.state import Group, User
from sds_daemon.sandbox.entra.tenant import Tenant

_NOT_HELD = "Group does not have a corresponding license."


def assign(call: Call) -> Result:
    """POST /groups/{id}/assignLicense -> 202 and the group."""
    group = groups.find(call, call.args[0])
    additions, removals = read_lists(call.object())
    apply(call.tenant, group, additions, removals)
    return entity_result(call, GROUP, group, 202)


def apply(tenant: Tenant, group: Group, additions: dict[str, list[str]], removals: list[str]) -> None:
    """Check and carry out an assignment, for the present members too."""
    for sku_id in additions:
        if sku_id not in tenant.skus:
            raise bad_request(UNKNOWN.format(sku_id))
    for sku_id in removals:
        if sku_id not in group.licenses:
            raise bad_request(_NOT_HELD)
    for sku_id in removals:
        del group.licenses[sku_id]
        for user in _users(tenant, group.members):
            _take(tenant, user, group, sku_id)
    for sku_id, disabled in additions.items():
        group.licenses[sku_id] = disabled
        for user in _users(tenant, group.members):
            _give(tenant, user, group, sku_id)


def members_changed(tenant: Tenant, group: Group, ids: Iterable[str], added: bool) -> None:
    """Give or take the group's licences when somebody comes or goes."""
    for user in _users(tenant, ids):
        for sku_id in group.licenses:
            if added:
                _give(tenant, user, group, sku_id)
            else:
                _take(tenant, user, group, sku_id)


def _users(tenant: Tenant, ids: Iterable[str]) -> list[User]:
    found = (tenant.directory.users.by_id.get(object_id) for object_id in ids)
    return [user for user in found if user is not None]


def _give(tenant: Tenant, user: User, group: Group, sku_id: str) -> None:
    held = sku_id in user.licenses or sku_id in user.inherited
    if not held and not tenant.free_seat(sku_id):
        user.unlicensed[(group.id, sku_id)] = "CountViolation"
        return
    user.unlicensed.pop((group.id, sku_id), None)
    tenant.skus[sku_id].consumed += not held
    user.inherited.setdefault(sku_id, set()).add(group.id)
    provision(tenant, user)
    tenant.directory.users.changed(user, tenant.seen_from(), ("assignedLicenses", "assignedPlans"))


def _take(tenant: Tenant, user: User, group: Group, sku_id: str) -> None:
    user.unlicensed.pop((group.id, sku_id), None)
    givers = user.inherited.get(sku_id, set())
    givers.discard(group.id)
    if givers or sku_id not in user.inherited:
        return
    del user.inherited[sku_id]
    if sku_id not in user.licenses and user.alive:
        tenant.skus[sku_id].consumed -= 1
    tenant.directory.users.changed(user, tenant.seen_from(), ("assignedLicenses", "assignedPlans"))


def reprocess(call: Call) -> Result:
    """POST /users/{id}/reprocessLicenseAssignment -> 200: try again what could not be given."""
    user = users.find(call, call.args[0])
    for group_id, sku_id in list(user.unlicensed):
        _give(call.tenant, user, call.tenant.directory.groups.by_id[group_id], sku_id)
    return entity_result(call, USER, user)


def members_with_errors(call: Call) -> Result:
    """GET /groups/{id}/membersWithLicenseErrors."""
    group = groups.find(call, call.args[0])
    return list_result(call, USER, [user for user in _users(call.tenant, group.members) if _failed(user, group)])


def _failed(user: User, group: Group) -> bool:
    return any(group_id == group.id for group_id, _ in user.unlicensed)
