"""What a read showed of one record: kept for records with changes or issues, so that `explain` can tell later."""

from __future__ import annotations

import msgspec


class Sighting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One record as a snapshot had it; fields that do not apply to its kind are empty.

    `call`: the source's call that brings it. `received` and `expected`: rows of that call's part and the source's own
    count (None: it gave none). `doubt`: why the part is unproved. `roster_call`, `roster_doubt`: the same of a
    section's enrollments. `absent`: why the record is not in the snapshot (empty: it is). `schools`, `teachers`,
    `students`: SIS IDs. `value`: the whole text compared with `target`, a property of accounts; `candidates`: object
    ids of the accounts that had it, `marked`: of those with our mark (both looked up for people with an issue and those
    linked just then). `start`, `end`: the term, ISO dates.
    """

    call: str = ""
    received: int = 0
    expected: int | None = None
    doubt: str = ""
    roster_call: str = ""
    roster_doubt: str = ""
    absent: str = ""
    schools: tuple[str, ...] = ()
    value: str = ""
    target: str = ""
    candidates: tuple[str, ...] | None = None
    marked: tuple[str, ...] = ()
    start: str = ""
    end: str = ""
    teachers: tuple[str, ...] = ()
    students: tuple[str, ...] = ()

    @property
    def present(self) -> bool:
        """Whether the record was in the snapshot."""
        return not self.absent
