"""Graph's error answers: parsed, and sorted into a closed set of problems.

Branches on status, `code` and `details[].code`; falls back to message prefixes where Graph tells cases apart by message
only. An answer that fits nothing is UNKNOWN, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec

LARGEST_ERROR = 1024 * 1024
"""Bytes of an error body that are worth reading."""


class Problem(StrEnum):
    """What an error answer means for the one who sent the request. A closed set."""

    THROTTLED = "throttled"  # 429: wait, then repeat
    TRANSIENT = "transient"  # 408, 423, 424, 5xx: repeat what is idempotent, look up what is not
    CONCURRENCY = "concurrency"  # 409: another write to the object is under way
    LAG = "lag"  # 404 for an object too young to be visible everywhere
    TOKEN = "token"  # noqa: S105 - 401 that a new token cures
    NOT_CONSENTED = "not_consented"  # 401 that a new token does not cure
    PERMISSION = "permission"  # 403
    ALREADY_EXISTS = "already_exists"  # the reference or object is there already
    NOT_THERE = "not_there"  # the object or reference is gone
    CONFLICT = "conflict"  # another object holds the value; `target` names the property
    LAST_OWNER = "last_owner"
    FORWARD_LINK_QUOTA = "forward_link_quota"  # `target`: owners or members
    OBJECT_QUOTA = "object_quota"
    PASSWORD = "password"  # noqa: S105 - complexity
    INVALID_VALUE = "invalid_value"
    ON_PREMISES = "on_premises"
    NO_SEAT = "license_no_seat"
    USAGE_LOCATION = "license_usage_location"
    UNKNOWN_SKU = "license_sku"
    EXCLUSIVE_PLANS = "license_exclusive"
    PLAN_DEPENDENCY = "license_dependency"
    LICENSE_OTHER = "license_other"
    NOT_EDUCATION = "not_education"
    DELTA_RESET = "delta_reset"  # 410, or a page or delta token that is too old
    TOO_LARGE = "too_large"  # 413: split
    DEFECT = "defect"  # the request itself is wrong: unknown property, segment, method or query
    UNKNOWN = "unknown"


class ErrorDetail(msgspec.Struct, frozen=True):
    """One entry of `error.details`."""

    code: str = ""
    target: str = ""
    message: str = ""


class GraphError(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed error answer. `code` is Graph's; `inner_codes` the codes nested in innerError, outermost first.

    `message` may hold account names: it belongs in issue details only after scrubbing, and in logs at DEBUG.
    """

    status: int
    code: str = ""
    message: str = ""
    target: str = ""
    details: tuple[ErrorDetail, ...] = ()
    inner_codes: tuple[str, ...] = ()
    request_id: str = ""

    @property
    def codes(self) -> frozenset[str]:
        """Every code in the answer, lower-cased."""
        return frozenset(c.lower() for c in (self.code, *self.inner_codes, *(d.code for d in self.details)) if c)


class Verdict(msgspec.Struct, frozen=True):
    """`target`: the property or relation concerned, where Graph names one. `missing`: the id a 404 names."""

    problem: Problem
    target: str = ""
    missing: str = ""


def parse_error(status: int, body: bytes) -> GraphError:
    """Read an error body in any shape Graph or a gateway in front of it sends; never raises.

    HTML, empty, truncated, oversized and too deeply nested bodies give an error with the status alone.
    """
    try:
        document = msgspec.json.decode(body) if 0 < len(body) <= LARGEST_ERROR else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, str):
        return GraphError(status=status, code=error, message=_text(document, "error_description"))
    if not isinstance(error, dict):
        return GraphError(status=status)
    inner = list(_inner(error))
    return GraphError(
        status=status,
        code=_text(error, "code"),
        message=_text(error, "message"),
        target=_text(error, "target"),
        details=tuple(_details(error.get("details"))),
        inner_codes=tuple(code for code in (_text(level, "code") for level in inner) if code),
        request_id=next((i for i in (_text(level, "request-id") for level in inner) if i), ""),
    )


def _text(mapping: Any, key: str) -> str:
    value = mapping.get(key) if isinstance(mapping, dict) else None
    if isinstance(value, dict):
        value = value.get("value")
    return value if isinstance(value, str) else ""


def _details(entries: Any) -> Iterator[ErrorDetail]:
    for entry in entries if isinstance(entries, list) else ():
        yield ErrorDetail(_text(entry, "code"), _text(entry, "target"), _text(entry, "message"))


def _inner(error: dict[str, Any]) -> Iterator[dict[str, Any]]:
    level: Any = error
    for _ in range(8):
        level = level.get("innerError") or level.get("innererror")
        if not isinstance(level, dict):
            return
        yield level


_MESSAGES: tuple[tuple[re.Pattern[str], Problem], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), problem)
    for pattern, problem in (
        (r"added object references already exist", Problem.ALREADY_EXISTS),
        (r"removed object references do not exist", Problem.NOT_THERE),
        (r"conflicting object with one or more of the specified property values", Problem.ALREADY_EXISTS),
        (r"another object with the same value for property", Problem.CONFLICT),
        (r"must have at least one owner", Problem.LAST_OWNER),
        (r"password does not comply|password complexity", Problem.PASSWORD),
        (r"invalid usage location", Problem.USAGE_LOCATION),
        (r"does not have any available licenses", Problem.NO_SEAT),
        (r"mutually exclusive", Problem.EXCLUSIVE_PLANS),
        (r"license assignment failed because service plan .* depends on", Problem.PLAN_DEPENDENCY),
        (r"does not correspond to a valid company license", Problem.UNKNOWN_SKU),
        (r"does not have a corresponding license|license is inherited|license assignment", Problem.LICENSE_OTHER),
        (r"education_\w+.*does not exist as|invalid edu license", Problem.NOT_EDUCATION),
        (r"on-premises mastered", Problem.ON_PREMISES),
        (r"forward-link '?(owners|members)", Problem.FORWARD_LINK_QUOTA),
        (r"object quota limit", Problem.OBJECT_QUOTA),
        (r"syncstatenotfound|resyncrequired|page ?token", Problem.DELTA_RESET),
        (r"the property '[^']*' does not exist on type|resource not found for the segment", Problem.DEFECT),
        (r"http method is not allowed|unsupported or invalid query", Problem.DEFECT),
        (r"resource '[^']*' does not exist|reference-property objects are not present", Problem.NOT_THERE),
        (r"invalid value|is invalid|invalid domain|verified domain|required propert", Problem.INVALID_VALUE),
    )
)
_MISSING = re.compile(r"Resource '([^']+)' does not exist", re.IGNORECASE)
_PROPERTY = re.compile(r"(?:for property|propert(?:y|ies):|value specified for property) '?(\w+)", re.IGNORECASE)
_LINK = re.compile(r"forward-link '?(\w+)", re.IGNORECASE)
_INVALID = re.compile(r"Property (\w+) is invalid|of the (\w+) property is invalid|property '(\w+)'", re.IGNORECASE)
_BY_STATUS = {
    401: Problem.TOKEN,
    403: Problem.PERMISSION,
    404: Problem.NOT_THERE,
    405: Problem.DEFECT,
    408: Problem.TRANSIENT,
    410: Problem.DELTA_RESET,
    412: Problem.CONCURRENCY,
    413: Problem.TOO_LARGE,
    423: Problem.TRANSIENT,
    424: Problem.TRANSIENT,
    429: Problem.THROTTLED,
    507: Problem.OBJECT_QUOTA,
}
_RESET_CODES = frozenset({"syncstatenotfound", "resyncrequired", "directory_expiredpagetoken"})
_DEFECT_CODES = frozenset(
    {
        "request_unsupportedquery",
        "request_invaliddatacontractversion",
        "request_invalidrequesturl",
        "request_multipleobjectswithsamekeyvalue",
    }
)


def classify(error: GraphError, *, young: frozenset[str] = frozenset()) -> Verdict:
    """Decide what an error means. `young`: ids the request needs that may not be visible everywhere yet.

    A 404 is LAG when the id it names is young, or names none while any is young.
    """
    problem = _problem(error)
    missing = _first(_MISSING, error.message)
    if problem is Problem.NOT_THERE and error.status in (400, 404) and _is_lag(error, missing, young):
        return Verdict(Problem.LAG, missing=missing)
    return Verdict(problem, target=_target(error, problem), missing=missing)


def _is_lag(error: GraphError, missing: str, young: frozenset[str]) -> bool:
    if "removed object references" in error.message:
        return False
    return missing in young if missing else error.status == 404 and bool(young)


def _problem(error: GraphError) -> Problem:
    status = error.status
    if status in (408, 423, 424, 429) or (status >= 500 and status != 507):
        return _BY_STATUS.get(status, Problem.TRANSIENT)
    if status == 401:
        return Problem.NOT_CONSENTED if "identity of the calling application" in error.message else Problem.TOKEN
    if status == 409:
        return _conflict_409(error)
    coded = _by_code(error)
    if coded is not None:
        return coded
    if status in (400, 403, 404):
        for pattern, problem in _MESSAGES:
            if pattern.search(error.message):
                return problem
    return _BY_STATUS.get(status, Problem.UNKNOWN)


def _conflict_409(error: GraphError) -> Problem:
    return Problem.ALREADY_EXISTS if error.codes & {"conflict", "request_conflict"} else Problem.CONCURRENCY


def _by_code(error: GraphError) -> Problem | None:
    codes = error.codes
    if codes & {"objectconflict", "conflictingobjects"}:
        return Problem.CONFLICT
    if any(code in _RESET_CODES or code.endswith("pagetoken") for code in codes):
        return Problem.DELTA_RESET
    if "directory_quotaexceeded" in codes:
        return Problem.FORWARD_LINK_QUOTA if "forward-link" in error.message else Problem.OBJECT_QUOTA
    if "directory_concurrencyviolation" in codes:
        return Problem.CONCURRENCY
    if codes & _DEFECT_CODES:
        return Problem.DEFECT
    return None


def _target(error: GraphError, problem: Problem) -> str:
    if problem is Problem.FORWARD_LINK_QUOTA:
        return _first(_LINK, error.message)
    named = next((d.target for d in error.details if d.target), "") or error.target
    if named:
        return named
    return _first(_PROPERTY, error.message) or _first(_INVALID, error.message)


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return next((group for group in found.groups() if group), "") if found else ""
