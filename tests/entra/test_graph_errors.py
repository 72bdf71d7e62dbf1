"""Every error Graph is documented to send has a decided meaning."""

from __future__ import annotations

import json

import pytest

from sds_daemon.targets.entra.errors import GraphError, Problem, classify, parse_error

REFS = "One or more added object references already exist for the following modified properties: '{}'."
MISSING = "Resource '{}' does not exist or one of its queried reference-property objects are not present."
CATALOGUE = [
    (
        400,
        "Request_BadRequest",
        "Another object with the same value for property userPrincipalName already exists.",
        Problem.CONFLICT,
        "userPrincipalName",
    ),
    (
        400,
        "Request_BadRequest",
        "Another object with the same value for property mailNickname already exists.",
        Problem.CONFLICT,
        "mailNickname",
    ),
    (
        400,
        "Request_BadRequest",
        "Another object with the same value for property proxyAddresses already exists.",
        Problem.CONFLICT,
        "proxyAddresses",
    ),
    (
        400,
        "Request_BadRequest",
        "A conflicting object with one or more of the specified property values is present in the directory.",
        Problem.ALREADY_EXISTS,
        "",
    ),
    (400, "Request_BadRequest", REFS.format("members"), Problem.ALREADY_EXISTS, "members"),
    (400, "Request_BadRequest", REFS.format("owners"), Problem.ALREADY_EXISTS, "owners"),
    (
        400,
        "Request_BadRequest",
        "One or more removed object references do not exist for the following modified properties: 'members'.",
        Problem.NOT_THERE,
        "members",
    ),
    (
        400,
        "Request_BadRequest",
        "The group must have at least one owner, hence this owner cannot be removed.",
        Problem.LAST_OWNER,
        "",
    ),
    (
        400,
        "Request_BadRequest",
        "The specified password does not comply with password complexity requirements. Please provide a different one.",
        Problem.PASSWORD,
        "",
    ),
    (400, "Request_BadRequest", "One or more properties contains invalid values.", Problem.INVALID_VALUE, ""),
    (
        400,
        "Request_BadRequest",
        "Invalid value specified for property 'mailNickname' of resource 'User'.",
        Problem.INVALID_VALUE,
        "mailNickname",
    ),
    (400, "Request_BadRequest", "Property userPrincipalName is invalid.", Problem.INVALID_VALUE, "userPrincipalName"),
    (
        400,
        "Request_BadRequest",
        "The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain "
        "names in your organization.",
        Problem.INVALID_VALUE,
        "userPrincipalName",
    ),
    (
        400,
        "Request_BadRequest",
        "Unable to update the specified properties for on-premises mastered Directory Sync objects or objects "
        "currently undergoing migration.",
        Problem.ON_PREMISES,
        "",
    ),
    (
        400,
        "Request_BadRequest",
        "License assignment cannot be done for user with invalid usage location.",
        Problem.USAGE_LOCATION,
        "",
    ),
    (
        400,
        "Request_BadRequest",
        "Subscription with SKU 94763226-9b3c-4e75-a931-5c89701abe66 does not have any available licenses.",
        Problem.NO_SEAT,
        "",
    ),
    (
        400,
        "Request_BadRequest",
        "License assignment failed because service plans a, b are mutually exclusive",
        Problem.EXCLUSIVE_PLANS,
        "",
    ),
    (
        400,
        "Request_BadRequest",
        "License assignment failed because service plan x depends on the service plan(s) y",
        Problem.PLAN_DEPENDENCY,
        "",
    ),
    (
        400,
        "Request_BadRequest",
        "License 94763226-9b3c-4e75-a931-5c89701abe66 does not correspond to a valid company License.",
        Problem.UNKNOWN_SKU,
        "",
    ),
    (400, "Request_BadRequest", "User does not have a corresponding license.", Problem.LICENSE_OTHER, ""),
    (
        400,
        "Request_BadRequest",
        "User license is inherited from a group membership and it cannot be removed directly from the user.",
        Problem.LICENSE_OTHER,
        "",
    ),
    (400, "Request_UnsupportedQuery", "Unsupported or invalid query filter clause.", Problem.DEFECT, ""),
    (400, "Request_InvalidRequestUrl", "x", Problem.DEFECT, ""),
    (400, "Directory_ExpiredPageToken", "The specified page token is expired.", Problem.DELTA_RESET, ""),
    (400, "syncStateNotFound", "The sync state generation is not found.", Problem.DELTA_RESET, ""),
    (
        400,
        "BadRequest",
        "The property 'nickname' does not exist on type 'microsoft.graph.user'.",
        Problem.DEFECT,
        "nickname",
    ),
    (400, "BadRequest", "Resource not found for the segment 'education'.", Problem.DEFECT, ""),
    (
        400,
        "Request_BadRequest",
        "The property extension_fe21_Education_ObjectType does not exist as a property.",
        Problem.NOT_EDUCATION,
        None,
    ),
    (401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.", Problem.TOKEN, ""),
    (
        401,
        "",
        "The identity of the calling application could not be established.",
        Problem.NOT_CONSENTED,
        "",
    ),
    (
        403,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
        Problem.PERMISSION,
        "",
    ),
    (403, "Forbidden", "Required roles claim values are not provided", Problem.PERMISSION, ""),
    (
        403,
        "Directory_QuotaExceeded",
        "Unable to perform operation as '121' would exceed the maximum quota count '100' for forward-link 'owners'.",
        Problem.FORWARD_LINK_QUOTA,
        "owners",
    ),
    (
        403,
        "Directory_QuotaExceeded",
        "The directory object quota limit for the Principal has been exceeded.",
        Problem.OBJECT_QUOTA,
        "",
    ),
    (
        400,
        "Directory_QuotaExceeded",
        "The directory object quota limit for the Tenant has been exceeded.",
        Problem.OBJECT_QUOTA,
        "",
    ),
    (404, "Request_ResourceNotFound", MISSING.format("g1"), Problem.NOT_THERE, ""),
    (405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.", Problem.DEFECT, ""),
    (
        409,
        "Directory_ConcurrencyViolation",
        "Error due to concurrent requests being made to the tenant.",
        Problem.CONCURRENCY,
        "",
    ),
    (409, "Conflict", "The group is already provisioned", Problem.ALREADY_EXISTS, ""),
    (410, "Gone", "resync", Problem.DELTA_RESET, ""),
    (412, "PreconditionFailed", "", Problem.CONCURRENCY, ""),
    (413, "RequestEntityTooLarge", "", Problem.TOO_LARGE, ""),
    (423, "Locked", "", Problem.TRANSIENT, ""),
    (424, "FailedDependency", "", Problem.TRANSIENT, ""),
    (429, "TooManyRequests", "Please retry after", Problem.THROTTLED, ""),
    (500, "InternalServerError", "", Problem.TRANSIENT, ""),
    (503, "Service_Unavailable", "", Problem.TRANSIENT, ""),
    (504, "GatewayTimeout", "", Problem.TRANSIENT, ""),
    (507, "InsufficientStorage", "", Problem.OBJECT_QUOTA, ""),
    (400, "Request_BadRequest", "Something nobody has written down.", Problem.UNKNOWN, ""),
]


@pytest.mark.parametrize(("status", "code", "message", "problem", "target"), CATALOGUE)
def test_every_documented_answer_is_told_apart(status, code, message, problem, target) -> None:
    verdict = classify(GraphError(status=status, code=code, message=message))
    assert verdict.problem is problem
    if target is not None:
        assert verdict.target == target


def test_a_conflict_is_known_by_its_details_whatever_the_message_says() -> None:
    body = {
        "error": {
            "code": "Request_BadRequest",
            "message": "nouveau texte",
            "details": [{"code": "ObjectConflict", "target": "userPrincipalName", "message": "x"}],
        }
    }
    verdict = classify(parse_error(400, json.dumps(body).encode()))
    assert (verdict.problem, verdict.target) == (Problem.CONFLICT, "userPrincipalName")


def test_a_missing_object_is_lag_only_while_it_is_young() -> None:
    error = GraphError(status=404, code="Request_ResourceNotFound", message=MISSING.format("g1"))
    assert classify(error, young=frozenset({"g1"})).problem is Problem.LAG
    assert classify(error, young=frozenset({"other"})).problem is Problem.NOT_THERE
    assert classify(error).missing == "g1"
    nameless = GraphError(status=404, code="Request_ResourceNotFound", message="not found")
    assert classify(nameless, young=frozenset({"g1"})).problem is Problem.LAG


def test_a_reference_that_was_never_there_is_not_taken_for_lag() -> None:
    message = "One or more removed object references do not exist for the following modified properties: 'members'."
    error = GraphError(status=400, code="Request_BadRequest", message=message)
    assert classify(error, young=frozenset({"g1"})).problem is Problem.NOT_THERE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>down</html>",
        b'{"error":',
        b"[]",
        b"null",
        b'"text"',
        b'{"error":[1]}',
        b"\xff\xfe",
        b'{"error":{}}',
    ],
)
def test_a_body_that_is_no_error_body_leaves_the_status(body: bytes) -> None:
    error = parse_error(503, body)
    assert (error.status, error.code) == (503, "")
    assert classify(error).problem is Problem.TRANSIENT


@pytest.mark.parametrize("spelling", ["innerError", "innererror"])
def test_nested_codes_and_the_request_id_are_found_in_either_spelling(spelling: str) -> None:
    body = {
        "error": {
            "code": "BadRequest",
            "message": "m",
            spelling: {"code": "resyncRequired", "request-id": "r-7", spelling: {"code": "deeper"}},
        }
    }
    error = parse_error(400, json.dumps(body).encode())
    assert error.inner_codes == ("resyncRequired", "deeper")
    assert error.request_id == "r-7"
    assert classify(error).problem is Problem.DELTA_RESET


def test_a_message_given_as_an_odata_object_is_read() -> None:
    body = {"error": {"code": "X", "message": {"lang": "en", "value": "the text"}, "details": "nonsense"}}
    assert parse_error(400, json.dumps(body).encode()).message == "the text"
