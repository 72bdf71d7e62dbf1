"""What an answer means for the change it belongs to: one decided outcome for every error Graph is known to give."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from sds_daemon.plan.change import MEMBERSHIP_KINDS, REMOVALS, Change, ChangeKind, Outcome, Result
from sds_daemon.plan.issues import IssueCode
from sds_daemon.targets.entra.batch import Answer
from sds_daemon.targets.entra.errors import GraphError, Problem, Verdict, classify

ADDS = (MEMBERSHIP_KINDS - REMOVALS) | {ChangeKind.JOIN_LICENSE_GROUP}
_CLASS_KINDS = frozenset(
    {ChangeKind.CREATE_CLASS, ChangeKind.UPDATE_CLASS, ChangeKind.ADOPT_CLASS, ChangeKind.RESTORE_CLASS}
)

_LATER = {
    Problem.THROTTLED: "the directory refused for want of quota to the end",
    Problem.TRANSIENT: "the directory had a fault to the end",
    Problem.CONCURRENCY: "another write to the object was under way to the end",
    Problem.LAG: "the directory does not show the new object yet",
    Problem.TOKEN: "the access token was refused",
    Problem.NOT_CONSENTED: "the application is not consented in the tenant",
}
_REFUSED: dict[Problem, tuple[IssueCode, str]] = {
    Problem.LAST_OWNER: (IssueCode.LAST_OWNER, "a group keeps its last owner"),
    Problem.OBJECT_QUOTA: (IssueCode.QUOTA_EXCEEDED, "the tenant's quota of directory objects is used up"),
    Problem.PASSWORD: (IssueCode.REFUSED, "the directory refused two generated passwords"),
    Problem.ON_PREMISES: (IssueCode.ON_PREMISES, "the account is mastered in the local Active Directory"),
    Problem.NO_SEAT: (IssueCode.NO_SEAT, "no seat of the licence is left"),
    Problem.USAGE_LOCATION: (IssueCode.INVALID_USAGE_LOCATION, "the account has no valid usage location"),
    Problem.UNKNOWN_SKU: (IssueCode.INVALID_LICENSE, "the tenant does not own the licence"),
    Problem.EXCLUSIVE_PLANS: (IssueCode.INVALID_LICENSE, "the licences hold plans that exclude each other"),
    Problem.PLAN_DEPENDENCY: (IssueCode.INVALID_LICENSE, "a plan of the licence needs a plan the account lacks"),
    Problem.NOT_EDUCATION: (IssueCode.REFUSED, "this is not an education tenant"),
}


class Decision(msgspec.Struct, frozen=True):
    """The outcome of an answer without its change."""

    result: Result
    code: str = ""
    detail: str = ""


def verdict_of(answer: Answer) -> Verdict:
    """The problem in an answer that is not ok."""
    return classify(answer.error or GraphError(status=answer.status))


def decide(kind: ChangeKind, answer: Answer, *, hide: Iterable[str] = ()) -> Decision:
    """What an answer means for a change of this kind. `hide`: values to keep out of the sentence.

    Creates whose name is taken and creates whose answer was lost are looked up by the caller before it comes to this.
    """
    if answer.ok:
        return Decision(Result.DONE)
    if answer.stopped:
        return Decision(Result.DEFERRED, detail="the run stopped before it was sent")
    if answer.lost:
        return Decision(Result.DEFERRED, detail="the answer was lost; the next run looks whether it was carried out")
    verdict = verdict_of(answer)
    if verdict.problem in _LATER:
        return Decision(Result.DEFERRED, detail=_LATER[verdict.problem])
    return _settled_so(kind, verdict) or _refused(kind, verdict, answer, tuple(hide))


def outcome(change: Change, answer: Answer) -> Outcome:
    """`decide` for a change, with the status of the answer."""
    if answer.ok:
        return Outcome(change=change, result=Result.DONE, status=answer.status)
    decision = decide(change.kind, answer, hide=personal_values(change))
    return Outcome(
        change=change, result=decision.result, code=decision.code, detail=decision.detail, status=answer.status
    )


def failed(change: Change, code: IssueCode, detail: str, *, status: int = 0) -> Outcome:
    """A change refused for good as it stands."""
    return Outcome(change=change, result=Result.FAILED, code=code, detail=detail, status=status)


def _settled_so(kind: ChangeKind, verdict: Verdict) -> Decision | None:
    """Errors that say the directory is as wanted already."""
    if kind in ADDS and verdict.problem in (Problem.ALREADY_EXISTS, Problem.CONFLICT):
        return Decision(Result.ALREADY)
    if kind in REMOVALS and verdict.problem is Problem.NOT_THERE:
        return Decision(Result.ALREADY)
    return None


def _refused(kind: ChangeKind, verdict: Verdict, answer: Answer, hide: tuple[str, ...]) -> Decision:
    problem = verdict.problem
    if problem in _REFUSED:
        code, detail = _REFUSED[problem]
        return Decision(Result.FAILED, code, detail)
    if problem is Problem.FORWARD_LINK_QUOTA:
        return _too_many(verdict.target)
    if problem is Problem.NOT_THERE:
        return Decision(Result.FAILED, IssueCode.OBJECT_DELETED, "the directory no longer has an object this needs")
    if problem is Problem.INVALID_VALUE:
        return Decision(Result.FAILED, IssueCode.INVALID_VALUE, _about(verdict.target, "is not valid", answer, hide))
    if problem is Problem.CONFLICT:
        return Decision(Result.FAILED, _taken(kind), _about(verdict.target, "is held by another object", answer, hide))
    if problem is Problem.LICENSE_OTHER:
        return Decision(Result.FAILED, IssueCode.INVALID_LICENSE, _message(answer, hide))
    if problem is Problem.PERMISSION:
        return Decision(Result.FAILED, IssueCode.REFUSED, f"a permission is missing: {_message(answer, hide)}")
    return Decision(Result.FAILED, IssueCode.REFUSED, _message(answer, hide))


def _too_many(relation: str) -> Decision:
    if relation == "owners":
        return Decision(Result.FAILED, IssueCode.TOO_MANY_OWNERS, "the group has as many owners as Graph allows")
    return Decision(Result.FAILED, IssueCode.QUOTA_EXCEEDED, "the group has as many members as Graph allows")


def _taken(kind: ChangeKind) -> IssueCode:
    if kind is ChangeKind.CREATE_USER:
        return IssueCode.UPN_TAKEN
    if kind in _CLASS_KINDS:
        return IssueCode.ALIAS_TAKEN
    return IssueCode.INVALID_VALUE


def _about(target: str, says: str, answer: Answer, hide: tuple[str, ...]) -> str:
    return f"the value of {target} {says}" if target else _message(answer, hide)


def _message(answer: Answer, hide: tuple[str, ...]) -> str:
    error = answer.error
    code = error.code if error else ""
    text = scrub(error.message if error else "", hide)
    return f"HTTP {answer.status} {code}: {text}".strip(": ") if code or text else f"HTTP {answer.status}"


_ADDRESS = re.compile(r"[^\s'\"<>(),;]+@[^\s'\"<>(),;]+")


def scrub(message: str, hide: Iterable[str] = ()) -> str:
    """A message of the directory without account names, and without the values given; at most 300 characters."""
    for value in sorted({value for value in hide if len(value) > 1}, key=len, reverse=True):
        message = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "…", message, flags=re.IGNORECASE)
    return _ADDRESS.sub("…", " ".join(message.split()))[:300]


_PERSONAL = ("user_principal_name", "mail_nickname", "display_name", "given_name", "surname", "secondary_email")


def personal_values(change: Change) -> list[str]:
    """Values of a change that must not show in sentences."""
    values = [change.values.get(name) for name in _PERSONAL]
    return [value for value in values if isinstance(value, str)]
