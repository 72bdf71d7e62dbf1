"""The vocabulary between planner, gates, target and record: changes, plans, outcomes."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from sds_daemon.roster.records import Ref


class ChangeKind(StrEnum):
    """Every kind of write. Limits, counts and JSON output are keyed by these."""

    CREATE_SCHOOL = "school.create"
    UPDATE_SCHOOL = "school.update"
    CREATE_USER = "user.create"
    UPDATE_USER = "user.update"
    ASSIGN_LICENSE = "user.license"
    JOIN_LICENSE_GROUP = "user.license_group"
    ADOPT_USER = "user.adopt"
    CREATE_CLASS = "class.create"
    UPDATE_CLASS = "class.update"
    ADOPT_CLASS = "class.adopt"
    RESTORE_CLASS = "class.restore"
    ADD_SCHOOL_CLASS = "school_class.add"
    ADD_SCHOOL_USER = "school_user.add"
    REMOVE_SCHOOL_USER = "school_user.remove"
    ADD_MEMBER = "member.add"
    REMOVE_MEMBER = "member.remove"
    ADD_OWNER = "owner.add"
    REMOVE_OWNER = "owner.remove"


MEMBERSHIP_KINDS = frozenset(
    {
        ChangeKind.ADD_MEMBER,
        ChangeKind.REMOVE_MEMBER,
        ChangeKind.ADD_OWNER,
        ChangeKind.REMOVE_OWNER,
        ChangeKind.ADD_SCHOOL_USER,
        ChangeKind.REMOVE_SCHOOL_USER,
        ChangeKind.ADD_SCHOOL_CLASS,
    }
)
LICENSINGS = frozenset({ChangeKind.ASSIGN_LICENSE, ChangeKind.JOIN_LICENSE_GROUP})
REMOVALS = frozenset({ChangeKind.REMOVE_MEMBER, ChangeKind.REMOVE_OWNER, ChangeKind.REMOVE_SCHOOL_USER})


class Reason(StrEnum):
    """Why a change is planned, or why it was kept out. The value is the sentence shown."""

    APPEARED = "appeared in the source"
    CHANGED = "changed in the source"
    LEFT_SECTION = "the enrollment ended"
    TEACHER_LEFT = "no longer teaches the section"
    CHANGED_SCHOOL = "changed school"
    LICENSE_DUE = "licences are assigned when an account is made"
    ANCHOR_DUE = "the account is linked"
    RESTORED = "removed by hand, and hand_removals is restore"
    DELETED_BY_HAND = "deleted by hand, and recreate_deleted_groups is on"
    UNDONE = "taken back by a person"
    ADOPTABLE = "an object without our mark holds the name"
    POLICY_KEEPS = "kept by the policy"
    UNPROVED = "the source was not proved to be read whole"
    LIMIT = "over the limit for this kind of change"
    NEEDS_APPROVAL = "waits for approval"
    LAST_OWNER = "the last owner of a group is kept"
    REJECTED = "rejected by a person"


_NOTHING: dict[str, Any] = {}


def _nothing() -> dict[str, Any]:
    """One empty dictionary for all: a first sync plans more than a million memberships, which hold no values."""
    return _NOTHING


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One intended write. What it holds is never changed.

    `subject` is the SIS record whose directory object is written: the person, the school, the section; for memberships
    the container (section or school). `member` is the person or section put in or taken out. `values` are attributes
    under this project's neutral names (see plan/attributes.py); `before` what was last written of the same names.
    `beside` are unchanged attributes the directory keeps in one structured value with changed ones: an update writes
    such a value whole. `object_id` is the directory object to adopt or restore, for these kinds only.
    """

    kind: ChangeKind
    subject: Ref
    member: Ref | None = None
    values: dict[str, Any] = msgspec.field(default_factory=_nothing)
    before: dict[str, Any] = msgspec.field(default_factory=_nothing)
    beside: dict[str, Any] = msgspec.field(default_factory=_nothing)
    reason: Reason = Reason.APPEARED
    object_id: str | None = None

    @property
    def key(self) -> tuple[ChangeKind, Ref, Ref | None]:
        """Identity within a plan: no two changes of one plan share it."""
        return (self.kind, self.subject, self.member)

    @property
    def sent(self) -> dict[str, Any]:
        """What an update writes: the changed values, and those that share a structured value with them."""
        return {**self.beside, **self.values}


class Withheld(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was planned and is not applied, with the reason."""

    change: Change
    reason: Reason
    detail: str = ""


class Plan(msgspec.Struct, kw_only=True):
    """The changes of one run: `changes` go out, policy or proof took out `skipped`, `held` wait for approval."""

    changes: list[Change]
    skipped: list[Withheld] = []
    held: list[Withheld] = []


class Result(StrEnum):
    """What became of a change. A closed set."""

    DONE = "done"  # the directory took it
    ALREADY = "already"  # it was so already
    FAILED = "failed"  # refused for good as it stands; an issue says why
    DEPENDENT = "dependent"  # not sent: what it rests on failed; counted under that
    DEFERRED = "deferred"  # not done this time (quota, lag, stop); the next run plans it again


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one change. `object_id`: the directory id of a created, found or adopted object.

    `code` is an issue code (plan/issues.py), `detail` one sentence for the operator without names of people,
    `status` the HTTP status of the deciding answer (0: none).
    """

    change: Change
    result: Result
    object_id: str | None = None
    code: str = ""
    detail: str = ""
    status: int = 0
    extra: dict[str, Any] = {}
