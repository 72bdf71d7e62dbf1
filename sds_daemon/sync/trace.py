"""What is known of a record, and the trace made of it: the values `explain` takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from sds_daemon.errors import UsageError
from sds_daemon.plan.change import Change, Reason
from sds_daemon.plan.issues import Issue
from sds_daemon.plan.sighting import Sighting
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Link, Membership, Role


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step. `ok`: it let the record through (False: it stopped here; None: it does not apply or is not known).

    `because`: the lines that made it stop, where they are not the last one.
    """

    stage: str
    ok: bool | None
    lines: tuple[str, ...]
    because: tuple[str, ...] = ()


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer. `live`: worked out just now, nothing written. `run`, `at`: the run the record speaks of."""

    title: str
    profile: str
    live: bool
    run: int | None
    at: datetime | None
    steps: tuple[Step, ...]
    answer: str
    remedy: str = ""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a run and how it stands. `run` 0: planned by the rehearsal just made.

    `state` as in store.ChangeRecord; `withheld`: why it was skipped or held.
    """

    run: int
    change: Change
    state: str
    withheld: Reason | None = None
    detail: str = ""
    code: str = ""
    status: int = 0
    at: datetime | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The directory object of a record. `state`: present, deleted, purged, or unknown (never seen in the directory).

    `name`: user principal name, alias or display name.
    """

    state: str = "unknown"
    name: str = ""


class Evidence(msgspec.Struct, kw_only=True):
    """What is known of one record in one profile.

    `run`, `at`: the last run that read the source (a rehearsal: none). `seen_by`: the run `sighting` is from.
    `source_says`: what the source answered when asked for this record alone. `changes`: newest first.
    """

    ref: Ref
    profile: str
    policy: str
    live: bool = False
    run: int | None = None
    at: datetime | None = None
    seen_by: int | None = None
    sighting: Sighting | None = None
    source_says: str = ""
    link: Link | None = None
    issues: Sequence[Issue] = ()
    changes: Sequence[Sent] = ()
    held: Held = Held()
    memberships: Sequence[Membership] = ()
    removed_by_hand: frozenset[Membership] = frozenset()


class Question(msgspec.Struct, kw_only=True):
    """Is this person in this section, and why not? `inside`: roles read from the directory just now; None: not read."""

    person: Evidence
    section: Evidence
    changes: Sequence[Sent] = ()
    inside: frozenset[Role] | None = None

    @property
    def rows(self) -> list[Membership]:
        """Managed memberships of the person in the section."""
        return [row for row in self.person.memberships if row.container == self.section.ref]

    @property
    def is_inside(self) -> bool:
        """Whether the person is in: as read just now, else as recorded."""
        if self.inside is not None:
            return bool(self.inside)
        return any(row not in self.person.removed_by_hand for row in self.rows)

    @property
    def listed(self) -> bool | None:
        """Whether the section's roster names the person; None where no roster is known."""
        sighting = self.section.sighting
        if sighting is None or not sighting.present:
            return None
        people = sighting.teachers if self.person.ref.kind is RecordKind.TEACHER else sighting.students
        return self.person.ref.sis_id in people


def parse_ref(text: str) -> Ref | None:
    """ "student 123" as a reference; None for a text that names no kind. Raises UsageError for a kind without an id."""
    word, _, sis_id = text.strip().partition(" ")
    if word.lower() not in set(RecordKind):
        return None
    if not sis_id.strip():
        raise UsageError(f"{word} needs a SIS ID after it", remedy=f'for example: "{word} 1501"')
    return Ref(RecordKind(word.lower()), sis_id.strip())
