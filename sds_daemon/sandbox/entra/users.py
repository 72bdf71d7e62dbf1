"""/users: create, read, update, delete; memberships and licences read per user."""

from __future__ import annotations

from typing import Any

from sds_daemon.sandbox.entra import errors, validate
from sds_daemon.sandbox.entra.call import Call, Result, entity_result, list_result, owned_skus, render
from sds_daemon.sandbox.entra.errors import GraphError
from sds_daemon.sandbox.entra.links import reference, target
from sds_daemon.sandbox.entra.query import check_select
from sds_daemon.sandbox.entra.schema import GROUP, UNIT, USER
from sds_daemon.sandbox.entra.state import Entity, Group, User
from sds_daemon.sandbox.entra.tenant import Tenant, with_mail

# What Active Directory masters for a synchronised user; usageLocation, passwordless and education data stay writable.
_MASTERED_NAMES = """
    accountEnabled businessPhones city companyName country department displayName employeeId employeeType
    faxNumber givenName jobTitle mail mailNickname mobilePhone officeLocation onPremisesExtensionAttributes
    onPremisesImmutableId otherMails postalCode preferredLanguage state streetAddress surname userPrincipalName
    showInAddressList
"""
MASTERED = frozenset(_MASTERED_NAMES.split())
_WRITERS = ("User.ReadWrite.All", "Directory.ReadWrite.All")


def find(call: Call, key: str) -> User:
    """The user with this id or UPN if reads find it; 404 naming the key otherwise."""
    user = call.tenant.user_by_key(key)
    if user is None or not user.visible(call.tenant.now()):
        raise errors.not_found(key)
    return user


def listing(call: Call) -> Result:
    """GET /users."""
    return list_result(call, USER, call.tenant.directory.users.order)


def count(call: Call) -> Result:
    """GET /users/$count, an advanced query."""
    return _count(call, call.tenant.directory.users.order)


def _count(call: Call, entities: list[Any]) -> Result:
    if not call.query.eventual(call.headers):
        raise errors.unsupported("$count is not currently supported.")
    now = call.tenant.now()
    number = sum(1 for entity in entities if entity.visible(now))
    return Result(200, str(number).encode(), {"content-type": "text/plain"})


def group_count(call: Call) -> Result:
    """GET /groups/$count, an advanced query."""
    return _count(call, call.tenant.directory.groups.order)


def get(call: Call) -> Result:
    """GET /users/{id | UPN}."""
    check_select(call.query, USER, call.tenant.extensions)
    return entity_result(call, USER, find(call, call.args[0]))


def create(call: Call) -> Result:
    """POST /users -> 201."""
    props = validate.body(USER, call.object(), create=True, extensions=call.tenant.extensions)
    boss = _bound_manager(call)
    user = new_user(call.tenant, props, None)
    user.manager = boss
    return entity_result(call, USER, user, 201)


def _bound_manager(call: Call) -> str | None:
    uri = call.object().get("manager@odata.bind")
    if uri is None:
        return None
    return target(call.tenant, reference(call.tenant, uri, "@odata.bind for manager")).id


def new_user(tenant: Tenant, props: dict[str, Any], edu: dict[str, Any] | None) -> User:
    """Make a user of checked properties: values, uniqueness, quota."""
    validate.user_values(props, tenant.verified)
    tenant.check_user_names(props, None)
    tenant.check_room()
    props = stored(props)
    if props.get("mail"):
        props.update(with_mail(props, props["mail"]))
    user_id = tenant.directory.new_id()
    user = User(user_id, {"id": user_id, "userType": "Member", **props}, edu, tenant.seen_from())
    user.password_set = True
    tenant.directory.add(user)
    return user


def stored(props: dict[str, Any]) -> dict[str, Any]:
    """Properties as the directory keeps them: without the password."""
    return {name: value for name, value in props.items() if name != "passwordProfile"}


def update(call: Call) -> Result:
    """PATCH /users/{id | UPN} -> 204."""
    user = find(call, call.args[0])
    props = validate.body(USER, call.object(), create=False, extensions=call.tenant.extensions)
    _check_rights(call, props)
    boss = _bound_manager(call)
    change(call.tenant, user, props, {})
    user.manager = boss or user.manager
    return Result()


def _check_rights(call: Call, props: dict[str, Any]) -> None:
    if "passwordProfile" in props and not call.may("User-PasswordProfile.ReadWrite.All", "Directory.ReadWrite.All"):
        raise errors.forbidden()
    if set(props) <= {"accountEnabled"} and call.may("User.EnableDisableAccount.All"):
        return
    if set(props) <= {"passwordProfile"} and call.may("User-PasswordProfile.ReadWrite.All"):
        return
    if not call.may(*_WRITERS):
        raise errors.forbidden()


def change(tenant: Tenant, user: User, props: dict[str, Any], edu: dict[str, Any]) -> None:
    """Update a user with checked properties; 400 for mastered ones, bad values and taken names."""
    if user.props.get("onPremisesSyncEnabled"):
        refused = sorted(MASTERED & set(props))
        if refused:
            raise errors.bad_request(
                errors.MASTERED,
                [{"code": "PropertyNotWritable", "message": errors.MASTERED, "target": name} for name in refused],
            )
    validate.user_values(props, tenant.verified)
    tenant.check_user_names(props, user.id)
    if "passwordProfile" in props:
        user.password_set = True
    props = stored(props)
    if "mail" in props:
        props.update(with_mail({**user.props, **props}, props["mail"]))
    tenant.directory.update(user, props, edu, tenant.seen_from())


def delete(call: Call) -> Result:
    """DELETE /users/{id | UPN} -> 204, restorable for 30 days."""
    call.tenant.delete_user(find(call, call.args[0]), call.tenant.seen_from())
    return Result()


def member_of(call: Call) -> Result:
    """GET /users/{id}/memberOf: groups and administrative units."""
    user = find(call, call.args[0])
    directory, now = call.tenant.directory, call.tenant.now()
    shown: list[dict[str, Any]] = []
    for group_id in user.groups:
        group = directory.groups.by_id[group_id]
        if group.visible(now) and group.members[user.id] <= now:
            shown.append(_typed(call.tenant, group, now))
    for unit_id in user.units:
        unit = directory.units.by_id[unit_id]
        if unit.visible(now) and unit.members[user.id] <= now:
            shown.append({"@odata.type": "#" + UNIT.type, **render(call.tenant, UNIT, unit, UNIT.defaults, now)})
    return Result(200, {"@odata.context": f"{call.tenant.root}/$metadata#directoryObjects", "value": shown})


def _typed(tenant: Tenant, group: Group, now: float) -> dict[str, Any]:
    return {"@odata.type": "#" + GROUP.type, **render(tenant, GROUP, group, GROUP.defaults, now)}


def license_details(call: Call) -> Result:
    """GET /users/{id}/licenseDetails."""
    user = find(call, call.args[0])
    value = [
        {
            "id": sku.id,
            "skuId": sku.id,
            "skuPartNumber": sku.part_number,
            "servicePlans": [
                {"servicePlanId": plan.id, "servicePlanName": plan.name, "appliesTo": "User",
                 "provisioningStatus": "Disabled" if plan.id in off else "Success"}
                for plan in sku.plans
            ],
        }
        for sku, off in owned_skus(call.tenant, user)
    ]  # fmt: skip
    context = f"{call.tenant.root}/$metadata#users('{user.id}')/licenseDetails"
    return Result(200, {"@odata.context": context, "value": value})


def set_manager(call: Call) -> Result:
    """PUT /users/{id}/manager/$ref -> 204."""
    user = find(call, call.args[0])
    data = call.object()
    entity: Entity = target(call.tenant, reference(call.tenant, data.get("@odata.id"), "@odata.id"))
    user.manager = entity.id
    return Result()


def remove_manager(call: Call) -> Result:
    """DELETE /users/{id}/manager/$ref -> 204."""
    find(call, call.args[0]).manager = None
    return Result()


def manager(call: Call) -> Result:
    """GET /users/{id}/manager; 404 when there is none."""
    user = find(call, call.args[0])
    entity = call.tenant.directory.users.by_id.get(user.manager or "")
    if entity is None:
        raise GraphError(404, "Request_ResourceNotFound", errors.NOT_FOUND.format("manager"))
    return entity_result(call, USER, entity)
