"""The lock on the source: a transport that lets nothing out that could write, in a preview or elsewhere."""

from __future__ import annotations

import httpx

from sds_daemon.errors import SourceInvalid
from sds_daemon.sources.powerschool.queries import QUERY_ROOT

TOKEN_PATH = "/oauth/access_token/"  # noqa: S105 - a path


class ReadOnlyTransport(httpx.AsyncBaseTransport):
    """Passes on GET, the token request, and POST to a PowerQuery, which only reads.

    Everything else raises SourceInvalid naming method and path before a byte is sent. It sits below every feature, so
    that no mistake above it can write.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Check, then send."""
        if not _reads(request.method, request.url.path):
            raise SourceInvalid(
                f"{request.method} {request.url.path} was about to be sent to PowerSchool; it was stopped",
                remedy="nothing was changed; this is a defect, report it",
            )
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the transport below."""
        await self._inner.aclose()


def _reads(method: str, path: str) -> bool:
    if method == "GET":
        return True
    if method != "POST" or ".." in path:
        return False
    return path == TOKEN_PATH or path.startswith(QUERY_ROOT)
