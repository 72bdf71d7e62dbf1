"""One Graph request on its way through routing, quota, permissions and operation; and how objects are shown."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec

from sds_daemon.sandbox.entra.errors import GraphError, odata, unsupported
from sds_daemon.sandbox.entra.query import Filter, Query, check_select, compile_filter
from sds_daemon.sandbox.entra.schema import EDUCATION_CLASS, EDUCATION_USER, GROUP, SCHOOL, UNIT, USER, Resource
from sds_daemon.sandbox.entra.skus import Sku
from sds_daemon.sandbox.entra.state import Entity, Group, Unit, User
from sds_daemon.sandbox.entra.tenant import Tenant

_UNREAD = object()
_EMPTY: dict[str, dict[str, Any]] = {}


@dataclass(slots=True)
class Call:
    """A request below /v1.0: `args` are the variable path segments, `body` the raw JSON or None."""

    tenant: Tenant
    method: str
    path: str
    raw_query: str
    headers: dict[str, str]
    body: bytes | None
    roles: frozenset[str]
    args: list[str] = field(default_factory=list)
    query: Query = field(default_factory=Query)
    _data: Any = _UNREAD

    def json(self) -> Any:
        """The body decoded (once); raises Graph's 400 if there is none or it is not JSON."""
        if self._data is _UNREAD:
            try:
                if "json" not in self.headers.get("content-type", "").lower():
                    raise ValueError("not declared as JSON")
                self._data = msgspec.json.decode(self.body or b"")
            except ValueError:
                raise odata(
                    "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of "
                    "valid JSON format."
                ) from None
        return self._data

    def object(self) -> dict[str, Any]:
        """The body as a JSON object."""
        data = self.json()
        if not isinstance(data, dict):
            raise odata("Invalid JSON: an object was expected.")
        return data

    def may(self, *roles: str) -> bool:
        """Whether the token carries one of the application permissions."""
        return not self.roles.isdisjoint(roles)


@dataclass(slots=True)
class Result:
    """A successful answer; `body` None for 204, bytes for plain text."""

    status: int = 204
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Operation = Callable[[Call], Result]


def _defaults(resource: Resource) -> dict[str, Any]:
    known = _EMPTY.get(resource.type)
    if known is None:
        lists: dict[str, Any] = {
            prop.name: [] for prop in resource.props.values() if prop.type == "strs" or prop.type.endswith("[]")
        }
        known = _EMPTY[resource.type] = {**lists, "primaryRole": "none", "provisionedPlans": []}
    return known


def render(
    tenant: Tenant, resource: Resource, entity: Entity, names: Sequence[str], now: float | None
) -> dict[str, Any]:
    """The named properties of an object as a read at `now` shows them (None: as they are, for answers to writes).

    Absent extension attributes are left out, as Graph does."""
    props, edu = entity.view(now) if now is not None else (entity.props, entity.edu or {})
    empty = _defaults(resource)
    shown: dict[str, Any] = {}
    for name in names:
        value = (edu if name in resource.education else props).get(name)
        if value is None:
            if name in _COMPUTED:
                value = _COMPUTED[name](tenant, entity)
            elif name.startswith("extension_") or name in resource.links:
                continue
            else:
                value = empty.get(name)
        shown[name] = value
    return shown


def _licenses(tenant: Tenant, entity: Entity) -> list[dict[str, Any]]:
    if isinstance(entity, Group):
        return [{"skuId": sku_id, "disabledPlans": off} for sku_id, off in entity.licenses.items()]
    if not isinstance(entity, User):
        return []
    return [{"skuId": sku.id, "disabledPlans": disabled} for sku, disabled in owned_skus(tenant, entity)]


def owned_skus(tenant: Tenant, user: User) -> list[tuple[Sku, list[str]]]:
    """The user's licences, direct and inherited from groups, with their disabled plans."""
    held: dict[str, list[str]] = {**{sku_id: [] for sku_id in user.inherited}, **user.licenses}
    return [(tenant.skus[sku_id], off) for sku_id, off in held.items() if sku_id in tenant.skus]


def _plans(tenant: Tenant, entity: Entity) -> list[dict[str, Any]]:
    if not isinstance(entity, User):
        return []
    stamp = entity.props.get("createdDateTime")
    return [
        {
            "assignedDateTime": stamp,
            "capabilityStatus": "Deleted" if plan.id in off else "Enabled",
            "service": plan.name.partition("_")[0].lower(),
            "servicePlanId": plan.id,
        }
        for sku, off in owned_skus(tenant, entity)
        for plan in sku.plans
    ]


def _states(tenant: Tenant, entity: Entity) -> list[dict[str, Any]]:
    if not isinstance(entity, User):
        return []
    rows: list[tuple[str, list[str], str | None, str]] = [
        (sku, off, None, "None") for sku, off in entity.licenses.items()
    ]
    rows += [(sku, [], group, "None") for sku, groups in entity.inherited.items() for group in sorted(groups)]
    rows += [(sku, [], group, error) for (group, sku), error in entity.unlicensed.items()]
    stamp = entity.props.get("createdDateTime")
    return [
        {"skuId": sku, "disabledPlans": off, "assignedByGroup": group, "error": error, "lastUpdatedDateTime": stamp,
         "state": "Active" if error == "None" else "Error"}
        for sku, off, group, error in rows
    ]  # fmt: skip


_COMPUTED: dict[str, Callable[[Tenant, Entity], Any]] = {
    "assignedLicenses": _licenses,
    "assignedPlans": _plans,
    "licenseAssignmentStates": _states,
}


def shown_names(query: Query, resource: Resource) -> Sequence[str]:
    """What to show: $select, or the default set; the id always comes along."""
    if query.select is None or "*" in query.select:
        return resource.defaults
    return query.select if "id" in query.select else ["id", *query.select]


def entity_result(call: Call, resource: Resource, entity: Entity, status: int = 200) -> Result:
    """One object with its @odata.context; 201 gets a Location header."""
    tenant = call.tenant
    names = shown_names(call.query, resource) if status == 200 else resource.defaults
    shown = render(tenant, resource, entity, names, tenant.now() if call.method == "GET" else None)
    selected = f"({','.join(call.query.select)})" if status == 200 and call.query.select else ""
    context = f"{tenant.root}/$metadata#{resource.context}{selected}/$entity"
    headers = {"location": f"{tenant.root}/{resource.context}/{entity.id}"} if status == 201 else {}
    return Result(status, {"@odata.context": context, **shown}, headers)


def encode_token(value: object) -> str:
    """An opaque page or delta token."""
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


def decode_token(text: str) -> Any:
    """What `encode_token` made; ValueError for anything else."""
    return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def place(call: Call) -> int:
    """Where a page of linked or deleted objects starts, by $skiptoken; 400 for a token that is none of ours."""
    token = call.query.get("$skiptoken")
    try:
        return max(0, int(decode_token(token)["p"])) if token else 0
    except (ValueError, KeyError, TypeError):
        raise GraphError(400, "Directory_InvalidPageToken", "The specified page token value is invalid.") from None


def link(call: Call, path: str, options: dict[str, str]) -> str:
    """An absolute URL below the Graph root with the given query options."""
    joined = "&".join(f"{name}={quote(value, safe='$(),')}" for name, value in options.items())
    return f"{call.tenant.root}{path}?{joined}"


def prepared_filter(call: Call, resource: Resource) -> Filter | None:
    """The compiled $filter; 400 where it needs advanced queries that were not asked for."""
    text = call.query.get("$filter")
    if not text:
        return None
    compiled = compile_filter(text, resource, call.tenant.extensions)
    if compiled.advanced is not None and not (call.query.eventual(call.headers) and call.query.counted()):
        raise unsupported(
            f"Unsupported or invalid query filter clause specified for property '{compiled.advanced}' of resource "
            f"'{resource.label}'."
        )
    return compiled


def getter(tenant: Tenant, resource: Resource, entity: Entity, now: float) -> Callable[[str], Any]:
    """Property access for filters, `a/b` reaching into complex values."""
    props, edu = entity.view(now)

    def get(path: str) -> Any:
        name, _, rest = path.partition("/")
        value = (edu if name in resource.education else props).get(name)
        if value is None and name in _COMPUTED:
            value = _COMPUTED[name](tenant, entity)
        if value is None:
            value = _defaults(resource).get(name)
        if rest:
            return value.get(rest) if isinstance(value, dict) else None
        return value

    return get


def list_result(
    call: Call, resource: Resource, entities: Sequence[Entity], keep: Callable[[Entity], bool] | None = None
) -> Result:
    """A page of the visible ones among `entities` that pass $filter and `keep`, with @odata.nextLink if more follow."""
    tenant, query = call.tenant, call.query
    check_select(query, resource, tenant.extensions)
    _refuse_unsupported(query)
    condition = prepared_filter(call, resource)
    entities = _ordered(call, resource, _candidates(tenant, resource, condition, entities), condition)
    now, position = tenant.now(), _position(call)
    size = query.top or tenant.options.page_size
    names = shown_names(query, resource)

    def passes(entity: Entity) -> bool:
        shown = entity.visible(now) and (keep is None or keep(entity))
        return shown and (condition is None or condition.matches(getter(tenant, resource, entity, now)))

    page: list[dict[str, Any]] = []
    following = None
    while position < len(entities):
        if passes(entities[position]):
            if len(page) == size:
                following = position
                break
            page.append(render(tenant, resource, entities[position], names, now))
        position += 1
    first = query.counted() and query.eventual(call.headers) and "$skiptoken" not in query.options
    total = sum(map(passes, entities)) if first else None
    return _page_result(call, resource, page, following, total)


def _page_result(
    call: Call, resource: Resource, page: list[dict[str, Any]], following: int | None, total: int | None
) -> Result:
    query = call.query
    selected = f"({','.join(query.select)})" if query.select else ""
    body: dict[str, Any] = {"@odata.context": f"{call.tenant.root}/$metadata#{resource.context}{selected}"}
    if total is not None:
        body["@odata.count"] = total
    if following is not None:
        token = encode_token({"p": following, "e": call.tenant.epoch})
        body["@odata.nextLink"] = link(call, call.path, {**query.options, "$skiptoken": token})
    body["value"] = page
    return Result(200, body)


def _refuse_unsupported(query: Query) -> None:
    for name in ("$search", "$expand"):
        if name in query.options:
            raise unsupported(f"The query option '{name}' is not supported by this resource.")


def _position(call: Call) -> int:
    token = call.query.get("$skiptoken")
    if token is None:
        return 0
    try:
        value = decode_token(token)
        position, epoch = int(value["p"]), int(value["e"])
    except (ValueError, KeyError, TypeError):
        raise GraphError(400, "Directory_InvalidPageToken", "The specified page token value is invalid.") from None
    if epoch != call.tenant.epoch:
        raise GraphError(
            400, "Directory_ExpiredPageToken",
            "The specified page token value has expired and can no longer be included in your request.",
        )  # fmt: skip
    return position


def _candidates(
    tenant: Tenant, resource: Resource, condition: Filter | None, entities: Sequence[Entity]
) -> Sequence[Entity]:
    if condition is None or condition.equals is None:
        return entities
    prop, values = condition.equals
    found = _indexed(tenant, resource, prop, values)
    if found is None:
        return entities
    directory = tenant.directory
    chosen = (directory.find(entity_id) for entity_id in dict.fromkeys(found))
    wanted = _KINDS[resource.type]
    return [entity for entity in chosen if isinstance(entity, wanted)]


_KINDS: dict[str, type[Entity]] = {
    USER.type: User, EDUCATION_USER.type: User, GROUP.type: Group, EDUCATION_CLASS.type: Group, UNIT.type: Unit,
    SCHOOL.type: Unit,
}  # fmt: skip


def _indexed(tenant: Tenant, resource: Resource, prop: str, values: list[str]) -> list[str] | None:
    directory = tenant.directory
    if prop == "id":
        return [value.lower() for value in values]
    kind = _KINDS[resource.type]
    if kind is User:
        index = {
            "userPrincipalName": directory.upns,
            "mailNickname": directory.user_nicknames,
            "mail": directory.addresses,
            "onPremisesImmutableId": directory.immutable_ids,
        }.get(prop)
    elif kind is Group:
        index = {
            "mailNickname": directory.group_nicknames,
            "mail": directory.addresses,
            "uniqueName": directory.unique_names,
            "externalId": directory.external_ids,
        }.get(prop)
    else:
        index = directory.external_ids if prop == "externalId" else None
    if index is None:
        return None
    return [entity_id for value in values for entity_id in index.get(value)]


def _ordered(call: Call, resource: Resource, entities: Sequence[Entity], condition: Filter | None) -> Sequence[Entity]:
    text = call.query.get("$orderby")
    if not text:
        return entities
    name, _, direction = text.strip().partition(" ")
    advanced = call.query.eventual(call.headers) and call.query.counted()
    if name not in ("displayName", "userPrincipalName", "createdDateTime") or (condition is not None and not advanced):
        raise unsupported("Sorting not supported for current query.")
    now = call.tenant.now()
    return sorted(
        entities,
        key=lambda entity: str(entity.view(now)[0].get(name) or "").lower(),
        reverse=direction.strip().lower() == "desc",
    )
