"""Changes made to the tenant from outside, as its administrators would: at once, without lag, quota or permissions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sds_daemon.sandbox.entra import directory as deleted_items
from sds_daemon.sandbox.entra.authority import Tokens
from sds_daemon.sandbox.entra.errors import GraphError
from sds_daemon.sandbox.entra.group_licensing import apply as license_group
from sds_daemon.sandbox.entra.groups import remove as remove_group
from sds_daemon.sandbox.entra.licensing import apply as assign_licenses
from sds_daemon.sandbox.entra.schema import EDUCATION_CLASS, EDUCATION_USER, GROUP, SCHOOL, UNIT, USER, Resource
from sds_daemon.sandbox.entra.skus import KNOWN, sku
from sds_daemon.sandbox.entra.state import Entity, Group, Unit, User
from sds_daemon.sandbox.entra.tenant import Tenant, with_mail

_USER_EXTRA = frozenset({"education", "licenses", "password", "deleted"})
_GROUP_EXTRA = frozenset({"education", "members", "owners", "is_class", "licenses"})


NAMES = (
    "create_user", "update_user", "delete_user", "restore_user", "purge_user", "create_group",
    "update_group", "delete_group", "restore_group", "purge_group", "add_member", "remove_member",
    "add_owner", "remove_owner", "create_unit", "update_unit", "delete_unit", "add_unit_member",
    "remove_unit_member", "set_seats", "add_domain", "remove_domain", "grant_role", "revoke_role",
    "expire_tokens", "expire_delta", "expire_pages", "assign_license", "remove_license",
)  # fmt: skip


class Refused(ValueError):
    """A change that cannot be made; the message says why."""


class Changes:
    """Applies operations `{"op": name, ...}`; see the methods for their fields."""

    def __init__(self, tenant: Tenant, tokens: Tokens) -> None:
        self._tenant = tenant
        self._tokens = tokens
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            name: getattr(self, "_" + name) for name in NAMES
        }

    @property
    def names(self) -> list[str]:
        """All operations."""
        return sorted(self._operations)

    def apply(self, change: object) -> dict[str, Any]:
        """Make one change and return what it made, such as `{"id": ...}`; raises Refused, nothing changed."""
        if not isinstance(change, Mapping) or not isinstance(change.get("op"), str):
            raise Refused('a change is an object with "op"')
        operation = self._operations.get(change["op"])
        if operation is None:
            raise Refused(f"unknown op {change['op']!r}; known are {self.names}")
        try:
            return operation({key: value for key, value in change.items() if key != "op"})
        except GraphError as error:
            raise Refused(error.message) from error
        except KeyError as error:
            raise Refused(f"{change['op']} needs {error.args[0]!r}") from error

    # Users

    def _create_user(self, data: dict[str, Any]) -> dict[str, Any]:
        """userPrincipalName and any user property; education {...}; licenses [SKU id or part number]."""
        upn = data["userPrincipalName"]
        props = _properties(data, USER, _USER_EXTRA)
        props.setdefault("displayName", upn)
        props.setdefault("mailNickname", upn.partition("@")[0])
        props.setdefault("accountEnabled", True)
        props.setdefault("userType", "Member")
        self._tenant.check_user_names(props, None)
        if props.get("mail"):
            props.update(with_mail(props, props["mail"]))
        user_id = str(data.get("id") or self._tenant.directory.new_id()).lower()
        if self._tenant.directory.find(user_id) is not None:
            raise Refused(f"there is an object {user_id} already")
        skus = [self._sku_id(name) for name in data.get("licenses") or ()]
        edu = _education(data, EDUCATION_USER)
        user = User(user_id, {**props, "id": user_id}, edu, 0.0)
        user.password_set = bool(data.get("password"))
        self._tenant.directory.add(user)
        if skus:
            assign_licenses(self._tenant, user, {sku_id: [] for sku_id in skus}, [])
            self._settle(user)
        return {"id": user_id}

    def _settle(self, entity: Entity) -> None:
        entity.old = None

    def _user(self, data: dict[str, Any]) -> User:
        key = data.get("id") or data.get("upn")
        if not isinstance(key, str):
            raise Refused("the user is named by id or upn")
        user = self._tenant.user_by_key(key)
        if user is None:
            raise Refused(f"there is no user {key}")
        return user

    def _update_user(self, data: dict[str, Any]) -> dict[str, Any]:
        """id or upn, and any user property (read-only ones too); education {...} is merged."""
        user = self._user(data)
        props = _properties(data, USER, _USER_EXTRA | {"upn"})
        props.pop("id", None)
        self._tenant.check_user_names(props, user.id)
        if "mail" in props:
            props.update(with_mail(user.props, props["mail"]))
        self._tenant.directory.update(user, props, _education(data, EDUCATION_USER) or {}, 0.0)
        return {"id": user.id}

    def _delete_user(self, data: dict[str, Any]) -> dict[str, Any]:
        """id or upn; goes to the recycle bin."""
        user = self._user(data)
        if not user.alive:
            raise Refused(f"user {user.id} is deleted already")
        self._tenant.delete_user(user, 0.0)
        return {"id": user.id}

    def _restore_user(self, data: dict[str, Any]) -> dict[str, Any]:
        """id or upn; comes back from the recycle bin."""
        return self._restore(self._user(data))

    def _restore(self, entity: Entity) -> dict[str, Any]:
        if entity.deleted_at is None:
            raise Refused(f"{entity.id} is not deleted")
        deleted_items.restore(self._tenant, entity, 0.0)
        return {"id": entity.id}

    def _purge_user(self, data: dict[str, Any]) -> dict[str, Any]:
        """id or upn; gone for good."""
        user = self._user(data)
        deleted_items.purge(self._tenant, user, 0.0)
        return {"id": user.id}

    # Groups

    def _create_group(self, data: dict[str, Any]) -> dict[str, Any]:
        """displayName, mailNickname, any group or class property; members, owners [ids]; licenses; groupTypes []."""
        props = _properties(data, GROUP, _GROUP_EXTRA, EDUCATION_CLASS)
        unified = "Unified" in props.setdefault("groupTypes", ["Unified"])
        props.setdefault("mailEnabled", unified)
        props.setdefault("securityEnabled", not unified)
        nickname = data["mailNickname"]
        props.setdefault("displayName", nickname)
        mail = props.get("mail") or (self._tenant.group_mail(nickname) if unified else None)
        self._tenant.check_group_names(nickname if unified else None, mail, None)
        linked = {name: [self._object(key).id for key in data.get(name) or ()] for name in ("members", "owners")}
        group_id = str(data.get("id") or self._tenant.directory.new_id()).lower()
        addresses = [f"SMTP:{mail}"] if mail else []
        edu = _education(data, EDUCATION_CLASS)
        if edu is None and data.get("is_class"):
            edu = {}
        group = Group(group_id, {**props, "id": group_id, "mail": mail, "proxyAddresses": addresses}, edu, 0.0)
        self._tenant.directory.add(group)
        license_group(self._tenant, group, {self._sku_id(name): [] for name in data.get("licenses") or ()}, [])
        for relation, ids in linked.items():
            self._tenant.directory.link(group, relation, ids, 0.0)
        return {"id": group_id}

    def _group(self, data: dict[str, Any], key: str = "id") -> Group:
        group = self._tenant.directory.groups.by_id.get(str(data.get(key, "")).lower())
        if group is None and isinstance(data.get("mailNickname"), str) and key not in data:
            holder = self._tenant.directory.group_nicknames.holder(data["mailNickname"])
            group = self._tenant.directory.groups.by_id.get(holder or "")
        if group is None:
            raise Refused(f"there is no group {data.get(key)}; name it by {key}")
        return group

    def _update_group(self, data: dict[str, Any]) -> dict[str, Any]:
        """id or mailNickname, and any group or class property; education {...} is merged."""
        group = self._group(data)
        props = _properties(data, GROUP, _GROUP_EXTRA, EDUCATION_CLASS)
        props.pop("id", None)
        self._tenant.check_group_names(props.get("mailNickname"), props.get("mail"), group.id)
        self._tenant.directory.update(group, props, _education(data, EDUCATION_CLASS) or {}, 0.0)
        return {"id": group.id}

    def _delete_group(self, data: dict[str, Any]) -> dict[str, Any]:
        """id or mailNickname; goes to the recycle bin."""
        group = self._group(data)
        if not group.alive:
            raise Refused(f"group {group.id} is deleted already")
        remove_group(self._tenant, group)
        return {"id": group.id}

    def _restore_group(self, data: dict[str, Any]) -> dict[str, Any]:
        """id; comes back from the recycle bin."""
        return self._restore(self._group(data))

    def _purge_group(self, data: dict[str, Any]) -> dict[str, Any]:
        """id or mailNickname; gone for good."""
        group = self._group(data)
        deleted_items.purge(self._tenant, group, 0.0)
        return {"id": group.id}

    def _object(self, key: object) -> Entity:
        text = str(key)
        entity = self._tenant.user_by_key(text) or self._tenant.directory.find(text.lower())
        if entity is None:
            raise Refused(f"there is no object {text}")
        return entity

    def _link(self, data: dict[str, Any], relation: str) -> dict[str, Any]:
        group, entity = self._group(data, "group"), self._object(data["user"])
        held = group.members if relation == "members" else group.owners
        if entity.id in held:
            raise Refused(f"{entity.id} is among the {relation} already")
        self._tenant.directory.link(group, relation, [entity.id], 0.0)
        return {"id": group.id}

    def _unlink(self, data: dict[str, Any], relation: str) -> dict[str, Any]:
        group, entity = self._group(data, "group"), self._object(data["user"])
        held = group.members if relation == "members" else group.owners
        if entity.id not in held:
            raise Refused(f"{entity.id} is not among the {relation}")
        self._tenant.directory.unlink(group, relation, entity.id, 0.0)
        return {"id": group.id}

    def _add_member(self, data: dict[str, Any]) -> dict[str, Any]:
        """group (id), user (id or UPN)."""
        return self._link(data, "members")

    def _remove_member(self, data: dict[str, Any]) -> dict[str, Any]:
        """group (id), user (id or UPN)."""
        return self._unlink(data, "members")

    def _add_owner(self, data: dict[str, Any]) -> dict[str, Any]:
        """group (id), user (id or UPN)."""
        return self._link(data, "owners")

    def _remove_owner(self, data: dict[str, Any]) -> dict[str, Any]:
        """group (id), user (id or UPN)."""
        return self._unlink(data, "owners")

    # Administrative units and schools

    def _create_unit(self, data: dict[str, Any]) -> dict[str, Any]:
        """displayName, any unit property; education {...} makes it a school; members [ids]."""
        props = _properties(data, UNIT, frozenset({"education", "members"}))
        unit_id = str(data.get("id") or self._tenant.directory.new_id()).lower()
        members = [self._object(key).id for key in data.get("members") or ()]
        unit = Unit(unit_id, {**props, "id": unit_id}, _education(data, SCHOOL), 0.0)
        self._tenant.directory.add(unit)
        for object_id in members:
            self._tenant.directory.enter(unit, object_id, 0.0)
        return {"id": unit_id}

    def _unit(self, data: dict[str, Any], key: str = "id") -> Unit:
        unit = self._tenant.directory.units.by_id.get(str(data.get(key, "")).lower())
        if unit is None:
            raise Refused(f"there is no administrative unit {data.get(key)}; name it by {key}")
        return unit

    def _update_unit(self, data: dict[str, Any]) -> dict[str, Any]:
        """id, and any unit property; education {...} is merged."""
        unit = self._unit(data)
        props = _properties(data, UNIT, frozenset({"education"}))
        props.pop("id", None)
        self._tenant.directory.update(unit, props, _education(data, SCHOOL) or {}, 0.0)
        return {"id": unit.id}

    def _delete_unit(self, data: dict[str, Any]) -> dict[str, Any]:
        """id; gone for good."""
        unit = self._unit(data)
        deleted_items.purge(self._tenant, unit, 0.0)
        return {"id": unit.id}

    def _add_unit_member(self, data: dict[str, Any]) -> dict[str, Any]:
        """unit (id), object (id or UPN)."""
        unit, entity = self._unit(data, "unit"), self._object(data["object"])
        if entity.id in unit.members:
            raise Refused(f"{entity.id} is a member already")
        self._tenant.directory.enter(unit, entity.id, 0.0)
        return {"id": unit.id}

    def _remove_unit_member(self, data: dict[str, Any]) -> dict[str, Any]:
        """unit (id), object (id or UPN)."""
        unit, entity = self._unit(data, "unit"), self._object(data["object"])
        if entity.id not in unit.members:
            raise Refused(f"{entity.id} is not a member")
        self._tenant.directory.leave(unit, entity.id, 0.0)
        return {"id": unit.id}

    # Tenant

    def _sku_id(self, name: str) -> str:
        for owned in self._tenant.skus.values():
            if name.lower() in (owned.id, owned.part_number.lower()):
                return owned.id
        raise Refused(f"the tenant has no SKU {name}")

    def _set_seats(self, data: dict[str, Any]) -> dict[str, Any]:
        """sku (id or part number; a known one the tenant lacks is subscribed), enabled, warning?, status?."""
        name = data["sku"]
        if name in KNOWN and not any(owned.part_number == name for owned in self._tenant.skus.values()):
            added = sku(name, 0)
            self._tenant.skus[added.id] = added
        owned = self._tenant.skus[self._sku_id(name)]
        owned.enabled = int(data.get("enabled", owned.enabled))
        owned.warning = int(data.get("warning", owned.warning))
        owned.status = str(data.get("status", owned.status))
        return {"sku": owned.id, "enabled": owned.enabled, "consumed": owned.consumed}

    def _assign_license(self, data: dict[str, Any]) -> dict[str, Any]:
        """id or upn, sku (id or part number)."""
        user = self._user(data)
        assign_licenses(self._tenant, user, {self._sku_id(data["sku"]): []}, [])
        self._settle(user)
        return {"id": user.id}

    def _remove_license(self, data: dict[str, Any]) -> dict[str, Any]:
        """id or upn, sku (id or part number)."""
        user = self._user(data)
        assign_licenses(self._tenant, user, {}, [self._sku_id(data["sku"])])
        return {"id": user.id}

    def _add_domain(self, data: dict[str, Any]) -> dict[str, Any]:
        """domain; verified at once."""
        if not self._tenant.verified(data["domain"]):
            self._tenant.options.domains = [*self._tenant.options.domains, data["domain"]]
        return {"domains": self._tenant.options.domains}

    def _remove_domain(self, data: dict[str, Any]) -> dict[str, Any]:
        """domain."""
        left = [name for name in self._tenant.options.domains if name.lower() != data["domain"].lower()]
        self._tenant.options.domains = left
        return {"domains": left}

    def _grant_role(self, data: dict[str, Any]) -> dict[str, Any]:
        """role; tokens issued later carry it."""
        options = self._tenant.options
        options.roles = tuple(dict.fromkeys([*options.roles, data["role"]]))
        return {"roles": list(options.roles)}

    def _revoke_role(self, data: dict[str, Any]) -> dict[str, Any]:
        """role; takes effect at once, since tokens issued so far expire."""
        options = self._tenant.options
        options.roles = tuple(role for role in options.roles if role != data["role"])
        self._tokens.expire()
        return {"roles": list(options.roles)}

    def _expire_tokens(self, data: dict[str, Any]) -> dict[str, Any]:
        """Every access token issued so far answers 401."""
        self._tokens.expire()
        return {}

    def _expire_delta(self, data: dict[str, Any]) -> dict[str, Any]:
        """Every delta token issued so far answers 410 Gone."""
        self._tenant.resync += 1
        return {}

    def _expire_pages(self, data: dict[str, Any]) -> dict[str, Any]:
        """Every page token issued so far answers 400 Directory_ExpiredPageToken."""
        self._tenant.epoch += 1
        return {}


def _properties(
    data: Mapping[str, Any], resource: Resource, extra: frozenset[str], *others: Resource
) -> dict[str, Any]:
    chosen = {}
    for name, value in data.items():
        if name in extra or any(name in other.education for other in others):
            continue
        if name not in resource.props and not name.startswith("extension_"):
            raise Refused(f"a {resource.label} has no property {name!r}")
        chosen[name] = value
    return chosen


def _education(data: Mapping[str, Any], resource: Resource) -> dict[str, Any] | None:
    given = dict(data.get("education") or {})
    given.update({name: value for name, value in data.items() if name in resource.education})
    unknown = set(given) - resource.education
    if unknown:
        raise Refused(f"{resource.label} has no property {sorted(unknown)[0]!r}")
    return given if given or data.get("education") is not None else None


def described() -> dict[str, str]:
    """Every operation and its fields."""
    return {name: " ".join((getattr(Changes, "_" + name).__doc__ or "").split()) for name in sorted(NAMES)}
