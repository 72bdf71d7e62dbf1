"""What an answer of PowerSchool means: a value, a refusal, maintenance, or a reason to try again."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from sds_daemon.errors import SourceDown, SourceInvalid, SourceRefused
from sds_daemon.sources.powerschool.normalise import Malformed, decode
from sds_daemon.sources.powerschool.retry import RETRIED, TryAgain, retry_after

PLUGIN_PAGE = "System > System Settings > Plugin Management Configuration > (the plugin) > Data Provider Configuration"
REINSTALL = (
    "make the plugin with `sds-daemon plugin build plugin.zip`, install it over the old one, approve what it asks for "
    "and enable it: System > System Settings > Plugin Management Configuration"
)
V1_CAPABILITY = b"accesslevelv1api"
_LONGEST_QUOTE = 200


class Answer(msgspec.Struct, frozen=True):
    """One HTTP answer read whole. `path` is without query, safe to print."""

    path: str
    status: int
    headers: httpx.Headers
    body: bytes


def value_of(answer: Answer, now: datetime) -> Any:
    """The JSON value of a successful answer, None for 404.

    Raises SourceRefused (401, 403), SourceDown (redirect, HTML), SourceInvalid (other statuses, formats), or TryAgain
    with one of these inside.
    """
    if 300 <= answer.status < 400:
        raise redirected(answer.path, answer.status, answer.headers.get("Location", ""))
    if answer.status == 200:
        return _json(answer)
    if answer.status == 404:
        return None
    if answer.status in RETRIED:
        error = SourceDown(
            f"PowerSchool answered {answer.status} for {answer.path}{_quoted(answer)}",
            remedy="it is overloaded or restarting; the next run tries again",
        )
        raise TryAgain(error, retry_after(answer.headers.get("Retry-After"), now))
    if answer.status in (401, 403):
        raise _refused(answer)
    raise SourceInvalid(
        f"PowerSchool answered {answer.status} for {answer.path}{_quoted(answer)}",
        remedy="check that url in config.toml is the root of a PowerSchool SIS server of a supported version",
    )


def names_v1_capability(body: bytes) -> bool:
    """Whether a 401 says that the plugin may not read /ws/v1 at all; a new token does not help then."""
    return V1_CAPABILITY in body.lower()


def redirected(path: str, status: int, location: str) -> SourceDown:
    """The error for a redirect: maintenance, or another server. `location` may be anything."""
    try:
        host = urlsplit(location).hostname or "another page"
    except ValueError:
        host = "an unreadable address"
    shown = re.sub("[^!-~ ]", "?", host)[:100]
    return SourceDown(
        f"PowerSchool sent {path} away to {shown} (HTTP {status}); redirects are not followed",
        remedy="the server is in maintenance, or url in config.toml is not its root (scheme, host, port)",
    )


def _json(answer: Answer) -> Any:
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if "json" in kind:
        try:
            value = decode(answer.body)
            if value is None:
                raise Malformed("is null")
            return value
        except Malformed as fault:
            error = SourceInvalid(
                f"the body of {answer.path} {fault}", remedy="look for a proxy between here and PowerSchool"
            )
            raise TryAgain(error) from fault
    if "html" in kind or (answer.body.lstrip()[:1] == b"<" and "xml" not in kind):
        raise SourceDown(
            f"PowerSchool answered {answer.path} with a web page instead of data",
            remedy="the server is in maintenance, or url in config.toml leads to something else",
        )
    raise SourceInvalid(
        f"PowerSchool answered {answer.path} as {kind or 'an unnamed type'} although JSON was asked for",
        remedy="look for a proxy between here and PowerSchool that changes the Accept header",
    )


def _refused(answer: Answer) -> SourceRefused:
    if names_v1_capability(answer.body):
        return SourceRefused(
            f"the plugin may not read /ws/v1: PowerSchool answered {answer.status} for {answer.path}{_quoted(answer)}",
            remedy=f"in PowerSchool open {PLUGIN_PAGE} and set the v1 API access level to READ, "
            "or install plugin.zip of this version (accessLevelV1Api)",
        )
    if answer.status == 401:
        return SourceRefused(
            f"PowerSchool refused a fresh token for {answer.path} (HTTP 401){_quoted(answer)}",
            remedy=f"look whether the plugin is still enabled: {PLUGIN_PAGE}",
        )
    fields = refused_fields(answer.body)
    if fields:
        return SourceRefused(
            f"the plugin may not read {', '.join(fields)}: PowerSchool answered 403 for {answer.path}",
            remedy=REINSTALL,
        )
    return SourceRefused(
        f"PowerSchool forbids {answer.path} (HTTP 403){_quoted(answer)}",
        remedy=f"grant the plugin read access: {PLUGIN_PAGE}",
    )


def refused_fields(body: bytes) -> list[str]:
    """The columns a refusal of /ws/schema names, such as "STUDENTS.DOB"; none where it names none."""
    try:
        value = decode(body[:65_536])
    except Malformed:
        return []
    errors = value.get("errors") if isinstance(value, dict) else None
    named = [error.get("field") for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    shown = {re.sub(r"[^A-Za-z0-9_.]", "?", field)[:64].upper() for field in named if isinstance(field, str)}
    return sorted(shown)


def _quoted(answer: Answer) -> str:
    said = _message(answer.body)
    return f': "{said}"' if said else ""


def _message(body: bytes) -> str:
    """The server's own sentence, from either error envelope (v1: errorMessage; /ws/schema: message), on one line."""
    try:
        value = decode(body[:65_536])
    except Malformed:
        return ""
    if not isinstance(value, dict):
        return ""
    inner = value.get("errorMessage")
    said = inner.get("message") if isinstance(inner, dict) else value.get("message")
    if not isinstance(said, str):
        return ""
    return re.sub(r"[^ -~]+", " ", said)[:_LONGEST_QUOTE].strip()
