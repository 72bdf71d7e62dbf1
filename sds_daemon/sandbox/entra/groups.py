"""/groups: create with inline members and owners, update, delete, members and owners one by one."""

from __future__ import annotations

from typing import Any

from sds_daemon.sandbox.entra import errors, links, validate
from sds_daemon.sandbox.entra.call import (
    Call,
    Result,
    encode_token,
    entity_result,
    link,
    list_result,
    place,
    render,
    shown_names,
)
from sds_daemon.sandbox.entra.query import check_select
from sds_daemon.sandbox.entra.schema import GROUP, USER, Resource
from sds_daemon.sandbox.entra.state import Entity, Group, User
from sds_daemon.sandbox.entra.tenant import Tenant, is_unified

_BEHAVIOURS = frozenset(
    {"AllowOnlyMembersToPost", "CalendarMemberReadOnly", "ConnectorsDisabled", "HideGroupInOutlook",
     "SubscribeMembersToCalendarEventsDisabled", "SubscribeNewGroupMembers", "WelcomeEmailDisabled",
     "ProvisionSiteOnDemand", "SkipExchangeInstantOn"}
)  # fmt: skip
_VISIBILITIES = frozenset({"private", "public", "hiddenmembership"})
_OWN_PATCH = frozenset(
    {"allowExternalSenders", "autoSubscribeNewMembers", "hideFromAddressLists", "hideFromOutlookClients",
     "isSubscribedByMail", "unseenCount"}
)  # fmt: skip
_DELEGATED_ONLY = frozenset({"autoSubscribeNewMembers", "isSubscribedByMail", "unseenCount"})
_WRITERS = ("Group.ReadWrite.All", "Directory.ReadWrite.All")


def find(call: Call, key: str) -> Group:
    """The group with this id if reads find it; 404 otherwise."""
    group = call.tenant.directory.groups.seen(key.lower(), call.tenant.now())
    if group is None:
        raise errors.not_found(key)
    return group


def listing(call: Call) -> Result:
    """GET /groups."""
    return list_result(call, GROUP, call.tenant.directory.groups.order)


def get(call: Call) -> Result:
    """GET /groups/{id}."""
    check_select(call.query, GROUP, call.tenant.extensions)
    return entity_result(call, GROUP, find(call, call.args[0]))


def get_by_unique_name(call: Call) -> Result:
    """GET /groups(uniqueName='...')."""
    holder = call.tenant.directory.unique_names.holder(call.args[0])
    return entity_result(call, GROUP, find(call, holder or call.args[0]))


def create(call: Call) -> Result:
    """POST /groups -> 201, with up to 20 members and owners together."""
    data = call.object()
    props = validate.body(GROUP, data, create=True, extensions=call.tenant.extensions)
    _creatable(props)
    resolved = links.resolve_binds(call, data, None)
    group = new_group(call.tenant, props, None)
    seen_at = group.seen_at
    for relation, ids in resolved.items():
        call.tenant.directory.link(group, relation, ids, seen_at)
    return entity_result(call, GROUP, group, 201)


def _creatable(props: dict[str, Any]) -> None:
    refused = _OWN_PATCH & set(props)
    if refused:
        raise errors.bad_request(f"Property '{sorted(refused)[0]}' cannot be set when the group is created.")
    kinds = props.get("groupTypes") or []
    if not set(kinds) <= {"Unified", "DynamicMembership"}:
        raise errors.invalid_value("groupTypes", "Group")
    if "Unified" in kinds and not props["mailEnabled"]:
        raise errors.invalid_value("mailEnabled", "Group")
    if "Unified" not in kinds:
        if props["mailEnabled"]:
            raise errors.bad_request(
                "The service does not currently support writes of mail-enabled groups. Please ensure that the "
                "mail-enablement property is unset and try again."
            )
        if not props["securityEnabled"]:
            raise errors.invalid_value("securityEnabled", "Group")
    if not set(props.get("resourceBehaviorOptions") or ()) <= _BEHAVIOURS:
        raise errors.invalid_value("resourceBehaviorOptions", "Group")
    visibility = props.get("visibility")
    if visibility is not None and visibility.lower() not in _VISIBILITIES:
        raise errors.invalid_value("visibility", "Group")
    if visibility is not None and visibility.lower() == "hiddenmembership" and "Unified" not in kinds:
        raise errors.invalid_value("visibility", "Group")


def new_group(tenant: Tenant, props: dict[str, Any], edu: dict[str, Any] | None) -> Group:
    """Make a group of checked properties: alias, uniqueness, quota, address."""
    validate.group_nickname(props["mailNickname"])
    unified = "Unified" in (props.get("groupTypes") or ())
    mail = tenant.group_mail(props["mailNickname"]) if unified else None
    tenant.check_group_names(props["mailNickname"] if unified else None, mail, None)
    if props.get("uniqueName") and tenant.directory.unique_names.holder(props["uniqueName"]):
        raise errors.taken("uniqueName")
    tenant.check_room()
    group_id = tenant.directory.new_id()
    visibility = props.get("visibility") or ("Public" if unified else None)
    full = {"id": group_id, "groupTypes": [], **props, "visibility": visibility, "mail": mail,
            "renewedDateTime": tenant.directory.stamp()}  # fmt: skip
    if mail:
        full["proxyAddresses"] = [f"SMTP:{mail}"]
    group = Group(group_id, full, edu, tenant.seen_from())
    tenant.directory.add(group)
    return group


def update(call: Call) -> Result:
    """PATCH /groups/{id} -> 204: properties, and up to 20 new members and owners, all or none."""
    group = find(call, call.args[0])
    data = call.object()
    props = validate.body(GROUP, data, create=False, extensions=call.tenant.extensions)
    _check_rights(call, props, data)
    _changeable(group, props)
    resolved = links.resolve_binds(call, data, group)
    change(call.tenant, group, props, {})
    seen_at = call.tenant.seen_from()
    for relation, ids in resolved.items():
        call.tenant.directory.link(group, relation, ids, seen_at)
    return Result()


def _check_rights(call: Call, props: dict[str, Any], data: dict[str, Any]) -> None:
    members_only = not props and "owners@odata.bind" not in data
    if members_only and call.may("GroupMember.ReadWrite.All"):
        return
    if not call.may(*_WRITERS):
        raise errors.forbidden()


def _changeable(group: Group, props: dict[str, Any]) -> None:
    if _DELEGATED_ONLY & set(props):
        raise errors.forbidden()
    visibility = props.get("visibility")
    if visibility is not None:
        if visibility.lower() not in _VISIBILITIES:
            raise errors.invalid_value("visibility", "Group")
        hidden = (group.props.get("visibility") or "").lower() == "hiddenmembership"
        if hidden != (visibility.lower() == "hiddenmembership"):
            raise errors.invalid_value("visibility", "Group")


def change(tenant: Tenant, group: Group, props: dict[str, Any], edu: dict[str, Any]) -> None:
    """Update a group with checked properties; a new alias does not change the address, as in Exchange."""
    nickname = props.get("mailNickname")
    if nickname is not None:
        validate.group_nickname(nickname)
        tenant.check_group_names(nickname if is_unified(group) else None, None, group.id)
    tenant.directory.update(group, props, edu, tenant.seen_from())


def delete(call: Call) -> Result:
    """DELETE /groups/{id} -> 204; Microsoft 365 groups stay restorable for 30 days, others go for good."""
    remove(call.tenant, find(call, call.args[0]))
    return Result()


def remove(tenant: Tenant, group: Group) -> None:
    """Delete a group the way its kind is deleted; 400 while it gives licences."""
    if group.licenses:
        raise errors.bad_request("The group has active licenses and cannot be deleted. Remove the licenses first.")
    if is_unified(group):
        tenant.directory.delete(group, tenant.seen_from())
    else:
        tenant.directory.purge(group, tenant.seen_from())


def members(call: Call) -> Result:
    """GET /groups/{id}/members; empty of a hidden group without Member.Read.Hidden."""
    group = find(call, call.args[0])
    hidden = (group.props.get("visibility") or "").lower() == "hiddenmembership"
    if hidden and not call.may("Member.Read.Hidden"):
        return linked_page(call, {}, USER)
    return linked_page(call, group.members, USER)


def owners(call: Call) -> Result:
    """GET /groups/{id}/owners."""
    return linked_page(call, find(call, call.args[0]).owners, USER)


def linked_page(call: Call, linked: dict[str, float], resource: Resource) -> Result:
    """A page of linked objects, each with its @odata.type when the list is of mixed kinds."""
    check_select(call.query, resource, call.tenant.extensions)
    now, directory = call.tenant.now(), call.tenant.directory
    found: list[Entity] = []
    for object_id, seen_at in linked.items():
        entity = directory.find(object_id) if seen_at <= now else None
        if entity is not None and entity.visible(now):
            found.append(entity)
    start = place(call)
    size = call.query.top or call.tenant.options.page_size
    context = "directoryObjects" if resource is USER else resource.context
    body: dict[str, Any] = {"@odata.context": f"{call.tenant.root}/$metadata#{context}"}
    if start + size < len(found):
        token = encode_token({"p": start + size})
        body["@odata.nextLink"] = link(call, call.path, {**call.query.options, "$skiptoken": token})
    body["value"] = [_shown(call, resource, entity, now) for entity in found[start : start + size]]
    return Result(200, body)


def _shown(call: Call, resource: Resource, entity: Entity, now: float) -> dict[str, Any]:
    if resource is not USER:
        return render(call.tenant, resource, entity, shown_names(call.query, resource), now)
    actual = USER if isinstance(entity, User) else GROUP
    names = [name for name in shown_names(call.query, actual) if name in actual.props or name.startswith("extension_")]
    return {"@odata.type": "#" + actual.type, **render(call.tenant, actual, entity, names, now)}


def add_member(call: Call) -> Result:
    """POST /groups/{id}/members/$ref -> 204."""
    links.add_to_group(call, find(call, call.args[0]), "members", links.posted_reference(call))
    return Result()


def add_owner(call: Call) -> Result:
    """POST /groups/{id}/owners/$ref -> 204."""
    links.add_to_group(call, find(call, call.args[0]), "owners", links.posted_reference(call))
    return Result()


def remove_member(call: Call) -> Result:
    """DELETE /groups/{id}/members/{uid}/$ref -> 204."""
    links.remove_from_group(call, find(call, call.args[0]), "members", call.args[1].lower())
    return Result()


def remove_owner(call: Call) -> Result:
    """DELETE /groups/{id}/owners/{uid}/$ref -> 204."""
    links.remove_from_group(call, find(call, call.args[0]), "owners", call.args[1].lower())
    return Result()


def remove_member_object(call: Call) -> Result:
    """DELETE /groups/{id}/members/{uid} without /$ref: deletes the user itself if the application may."""
    find(call, call.args[0])
    user = call.tenant.directory.users.seen(call.args[1].lower(), call.tenant.now())
    if user is None:
        raise errors.not_found(call.args[1])
    if not call.may("User.ReadWrite.All", "User.DeleteRestore.All", "Directory.ReadWrite.All"):
        raise errors.forbidden()
    call.tenant.delete_user(user, call.tenant.seen_from())
    return Result()
