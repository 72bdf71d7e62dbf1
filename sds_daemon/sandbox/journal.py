"""The log of all requests the sandbox has served, each $batch item in a row of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec

from sds_daemon.sandbox.clock import SandboxClock

_SECRET_WORDS = ("password", "secret", "assertion", "access_token", "refresh_token")
_KEPT_HEADERS = (
    "accept", "client-request-id", "consistencylevel", "content-type", "if-match", "prefer", "user-agent",
    "x-ms-throttle-priority",
)  # fmt: skip
HIDDEN = "[hidden]"


class Entry(msgspec.Struct):
    """One request as kept; `body` stays as it came and is decoded and cleaned of secrets only when read."""

    n: int
    side: str
    time: float
    method: str
    path: str
    query: str
    status: int
    batch: int | None
    item: str | None
    headers: Mapping[str, str]
    body: bytes | None
    form: bool
    fault: str | None
    http: str | None


class Journal:
    """A log numbered from 1. With `limit` only the newest rows are kept (0: none); `dropped` counts the rest."""

    def __init__(self, clock: SandboxClock, limit: int | None = None) -> None:
        self._clock = clock
        self._rows: deque[Entry] = deque(maxlen=limit)
        self._keeps = limit != 0
        self._last = 0
        self._open: set[int] = set()

    @property
    def last(self) -> int:
        """Number of the newest row given out."""
        return self._last

    @property
    def dropped(self) -> int:
        """Rows numbered but no longer kept; requests still being answered are not among them."""
        return self._last - len(self._rows) - len(self._open)

    def reserve(self) -> int:
        """A row number to be recorded later, so that a batch comes before its items."""
        self._last += 1
        self._open.add(self._last)
        return self._last

    def record(
        self,
        side: str,
        method: str,
        path: str,
        query: str,
        status: int,
        *,
        n: int | None = None,
        batch: int | None = None,
        item: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        form: bool = False,
        fault: str | None = None,
        http: str | None = None,
    ) -> int:
        """Keep one request (`n` from `reserve`, else the next number) and return its number.

        `form` says that `body` is a form and not JSON. Header names are expected in lower case. `http` is the version
        of the protocol, None for items of a batch.
        """
        number = self.reserve() if n is None else n
        self._open.discard(number)
        if not self._keeps:
            return number
        when = self._clock.now().timestamp()
        self._rows.append(
            Entry(
                number,
                side,
                when,
                method,
                path,
                query,
                status,
                batch,
                item,
                _kept(headers),
                body or None,
                form,
                fault,
                http,
            )
        )
        return number

    def read(self, side: str | None = None, since: int = 0, limit: int | None = None) -> dict[str, Any]:
        """Rows numbered above `since`, in order: `{"next", "last", "requests", "dropped"}`.

        Pass `next` as the next `since`.
        While requests are being answered, `next` stays before them, so that a row may be read twice but never missed.
        `last` is the number given to the newest request so far: rows numbered above it came later.
        """
        chosen = (row for row in self._rows if row.n > since and side in (None, row.side))
        rows = sorted(islice(chosen, limit), key=lambda row: row.n)
        following = rows[-1].n if rows and limit is not None and len(rows) == limit else self._last
        following = min([following, *(number - 1 for number in self._open)])
        shown = [_shown(row) for row in rows]
        return {"next": following, "last": self._last, "requests": shown, "dropped": self.dropped}

    def clear(self) -> None:
        """Forget all rows; numbering goes on."""
        self._rows.clear()


def _kept(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name: headers[name] for name in _KEPT_HEADERS if name in headers} if headers else {}


def _shown(row: Entry) -> dict[str, Any]:
    shown = msgspec.structs.asdict(row)
    del shown["form"]
    shown["time"] = datetime.fromtimestamp(row.time, UTC).isoformat().replace("+00:00", "Z")
    shown["body"] = hide_secrets(_decoded(row))
    return shown


def _decoded(row: Entry) -> Any:
    if row.body is None:
        return None
    if row.form:
        from urllib.parse import parse_qsl

        return dict(parse_qsl(row.body.decode("utf-8", "replace")))
    try:
        return msgspec.json.decode(row.body)
    except msgspec.DecodeError:
        return {"unreadable_bytes": len(row.body)}


def hide_secrets(value: Any) -> Any:
    """A copy of a JSON value in which text under password-like and secret-like keys is replaced."""
    if isinstance(value, dict):
        return {key: HIDDEN if _is_secret(key, item) else hide_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hide_secrets(item) for item in value]
    return value


def _is_secret(key: str, value: object) -> bool:
    lowered = key.lower()
    return isinstance(value, str) and lowered != "passwordpolicies" and any(word in lowered for word in _SECRET_WORDS)
