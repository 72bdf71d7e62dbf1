"""Traces from what is known: the cases a town of the process tests does not come to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sds_daemon.plan.change import Change, ChangeKind, Reason
from sds_daemon.plan.issues import Issue, IssueCode, Severity
from sds_daemon.plan.sighting import Sighting
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Link, Membership, Role
from sds_daemon.sync.explain import explain_membership, explain_record
from sds_daemon.sync.trace import Evidence, Held, Question, Sent, Trace

PUPIL, CLASS = Ref(RecordKind.STUDENT, "1"), Ref(RecordKind.SECTION, "9")
AT = datetime(2027, 1, 20, tzinfo=UTC)
ROW = Membership(CLASS, PUPIL, Role.MEMBER)


def link(ref: Ref, **values: Any) -> Link:
    return Link(
        ref=ref, object_id=f"id-{ref.sis_id}", profile="north", created=True, rule="created", linked_at=AT, **values
    )


def evidence(ref: Ref, **values: Any) -> Evidence:
    """A record as a run left it: read, linked, there."""
    saw = Sighting(call="/list", received=1, expected=1, schools=("4",))
    if ref is CLASS:
        saw = Sighting(call="/list", schools=("4",), start="2026-08-20", end="2027-06-10", students=("1",))
    defaults: dict[str, Any] = {
        "run": 7, "at": AT, "seen_by": 5, "sighting": saw, "link": link(ref), "held": Held(state="present"),
    }  # fmt: skip
    return Evidence(ref=ref, profile="north", policy="sds", **(defaults | values))


def step(trace: Trace, stage: str) -> tuple[bool | None, str]:
    found = next(each for each in trace.steps if each.stage == stage)
    return found.ok, "; ".join(found.lines)


def sent(run: int, state: str, kind: ChangeKind = ChangeKind.ADD_MEMBER, **values: Any) -> Sent:
    return Sent(run=run, change=Change(kind=kind, subject=CLASS, member=PUPIL), state=state, **values)


def test_all_is_well() -> None:
    assert explain_record(evidence(PUPIL)).answer == "all is as the source says"


def test_a_section_whose_term_is_over_is_frozen() -> None:
    trace = explain_record(evidence(CLASS, at=datetime(2027, 6, 11, tzinfo=UTC)))
    assert step(trace, "in scope")[0] is False and "frozen" in trace.answer
    assert step(explain_record(evidence(CLASS, at=datetime(2027, 6, 10, tzinfo=UTC))), "in scope")[0]


@pytest.mark.parametrize(("state", "words"), [("deleted", "recycle bin"), ("purged", "gone for good")])
def test_an_object_that_is_gone(state: str, words: str) -> None:
    trace = explain_record(evidence(PUPIL, held=Held(state=state)))
    assert words in trace.answer


def test_an_object_nobody_has_seen_yet_is_no_fault() -> None:
    assert step(explain_record(evidence(PUPIL, held=Held())), "directory") == (
        True, "the account was made and has not been seen in a read yet",
    )  # fmt: skip


def test_doubts_about_the_read_are_told() -> None:
    saw = Sighting(call="/list", received=1, expected=2, doubt="1 of 2 rows were received", schools=("4",))
    assert "unproved: 1 of 2 rows" in step(explain_record(evidence(PUPIL, sighting=saw)), "read")[1]


def test_a_note_stops_nothing() -> None:
    note = Issue(ref=PUPIL, code=IssueCode.ON_PREMISES, detail="left alone", severity=Severity.NOTE)
    assert explain_record(evidence(PUPIL, issues=[note])).answer == "all is as the source says"


@pytest.mark.parametrize("code", list(IssueCode))
def test_every_error_is_the_answer_somewhere(code: IssueCode) -> None:
    trace = explain_record(evidence(PUPIL, issues=[Issue(ref=PUPIL, code=code, detail="why")]))
    assert f"{code.value}: why" in trace.answer
    assert trace.remedy


def test_another_profile_owns_the_account() -> None:
    other = Link(ref=PUPIL, object_id="x", profile="south", created=True, rule="created", linked_at=AT)
    assert "owned by profile south" in step(explain_record(evidence(PUPIL, link=other)), "linked")[1]


def ask(changes: list[Sent] | None = None, *, person: dict[str, Any] | None = None, **section: Any) -> Question:
    return Question(person=evidence(PUPIL, **(person or {})), section=evidence(CLASS, **section), changes=changes or [])


def test_a_member_removed_by_hand_is_not_in_it() -> None:
    question = ask(person={"memberships": [ROW], "removed_by_hand": frozenset({ROW})})
    trace = explain_membership(question)
    assert trace.answer == "stopped at “directory”: was put in by us and removed by hand"


def test_somebody_put_in_by_hand_is_not_ours() -> None:
    question = ask(sighting=Sighting(schools=("4",), start="2026-08-20", end="2027-06-10"))
    question.inside = frozenset({Role.MEMBER})
    assert "put in by hand" in explain_membership(question).answer


def test_a_failure_counts_until_a_later_run_succeeds() -> None:
    failed = sent(6, "failed", status=403, detail="no", at=AT)
    assert "run 6: member.add failed, HTTP 403: no" in explain_membership(ask([failed])).answer
    done = [sent(7, "done", at=AT), failed]
    question = ask(done, person={"memberships": [ROW]})
    assert explain_membership(question).answer == "student 1 is in the class of section 9"


def test_deferred_is_not_refused() -> None:
    trace = explain_membership(ask([sent(7, "deferred", detail="quota", at=AT)]))
    assert step(trace, "answer")[0] and "deferred" in step(trace, "answer")[1]


@pytest.mark.parametrize(
    ("reason", "stage"),
    [
        (Reason.UNPROVED, "limits"),
        (Reason.LIMIT, "limits"),
        (Reason.POLICY_KEEPS, "policy"),
        (Reason.LAST_OWNER, "policy"),
    ],
)
def test_what_is_kept_back_says_by_which_gate(reason: Reason, stage: str) -> None:
    kept = sent(7, "skipped", ChangeKind.REMOVE_MEMBER, withheld=reason)
    question = ask([kept], person={"memberships": [ROW]}, sighting=Sighting(schools=("4",), end="2027-06-10"))
    trace = explain_membership(question)
    assert step(trace, stage)[0] is False
    assert reason.value in trace.answer and "still in the class" in trace.answer


def test_nothing_known_at_all() -> None:
    nothing = Evidence(ref=PUPIL, profile="north", policy="sds")
    trace = explain_record(nothing)
    assert step(trace, "read")[0] is None and "--now" in step(trace, "read")[1]
    assert trace.answer == "nothing is known of student 1 in profile north; --now reads both sides"
