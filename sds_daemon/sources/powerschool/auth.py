"""The plugin's token: fetched once, kept for its life, renewed when the server has forgotten it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec

from sds_daemon.clock import Clock
from sds_daemon.errors import SourceInvalid
from sds_daemon.redaction import hide
from sds_daemon.sources.powerschool.answers import names_v1_capability
from sds_daemon.sources.powerschool.normalise import Malformed, whole

DEFAULT_LIFE = 3600
SHORTEST_LIFE = 60
MARGIN = 60


class Token(msgspec.Struct, frozen=True):
    """A bearer token and the instant from which it is no longer used."""

    secret: str
    stale: datetime

    def __repr__(self) -> str:
        return f"Token(stale={self.stale.isoformat()})"


def parse_token(value: Any, now: datetime) -> Token:
    """The token in a token answer: `access_token`, and `expires_in` as a number or as text, in seconds.

    The token is given up a tenth of its life, at most a minute, before it ends. A missing or impossible life counts as
    an hour, one of less than a minute as a minute: a server that has forgotten the token says so with a 401.
    Raises SourceInvalid.
    """
    secret = value.get("access_token") if isinstance(value, dict) else None
    if not isinstance(secret, str) or not secret.isascii() or not secret.isprintable() or not 0 < len(secret) <= 4096:
        raise SourceInvalid(
            "PowerSchool's token answer holds no usable access_token",
            remedy="check that url in config.toml is the root of a PowerSchool SIS server",
        )
    try:
        life = whole(value.get("expires_in"))
    except Malformed:
        life = None
    seconds = DEFAULT_LIFE if life is None else min(max(life, SHORTEST_LIFE), 10 * 365 * 86_400)
    return Token(hide(secret), now + timedelta(seconds=seconds - min(MARGIN, seconds / 10)))


class TokenCache:
    """One token for all calls of one source. `fetch` asks the server; it is never run twice at the same time."""

    def __init__(self, fetch: Callable[[], Awaitable[Token]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._token: Token | None = None
        self._lock = asyncio.Lock()

    async def get(self, refused: str | None = None) -> str:
        """A token that is neither stale nor `refused`, unless the server hands the refused one out again.

        Raises what `fetch` raises.
        """
        async with self._lock:
            token = self._token
            if token is None or token.secret == refused or self._clock.now() >= token.stale:
                self._token = token = await self._fetch()
            return token.secret


class PluginAuth(httpx.Auth):
    """Adds the bearer token; on a 401 asks once for another token and repeats the request.

    A 401 that says the plugin lacks the v1 capability is handed through: re-authenticating does not help.
    """

    def __init__(self, tokens: TokenCache) -> None:
        self._tokens = tokens

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """The flow httpx runs for each request."""
        token = await self._tokens.get()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code != 401 or names_v1_capability(await response.aread()):
            return
        token = await self._tokens.get(refused=token)
        request.headers["Authorization"] = f"Bearer {token}"
        yield request
