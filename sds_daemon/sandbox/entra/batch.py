"""The envelope of POST /$batch (Graph docs: json-batching): reading it, and the order its items may run in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from sds_daemon.sandbox.entra.errors import GraphError, odata

MAX_ITEMS = 20


class _RawItem(msgspec.Struct):
    id: Any = None
    method: Any = None
    url: Any = None
    headers: Any = None
    body: msgspec.Raw = msgspec.Raw()
    dependsOn: Any = None


class _RawBatch(msgspec.Struct):
    requests: list[_RawItem]


_DECODER = msgspec.json.Decoder(_RawBatch)


@dataclass(slots=True)
class Item:
    """One request of a batch; header names in lower case, `path` without query and with a leading slash."""

    id: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes | None
    depends_on: list[str] = field(default_factory=list)


def read(body: bytes) -> list[Item]:
    """The items of a batch; raises the 400 that refuses the batch as a whole."""
    try:
        raw = _DECODER.decode(body).requests
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        raise odata("Invalid batch payload format.") from None
    if not raw:
        raise odata("Number of batch request steps must be at least 1.")
    if len(raw) > MAX_ITEMS:
        raise odata(f"Number of batch request steps exceeds the maximum value of {MAX_ITEMS}.")
    seen: set[str] = set()
    items = [_item(entry, seen) for entry in raw]
    _check_shape(items)
    return items


def _item(raw: _RawItem, seen: set[str]) -> Item:
    if not isinstance(raw.id, str) or not raw.id:
        raise odata("Request Id is missing or is not a string.")
    if raw.id.lower() in seen:
        raise odata(f"Request Id '{raw.id}' has to be unique in a batch.")
    seen.add(raw.id.lower())
    if not isinstance(raw.method, str) or not isinstance(raw.url, str) or not raw.url:
        raise odata(f"Request '{raw.id}' needs a method and a url.")
    headers = _headers(raw)
    body = bytes(raw.body) or None
    body = None if body == b"null" else body
    if body is not None and "content-type" not in headers:
        raise odata(f"Write request id : {raw.id} does not contain Content-Type header or body.")
    if body is None and raw.method.upper() in ("POST", "PATCH", "PUT"):
        raise odata(f"Write request id : {raw.id} does not contain Content-Type header or body.")
    path, _, query = raw.url.partition("?")
    depends_on = raw.dependsOn or []
    if not isinstance(depends_on, list) or not all(isinstance(other, str) for other in depends_on):
        raise odata(f"dependsOn of request '{raw.id}' must be a list of request ids.")
    path = path if path.startswith("/") or "://" in path else "/" + path
    return Item(raw.id, raw.method.upper(), path, query, headers, body, [other.lower() for other in depends_on])


def _headers(raw: _RawItem) -> dict[str, str]:
    if raw.headers is None:
        return {}
    if not isinstance(raw.headers, dict):
        raise odata(f"Headers of request '{raw.id}' must be an object.")
    return {name.lower(): str(value) for name, value in raw.headers.items()}


def _check_shape(items: list[Item]) -> None:
    """Only parallel, serial, or all depending on one: anything else refuses the batch."""
    position = {item.id.lower(): index for index, item in enumerate(items)}
    for index, item in enumerate(items):
        for other in item.depends_on:
            if other not in position:
                raise odata(f"Request '{item.id}' depends on '{other}', which is not in the batch.")
            if position[other] >= index:
                raise odata(f"Request '{item.id}' depends on a request that does not precede it.")
    bound = [item for item in items if item.depends_on]
    if not bound:
        return
    serial = all(item.depends_on == [items[index].id.lower()] for index, item in enumerate(items[1:]))
    star = len(bound) == len(items) - 1 and all(item.depends_on == bound[0].depends_on for item in bound)
    if not serial and not (star and len(bound[0].depends_on) == 1):
        raise GraphError(
            400, "BadRequest",
            "Batch requests can be parallel, serial, or all dependent on the same request; other dependencies are not "
            "supported.",
        )  # fmt: skip


def waves(items: list[Item]) -> list[list[Item]]:
    """The items in groups that run in parallel, each group after the one before it."""
    if not any(item.depends_on for item in items):
        return [items]
    depth: dict[str, int] = {}
    groups: list[list[Item]] = []
    for item in items:
        level = 1 + max((depth[other] for other in item.depends_on), default=-1)
        depth[item.id.lower()] = level
        while len(groups) <= level:
            groups.append([])
        groups[level].append(item)
    return groups
