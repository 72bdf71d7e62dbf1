"""The people of a snapshot as matching sees them: what identifies each, and who claims what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from sds_daemon.config.settings import PersonRules, Profile
from sds_daemon.roster.records import RecordKind, Ref, Snapshot
from sds_daemon.sync.characters import storable
from sds_daemon.sync.naming import Person, ref_of

PERSON_KINDS = (RecordKind.STUDENT, RecordKind.TEACHER)

FIELD_NAMES = {
    (RecordKind.STUDENT, "username"): "Username",
    (RecordKind.TEACHER, "username"): "Username",
    (RecordKind.STUDENT, "number"): "Student Number",
    (RecordKind.TEACHER, "number"): "Teacher Number",
    (RecordKind.STUDENT, "secondary_email"): "Secondary Email",
    (RecordKind.TEACHER, "secondary_email"): "Secondary Email",
}
"""The source properties as School Data Sync called them."""


class PersonView(msgspec.Struct, frozen=True, gc=False):
    """A person and the rules of the role. `value` is the whole text compared with the directory; empty: cannot be."""

    ref: Ref
    person: Person
    rules: PersonRules
    value: str

    @property
    def field(self) -> str:
        """The source property the rule names, in the operator's words."""
        return FIELD_NAMES[self.ref.kind, self.rules.source_property]


def rules_of(kind: RecordKind, profile: Profile) -> PersonRules:
    """The profile's rules for a role."""
    return profile.teachers if kind is RecordKind.TEACHER else profile.students


def everyone(snapshot: Snapshot) -> Iterator[tuple[Ref, Person]]:
    """All people in scope, ordered by Ref whatever the order of the snapshot."""
    for sis_id in sorted(snapshot.students):
        yield Ref(RecordKind.STUDENT, sis_id), snapshot.students[sis_id]
    for sis_id in sorted(snapshot.teachers):
        yield Ref(RecordKind.TEACHER, sis_id), snapshot.teachers[sis_id]


def view_of(person: Person, profile: Profile) -> PersonView:
    """The person under the profile's rules."""
    ref = ref_of(person)
    rules = rules_of(ref.kind, profile)
    return PersonView(ref, person, rules, compared_value(person, rules))


def compared_value(person: Person, rules: PersonRules) -> str:
    """Source value, plus "@" and the suffix where one is set; empty where the source value is."""
    value = storable(_source_value(person, rules.source_property).strip())
    return f"{value}@{rules.suffix}" if value and rules.suffix else value


def _source_value(person: Person, source_property: str) -> str:
    if source_property == "number":
        return person.number
    return person.username if source_property == "username" else person.email


class Claims:
    """Who lays claim to what (an account, a sign-in name), and who may have it.

    `holders` are those who have it already. A teacher goes before students; otherwise one claimant alone gets it.
    """

    def __init__(self, holders: Mapping[str, Ref]) -> None:
        self._holders = holders
        # Of each kind the two first claimants will do: one may be whoever asks.
        self._first: dict[tuple[str, RecordKind], list[Ref]] = {}

    def claim(self, ref: Ref, thing: str) -> None:
        """Enter a claim. Nothing is decided before all are in."""
        first = self._first.setdefault((thing, ref.kind), [])
        first[:] = sorted([*first, ref])[:2]

    def rival(self, ref: Ref, thing: str) -> Ref | None:
        """Whoever keeps `ref` from having the thing: its holder, else another claimant of equal or higher standing."""
        holder = self._holders.get(thing)
        if holder is not None:
            return None if holder == ref else holder
        teachers = self._first.get((thing, RecordKind.TEACHER), [])
        students = self._first.get((thing, RecordKind.STUDENT), [])
        others = teachers if ref.kind is RecordKind.TEACHER else [*teachers, *students]
        return next((other for other in others if other != ref), None)

    def teacher_has(self, ref: Ref, thing: str) -> bool:
        """Whether the thing goes to exactly one teacher, and `ref` is a student."""
        if ref.kind is RecordKind.TEACHER:
            return False
        holder = self._holders.get(thing)
        if holder is not None:
            return holder.kind is RecordKind.TEACHER
        return len(self._first.get((thing, RecordKind.TEACHER), [])) == 1
