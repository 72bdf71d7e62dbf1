"""The source limit: a snapshot beside the last accepted one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from sds_daemon.config.settings import Profile
from sds_daemon.errors import SourceShrank
from sds_daemon.plan.limits import Shrinkage, shrinkages
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import Snapshot
from sds_daemon.roster.schools import entries_known_before, schools_meant
from sds_daemon.store import Baseline, SourceStop
from sds_daemon.sync.anomalies import (
    Anomaly,
    Oddity,
    find_anomalies,
    kept_counts,
    refuse_other_district,
    suspended,
)

_COUNTED_WHOLE = frozenset({Resource.SCHOOLS, Resource.STAFF})


class Measure(msgspec.Struct, kw_only=True):
    """How a snapshot compares with the last accepted one.

    `baseline` is the next measure, once the run is carried out. `suspended`: why nothing is removed, by school (None:
    anywhere). `notices`: sentences to announce.
    """

    first_sync: bool
    baseline: Baseline
    anomalies: list[Anomaly] = []
    suspended: dict[str | None, str] = {}
    notices: list[str] = []


def measure(
    snapshot: Snapshot,
    accepted: Baseline | None,
    profile: Profile,
    *,
    accept_shrink: bool = False,
    approved: SourceStop | None = None,
) -> Measure:
    """Compare. `approved`: a stopped run whose counts a person accepted; `accept_shrink`: any counts.

    Raises SafetyStop for another district's data, whatever its size, and SourceShrank for too few rows.
    """
    entries = () if profile.schools == "all" else profile.schools
    known = accepted.named if accepted is not None else {}
    now = msgspec.structs.replace(
        baseline_of(snapshot, accepted), named=schools_meant(snapshot.schools.values(), entries, known)
    )
    refuse_other_district(now, accepted)
    anomalies = find_anomalies(snapshot, now, accepted, whole_district=profile.schools == "all")
    renamed = entries_known_before(snapshot.schools.values(), entries, known)
    notices = [*(_sentence(anomaly) for anomaly in anomalies if anomaly.suspends), *renamed]
    if accepted is None or accepted.school_year != now.school_year:
        return Measure(
            first_sync=accepted is None,
            baseline=now,
            anomalies=anomalies,
            suspended=suspended(anomalies),
            notices=notices,
        )
    shrunk = shrinkages(totals(accepted), totals(now), profile.limits)
    odd = [each.school_id for each in anomalies if each.oddity in (Oddity.EMPTY, Oddity.VANISHED)]
    if approved is not None and not accept_shrink:
        refuse_further(approved, now, odd)
    if accept_shrink or approved is not None:
        words = [f"accepted a smaller source: {_words([each])}" for each in shrunk]
        words += [f"accepted: {_sentence(each)}" for each in anomalies if each.suspends]
        return Measure(first_sync=False, baseline=now, anomalies=_minor(anomalies), notices=[*words, *renamed])
    if shrunk:
        raise SourceShrank(
            f"the source shrank: {_words(shrunk)}; nothing was touched",
            remedy="look at PowerSchool; if it is right: sds-daemon approve, with the number of this run, or "
            f"sds-daemon sync {profile.name} --accept-shrink",
            counts=totals(now),
            schools=[each for each in odd if each is not None],
        )
    return Measure(
        first_sync=False,
        baseline=kept_counts(now, accepted, anomalies),
        anomalies=anomalies,
        suspended=suspended(anomalies),
        notices=notices,
    )


def baseline_of(snapshot: Snapshot, accepted: Baseline | None = None) -> Baseline:
    """Row counts of a snapshot, compared with the next one's.

    A part that was not proved to be read whole has not shrunk: it counts at least as many rows as were accepted.
    """
    rows: Counter[tuple[Resource, str | None]] = Counter()
    rows[Resource.SCHOOLS, None] = len(snapshot.schools)
    rows[Resource.STAFF, None] = len(snapshot.teachers)
    for student in snapshot.students.values():
        rows[Resource.STUDENTS, student.school_id] += 1
    for section in snapshot.sections.values():
        rows[Resource.SECTIONS, section.school_id] += 1
        rows[Resource.ENROLLMENTS, section.school_id] += len(section.students)
    now = Baseline(school_year=snapshot.year.start_year, source_uuid=snapshot.source_uuid, rows=dict(rows))
    if accepted is not None and (accepted.source_uuid, accepted.school_year) == (now.source_uuid, now.school_year):
        unproved = {(part.resource, part.school_id) for part in snapshot.proof.unproved()}
        unproved |= {(resource, None) for resource, _ in unproved if resource in _COUNTED_WHOLE}
        for key in unproved & accepted.rows.keys():
            now.rows[key] = max(accepted.rows[key], now.rows.get(key, 0))
    return now


def totals(baseline: Baseline) -> dict[str, int]:
    """Rows per resource over all schools."""
    counted: Counter[str] = Counter()
    for (resource, _), count in baseline.rows.items():
        counted[resource.value] += count
    return dict(counted)


def refuse_further(approved: SourceStop, now: Baseline, odd: Iterable[str | None]) -> None:
    """Raises SourceShrank when there is less than a person accepted: fewer rows, or another school empty or gone."""
    counts, schools = totals(now), [each for each in odd if each is not None]
    less = [Shrinkage(name, was, counts.get(name, 0)) for name, was in sorted(approved.counts.items())]
    less = [each for each in less if each.now < each.before]
    more = sorted(set(schools) - set(approved.schools))
    if not less and not more:
        return
    moved = [_words(less)] if less else []
    moved += [f"school {school} is empty or gone as well" for school in more]
    raise SourceShrank(
        f"the source moved on since run {approved.run_id}, which was approved: {'; '.join(moved)}; nothing was touched",
        remedy="look at PowerSchool; if it is right, approve this run instead",
        counts=counts,
        schools=schools,
    )


def _minor(anomalies: Iterable[Anomaly]) -> list[Anomaly]:
    return [each for each in anomalies if not each.suspends]


def _words(shrunk: Iterable[Shrinkage]) -> str:
    return ", ".join(f"{each.resource} {each.before} to {each.now}" for each in shrunk)


def _sentence(anomaly: Anomaly) -> str:
    return anomaly.detail if anomaly.school_id is None else f"school {anomaly.school_id}: {anomaly.detail}"
