"""`/ws/v1/event_subscription`: what a plugin asked to be told about. Kept and shown; no event is ever sent."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from sds_daemon.sandbox.asgi import Request, Response
from sds_daemon.sandbox.powerschool import reply

EVENT_TYPES: Final = ("INSERT", "UPDATE", "DELETE", "SCHOOL_ENROLLMENT")
_KINDS: Final = ("student", "staff", "section", "section_enrollment", "course")
RESOURCES: Final = (*(f"/ws/v1/{kind}/*" for kind in _KINDS), "/ws/v1/test_subscription")
_ROOT: Final = "event_subscriptions"


class Subscriptions:
    """The one set of subscriptions of the plugin; every PUT replaces it as a whole."""

    def __init__(self) -> None:
        self.current: dict[str, Any] | None = None

    def answer(self, request: Request) -> Response:
        """GET shows the set, PUT replaces it (201 new, 204 replaced, 415, 500), DELETE removes it (204, 404)."""
        match request.method:
            case "GET":
                return reply.tree(request, _ROOT, self.current or {})
            case "PUT":
                return self._replace(request)
            case "DELETE":
                if self.current is None:
                    return reply.error(request, 404, "No event subscriptions were found")
                self.current = None
                return Response(204)
        return reply.error(request, 405, f"{request.method} is not allowed on this resource")

    def _replace(self, request: Request) -> Response:
        if "application/json" not in request.headers.get("content-type", "").lower():
            return reply.error(request, 415, "Unsupported Media Type")
        wanted = _read(request)
        if wanted is None:
            return reply.error(request, 500, "The event subscriptions cannot be read")
        status = 201 if self.current is None else 204
        self.current = wanted
        return Response(status)


def _read(request: Request) -> dict[str, Any] | None:
    """The body's subscriptions with the list always a list; None if anything in it makes no sense."""
    try:
        wanted = request.json()[_ROOT]
        rows = wanted["event_subscription"]
        rows = rows if isinstance(rows, list) else [rows]
        known = all(row["resource"] in RESOURCES and row["event_type"] in EVENT_TYPES for row in rows)
        if not known or not urlsplit(wanted["callback_url"]).hostname:
            return None
        return {"key": str(wanted["key"]), "callback_url": wanted["callback_url"], "event_subscription": rows}
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return None
