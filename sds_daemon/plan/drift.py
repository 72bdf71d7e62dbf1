"""Drift: what the directory holds differently from what was written, with no change at the source to explain it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from sds_daemon.roster.records import Ref


class DriftCode(StrEnum):
    """Every kind of drift. A closed set."""

    REMOVED = "MembershipRemovedByHand"
    UNEXPLAINED = "MembershipNotFromSource"
    ATTRIBUTE = "AttributeChangedByHand"
    DELETED = "ObjectDeletedByHand"


MEANINGS: dict[DriftCode, str] = {
    DriftCode.REMOVED: 'kept out until the source row changes; hand_removals = "restore" puts it back',
    DriftCode.UNEXPLAINED: "added by hand, or a leaver whose record was lost: stays; remove it by hand if it is wrong",
    DriftCode.ATTRIBUTE: "stays until the source value changes; sds-daemon reset writes it anew",
    DriftCode.DELETED: "restore it from the recycle bin, or drop the link; see also recreate_deleted_groups",
}


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One difference.

    `subject` is the class, school or person concerned; `member` who is missing from it or unexplained in it. `name`:
    the role of a membership, or the neutral name of an attribute, of which `written` and `found` are the values ("":
    none). Values may be personal: they are shown to the operator and never logged.
    """

    code: DriftCode
    subject: Ref
    member: Ref | None = None
    name: str = ""
    written: str = ""
    found: str = ""

    @property
    def key(self) -> tuple[DriftCode, Ref, Ref | None, str]:
        """Identity across observations: first and last seen are kept by it."""
        return (self.code, self.subject, self.member, self.name)
