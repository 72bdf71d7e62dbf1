"""The little of ASGI the sandbox needs: whole requests in, whole responses out, and ways to break an answer.

Works under uvicorn and hypercorn alike. No framework, so that the servers stay far from being the bottleneck.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_TYPE = "application/json; charset=utf-8"


class ConnectionCut(ConnectionError):
    """Raised to make the server drop a connection it offers no other way to drop."""


@dataclass(slots=True)
class Request:
    """One HTTP request, body included; header names are lower case, `query` is the raw text after `?`.

    `path` is percent-decoded, `raw_path` as it came.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    scheme: str = "http"
    raw_path: str = ""
    http_version: str = "1.1"

    def json(self) -> Any:
        """The decoded body; raises ValueError (msgspec.DecodeError) if it is not JSON."""
        return msgspec.json.decode(self.body)

    def params(self) -> dict[str, str]:
        """Query options, the last one winning, blanks kept."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def form(self) -> dict[str, str]:
        """The body as a submitted form."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(slots=True)
class Response:
    """One HTTP answer. `breakage` is None, "cut" (no answer at all), "truncate" (half the body) or "slow" (a drip).

    With `parts` the body is streamed in these pieces, its length not told beforehand, and `body` is not looked at.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    breakage: str | None = None
    seconds: float = 0.0
    parts: Sequence[bytes | memoryview] = ()


Handler = Callable[[Request], Awaitable[Response]]


def json_response(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`value` encoded as JSON; `headers` may override the content type."""
    return Response(status, {"content-type": JSON_TYPE, **(headers or {})}, msgspec.json.encode(value))


def app(handler: Handler) -> ASGIApp:
    """An ASGI application that answers every HTTP request with `handler`, and lifespan events with agreement."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            request = await _read(scope, receive)
            if request is not None:
                await _write(await handler(request), send)

    return application


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


async def _read(scope: Scope, receive: Receive) -> Request | None:
    """The request, or None where the client was gone before all of it had come: such a one is never carried out."""
    message = await receive()
    parts = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    if message["type"] == "http.disconnect":
        return None
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope["query_string"].decode("latin-1")
    raw_path = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1")
    version = scope.get("http_version", "1.1")
    return Request(scope["method"], scope["path"], query, headers, body, scope.get("scheme", "http"), raw_path, version)


async def _write(response: Response, send: Send) -> None:
    if response.breakage == "cut":
        await _cut(send)
        return
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    if "content-length" not in response.headers and response.status != 204 and not response.parts:
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if response.breakage == "truncate":
        body = b"".join(response.parts) or response.body
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        await asyncio.sleep(0.01)
        await _cut(send)
    elif response.breakage == "slow":
        await _drip(b"".join(response.parts) or response.body, response.seconds, send)
    elif response.parts:
        await _stream(response.parts, send)
    else:
        await send({"type": "http.response.body", "body": response.body})


async def _stream(parts: Sequence[bytes | memoryview], send: Send) -> None:
    for part in parts:
        await send({"type": "http.response.body", "body": bytes(part), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _drip(body: bytes, seconds: float, send: Send) -> None:
    pieces = 10
    size = max(1, -(-len(body) // pieces))
    for start in range(0, len(body), size):
        await asyncio.sleep(seconds / pieces)
        await send({"type": "http.response.body", "body": body[start : start + size], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _cut(send: Send) -> None:
    # ASGI has no word for it, so the server's own objects behind `send` are asked for the transport.
    owner = getattr(send, "__self__", None)
    while owner is not None:
        transport = getattr(owner, "transport", None) or getattr(getattr(owner, "writer", None), "transport", None)
        if transport is not None:
            transport.abort()
            return
        owner = getattr(getattr(owner, "send", None), "__self__", None)
    raise ConnectionCut("the sandbox cuts this connection on purpose")
