"""The JSON that goes over the wire, as msgspec sees it: $batch and the pages that are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sds_daemon.targets.entra.batch import Item
from sds_daemon.targets.entra.errors import GraphError, parse_error

_CONTENT = {"Content-Type": "application/json"}
_encoder = msgspec.json.Encoder()


class BatchResponse(msgspec.Struct):
    """One answer of a $batch."""

    id: str
    status: int
    headers: dict[str, Any] | None = None
    body: msgspec.Raw = msgspec.Raw(b"")

    def lower_headers(self) -> dict[str, str]:
        """Headers with lower-case names and text values."""
        return {name.lower(): str(value) for name, value in self.headers.items()} if self.headers else {}


class _BatchResponses(msgspec.Struct):
    responses: list[BatchResponse]


_responses = msgspec.json.Decoder(_BatchResponses)


def encode_batch(items: Sequence[Item], *, chain: bool = False) -> bytes:
    """The body of a $batch. Ids are the items' positions; `chain`: each one waits for the one before."""
    requests: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        request: dict[str, Any] = {"id": str(number), "method": item.method, "url": item.url}
        if item.body is not None:
            request["headers"] = _CONTENT
            request["body"] = msgspec.Raw(item.body)
        if chain and number:
            request["dependsOn"] = [str(number - 1)]
        requests.append(request)
    return _encoder.encode({"requests": requests})


def decode_batch(body: bytes) -> dict[str, BatchResponse] | None:
    """Answers by id; None when the body is no batch answer."""
    try:
        return {response.id: response for response in _responses.decode(body).responses}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def parse_item_error(status: int, body: bytes) -> GraphError:
    """An item's error body."""
    return parse_error(status, body)
