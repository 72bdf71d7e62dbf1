"""Administration of the Entra half: the whole state, changes, settings, statistics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sds_daemon.sandbox.entra.authority import Tokens
from sds_daemon.sandbox.entra.changes import Changes, Refused
from sds_daemon.sandbox.entra.licensing import subscribed
from sds_daemon.sandbox.entra.schema import EDUCATION_CLASS, EDUCATION_USER, SCHOOL
from sds_daemon.sandbox.entra.state import Entity, Group, Unit, User
from sds_daemon.sandbox.entra.tenant import Tenant
from sds_daemon.sandbox.entra.throttle import Statistics, Throttle

_ALWAYS = {
    User: ("userPrincipalName", "mail", "mailNickname", "displayName", "givenName", "surname", "accountEnabled",
           "usageLocation", "onPremisesSyncEnabled", "createdDateTime"),
    Group: ("displayName", "mailNickname", "mail", "visibility", "createdDateTime", "uniqueName", "description"),
    Unit: ("displayName", "description"),
}  # fmt: skip


class Administration:
    """What is served below /_sandbox/entra/."""

    def __init__(self, tenant: Tenant, tokens: Tokens, throttle: Throttle) -> None:
        self._tenant = tenant
        self._throttle = throttle
        self._tokens = tokens
        self.changes = Changes(tenant, tokens)

    def answer(self, method: str, path: str, query: Mapping[str, str], body: object) -> tuple[int, object]:
        """HTTP status and JSON value for one request."""
        if (method, path) == ("GET", "state"):
            return 200, state(self._tenant)
        if (method, path) == ("GET", "sizes"):
            return 200, sizes(self._tenant)
        if (method, path) == ("POST", "change"):
            return self._change(body)
        if (method, path) == ("GET", "secrets"):
            options = self._tenant.options
            return 200, {"tokens": self._tokens.issued, "secrets": [options.client_secret, *options.extra_secrets]}
        if (method, path) == ("GET", "settings"):
            return 200, self._tenant.options.as_json()
        if (method, path) == ("POST", "settings"):
            return self._settings(body)
        if (method, path) == ("GET", "statistics"):
            return 200, self._throttle.statistics.as_json()
        if (method, path) == ("DELETE", "statistics"):
            self._throttle.statistics = Statistics()
            return 200, {}
        if path in ("state", "sizes", "change", "secrets", "settings", "statistics"):
            return 405, {"error": f"{method} is not possible here"}
        return 404, {"error": f"there is no /_sandbox/entra/{path}"}

    def _change(self, body: object) -> tuple[int, object]:
        results = []
        for index, change in enumerate(body if isinstance(body, list) else [body]):
            try:
                results.append(self.changes.apply(change))
            except Refused as error:
                return 400, {"error": str(error), "index": index, "results": results}
        return 200, {"results": results}

    def _settings(self, body: object) -> tuple[int, object]:
        if not isinstance(body, Mapping):
            return 400, {"error": "settings are an object"}
        wanted = dict(body)
        if wanted.pop("expire_delta", False):
            self.changes.apply({"op": "expire_delta"})
        if wanted.pop("refill", False):
            self._throttle.reset()
        try:
            self._tenant.options.change(wanted)
        except ValueError as error:
            return 400, {"error": str(error)}
        return 200, self._tenant.options.as_json()


def state(tenant: Tenant) -> dict[str, Any]:
    """The directory as it is, lag left aside; everything sorted by id, passwords only as `password_set`."""
    directory = tenant.directory
    units = sorted(directory.units.by_id.values(), key=_by_id)
    return {
        "users": [_user(user) for user in sorted(directory.users.by_id.values(), key=_by_id)],
        "groups": [_group(group) for group in sorted(directory.groups.by_id.values(), key=_by_id)],
        "schools": [_school(tenant, unit) for unit in units if unit.edu is not None],
        "administrativeUnits": [{**_common(unit), "members": sorted(unit.members)} for unit in units],
        "subscribedSkus": subscribed(tenant),
    }


def sizes(tenant: Tenant) -> dict[str, Any]:
    """How much there is. `groups`: how many groups have how many owners and members, as [owners, members, groups]."""
    directory = tenant.directory
    groups = Counter((len(group.owners), len(group.members)) for group in directory.groups.by_id.values())
    schools = [unit for unit in directory.units.by_id.values() if unit.edu is not None]
    inside = Counter(object_id in directory.users.by_id for unit in schools for object_id in unit.members)
    return {
        "users": len(directory.users.by_id),
        "groups": [[*counts, many] for counts, many in sorted(groups.items())],
        "schools": len(schools),
        "school_users": inside[True],
        "school_classes": inside[False],
    }


def _by_id(entity: Entity) -> str:
    return entity.id


def _common(entity: Entity) -> dict[str, Any]:
    always = dict.fromkeys(_ALWAYS[type(entity)])
    given = {name: value for name, value in entity.props.items() if value is not None}
    return {"id": entity.id, **always, **given, "deleted": entity.deleted_at is not None}


def _user(user: User) -> dict[str, Any]:
    edu = user.edu or {}
    education = {name: edu.get(name) for name in sorted(EDUCATION_USER.education)}
    education["primaryRole"] = edu.get("primaryRole") or "none"
    return {
        **_common(user),
        "education": education,
        "licenses": sorted({*user.licenses, *user.inherited}),
        "password_set": user.password_set,
    }


def _group(group: Group) -> dict[str, Any]:
    shown = {**_common(group), "is_class": group.edu is not None}
    for name in sorted(EDUCATION_CLASS.education):
        shown[name] = (group.edu or {}).get(name)
    linked = {"owners": sorted(group.owners), "members": sorted(group.members)}
    return {**shown, "licenses": sorted(group.licenses), **linked}


def _school(tenant: Tenant, unit: Unit) -> dict[str, Any]:
    shown = _common(unit)
    for name in sorted(SCHOOL.education):
        shown[name] = (unit.edu or {}).get(name)
    users, groups = tenant.directory.users.by_id, tenant.directory.groups.by_id
    return {
        **shown,
        "users": sorted(object_id for object_id in unit.members if object_id in users),
        "classes": sorted(object_id for object_id in unit.members if object_id in groups),
    }
