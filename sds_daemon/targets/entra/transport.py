"""The one way to Graph: our httpx client, tokens, retries of reads, checks of links, sizes and methods."""

from __future__ import annotations

import asyncio
import random
import re
import ssl
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from sds_daemon.bounded import ACCEPTED, BoundedTransport
from sds_daemon.clock import Clock
from sds_daemon.errors import ConfigurationError, TargetError, TargetInvalid, TargetRefused, TargetUnreachable
from sds_daemon.targets.base import RequestCounts
from sds_daemon.targets.entra.auth import EntraTokens, Tokens, token_roles
from sds_daemon.targets.entra.clouds import Cloud, cloud_of, is_loopback
from sds_daemon.targets.entra.errors import GraphError, Problem, classify, parse_error
from sds_daemon.targets.entra.guard import ReadOnlyTransport

if TYPE_CHECKING:
    from msgraph import GraphServiceClient

    from sds_daemon.config.settings import TenantSettings

T = TypeVar("T")
MAX_BODY = 32 * 1024 * 1024
"""Bytes of an unpacked answer; Graph's largest pages are about 1 MB."""
LONGEST_ANSWER = 300.0
"""Seconds from the request to the answer's last byte."""
READ_ATTEMPTS = 6
_JSON = {"Content-Type": "application/json"}
_LOW = {"x-ms-throttle-priority": "low"}
_NO_HEADERS: Mapping[str, str] = {}


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer, read whole. `headers` are case-insensitive; `token_number` says with which token it was asked."""

    status: int
    headers: httpx.Headers
    body: bytes
    token_number: int = 0

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def error(self) -> GraphError:
        """The parsed error body."""
        return parse_error(self.status, self.body)


class GraphTransport:
    """Requests to one tenant's Graph.

    Tokens go to the tenant's own Graph host only; redirects are never followed. `read_only` puts ReadOnlyTransport
    underneath. `http` and `tokens` replace the network in tests. `scale` shortens every back-off (a sandbox with
    scaled time).
    """

    def __init__(
        self,
        settings: TenantSettings,
        clock: Clock,
        *,
        read_only: bool = False,
        http: httpx.AsyncBaseTransport | None = None,
        tokens: Tokens | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.cloud: Cloud = cloud_of(settings)
        self.counts = RequestCounts()
        self.scale = min(1.0, settings.lag_horizon / 900.0)
        self._tokens: Tokens = tokens or EntraTokens(settings, self.cloud)
        self._http_transport = http
        self._read_only = read_only
        self._sleep = sleep
        self._token = ""
        self._token_number = 0

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        network = self._http_transport or httpx.AsyncHTTPTransport(
            verify=tls_context(self.settings),
            http2=True,
            limits=httpx.Limits(max_connections=16, max_keepalive_connections=8),
            proxy=environment_proxy(self.cloud.graph),
        )
        transport = BoundedTransport(network, limit=MAX_BODY, too_large=_too_large, longest=LONGEST_ANSWER)
        return httpx.AsyncClient(
            transport=ReadOnlyTransport(transport) if self._read_only else transport,
            timeout=httpx.Timeout(100.0, connect=15.0, pool=None),
            follow_redirects=False,
            headers={"User-Agent": "sds-daemon", "Accept": "application/json", "Accept-Encoding": ACCEPTED},
        )

    @cached_property
    def builders(self) -> GraphServiceClient:
        """msgraph-sdk's request builders, for `to_..._request_information`; they cannot send anywhere else.

        Imported late: the package is large.
        """
        from kiota_abstractions.authentication import AllowedHostsValidator, BaseBearerTokenAuthenticationProvider
        from msgraph import GraphServiceClient
        from msgraph.graph_request_adapter import GraphRequestAdapter

        provider = BaseBearerTokenAuthenticationProvider(
            _TokenProvider(self._tokens, AllowedHostsValidator([self.cloud.host]), self.cloud.host)
        )
        adapter = GraphRequestAdapter(provider, self._client)
        adapter.base_url = self.cloud.base
        return GraphServiceClient(request_adapter=adapter)

    async def roles(self) -> frozenset[str]:
        """The app's permissions as the token states them. Raises TargetError."""
        return token_roles(await self._tokens.token())

    async def renew_token(self, number: int) -> None:
        """Drop the token a reply was asked with (its `token_number`), unless it has been replaced already."""
        if number == self._token_number:
            await self._tokens.renew(self._token)

    def relative(self, request: Any) -> str:
        """A RequestInformation's URL as a $batch wants it: "/users?...", without root and version."""
        request.path_parameters["baseurl"] = self.cloud.base
        url: str = request.url
        return url.removeprefix(self.cloud.base).replace("/delta()", "/delta").replace("%24", "$")

    async def get(self, request: Any, decoder: msgspec.json.Decoder[T]) -> T:
        """GET a RequestInformation, a relative URL ("/users?...") or a link Graph gave, decoded.

        Repeats what can be repeated. Raises TargetRefused (401, 403), TargetUnreachable, TargetInvalid.
        """
        url = self._absolute(request)
        reply = await self.read(url)
        if not reply.ok:
            raise refusal(reply.error, f"GET {urlsplit(url).path}")
        return self.decode(reply, decoder, url)

    async def read(self, request: Any, content: bytes | None = None) -> Reply:
        """GET (or, with content, a POST that only reads) with repeats; the last answer whatever its status.

        Raises TargetUnreachable when there is none, TargetError of the token.
        """
        url = self._absolute(request)
        for attempt in range(READ_ATTEMPTS):
            last = attempt == READ_ATTEMPTS - 1
            try:
                reply = await self.request("GET" if content is None else "POST", url, content)
            except TargetUnreachable:
                if last:
                    raise
                await self.pause(attempt, None)
                continue
            self.counts.reads += 1
            if reply.ok or last or classify(reply.error).problem not in (Problem.THROTTLED, Problem.TRANSIENT):
                return reply
            self.counts.refused += reply.status == 429
            await self.pause(attempt, retry_after(reply.headers))
        raise AssertionError("the loop returns")

    async def request(
        self, method: str, url: str, content: bytes | None = None, *, headers: Mapping[str, str] = _NO_HEADERS
    ) -> Reply:
        """One request, repeated only where Graph refuses the token (once).

        Raises TargetUnreachable with `sent` telling whether Graph may have seen it (see `Unanswered`), TargetError of
        the token, TargetInvalid for a redirect and for an answer above MAX_BODY.
        """
        url = self._absolute(url)
        reply = await self._send(method, url, content, headers)
        if reply.status == 401 and classify(reply.error).problem is Problem.TOKEN:
            await self.renew_token(reply.token_number)
            reply = await self._send(method, url, content, headers)
        return reply

    async def post_batch(self, content: bytes, *, low: bool = False) -> Reply:
        """POST /$batch. `low`: this can wait, should Graph have to shed load (Graph docs: throttling).

        That the priority of a batch is its items' is not documented; they carry none of their own.
        """
        self.counts.batches += 1
        return await self.request("POST", "/$batch", content, headers=_LOW if low else _NO_HEADERS)

    async def pause(self, attempt: int, wait: float | None) -> None:
        """Wait Retry-After seconds, or an exponential back-off with jitter (0.5 s doubling to 30 s)."""
        backoff = min(30.0, 0.5 * 2**attempt) * random.uniform(0.75, 1.25) * self.scale  # noqa: S311
        await self._sleep(min(wait, 300.0) if wait is not None else backoff)

    def link(self, url: str) -> str:
        """A page link Graph gave, as a $batch wants it. Raises TargetInvalid for one that leaves this Graph."""
        return self._absolute(url).removeprefix(self.cloud.base)

    def decode(self, reply: Reply, decoder: msgspec.json.Decoder[T], url: str) -> T:
        """Decode a 2xx body. Raises TargetInvalid naming the path."""
        try:
            return decoder.decode(reply.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise TargetInvalid(
                f"GET {urlsplit(url).path}: the answer cannot be understood ({type(error).__name__})",
                remedy="check for a proxy that alters answers; it is tried again next time",
            ) from None

    async def close(self) -> None:
        """Release connections. May be called twice."""
        if "_client" in self.__dict__:
            await self._client.aclose()
        await self._tokens.close()

    def _absolute(self, request: Any) -> str:
        if not isinstance(request, str):
            return self.cloud.base + self.relative(request)
        if request.startswith("/"):
            return self.cloud.base + request
        if not _leads_to(request, self.cloud.base):
            raise TargetInvalid(
                f"Graph sent a link to {shown_root(request)}, which is not {self.cloud.base}",
                remedy="check graph_url and any proxy; the token was not sent there",
            )
        return request

    async def _send(self, method: str, url: str, content: bytes | None, more: Mapping[str, str]) -> Reply:
        token = await self._tokens.token()
        if token != self._token:
            self._token, self._token_number = token, self._token_number + 1
        number = self._token_number
        headers = {"Authorization": f"Bearer {token}", "client-request-id": str(uuid.uuid4()), **more}
        if content is not None:
            headers |= _JSON
        request = self._client.build_request(method, _parsed(url), content=content, headers=headers)
        try:
            response = await self._client.send(request)
        except httpx.InvalidURL:  # what httpx makes of some Location headers, though it does not follow them
            raise _redirected(request, "a redirect", "https://[") from None
        except httpx.HTTPError as error:
            raise Unanswered(error, self.cloud) from None
        if 300 <= response.status_code < 400:
            raise _redirected(request, f"HTTP {response.status_code}", response.headers.get("Location", ""))
        return Reply(response.status_code, response.headers, response.content, number)


@lru_cache(maxsize=16)
def _parsed(url: str) -> httpx.URL:
    """Nearly all requests have one and the same address, and httpx would take it apart each time."""
    return httpx.URL(url)


class Unanswered(TargetUnreachable):
    """No answer from Graph. `sent` is False when the request certainly did not reach it."""

    def __init__(self, error: httpx.HTTPError, cloud: Cloud) -> None:
        self.sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        remedy = "check name resolution, the network and the proxy"
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            remedy = "its certificate cannot be verified: set ca_file, or check for a proxy that opens TLS"
        super().__init__(f"no answer from {cloud.graph} ({type(error).__name__})", remedy=remedy)


class _TokenProvider:
    """Kiota's view of our tokens: none for any other host."""

    def __init__(self, tokens: Tokens, validator: Any, host: str) -> None:
        self._tokens = tokens
        self._validator = validator
        self._host = host

    async def get_authorization_token(self, uri: str, additional_authentication_context: Any = None) -> str:
        """The token, or "" for a host that is not this tenant's Graph."""
        parts = urlsplit(uri)
        return await self._tokens.token() if parts.netloc.lower() == self._host else ""

    def get_allowed_hosts_validator(self) -> Any:
        """The validator that was set."""
        return self._validator


def _too_large(request: httpx.Request) -> TargetInvalid:
    return TargetInvalid(
        f"an answer from {request.url.host} is larger than {MAX_BODY // 2**20} MB",
        remedy="check graph_url and any proxy",
    )


def _redirected(request: httpx.Request, how: str, location: str) -> TargetInvalid:
    return TargetInvalid(
        f"Graph sent {request.method} {request.url.path} away to {shown_root(location)} ({how}); "
        "redirects are not followed",
        remedy="check graph_url and any proxy; the token was not sent there",
    )


def _leads_to(link: str, base: str) -> bool:
    """Whether an absolute link stays below `base` and is one a request can be made of."""
    try:
        parts, own = urlsplit(link), urlsplit(base)
        httpx.URL(link)
    except (ValueError, httpx.InvalidURL):
        return False
    here, there = (own.scheme, own.netloc.lower()), (parts.scheme, parts.netloc.lower())
    return here == there and parts.path.startswith(own.path + "/")


def shown_root(link: str) -> str:
    """Scheme and host of a foreign link, fit to be printed: no path, no user name, no odd characters."""
    try:
        parts = urlsplit(link)
        root = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "another page"
    except ValueError:
        root = "an unreadable address"
    return re.sub(r"[^!-~ ]", "?", root)[:100]


def retry_after(headers: httpx.Headers | dict[str, str]) -> float | None:
    """Seconds to wait by Retry-After, which may be fractional; None when absent, unreadable or negative."""
    try:
        seconds = float(headers.get("retry-after") or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None


def refusal(error: GraphError, what: str) -> TargetError:
    """The exception for an error answer that ends an operation. Names the request and Graph's code, never the message.

    401 and 403 become TargetRefused, 5xx and 429 TargetUnreachable, the rest TargetInvalid.
    """
    problem = classify(error).problem
    label = f"{what}: {error.status} {error.code}".rstrip()
    if problem in (Problem.TOKEN, Problem.NOT_CONSENTED):
        return TargetRefused(label, remedy="grant admin consent to the app in this tenant, then wait some minutes")
    if problem is Problem.PERMISSION:
        return TargetRefused(label, remedy="grant the missing application permission (sds-daemon check names it)")
    if problem in (Problem.THROTTLED, Problem.TRANSIENT):
        return TargetUnreachable(label, remedy="Graph is overloaded or down; it is tried again later")
    remedy = f"request-id {error.request_id}" if error.request_id else "report it with the journal around it"
    return TargetInvalid(label, remedy=remedy)


def tls_context(settings: TenantSettings) -> ssl.SSLContext:
    """Verifies against the usual authorities, or against `ca_file` alone. Raises ConfigurationError if unreadable."""
    if settings.ca_file is None:
        return httpx.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=str(settings.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"ca_file {settings.ca_file} cannot be used: {error.strerror or error}",
            remedy="it must be a PEM file with the authority's certificate, readable by the daemon",
        ) from None


def environment_proxy(url: str) -> httpx.Proxy | None:
    """The proxy the environment names for a URL (HTTPS_PROXY, NO_PROXY); none for this machine itself."""
    from urllib.request import getproxies, proxy_bypass

    if is_loopback(url):
        return None
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    return httpx.Proxy(proxy) if proxy and not proxy_bypass(parts.hostname or "") else None
