"""Every error Graph is known to give has one decided outcome."""

from __future__ import annotations

import msgspec
import pytest
from writing_rig import create_user, student

from sds_daemon.plan.change import ChangeKind as K
from sds_daemon.plan.change import Result as R
from sds_daemon.plan.issues import IssueCode as I
from sds_daemon.targets.entra.batch import Answer
from sds_daemon.targets.entra.errors import Problem, parse_error
from sds_daemon.targets.entra.outcomes import decide, outcome, scrub

GROUP = "11111111-2222-3333-4444-555555555555"


def refusal(status: int, code: str, message: str, *details: tuple[str, str]) -> Answer:
    error = {"code": code, "message": message, "details": [{"code": c, "target": t, "message": ""} for c, t in details]}
    body = msgspec.json.encode({"error": error})
    return Answer(status=status, body=body, error=parse_error(status, body))


def bad(message: str, *details: tuple[str, str]) -> Answer:
    return refusal(400, "Request_BadRequest", message, *details)


EXIST = "One or more added object references already exist for the following modified properties: 'members'."
REMOVED = "One or more removed object references do not exist for the following modified properties: 'members'."
RELATION = "A conflicting object with one or more of the specified property values is present in the directory."
GONE = f"Resource '{GROUP}' does not exist or one of its queried reference-property objects are not present."
SAME = "Another object with the same value for property {} already exists."
QUOTA = "Unable to perform operation as '{}' would exceed the maximum quota count '{}' for forward-link '{}'."
UPN = ("ObjectConflict", "userPrincipalName")

TABLE = [
    # kind, answer, result, issue code
    (K.ADD_MEMBER, bad(EXIST), R.ALREADY, ""),
    (K.ADD_OWNER, bad(EXIST.replace("members", "owners")), R.ALREADY, ""),
    (K.ADD_SCHOOL_USER, bad(RELATION), R.ALREADY, ""),
    (K.ADD_SCHOOL_CLASS, bad(RELATION), R.ALREADY, ""),
    (K.REMOVE_MEMBER, bad(REMOVED), R.ALREADY, ""),
    (K.REMOVE_MEMBER, refusal(404, "Request_ResourceNotFound", GONE), R.ALREADY, ""),
    (K.REMOVE_SCHOOL_USER, refusal(404, "Request_ResourceNotFound", GONE), R.ALREADY, ""),
    (K.ADD_MEMBER, refusal(404, "Request_ResourceNotFound", GONE), R.FAILED, I.OBJECT_DELETED),
    (K.UPDATE_USER, refusal(404, "Request_ResourceNotFound", GONE), R.FAILED, I.OBJECT_DELETED),
    (
        K.REMOVE_OWNER,
        bad("The group must have at least one owner, hence this owner cannot be removed."),
        R.FAILED,
        I.LAST_OWNER,
    ),
    (
        K.ADD_OWNER,
        refusal(
            403,
            "Directory_QuotaExceeded",
            QUOTA.format(121, 100, "owners"),
        ),
        R.FAILED,
        I.TOO_MANY_OWNERS,
    ),
    (
        K.ADD_MEMBER,
        refusal(
            403,
            "Directory_QuotaExceeded",
            QUOTA.format(25001, 25000, "members"),
        ),
        R.FAILED,
        I.QUOTA_EXCEEDED,
    ),
    (
        K.CREATE_USER,
        refusal(403, "Directory_QuotaExceeded", "The directory object quota limit for the Tenant has been exceeded."),
        R.FAILED,
        I.QUOTA_EXCEEDED,
    ),
    (K.CREATE_USER, bad(SAME.format("userPrincipalName"), UPN), R.FAILED, I.UPN_TAKEN),
    (K.CREATE_CLASS, bad(SAME.format("mailNickname"), ("ObjectConflict", "mailNickname")), R.FAILED, I.ALIAS_TAKEN),
    (
        K.UPDATE_USER,
        bad(SAME.format("proxyAddresses"), ("ObjectConflict", "proxyAddresses")),
        R.FAILED,
        I.INVALID_VALUE,
    ),
    (
        K.CREATE_USER,
        bad("The specified password does not comply with password complexity requirements. Please provide another."),
        R.FAILED,
        I.REFUSED,
    ),
    (K.CREATE_USER, bad("One or more properties contains invalid values."), R.FAILED, I.INVALID_VALUE),
    (
        K.UPDATE_USER,
        bad("Invalid value specified for property 'usageLocation' of resource 'User'."),
        R.FAILED,
        I.INVALID_VALUE,
    ),
    (K.CREATE_USER, bad("Property userPrincipalName is invalid."), R.FAILED, I.INVALID_VALUE),
    (
        K.CREATE_USER,
        bad(
            "The domain portion of the userPrincipalName property is invalid. "
            "You must use one of the verified domain names in your organization."
        ),
        R.FAILED,
        I.INVALID_VALUE,
    ),
    (
        K.UPDATE_USER,
        bad("Unable to update the specified properties for on-premises mastered Directory Sync objects."),
        R.FAILED,
        I.ON_PREMISES,
    ),
    (
        K.ASSIGN_LICENSE,
        bad("License assignment cannot be done for user with invalid usage location."),
        R.FAILED,
        I.INVALID_USAGE_LOCATION,
    ),
    (
        K.ASSIGN_LICENSE,
        bad(f"Subscription with SKU {GROUP} does not have any available licenses."),
        R.FAILED,
        I.NO_SEAT,
    ),
    (
        K.ASSIGN_LICENSE,
        bad("License assignment failed because service plans a, b are mutually exclusive"),
        R.FAILED,
        I.INVALID_LICENSE,
    ),
    (
        K.ASSIGN_LICENSE,
        bad("License assignment failed because service plan a depends on the service plan(s) b"),
        R.FAILED,
        I.INVALID_LICENSE,
    ),
    (
        K.ASSIGN_LICENSE,
        bad(f"License {GROUP} does not correspond to a valid company License."),
        R.FAILED,
        I.INVALID_LICENSE,
    ),
    (K.ASSIGN_LICENSE, bad("User does not have a corresponding license."), R.FAILED, I.INVALID_LICENSE),
    (
        K.UPDATE_USER,
        refusal(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."),
        R.FAILED,
        I.REFUSED,
    ),
    (K.CREATE_SCHOOL, refusal(403, "Forbidden", "Required roles claim values are not provided"), R.FAILED, I.REFUSED),
    (
        K.CREATE_CLASS,
        bad("One or more property values are invalid: extension_x_Education_ObjectType does not exist as a property"),
        R.FAILED,
        I.REFUSED,
    ),
    (
        K.UPDATE_USER,
        refusal(400, "BadRequest", "The property 'x' does not exist on type 'microsoft.graph.user'."),
        R.FAILED,
        I.REFUSED,
    ),
    (
        K.UPDATE_USER,
        refusal(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target."),
        R.FAILED,
        I.REFUSED,
    ),
    (K.UPDATE_USER, refusal(413, "", ""), R.FAILED, I.REFUSED),
    (K.UPDATE_USER, bad("A sentence nobody has seen before"), R.FAILED, I.REFUSED),
    (K.ADD_MEMBER, refusal(409, "Directory_ConcurrencyViolation", "Error due to concurrent requests"), R.DEFERRED, ""),
    (K.ADD_MEMBER, refusal(423, "Locked", ""), R.DEFERRED, ""),
    (K.ADD_MEMBER, refusal(429, "TooManyRequests", ""), R.DEFERRED, ""),
    (K.ADD_MEMBER, refusal(424, "FailedDependency", ""), R.DEFERRED, ""),
    (K.ADD_MEMBER, refusal(500, "InternalServerError", ""), R.DEFERRED, ""),
    (K.ADD_MEMBER, refusal(503, "serviceNotAvailable", ""), R.DEFERRED, ""),
    (K.CREATE_USER, refusal(401, "InvalidAuthenticationToken", "Access token has expired"), R.DEFERRED, ""),
    (
        K.CREATE_USER,
        refusal(401, "", "The identity of the calling application could not be established."),
        R.DEFERRED,
        "",
    ),
    (K.CREATE_USER, Answer(status=0, stopped=True, error=parse_error(0, b"")), R.DEFERRED, ""),
    (K.CREATE_USER, Answer(status=504, lost=True, error=parse_error(504, b"")), R.DEFERRED, ""),
    (K.ADD_MEMBER, Answer(status=204), R.DONE, ""),
]


@pytest.mark.parametrize(("kind", "answer", "result", "code"), TABLE, ids=lambda value: getattr(value, "body", value))
def test_decided(kind: K, answer: Answer, result: R, code: str) -> None:
    decision = decide(kind, answer)
    assert (decision.result, decision.code) == (result, code)
    if result in (R.FAILED, R.DEFERRED):
        assert decision.detail


@pytest.mark.parametrize("kind", list(K))
@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 405, 409, 410, 412, 413, 423, 424, 429, 500, 502, 503, 504, 507, 509]
)
def test_no_refusal_counts_as_done_without_saying_why(kind: K, status: int) -> None:
    decision = decide(kind, Answer(status=status, error=parse_error(status, b"<html>")))
    assert decision.result is not R.DONE
    assert decision.result is R.ALREADY or decision.detail


def test_every_problem_is_provided_for() -> None:
    """A new kind of problem must not fall through unseen: this list is the closed set the table covers."""
    covered = {
        "throttled", "transient", "concurrency", "lag", "token", "not_consented", "permission", "already_exists",
        "not_there", "conflict", "last_owner", "forward_link_quota", "object_quota", "password", "invalid_value",
        "on_premises", "license_no_seat", "license_usage_location", "license_sku", "license_exclusive",
        "license_dependency", "license_other", "not_education", "delta_reset", "too_large", "defect", "unknown",
    }  # fmt: skip
    assert {str(problem) for problem in Problem} == covered


def test_sentences_name_nobody() -> None:
    change = create_user(student(1), surname="Vanterpool", display_name="Pat Vanterpool")
    answer = bad("A value of student1@contoso.edu (Pat Vanterpool) cannot be used: vanterpool")
    detail = outcome(change, answer).detail
    assert "contoso" not in detail
    assert "anterpool" not in detail
    assert "cannot be used" in detail


def test_scrubbing_leaves_words_that_merely_contain_a_short_name() -> None:
    assert scrub("An invalid answer", ["an"]) == "… invalid answer"
    assert len(scrub("x" * 1000)) == 300
