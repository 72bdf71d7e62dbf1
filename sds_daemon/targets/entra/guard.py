"""The lock on previews: a transport that lets nothing out that could write."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from sds_daemon.errors import TargetInvalid

_TOKEN_PATH = "/oauth2/v2.0/token"  # noqa: S105 - a path
_READING_POSTS = ("/directoryobjects/getbyids",)


class ReadOnlyTransport(httpx.AsyncBaseTransport):
    """Passes on GET, token requests, POST getByIds, and $batch made of GET and getByIds only.

    Everything else raises TargetInvalid naming method and path before a byte is sent. It sits below every feature, so
    that no mistake above it can write.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Check, then send."""
        path = request.url.path
        if request.method == "POST" and path.endswith("/$batch"):
            _check_batch(await request.aread(), path)
        elif not _reads(request.method, path):
            raise _refusal(request.method, path)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the transport below."""
        await self._inner.aclose()


def _reads(method: str, path: str) -> bool:
    if method == "GET":
        return True
    return method == "POST" and (path.endswith(_TOKEN_PATH) or path.lower().endswith(_READING_POSTS))


def _check_batch(content: bytes, path: str) -> None:
    try:
        document: Any = msgspec.json.decode(content)
        items = document["requests"]
        pairs = [(str(item["method"]).upper(), str(item["url"]).split("?")[0]) for item in items]
    except (msgspec.DecodeError, KeyError, TypeError):
        raise _refusal("POST", path) from None
    for method, url in pairs:
        if not _reads(method, url) or url.endswith(_TOKEN_PATH):
            raise _refusal(method, url)


def _refusal(method: str, path: str) -> TargetInvalid:
    return TargetInvalid(
        f"a preview tried to send {method} {path}; it was stopped before it left",
        remedy="nothing was changed; this is a defect, report it",
    )
