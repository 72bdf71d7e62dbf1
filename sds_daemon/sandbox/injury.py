"""Carries out a fault on a whole HTTP answer: delays, wrong statuses, cut and crippled answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from sds_daemon.sandbox.asgi import Response, json_response
from sds_daemon.sandbox.clock import SandboxClock
from sds_daemon.sandbox.faults import Fault

HTML = (
    b"<!DOCTYPE html><html><head><title>Unavailable</title></head><body><h1>Please come back later</h1></body></html>"
)


async def injured(fault: Fault | None, clock: SandboxClock, answer: Callable[[], Awaitable[Response]]) -> Response:
    """The answer to a request that `fault` strikes; `answer` carries the request out and is called at most once.

    delay: carried out, answered late. lost_answer: carried out, connection cut, or answered with the fault's status.
    reset: not carried out, connection cut. status, html, redirect: not carried out, answered so. truncate, slow:
    carried out, the answer crippled. expire_token is left to the caller.
    """
    if fault is None:
        return await answer()
    if fault.kind in ("delay", "lost_answer", "truncate", "slow"):
        return await _after(fault, clock, await answer())
    if fault.kind == "reset":
        return Response(0, breakage="cut")
    return plain(fault)


async def _after(fault: Fault, clock: SandboxClock, response: Response) -> Response:
    if fault.kind == "delay":
        await clock.real_sleep(fault.seconds)
    elif fault.kind == "lost_answer":
        if fault.status is not None:
            return plain(fault)
        response.breakage = "cut"
    else:
        response.breakage = fault.kind
        response.seconds = fault.seconds / clock.scale
    return response


def plain(fault: Fault) -> Response:
    """The made-up answer of a status, html, redirect or (with a status) lost_answer fault."""
    if fault.kind == "html":
        return Response(fault.status or 503, {"content-type": "text/html", **_lower(fault)}, HTML)
    if fault.kind == "redirect":
        location = {"location": "https://status.example.invalid/maintenance"}
        return Response(fault.status or 302, {**location, **_lower(fault)}, HTML)
    if isinstance(fault.body, str):
        return Response(fault.status or 503, {"content-type": "text/plain", **_lower(fault)}, fault.body.encode())
    status = fault.status or (504 if fault.kind == "lost_answer" else 401 if fault.kind == "expire_token" else 503)
    body = fault.body if fault.body is not None else _error(status)
    return json_response(body, status, _lower(fault))


def _lower(fault: Fault) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in fault.headers.items()}


_CODES = {
    401: ("InvalidAuthenticationToken", "Access token has expired or is not yet valid."),
    403: ("Authorization_RequestDenied", "Insufficient privileges to complete the operation."),
    404: ("Request_ResourceNotFound", "Resource not found."),
    409: (
        "Directory_ConcurrencyViolation",
        "Error due to concurrent requests being made to the tenant. Please wait briefly and retry.",
    ),
    429: ("TooManyRequests", "Too many requests"),
    500: ("Service_InternalServerError", "Encountered an internal server error."),
    502: ("BadGateway", "Bad gateway."),
    503: ("Service_Unavailable", "The service is temporarily unavailable. Please try again later."),
    504: ("GatewayTimeout", "The gateway timed out."),
}


def _error(status: int) -> dict[str, dict[str, str]]:
    code, message = _CODES.get(status, ("UnknownError", ""))
    return {"error": {"code": code, "message": message}}


def decoded(body: bytes) -> object:
    """A made-up body as a value: JSON if it is, else text."""
    try:
        value: object = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode("utf-8", "replace")
    return value


async def pause(seconds: float) -> None:
    """Let other requests run for `seconds` real seconds, at least for a moment."""
    await asyncio.sleep(max(0.0, seconds))
