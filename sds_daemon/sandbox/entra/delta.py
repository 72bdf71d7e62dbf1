"""Delta queries (Graph docs: delta-query-overview): a full pass, then pages of what changed since.

Tokens carry everything: the place in the change log, the place in the full pass, $select, and when they were issued.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from sds_daemon.sandbox.entra.call import Call, Result, decode_token, encode_token, link, render
from sds_daemon.sandbox.entra.errors import GraphError, bad_request, odata, unsupported
from sds_daemon.sandbox.entra.query import check_select
from sds_daemon.sandbox.entra.schema import EDUCATION_CLASS, EDUCATION_USER, GROUP, SCHOOL, UNIT, USER, Resource
from sds_daemon.sandbox.entra.state import Change, Entity, Group, Table, Unit

_MAX_IDS = 50


class Token(msgspec.Struct):
    """`since`: log entries before it are known. `at`: place in the full pass or None. `until`: where the round ends."""

    kind: str
    since: int
    issued: float
    generation: int
    at: int | None = None
    until: int | None = None
    select: list[str] | None = None
    ids: list[str] | None = None


@dataclass
class _Pending:
    """What the log says about one object within a page."""

    names: set[str]
    links: dict[str, dict[str, bool]]


def users(call: Call) -> Result:
    """GET /users/delta."""
    return _delta(call, USER, call.tenant.directory.users, lambda entity: True)


def groups(call: Call) -> Result:
    """GET /groups/delta, with $select=members,owners for memberships."""
    return _delta(call, GROUP, call.tenant.directory.groups, lambda entity: True)


def units(call: Call) -> Result:
    """GET /directory/administrativeUnits/delta."""
    return _delta(call, UNIT, call.tenant.directory.units, lambda entity: True)


def education_users(call: Call) -> Result:
    """GET /education/users/delta."""
    return _delta(call, EDUCATION_USER, call.tenant.directory.users, lambda entity: True)


def education_classes(call: Call) -> Result:
    """GET /education/classes/delta."""
    return _delta(call, EDUCATION_CLASS, call.tenant.directory.groups, lambda entity: entity.edu is not None)


def education_schools(call: Call) -> Result:
    """GET /education/schools/delta."""
    return _delta(call, SCHOOL, call.tenant.directory.units, lambda entity: entity.edu is not None)


def _delta(call: Call, resource: Resource, table: Table[Any], keep: Callable[[Entity], bool]) -> Result:
    now = call.tenant.now()
    token = _token(call, resource, table.spread(now))
    if token is None:
        latest = _fresh(call, resource, table.spread(now))
        return _answer(call, resource, latest, [], done=True)
    if token.at is not None:
        return _full_pass(call, resource, table, keep, token)
    return _changes(call, resource, table, keep, token)


def _fresh(call: Call, resource: Resource, since: int) -> Token:
    for name in ("$top", "$orderby", "$expand", "$search", "$count"):
        if name in call.query.options:
            raise unsupported(f"The query option '{name}' is not supported with delta queries on this resource.")
    check_select(call.query, resource, call.tenant.extensions)
    issued = call.tenant.clock.now().timestamp()
    return Token(resource.type, since, issued, call.tenant.resync, select=call.query.select, ids=_filter_ids(call))


def _filter_ids(call: Call) -> list[str] | None:
    text = call.query.get("$filter")
    if text is None:
        return None
    ids = re.findall(r"id eq '([0-9a-fA-F-]{36})'", text)
    if re.sub(r"\s+or\s+|\s*id eq '[0-9a-fA-F-]{36}'\s*", "", text).strip() or not 1 <= len(ids) <= _MAX_IDS:
        raise unsupported("Only filtering by 'id' is supported with delta queries on this resource.")
    return [object_id.lower() for object_id in ids]


def _token(call: Call, resource: Resource, spread: int) -> Token | None:
    """The token of the request, a fresh one for a full pass, or None for `latest`."""
    text = call.query.get("$deltatoken") or call.query.get("$skiptoken")
    if not text:
        token = _fresh(call, resource, spread)
        token.at = 0
        return token
    if text.lower() == "latest":
        return None
    try:
        token = msgspec.convert(decode_token(text), Token)
    except (ValueError, msgspec.ValidationError):
        raise bad_request("Badly formed token.") from None
    if token.kind != resource.type:
        raise bad_request("Badly formed token.")
    _check_age(call, token)
    return token


def _check_age(call: Call, token: Token) -> None:
    if token.generation != call.tenant.resync:
        options = {"$select": ",".join(token.select)} if token.select else {}
        location = link(call, call.path, {**options, "$deltatoken": ""})
        raise GraphError(
            410, "resyncRequired", "Resync required. Any local state must be discarded and a full sync performed.",
            headers={"location": location},
        )  # fmt: skip
    age = call.tenant.clock.now().timestamp() - token.issued
    if age > call.tenant.options.delta_token_days * 86_400:
        raise GraphError(400, "syncStateNotFound", "The sync state generation is not found.")


def _full_pass(
    call: Call, resource: Resource, table: Table[Any], keep: Callable[[Entity], bool], token: Token
) -> Result:
    now, position = call.tenant.now(), token.at or 0
    page: list[dict[str, Any]] = []
    size = call.tenant.options.delta_page_size
    while position < len(table.order) and len(page) < size:
        entity = table.order[position]
        position += 1
        if entity.visible(now) and keep(entity) and (token.ids is None or entity.id in token.ids):
            page.append(_whole(call, resource, entity, token.select, now))
    done = position >= len(table.order)
    token.at = None if done else position
    return _answer(call, resource, token, page, done)


def _whole(call: Call, resource: Resource, entity: Entity, select: list[str] | None, now: float) -> dict[str, Any]:
    names = _names(resource, select)
    shown = render(call.tenant, resource, entity, names, now)
    item = {name: value for name, value in shown.items() if value is not None}
    for relation in _relations(resource, select):
        linked = _links(entity, relation)
        present = {object_id: True for object_id, seen_at in linked.items() if seen_at <= now}
        if present:
            item[f"{relation}@delta"] = _link_items(call, present)
    return item


def _names(resource: Resource, select: list[str] | None) -> list[str]:
    chosen = [name for name in select if name not in resource.links] if select else list(resource.defaults)
    return chosen if "id" in chosen else ["id", *chosen]


def _relations(resource: Resource, select: list[str] | None) -> list[str]:
    return [name for name in select or () if name in ("members", "owners") and name in resource.links]


def _links(entity: Entity, relation: str) -> dict[str, float]:
    if isinstance(entity, Group):
        return entity.members if relation == "members" else entity.owners
    return entity.members if isinstance(entity, Unit) else {}


def _link_items(call: Call, links: dict[str, bool]) -> list[dict[str, Any]]:
    directory = call.tenant.directory
    items: list[dict[str, Any]] = []
    for object_id, present in links.items():
        kind = "group" if object_id in directory.groups.by_id else "user"
        item: dict[str, Any] = {"@odata.type": f"#microsoft.graph.{kind}", "id": object_id}
        if not present:
            item["@removed"] = {"reason": "deleted"}
        items.append(item)
    return items


def _changes(call: Call, resource: Resource, table: Table[Any], keep: Callable[[Entity], bool], token: Token) -> Result:
    now = call.tenant.now()
    end = token.until if token.until is not None else table.spread(now)
    wanted = set(_names(resource, token.select)) | set(_relations(resource, token.select))
    pending: dict[str, tuple[Entity, _Pending]] = {}
    position = token.since
    while position < end and len(pending) < call.tenant.options.delta_page_size:
        change = table.log[position]
        position += 1
        entity = change.entity
        if keep(entity) and (token.ids is None or entity.id in token.ids) and _concerns(change, wanted):
            _collect(pending, entity, change, wanted)
    minimal = "return=minimal" in call.headers.get("prefer", "").lower()
    page = [_changed(call, resource, entity, found, token.select, minimal) for entity, found in pending.values()]
    done = position >= end
    token.since, token.until = position, None if done else end
    result = _answer(call, resource, token, page, done)
    if minimal:
        result.headers["preference-applied"] = "return=minimal"
    return result


def _concerns(change: Change, wanted: set[str]) -> bool:
    if change.names is None:
        return change.relation in wanted
    return "deletedDateTime" in change.names or not wanted.isdisjoint(change.names)


def _collect(pending: dict[str, tuple[Entity, _Pending]], entity: Entity, change: Change, wanted: set[str]) -> None:
    found = pending.setdefault(entity.id, (entity, _Pending(set(), {})))[1]
    if change.names is not None:
        found.names |= change.names & wanted
    else:
        found.links.setdefault(change.relation, {}).update(change.links)


def _changed(
    call: Call, resource: Resource, entity: Entity, found: _Pending, select: list[str] | None, minimal: bool
) -> dict[str, Any]:
    if not entity.alive:
        return {"id": entity.id, "@removed": {"reason": "deleted" if entity.purged else "changed"}}
    names = _names(resource, select)
    shown = render(call.tenant, resource, entity, names, call.tenant.now())
    if minimal and "id" not in found.names:
        item = {name: value for name, value in shown.items() if name == "id" or name in found.names}
    else:
        item = {name: value for name, value in shown.items() if value is not None or name in found.names}
    for relation, links in found.links.items():
        item[f"{relation}@delta"] = _link_items(call, links)
    return item


def _answer(call: Call, resource: Resource, token: Token, page: list[dict[str, Any]], done: bool) -> Result:
    if call.query.get("$deltatoken") and call.query.get("$filter"):
        raise odata("Query options cannot be combined with a delta token.")
    selected = f"({','.join(token.select)})" if token.select else ""
    body: dict[str, Any] = {"@odata.context": f"{call.tenant.root}/$metadata#{resource.context}{selected}"}
    if done:
        token.issued = call.tenant.clock.now().timestamp()
        body["@odata.deltaLink"] = link(call, call.path, {"$deltatoken": encode_token(token)})
    else:
        body["@odata.nextLink"] = link(call, call.path, {"$skiptoken": encode_token(token)})
    body["value"] = page
    return Result(200, body)
