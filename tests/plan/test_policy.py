"""Policies: which of all kinds of change each of them keeps out."""

from __future__ import annotations

import pytest

from sds_daemon.plan.change import Change, ChangeKind, Reason
from sds_daemon.plan.policy import KEEPS, PolicyName, apply_policy
from sds_daemon.roster.records import RecordKind, Ref

SECTION, SCHOOL = Ref(RecordKind.SECTION, "1"), Ref(RecordKind.SCHOOL, "1")
STUDENT, TEACHER = Ref(RecordKind.STUDENT, "1"), Ref(RecordKind.TEACHER, "1")
STUDENT_LEAVES = Change(kind=ChangeKind.REMOVE_MEMBER, subject=SECTION, member=STUDENT)
TEACHER_LEAVES = [
    Change(kind=ChangeKind.REMOVE_OWNER, subject=SECTION, member=TEACHER),
    Change(kind=ChangeKind.REMOVE_MEMBER, subject=SECTION, member=TEACHER),
]
SCHOOL_LEFT = Change(kind=ChangeKind.REMOVE_SCHOOL_USER, subject=SCHOOL, member=STUDENT)
GROWTH = [
    Change(kind=kind, subject=SECTION, member=STUDENT) for kind in ChangeKind if not kind.value.endswith("remove")
]
EVERYTHING = [*GROWTH, STUDENT_LEAVES, *TEACHER_LEAVES, SCHOOL_LEFT]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("sds", [*TEACHER_LEAVES, SCHOOL_LEFT]),
        ("add-only", [STUDENT_LEAVES, *TEACHER_LEAVES, SCHOOL_LEFT]),
        ("mirror", []),
    ],
)
def test_what_a_policy_keeps(policy: PolicyName, kept: list[Change]) -> None:
    allowed, stripped = apply_policy(EVERYTHING, policy)
    assert [item.change for item in stripped] == kept
    assert allowed == [change for change in EVERYTHING if change not in kept]
    assert {item.reason for item in stripped} <= {Reason.POLICY_KEEPS}


def test_there_is_a_test_for_every_policy() -> None:
    assert set(KEEPS) == {"sds", "add-only", "mirror"}
