"""What is odd about a snapshot beside the last accepted one, and what each oddity forbids. Pure functions.

None of them removes anybody; the rest of the profile goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from sds_daemon.errors import SafetyStop
from sds_daemon.plan.issues import Issue, IssueCode, Severity
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import RecordKind, Ref, Snapshot
from sds_daemon.store import Baseline

EMPTY_FLOORS = {Resource.STUDENTS: 8, Resource.ENROLLMENTS: 8, Resource.SECTIONS: 2}
"""A school with more rows than this, and none now, is called empty; so are all its schools where a whole profile had
more and has none now. Below it the ordinary limits are enough."""


class Oddity(StrEnum):
    """What is odd."""

    NEW_YEAR = "new school year"
    EMPTY = "empty school"
    VANISHED = "vanished school"
    NO_SECTIONS = "terms not yet set up"


_CODES = {
    Oddity.EMPTY: IssueCode.SCHOOL_EMPTY,
    Oddity.VANISHED: IssueCode.SCHOOL_VANISHED,
    Oddity.NO_SECTIONS: IssueCode.NO_SECTIONS,
}


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """One oddity. `school_id` None: of the whole snapshot. `detail`: one sentence."""

    oddity: Oddity
    school_id: str | None
    detail: str

    @property
    def suspends(self) -> bool:
        """Whether removals are withheld: at the school, or everywhere where it is of the whole snapshot."""
        return self.oddity is not Oddity.NO_SECTIONS

    @property
    def issue(self) -> Issue | None:
        """The issue on the school; a school that never had sections is a note, not an error."""
        if self.school_id is None:
            return None
        severity = Severity.NOTE if self.oddity is Oddity.NO_SECTIONS else Severity.ERROR
        ref = Ref(RecordKind.SCHOOL, self.school_id)
        return Issue(ref=ref, code=_CODES[self.oddity], detail=self.detail, severity=severity)


def refuse_other_district(now: Baseline, accepted: Baseline | None) -> None:
    """Raises SafetyStop when the data is another district's than the accepted one."""
    if accepted is not None and accepted.source_uuid != now.source_uuid:
        raise SafetyStop(
            "the server answers with another district's data than before (its district uuid changed)",
            remedy="check the source's url; for a server that really was replaced, use a new profile name",
        )


def find_anomalies(
    snapshot: Snapshot, now: Baseline, accepted: Baseline | None, *, whole_district: bool = False
) -> list[Anomaly]:
    """Every oddity of a snapshot whose counts are `now`, the whole ones first, then by school.

    `whole_district`: the profile takes every school there is. One no longer listed has vanished, unless the operator
    took it out of the profile.
    """
    found: list[Anomaly] = []
    if accepted is not None:
        if accepted.school_year != now.school_year:
            found.append(_new_year(snapshot))
        found += _vanished(snapshot, accepted, None if whole_district else set(now.named.values()))
        found += _emptied(snapshot, now, accepted)
    named = {anomaly.school_id for anomaly in found}
    return [*found, *(each for each in _without_sections(snapshot) if each.school_id not in named)]


def suspended(anomalies: Iterable[Anomaly]) -> dict[str | None, str]:
    """Why nothing may be removed, by school (None: anywhere)."""
    return {each.school_id: each.detail for each in anomalies if each.suspends}


def kept_counts(now: Baseline, accepted: Baseline, anomalies: Iterable[Anomaly]) -> Baseline:
    """The measure to go on with: an empty or vanished school counts as before, so that it stays odd until it is cured
    or a person accepts it."""
    odd = {each.school_id for each in anomalies if each.oddity in (Oddity.EMPTY, Oddity.VANISHED)}
    before = {key: count for key, count in accepted.rows.items() if key[1] in odd and key[1] is not None}
    rows = {key: max(count, before.get(key, 0)) for key, count in now.rows.items()}
    return msgspec.structs.replace(now, rows={**before, **rows})


def _new_year(snapshot: Snapshot) -> Anomaly:
    detail = f"school year {snapshot.year} begins: its first snapshot is the new measure, and nothing is removed"
    return Anomaly(oddity=Oddity.NEW_YEAR, school_id=None, detail=detail)


def _vanished(snapshot: Snapshot, accepted: Baseline, wanted: set[str] | None) -> Iterator[Anomaly]:
    """The accepted schools that are missing; of the `wanted` ones, where the profile does not take all."""
    schools = {school for _, school in accepted.rows if school is not None and (wanted is None or school in wanted)}
    for school_id in sorted(schools - snapshot.schools.keys()):
        detail = "the source no longer lists this school; its classes and their members stay as they are"
        yield Anomaly(oddity=Oddity.VANISHED, school_id=school_id, detail=detail)


def _emptied(snapshot: Snapshot, now: Baseline, accepted: Baseline) -> Iterator[Anomaly]:
    """Schools read whole without a row of what they had. In a new year sections may be yet to come: students count."""
    same_year = accepted.school_year == now.school_year
    judged = EMPTY_FLOORS if same_year else {Resource.STUDENTS: EMPTY_FLOORS[Resource.STUDENTS]}
    nowhere = {each for each in judged if _total(accepted, each) > judged[each] and not _total(now, each)}
    for school_id in sorted(snapshot.schools):
        before = {resource: accepted.rows.get((resource, school_id), 0) for resource in judged}
        floors = {each: 0 if each in nowhere else judged[each] for each in judged}
        gone = [each for each in judged if before[each] > floors[each] and not now.rows.get((each, school_id))]
        lost = [f"{before[each]} {each}" for each in gone]
        if lost:
            detail = f"the school had {' and '.join(lost)} and now has none; nobody is removed there"
            yield Anomaly(oddity=Oddity.EMPTY, school_id=school_id, detail=detail)


def _total(counts: Baseline, resource: Resource) -> int:
    return sum(count for (each, _), count in counts.rows.items() if each is resource)


def _without_sections(snapshot: Snapshot) -> Iterator[Anomaly]:
    teaching = {section.school_id for section in snapshot.sections.values()}
    populated = {student.school_id for student in snapshot.students.values()}
    for school_id in sorted(snapshot.schools.keys() & (populated - teaching) if teaching else ()):
        detail = f"the school has students but no sections of {snapshot.year}: its terms may not be set up yet"
        yield Anomaly(oddity=Oddity.NO_SECTIONS, school_id=school_id, detail=detail)
