"""The token endpoint: client credentials in, one token handed back again and again until it runs out."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
import uuid
from collections import deque
from typing import Any

from sds_daemon.sandbox.asgi import Request, Response, json_response
from sds_daemon.sandbox.clock import SandboxClock
from sds_daemon.sandbox.powerschool.settings import Settings


class Tokens:
    """Issues and checks bearer tokens for the one plugin that is installed.

    Lifetimes count real seconds plus the jumps of the sandbox clock, not its scale: the client reckons them with an
    ordinary clock.
    """

    def __init__(self, client_id: str, client_secret: str, clock: SandboxClock) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.issued: list[str] = []
        self._clock = clock
        self._token: str | None = None
        self._ends = 0.0
        self._fetched: deque[float] = deque()

    def answer(self, request: Request, settings: Settings) -> Response:
        """The answer to POST /oauth/access_token."""
        if request.method != "POST":
            return _refusal(405, "invalid_request", "Method Not Allowed")
        if not self._is_known(request.headers.get("authorization", "")) or not settings.plugin_enabled:
            return _refusal(401, "invalid_client", "Client authentication failed")
        if "application/x-www-form-urlencoded" not in request.headers.get("content-type", "").lower():
            return _refusal(400, "invalid_request", "The body must be application/x-www-form-urlencoded")
        if request.form().get("grant_type") != "client_credentials":
            return _refusal(400, "unsupported_grant_type", "Only client_credentials is supported")
        wait = self._wait(settings)
        if wait is not None:
            return json_response({"error": "too_many_requests"}, 429, {"retry-after": str(max(1, round(wait)))})
        return json_response(self._issue(settings))

    def is_valid(self, authorization: str) -> bool:
        """Whether the Authorization header of a request carries the token in force."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or self._token is None or self._now() >= self._ends:
            return False
        return secrets.compare_digest(token.strip().encode(), self._token.encode())

    def revoke(self) -> None:
        """Makes the token in force worthless, as a restart of the plugin does."""
        self._token = None

    def _now(self) -> float:
        return time.monotonic() + self._clock.advanced

    def _issue(self, settings: Settings) -> dict[str, Any]:
        now = self._now()
        if self._token is None or now >= self._ends:
            self._token = str(uuid.uuid4())
            self.issued.append(self._token)
            self._ends = now + settings.token_seconds
        left = max(1, int(self._ends - now))
        expires: int | str = left if settings.expires_in == "integer" else str(left)
        return {"access_token": self._token, "token_type": "Bearer", "expires_in": expires}

    def _is_known(self, header: str) -> bool:
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return secrets.compare_digest(given, f"{self.client_id}:{self.client_secret}".encode())

    def _wait(self, settings: Settings) -> float | None:
        """Seconds to wait if too many tokens were fetched of late, else None."""
        if settings.token_limit is None:
            return None
        now = self._now()
        while self._fetched and self._fetched[0] <= now - settings.token_window:
            self._fetched.popleft()
        if len(self._fetched) >= settings.token_limit:
            return self._fetched[0] + settings.token_window - now
        self._fetched.append(now)
        return None


def _refusal(status: int, error: str, text: str) -> Response:
    return json_response({"error": error, "error_description": text}, status)
