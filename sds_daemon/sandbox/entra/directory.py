"""What belongs to the tenant as a whole: /organization, /domains, /directoryObjects, deleted items."""

from __future__ import annotations

from typing import Any

from sds_daemon.sandbox.entra import errors
from sds_daemon.sandbox.entra.call import (
    Call,
    Result,
    encode_token,
    entity_result,
    getter,
    link,
    place,
    prepared_filter,
    render,
    shown_names,
)
from sds_daemon.sandbox.entra.errors import odata
from sds_daemon.sandbox.entra.schema import GROUP, UNIT, USER, Resource
from sds_daemon.sandbox.entra.state import Entity, Group, User, original_upn
from sds_daemon.sandbox.entra.tenant import Tenant, is_unified

_MAX_IDS = 1000


def resource_of(entity: Entity) -> Resource:
    """The directory resource of an object."""
    return USER if isinstance(entity, User) else GROUP if isinstance(entity, Group) else UNIT


def organization(call: Call) -> Result:
    """GET /organization: one entry."""
    options = call.tenant.options
    initial = next((name for name in options.domains if name.endswith(".onmicrosoft.com")), None)
    domains = [
        {"capabilities": "Email, OfficeCommunicationsOnline", "isDefault": index == 0, "isInitial": name == initial,
         "name": name, "type": "Managed"}
        for index, name in enumerate(options.domains)
    ]  # fmt: skip
    stamp = call.tenant.directory.stamp()
    plans = [
        {"assignedDateTime": stamp, "capabilityStatus": "Enabled", "service": plan.name.partition("_")[0].lower(),
         "servicePlanId": plan.id}
        for sku in call.tenant.skus.values()
        for plan in sku.plans
    ]  # fmt: skip
    value: dict[str, Any] = {
        "id": options.tenant_id,
        "displayName": options.tenant_name,
        "countryLetterCode": "US",
        "tenantType": "AAD",
        "onPremisesSyncEnabled": True if options.on_premises_sync else None,
        "onPremisesLastSyncDateTime": stamp if options.on_premises_sync else None,
        "verifiedDomains": domains,
        "assignedPlans": plans,
        "provisionedPlans": [],
        "technicalNotificationMails": [],
    }
    if call.query.select:
        value = {name: value.get(name) for name in ("id", *call.query.select)}
    context = f"{call.tenant.root}/$metadata#organization"
    if call.args:
        if call.args[0].lower() != options.tenant_id.lower():
            raise errors.not_found(call.args[0])
        return Result(200, {"@odata.context": context + "/$entity", **value})
    return Result(200, {"@odata.context": context, "value": [value]})


def domains(call: Call) -> Result:
    """GET /domains: the verified ones."""
    value = [_domain(name, index == 0) for index, name in enumerate(call.tenant.options.domains)]
    if call.query.select:
        value = [{key: item.get(key) for key in ("id", *call.query.select)} for item in value]
    return Result(200, {"@odata.context": f"{call.tenant.root}/$metadata#domains", "value": value})


def _domain(name: str, default: bool) -> dict[str, Any]:
    return {
        "authenticationType": "Managed",
        "availabilityStatus": None,
        "id": name,
        "isAdminManaged": True,
        "isDefault": default,
        "isInitial": name.endswith(".onmicrosoft.com"),
        "isRoot": True,
        "isVerified": True,
        "supportedServices": ["Email", "OfficeCommunicationsOnline"],
    }


def domain(call: Call) -> Result:
    """GET /domains/{name}."""
    for index, name in enumerate(call.tenant.options.domains):
        if name.lower() == call.args[0].lower():
            context = f"{call.tenant.root}/$metadata#domains/$entity"
            return Result(200, {"@odata.context": context, **_domain(name, index == 0)})
    raise errors.not_found(call.args[0])


def by_ids(call: Call) -> Result:
    """POST /directoryObjects/getByIds {ids, types?} -> 200 with those that exist."""
    data = call.object()
    ids, types = data.get("ids"), data.get("types")
    if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
        raise odata("The parameter 'ids' is required for the operation 'getByIds'.")
    if len(ids) > _MAX_IDS:
        raise errors.bad_request(f"Too many values in 'ids': {len(ids)}. The maximum is {_MAX_IDS}.")
    now = call.tenant.now()
    wanted = {str(kind).lower() for kind in types} if types else None
    value = []
    for object_id in dict.fromkeys(item.lower() for item in ids):
        entity = call.tenant.directory.seen(object_id, now)
        if entity is None:
            continue
        resource = resource_of(entity)
        if wanted is None or resource.label.lower() in wanted or "directoryobject" in wanted:
            value.append(_typed(call, resource, entity, now))
    return Result(200, {"@odata.context": f"{call.tenant.root}/$metadata#directoryObjects", "value": value})


def _typed(call: Call, resource: Resource, entity: Entity, now: float | None) -> dict[str, Any]:
    names = [
        name for name in shown_names(call.query, resource) if name in resource.props or name.startswith("extension_")
    ]
    return {"@odata.type": "#" + resource.type, **render(call.tenant, resource, entity, names, now)}


def directory_object(call: Call) -> Result:
    """GET /directoryObjects/{id}."""
    entity = call.tenant.directory.seen(call.args[0].lower(), call.tenant.now())
    if entity is None:
        raise errors.not_found(call.args[0])
    return entity_result(call, resource_of(entity), entity)


# Deleted items


def _trashed(tenant: Tenant, key: str) -> Entity:
    entity = tenant.directory.find(key.lower())
    if entity is None or entity.deleted_at is None:
        raise errors.not_found(key)
    return entity


def deleted_users(call: Call) -> Result:
    """GET /directory/deletedItems/microsoft.graph.user."""
    return _deleted(call, USER, list(call.tenant.directory.users.by_id.values()))


def deleted_groups(call: Call) -> Result:
    """GET /directory/deletedItems/microsoft.graph.group."""
    return _deleted(call, GROUP, list(call.tenant.directory.groups.by_id.values()))


def _deleted(call: Call, resource: Resource, entities: list[Any]) -> Result:
    condition, now = prepared_filter(call, resource), call.tenant.now()
    found = [
        entity
        for entity in entities
        if entity.deleted_at is not None
        and (condition is None or condition.matches(getter(call.tenant, resource, entity, now)))
    ]
    start = place(call)
    size = call.query.top or call.tenant.options.page_size
    body: dict[str, Any] = {"@odata.context": f"{call.tenant.root}/$metadata#{resource.context}"}
    if start + size < len(found):
        options = {**call.query.options, "$skiptoken": encode_token({"p": start + size})}
        body["@odata.nextLink"] = link(call, call.path, options)
    names = [*shown_names(call.query, resource)]
    names += ["deletedDateTime"] if "deletedDateTime" not in names else []
    body["value"] = [render(call.tenant, resource, entity, names, now) for entity in found[start : start + size]]
    return Result(200, body)


def deleted_item(call: Call) -> Result:
    """GET /directory/deletedItems/{id}."""
    entity = _trashed(call.tenant, call.args[0])
    return Result(200, _typed(call, resource_of(entity), entity, call.tenant.now()))


def restore_item(call: Call) -> Result:
    """POST /directory/deletedItems/{id}/restore -> 200; 400 if a name was taken meanwhile."""
    entity = _trashed(call.tenant, call.args[0])
    restore(call.tenant, entity, call.tenant.seen_from())
    resource = resource_of(entity)
    context = f"{call.tenant.root}/$metadata#directoryObjects/$entity"
    shown = render(call.tenant, resource, entity, resource.defaults, None)
    return Result(200, {"@odata.context": context, "@odata.type": "#" + resource.type, **shown})


def restore(tenant: Tenant, entity: Entity, seen_at: float) -> None:
    """Bring a soft-deleted object back after checking that its names are free."""
    if isinstance(entity, User):
        names = {**entity.props, "userPrincipalName": original_upn(entity)}
        tenant.check_user_names(names, entity.id)
    elif isinstance(entity, Group):
        nickname = entity.props["mailNickname"] if is_unified(entity) else None
        tenant.check_group_names(nickname, entity.props.get("mail"), entity.id)
    tenant.directory.restore(entity, seen_at)
    if isinstance(entity, User):
        tenant.retake_seats(entity)


def purge_item(call: Call) -> Result:
    """DELETE /directory/deletedItems/{id} -> 204, for good."""
    purge(call.tenant, _trashed(call.tenant, call.args[0]), call.tenant.seen_from())
    return Result()


def purge(tenant: Tenant, entity: Entity, seen_at: float) -> None:
    """Delete for good, with every link."""
    if isinstance(entity, User) and entity.alive:
        tenant.delete_user(entity, seen_at)
    tenant.directory.purge(entity, seen_at)
