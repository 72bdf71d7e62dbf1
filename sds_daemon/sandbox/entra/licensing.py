"""Licences: what the tenant owns, and assigning it (Graph docs: user-assignlicense)."""

from __future__ import annotations

import re
from typing import Any

from sds_daemon.sandbox.entra import users
from sds_daemon.sandbox.entra.call import Call, Result, entity_result, owned_skus
from sds_daemon.sandbox.entra.errors import bad_request, odata, segment_not_found
from sds_daemon.sandbox.entra.schema import USER
from sds_daemon.sandbox.entra.skus import Sku, has_exchange
from sds_daemon.sandbox.entra.state import User
from sds_daemon.sandbox.entra.tenant import Tenant, with_mail
from sds_daemon.sandbox.entra.validate import COUNTRIES

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
_BAD_LOCATION = "License assignment cannot be done for user with invalid usage location."
_NO_SEATS = "Subscription with SKU {} does not have any available licenses."
UNKNOWN = "License {} does not correspond to a valid company License."
_NOT_HELD = "User does not have a corresponding license."
_INHERITED = "User license is inherited from a group membership and it cannot be removed directly from the user."
_EXCLUSIVE = "License assignment failed because service plans {}, {} are mutually exclusive"


def subscribed(tenant: Tenant) -> list[dict[str, Any]]:
    """The tenant's subscriptions as /subscribedSkus shows them."""
    return [
        {
            "accountId": tenant.options.tenant_id,
            "accountName": tenant.options.tenant_name,
            "appliesTo": "User",
            "capabilityStatus": sku.status,
            "consumedUnits": sku.consumed,
            "id": f"{tenant.options.tenant_id}_{sku.id}",
            "skuId": sku.id,
            "skuPartNumber": sku.part_number,
            "subscriptionIds": [],
            "prepaidUnits": {"enabled": sku.enabled, "suspended": 0, "warning": sku.warning, "lockedOut": 0},
            "servicePlans": [
                {"servicePlanId": plan.id, "servicePlanName": plan.name, "provisioningStatus": "Success",
                 "appliesTo": "User"}
                for plan in sku.plans
            ],
        }
        for sku in tenant.skus.values()
    ]  # fmt: skip


def listing(call: Call) -> Result:
    """GET /subscribedSkus; takes no $filter."""
    if "$filter" in call.query.options:
        raise odata("The query parameter '$filter' is not supported.")
    value = subscribed(call.tenant)
    if call.query.select:
        names = ["id", *call.query.select]
        value = [{name: sku[name] for name in names if name in sku} for sku in value]
    return Result(200, {"@odata.context": f"{call.tenant.root}/$metadata#subscribedSkus", "value": value})


def assign(call: Call) -> Result:
    """POST /users/{id}/assignLicense -> 200 and the user; all of it or nothing."""
    user = users.find(call, call.args[0])
    data = call.object()
    additions, removals = read_lists(data)
    if additions and user.props.get("usageLocation") not in COUNTRIES:
        raise bad_request(_BAD_LOCATION)
    apply(call.tenant, user, additions, removals)
    return entity_result(call, USER, user)


def read_lists(data: dict[str, Any]) -> tuple[dict[str, list[str]], list[str]]:
    """An assignLicense body: SKU ids to add with their disabled plans, SKU ids to remove. Both lists must be there."""
    unknown = set(data) - {"addLicenses", "removeLicenses"}
    if unknown:
        raise odata(f"The parameter '{sorted(unknown)[0]}' in the request payload is not a valid parameter for the "
                    "operation 'assignLicense'.")  # fmt: skip
    for name in ("addLicenses", "removeLicenses"):
        if not isinstance(data.get(name), list):
            raise odata(f"The parameter '{name}' is required for the operation 'assignLicense'.")
    additions: dict[str, list[str]] = {}
    for item in data["addLicenses"]:
        sku_id = item.get("skuId") if isinstance(item, dict) else None
        _check_guids([sku_id, *((item.get("disabledPlans") or ()) if isinstance(item, dict) else ())])
        additions[item["skuId"].lower()] = [plan.lower() for plan in item.get("disabledPlans") or ()]
    _check_guids(data["removeLicenses"])
    return additions, [str(sku_id).lower() for sku_id in data["removeLicenses"]]


def _check_guids(values: list[Any]) -> None:
    for value in values:
        if not isinstance(value, str) or not _GUID.match(value):
            raise odata(f"Cannot convert the literal '{value}' to the expected type 'Edm.Guid'.")


def apply(tenant: Tenant, user: User, additions: dict[str, list[str]], removals: list[str]) -> None:
    """Check and carry out an assignment: seats counted, a mailbox and address given with Exchange."""
    for sku_id in removals:
        if sku_id not in user.licenses:
            raise bad_request(_INHERITED if sku_id in user.inherited else _NOT_HELD)
    for sku_id, disabled in additions.items():
        _check_addition(tenant, user, sku_id, disabled)
    if tenant.options.exclusive_skus:
        _check_exclusive(tenant, {*(set(user.licenses) - set(removals)), *additions})
    for sku_id in removals:
        del user.licenses[sku_id]
        if sku_id in tenant.skus and sku_id not in user.inherited:
            tenant.skus[sku_id].consumed -= 1
    for sku_id, disabled in additions.items():
        tenant.skus[sku_id].consumed += sku_id not in user.licenses and sku_id not in user.inherited
        user.licenses[sku_id] = disabled
    provision(tenant, user)
    tenant.directory.users.changed(user, tenant.seen_from(), ("assignedLicenses", "assignedPlans"))


def _check_addition(tenant: Tenant, user: User, sku_id: str, disabled: list[str]) -> None:
    sku = tenant.skus.get(sku_id)
    if sku is None:
        raise bad_request(UNKNOWN.format(sku_id))
    if not set(disabled) <= {plan.id for plan in sku.plans}:
        raise bad_request("One or more properties contains invalid values.")
    held = sku_id in user.licenses or sku_id in user.inherited
    if not held and not tenant.free_seat(sku_id):
        raise bad_request(_NO_SEATS.format(sku_id))


def _check_exclusive(tenant: Tenant, wanted: set[str]) -> None:
    by_group: dict[str, Sku] = {}
    for sku_id in sorted(wanted):
        sku = tenant.skus[sku_id]
        other = by_group.setdefault(sku.group, sku)
        if other is not sku:
            raise bad_request(_EXCLUSIVE.format(other.plans[0].id, sku.plans[0].id))


def provision(tenant: Tenant, user: User) -> None:
    """Give a user with an Exchange plan an address, if it has none."""
    if user.props.get("mail"):
        return
    mailbox = any(has_exchange(off, sku) for sku, off in owned_skus(tenant, user))
    upn = user.props["userPrincipalName"]
    if mailbox and tenant.directory.addresses.holder(upn, user.id) is None:
        tenant.directory.update(user, with_mail(user.props, upn), {}, tenant.seen_from())


def sku_by_id(call: Call) -> Result:
    """GET /subscribedSkus/{id}."""
    for sku in subscribed(call.tenant):
        if sku["id"] == call.args[0]:
            return Result(200, {"@odata.context": f"{call.tenant.root}/$metadata#subscribedSkus/$entity", **sku})
    raise segment_not_found(call.args[0])
