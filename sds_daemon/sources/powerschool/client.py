"""HTTP to one PowerSchool server: TLS, few calls at once, bounded answers, patience. Nothing that could write."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from sds_daemon import __version__
from sds_daemon.bounded import ACCEPTED, BoundedTransport
from sds_daemon.clock import Clock
from sds_daemon.config.settings import SourceSettings
from sds_daemon.errors import ConfigurationError, SourceInvalid, SourceMissing, SourceRefused, SourceUnreachable
from sds_daemon.sources.powerschool.answers import PLUGIN_PAGE, Answer, redirected, value_of
from sds_daemon.sources.powerschool.auth import PluginAuth, Token, TokenCache, parse_token
from sds_daemon.sources.powerschool.guard import TOKEN_PATH, ReadOnlyTransport
from sds_daemon.sources.powerschool.retry import RetryRules, Sleep, Stop, TryAgain, look, persist
from sds_daemon.sources.powerschool.spool import Spool

LARGEST_ANSWER = 64 * 1024 * 1024
LONGEST_ANSWER = 300.0
LARGEST_STREAM = 2 * 1024 * 1024 * 1024
"""Bytes; ten times the enrollments of a district of 200,000 students. They go to a file, not into memory."""
LONGEST_STREAM = 3600.0
STREAM_TRIES = 3
"""A stream that breaks this often is read in pages instead."""
_TIMEOUT = httpx.Timeout(60.0, connect=15.0)
_STREAM_TIMEOUT = httpx.Timeout(300.0, connect=15.0)

Params = dict[str, str | int]


def server_url(settings: SourceSettings) -> str:
    """The server's root without a trailing slash. Raises ConfigurationError for what may not be spoken to.

    Plain http is allowed to loopback only: the client secret and the pupils' data would cross the network readable.
    """
    where = f"[sources.{settings.name}] url"
    try:
        parts = urlsplit(settings.url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"{where} cannot be read: {error}", remedy=_EXAMPLE) from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"{where} is not an http(s) address", remedy=_EXAMPLE)
    if parts.username is not None or parts.query or parts.fragment or parts.path.strip("/"):
        raise ConfigurationError(f"{where} holds more than scheme, host and port", remedy=_EXAMPLE)
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(f"{where} is plain http to {host}", remedy="use https; a private CA goes into ca_file")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


_EXAMPLE = 'write it like "https://powerschool.example.org" or "https://powerschool.example.org:8443"'


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verifies always: against `ca_file` alone where given, else the machine's store. Raises ConfigurationError."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"ca_file {ca_file} cannot be used: {error.strerror or error}",
            remedy="name a PEM file with the certificate of the authority that signed the server's certificate",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class PowerSchoolClient:
    """Calls to one server, shared by all profiles that read it; at most `settings.max_calls` at once.

    `sleep`, `rules`, `jitter` and `transport` are for tests. Proxies named by the environment are not used.
    """

    def __init__(
        self,
        settings: SourceSettings,
        clock: Clock,
        *,
        rules: RetryRules | None = None,
        sleep: Sleep = asyncio.sleep,
        jitter: random.Random | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base = server_url(settings)
        self.max_calls = settings.max_calls
        self._settings = settings
        self._clock = clock
        self._rules = rules or RetryRules()
        self._sleep = sleep
        self._jitter = jitter or random.Random()  # noqa: S311 - spreads retries
        self._slots = asyncio.Semaphore(settings.max_calls)
        self._tokens = TokenCache(self._fetch_token, clock)
        guarded = ReadOnlyTransport(transport or _network(settings))
        self._http = self._make_client(guarded, LARGEST_ANSWER, LONGEST_ANSWER, _TIMEOUT)
        self._streams = self._make_client(guarded, LARGEST_STREAM, LONGEST_STREAM, _STREAM_TIMEOUT)

    def _make_client(
        self, network: httpx.AsyncBaseTransport, limit: int, longest: float, timeout: httpx.Timeout
    ) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.base,
            auth=PluginAuth(self._tokens),
            follow_redirects=False,
            trust_env=False,
            timeout=timeout,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": ACCEPTED,
                "User-Agent": f"sds-daemon/{__version__}",
            },
            transport=BoundedTransport(network, limit=limit, too_large=partial(_too_large, limit), longest=longest),
        )

    async def get(self, path: str, params: Params | None = None, *, stop: Stop = lambda: False) -> Any:
        """The JSON value at `path`, None for 404. Raises SourceError, Interrupted."""

        async def attempt() -> Any:
            await self.authenticate()
            async with self._slots:
                answer = await self._send("GET", path, params=params)
            return value_of(answer, self._clock.now())

        return await self._persist(attempt, stop)

    async def post(self, path: str, body: Any, *, stop: Stop = lambda: False) -> Any:
        """The JSON value a PowerQuery answers with, None for 404. Raises SourceError, Interrupted."""

        async def attempt() -> Any:
            await self.authenticate()
            async with self._slots:
                answer = await self._send("POST", path, json=body)
            return value_of(answer, self._clock.now())

        return await self._persist(attempt, stop)

    async def download(self, path: str, params: Params, body: Any, *, stop: Stop = lambda: False) -> Spool | None:
        """The answer of a PowerQuery as it came, unread; None for 404. Raises SourceError, Interrupted.

        An answer that is cut off, too long or too slow is tried again, fewer times than others.
        """

        async def attempt() -> Spool | None:
            await self.authenticate()
            async with self._slots:
                return await self._receive(path, params, body, stop)

        rules = msgspec.structs.replace(self._rules, tries=min(STREAM_TRIES, self._rules.tries))
        spool: Spool | None = await persist(attempt, rules=rules, sleep=self._sleep, stop=stop, jitter=self._jitter)
        return spool

    async def authenticate(self) -> None:
        """Have a token, from the cache or from the server. Raises SourceError, ConfigurationError."""
        await self._tokens.get()

    async def close(self) -> None:
        """Release connections. May be called twice."""
        await self._streams.aclose()
        await self._http.aclose()

    async def _persist(self, attempt: Callable[[], Any], stop: Stop) -> Any:
        return await persist(attempt, rules=self._rules, sleep=self._sleep, stop=stop, jitter=self._jitter)

    async def _fetch_token(self) -> Token:
        basic = httpx.BasicAuth(self._settings.client_id.reveal(), self._settings.client_secret.reveal())

        async def attempt() -> Token:
            answer = await self._send("POST", TOKEN_PATH, data={"grant_type": "client_credentials"}, auth=basic)
            if answer.status in (400, 401, 403):
                raise SourceRefused(
                    f"PowerSchool refused client id and secret (HTTP {answer.status} for {TOKEN_PATH})",
                    remedy=f"compare them with {PLUGIN_PAGE}, and look whether the plugin is enabled",
                )
            value = value_of(answer, self._clock.now())
            if value is None:
                raise SourceInvalid(
                    f"{self.base} has no {TOKEN_PATH} (HTTP 404)",
                    remedy="check url in config.toml: it must be the root of a PowerSchool SIS server",
                )
            return parse_token(value, self._clock.now())

        token: Token = await self._persist(attempt, lambda: False)
        return token

    async def _send(self, method: str, path: str, **options: Any) -> Answer:
        with self._failures(path):
            async with asyncio.timeout(LONGEST_ANSWER), self._http.stream(method, path, **options) as response:
                body = await response.aread()
        return Answer(path, response.status_code, response.headers, body)

    async def _receive(self, path: str, params: Params, body: Any, stop: Stop) -> Spool | None:
        with self._failures(path):
            async with self._streams.stream("POST", path, params=params, json=body) as response:
                if response.status_code != 200 or "json" not in response.headers.get("Content-Type", ""):
                    answer = Answer(path, response.status_code, response.headers, await response.aread())
                else:
                    return await _spooled(response, stop)
        value_of(answer, self._clock.now())
        return None

    @contextmanager
    def _failures(self, path: str) -> Iterator[None]:
        """What can go wrong on the way of an answer, as TryAgain or SourceError."""
        try:
            yield
        except TimeoutError as error:
            raise TryAgain(_unreachable(path, f"took longer than {LONGEST_ANSWER:.0f} s")) from error
        except httpx.InvalidURL:  # what httpx makes of some Location headers, though it does not follow them
            raise redirected(path, 302, "https://[") from None
        except httpx.DecodingError as error:
            raise TryAgain(SourceInvalid(f"{path}: {error}", remedy=_PROXY)) from error
        except httpx.TransportError as error:
            raise _transport_failure(self.base, path, error) from error


async def _spooled(response: httpx.Response, stop: Stop) -> Spool:
    spool = Spool()
    try:
        async for piece in response.aiter_raw():
            spool.write(piece)
            look(stop)
        spool.end_document()
    except BaseException:
        spool.close()
        raise
    return spool


_PROXY = "look for a proxy between here and PowerSchool"


def _network(settings: SourceSettings) -> httpx.AsyncBaseTransport:
    limits = httpx.Limits(max_connections=settings.max_calls + 1, max_keepalive_connections=settings.max_calls)
    return httpx.AsyncHTTPTransport(verify=tls_context(settings.ca_file), trust_env=False, limits=limits)


def _too_large(limit: int, request: httpx.Request) -> SourceInvalid:
    return SourceInvalid(
        f"the answer for {request.url.path} is larger than {limit // 1024**2} MB",
        remedy="lower the plugin's page size in PowerSchool",
    )


def _unreachable(path: str, what: str) -> SourceUnreachable:
    return SourceUnreachable(f"PowerSchool {what} for {path}", remedy="sds-daemon check tells DNS, port and TLS apart")


def _transport_failure(base: str, path: str, error: httpx.TransportError) -> Exception:
    """A certificate that does not verify will not verify in a second; anything else of the network may pass."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return SourceUnreachable(
            f"the certificate of {base} was not accepted: {certificate_fault(error)}",
            remedy="put the certificate of the school's own authority into a PEM file and name it as ca_file; "
            "the host in url must be one the certificate was made for",
        )
    kind = type(error).__name__
    return TryAgain(_unreachable(path, f"at {base} gave no answer ({kind}{f': {error}' if str(error) else ''})"))


def certificate_fault(error: BaseException) -> str:
    """The reason inside OpenSSL's message, such as "self-signed certificate"."""
    message = str(error).rpartition("CERTIFICATE_VERIFY_FAILED] certificate verify failed:")[2] or str(error)
    return message.partition(" (_ssl.c")[0].strip()


class Session:
    """The calls of one read: counts them, and looks at `stop` before each."""

    def __init__(self, client: PowerSchoolClient, stop: Stop = lambda: False) -> None:
        self.client = client
        self.calls = 0
        self._stop = stop

    @property
    def lanes(self) -> int:
        """How many calls are made at once."""
        return self.client.max_calls

    def look(self) -> None:
        """Raises Interrupted once the read was asked to stop."""
        look(self._stop)

    async def find(self, path: str, params: Params | None = None) -> Any:
        """The JSON value at `path`, None where the server has no such record. Raises SourceError, Interrupted."""
        self.calls += 1
        return await self.client.get(path, params, stop=self._stop)

    async def post(self, path: str, body: Any) -> Any:
        """What a PowerQuery answers, None where the server has none of that name. Raises SourceError, Interrupted."""
        self.calls += 1
        return await self.client.post(path, body, stop=self._stop)

    async def download(self, path: str, params: Params, body: Any) -> Spool | None:
        """The answer of a PowerQuery unread, None where there is none. Raises SourceError, Interrupted."""
        self.calls += 1
        return await self.client.download(path, params, body, stop=self._stop)

    async def get(self, path: str, params: Params | None = None) -> Any:
        """The JSON value at `path`. Raises SourceError, for 404 SourceMissing, and Interrupted."""
        value = await self.find(path, params)
        if value is None:
            raise SourceMissing(
                f"PowerSchool has no {path} (HTTP 404)",
                remedy="the record vanished while it was read, or url in config.toml is not the server's root",
            )
        return value
