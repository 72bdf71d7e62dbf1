"""A request that breaks off while it is being sent."""

from __future__ import annotations

from typing import Any

import pytest

from sds_daemon.sandbox import asgi
from sds_daemon.sandbox.asgi import Request, Response

SCOPE: dict[str, Any] = {
    "type": "http", "method": "POST", "path": "/v1.0/$batch", "query_string": b"", "headers": [],
}  # fmt: skip
BEGUN = {"type": "http.request", "body": b'{"requests"', "more_body": True}
GONE = {"type": "http.disconnect"}


@pytest.mark.parametrize("messages", [[GONE], [BEGUN, GONE]], ids=["at once", "in its body"])
async def test_it_is_never_carried_out(messages: list[dict[str, Any]]) -> None:
    handled: list[Request] = []
    sent: list[object] = []

    async def handler(request: Request) -> Response:
        handled.append(request)
        return Response()

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await asgi.app(handler)(SCOPE, receive, send)
    assert (handled, sent) == ([], [])
