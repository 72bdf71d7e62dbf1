"""How azure-identity reaches the token authority: our HTTP client, bounded answers, no redirects, JSON alone.

The secret or the certificate's assertion goes in the body of the request, so it must not follow a redirect. An answer
is given to the library only in the shape it can read: anything else would end in it as a defect.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AsyncHttpResponse, AsyncHttpTransport
from azure.core.rest import HttpRequest

from sds_daemon.bounded import ACCEPTED, BoundedTransport
from sds_daemon.errors import TargetInvalid, TargetUnreachable
from sds_daemon.targets.entra.clouds import Cloud
from sds_daemon.targets.entra.transport import environment_proxy, shown_root, tls_context

if TYPE_CHECKING:
    from sds_daemon.config.settings import TenantSettings

LARGEST_ANSWER = 256 * 1024
LONGEST_ANSWER = 60.0
LONGEST_TOKEN = 64 * 1024
_REMEDY = "check authority in config.toml and any proxy; nothing was sent there"


class AuthorityTransport(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """Sends token requests to one cloud's authority. `network` replaces the network in tests."""

    def __init__(
        self, settings: TenantSettings, cloud: Cloud, *, network: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._authority = cloud.authority
        inner = network or httpx.AsyncHTTPTransport(
            verify=tls_context(settings), proxy=environment_proxy(cloud.authority)
        )
        self._client = httpx.AsyncClient(
            transport=BoundedTransport(inner, limit=LARGEST_ANSWER, too_large=_too_large),
            timeout=httpx.Timeout(30.0, connect=15.0),
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": ACCEPTED},
        )

    async def send(self, request: HttpRequest, **_options: Any) -> AsyncHttpResponse:
        """One request and its answer, read whole.

        Raises TargetInvalid for another host, TargetUnreachable for a redirect (maintenance does that); azure's
        ServiceRequestError (not sent) or ServiceResponseError (no usable answer), which its retry policy knows.
        """
        if shown_root(request.url).lower() != self._authority.lower():
            raise TargetInvalid(f"a token request was meant for {shown_root(request.url)}", remedy=_REMEDY)
        try:
            async with asyncio.timeout(LONGEST_ANSWER):
                answer = await self._client.request(
                    request.method, request.url, data=_form(request), headers=dict(request.headers)
                )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise ServiceRequestError(str(error), error=error) from None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise ServiceResponseError(f"no answer ({type(error).__name__})") from None
        if 300 <= answer.status_code < 400:
            raise TargetUnreachable(
                f"{self._authority} sent the token request away to {shown_root(answer.headers.get('Location', ''))} "
                f"(HTTP {answer.status_code}); redirects are not followed",
                remedy=_REMEDY,
            )
        return _Answer(request, answer)

    async def open(self) -> None:
        """Nothing to do: connections are opened when they are needed."""

    async def close(self) -> None:
        """Release connections. May be called twice."""
        await self._client.aclose()

    async def __aenter__(self) -> AuthorityTransport:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()


class _Answer(AsyncHttpResponse):
    """An answer as azure-core reads it. Raises ServiceResponseError for one that is neither a token nor an error."""

    def __init__(self, request: HttpRequest, answer: httpx.Response) -> None:
        super().__init__(request, answer)  # type: ignore[arg-type]  # the library passes its newer requests as well
        self.status_code = answer.status_code
        self.headers = dict(answer.headers)
        self.reason = answer.reason_phrase
        self.content_type = "application/json"
        self._body = answer.content
        if answer.status_code < 500 and not _is_understood(self._body, answer.status_code):
            raise ServiceResponseError("the answer is neither a token nor an error")
        if answer.status_code >= 500:
            self._body = b"{}"

    def body(self) -> bytes:
        """The whole body."""
        return self._body


class _TokenAnswer(msgspec.Struct):
    access_token: str
    expires_in: int | str | msgspec.UnsetType = msgspec.UNSET
    expires_on: int | str | msgspec.UnsetType = msgspec.UNSET
    refresh_in: int | str | msgspec.UnsetType = msgspec.UNSET


class _ErrorAnswer(msgspec.Struct):
    error: str
    error_description: str = ""


def _is_understood(body: bytes, status: int) -> bool:
    try:
        if status >= 400:
            msgspec.json.decode(body, type=_ErrorAnswer)
            return True
        found = msgspec.json.decode(body, type=_TokenAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    token = found.access_token
    return token.isascii() and token.isprintable() and " " not in token and 0 < len(token) <= LONGEST_TOKEN


def _form(request: HttpRequest) -> dict[str, str]:
    content = request.content
    return {str(key): str(value) for key, value in content.items()} if isinstance(content, dict) else {}


def _too_large(request: httpx.Request) -> TargetInvalid:
    return TargetInvalid(
        f"the answer from {request.url.host} is larger than {LARGEST_ANSWER // 1024} kB",
        remedy="check authority in config.toml and any proxy",
    )
