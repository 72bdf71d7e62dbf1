"""Limits: how much one run may change before a person has to look. Pure functions over counts and changes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from sds_daemon.plan.change import REMOVALS, Change, ChangeKind, Reason, Withheld
from sds_daemon.roster.records import Ref

ADDITIONS = frozenset(
    {
        ChangeKind.ADD_MEMBER,
        ChangeKind.ADD_OWNER,
        ChangeKind.ADD_SCHOOL_USER,
        ChangeKind.ADD_SCHOOL_CLASS,
    }
)
SECTION_ADDITIONS = frozenset({ChangeKind.ADD_MEMBER, ChangeKind.ADD_OWNER})
CREATIONS = frozenset(
    {ChangeKind.CREATE_SCHOOL, ChangeKind.CREATE_USER, ChangeKind.CREATE_CLASS, ChangeKind.RESTORE_CLASS}
)
UPDATES = frozenset({ChangeKind.UPDATE_SCHOOL, ChangeKind.UPDATE_USER, ChangeKind.UPDATE_CLASS})
STRANDED = "the other half of a move: the person is not taken out before the addition goes"
ADOPTIONS = frozenset({ChangeKind.ADOPT_USER, ChangeKind.ADOPT_CLASS})


class LimitSettings(Protocol):
    """The operator's limits; config.settings.LimitSettings has them. None means no limit."""

    @property
    def shrink_percent(self) -> int: ...
    @property
    def shrink_rows(self) -> int: ...
    @property
    def removal_percent(self) -> int: ...
    @property
    def removal_floor(self) -> int: ...
    @property
    def section_removal_percent(self) -> int: ...
    @property
    def section_removal_floor(self) -> int: ...
    @property
    def update_percent(self) -> int: ...
    @property
    def update_floor(self) -> int: ...
    @property
    def section_max_adds(self) -> int | None: ...
    @property
    def max_adds(self) -> int | None: ...
    @property
    def max_creates(self) -> int | None: ...


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """What percentages refer to: managed memberships by removal kind and by section, linked objects by update kind.

    `first_sync` switches the percentages off for changed attributes: nothing was accepted before. They hold for
    removals even then: a true first sync has nothing to remove, one begun anew after a crash may have.
    """

    totals: Mapping[ChangeKind, int]
    per_container: Mapping[Ref, int]
    courses: Mapping[str, str]
    first_sync: bool


class Shrinkage(msgspec.Struct, frozen=True):
    """A resource of the source that shrank too far."""

    resource: str
    before: int
    now: int


def shrinkages(before: Mapping[str, int], now: Mapping[str, int], limits: LimitSettings) -> list[Shrinkage]:
    """Resources (keys of both mappings) that lost more than both the allowed percentage and the allowed rows."""
    found = []
    for resource, old in sorted(before.items()):
        lost = old - now.get(resource, 0)
        if lost > limits.shrink_rows and lost * 100 > limits.shrink_percent * old:
            found.append(Shrinkage(resource, old, now.get(resource, 0)))
    return found


def hold_excess(
    changes: Iterable[Change], extent: Extent, limits: LimitSettings
) -> tuple[list[Change], list[Withheld]]:
    """Hold every change of a kind that exceeds its limit, and all adoptions; let the rest pass in order."""
    changes = list(changes)
    moves = _moves(changes, extent.courses)
    held_kinds = _kinds_over_limit(changes, moves, extent, limits)
    held_sections = _sections_over_limit(changes, moves, extent, limits)
    held_adds = _sections_over_adds(changes, limits)
    waiting = (c for c in changes if c.kind in SECTION_ADDITIONS and (c.kind in held_kinds or c.subject in held_adds))
    stranded = moves - _moves(_without(changes, waiting), extent.courses)
    passing: list[Change] = []
    held: list[Withheld] = []
    for change in changes:
        if change.kind in ADOPTIONS:
            held.append(Withheld(change=change, reason=Reason.NEEDS_APPROVAL, detail=str(Reason.ADOPTABLE)))
        elif change.kind in held_kinds and change.key not in moves:
            held.append(Withheld(change=change, reason=Reason.LIMIT, detail=held_kinds[change.kind]))
        elif change.kind in REMOVALS and change.subject in held_sections and change.key not in moves:
            held.append(Withheld(change=change, reason=Reason.LIMIT, detail=held_sections[change.subject]))
        elif change.key in stranded:
            held.append(Withheld(change=change, reason=Reason.LIMIT, detail=STRANDED))
        elif change.kind in SECTION_ADDITIONS and change.subject in held_adds:
            held.append(Withheld(change=change, reason=Reason.LIMIT, detail=held_adds[change.subject]))
        else:
            passing.append(change)
    return passing, held


def _without(changes: list[Change], left_out: Iterable[Change]) -> list[Change]:
    keys = {change.key for change in left_out}
    return [change for change in changes if change.key not in keys]


def _moves(changes: list[Change], courses: Mapping[str, str]) -> set[tuple[ChangeKind, Ref, Ref | None]]:
    """Keys of removals whose person is added to another section of the same course: a move, not a loss."""
    removals = [change for change in changes if change.kind is ChangeKind.REMOVE_MEMBER]
    leaving = {change.member for change in removals}
    arrivals = {
        (change.member, courses.get(change.subject.sis_id))
        for change in changes
        if change.kind is ChangeKind.ADD_MEMBER and change.member in leaving and courses.get(change.subject.sis_id)
    }
    return {change.key for change in removals if (change.member, courses.get(change.subject.sis_id)) in arrivals}


def _counted(change: Change, moves: set[tuple[ChangeKind, Ref, Ref | None]]) -> bool:
    """Attributes stamped on a new link are no change of the source; a move is no removal."""
    if change.kind in UPDATES:
        return change.reason is Reason.CHANGED
    return change.key not in moves


def _kinds_over_limit(
    changes: list[Change],
    moves: set[tuple[ChangeKind, Ref, Ref | None]],
    extent: Extent,
    limits: LimitSettings,
) -> dict[ChangeKind, str]:
    over: dict[ChangeKind, str] = {}
    for kind, count in Counter(c.kind for c in changes if _counted(c, moves)).items():
        allowed = _allowed(kind, extent, limits)
        if allowed is not None and count > allowed:
            over[kind] = f"{count} changes of kind {kind}, at most {allowed} go without approval"
    return over


def _allowed(kind: ChangeKind, extent: Extent, limits: LimitSettings) -> int | None:
    if kind in ADDITIONS:
        return limits.max_adds
    if kind in CREATIONS:
        return limits.max_creates
    total = extent.totals.get(kind, 0)
    if kind in REMOVALS:
        return max(limits.removal_floor, total * limits.removal_percent // 100)
    if kind in UPDATES and not extent.first_sync:
        return max(limits.update_floor, total * limits.update_percent // 100)
    return None


def _sections_over_limit(
    changes: list[Change],
    moves: set[tuple[ChangeKind, Ref, Ref | None]],
    extent: Extent,
    limits: LimitSettings,
) -> dict[Ref, str]:
    removals: dict[Ref, int] = defaultdict(int)
    for change in changes:
        if change.kind in {ChangeKind.REMOVE_MEMBER, ChangeKind.REMOVE_OWNER} and _counted(change, moves):
            removals[change.subject] += 1
    over: dict[Ref, str] = {}
    for section, count in removals.items():
        total = extent.per_container.get(section, 0)
        allowed = max(limits.section_removal_floor, total * limits.section_removal_percent // 100)
        if count > allowed:
            over[section] = f"{count} of {total} memberships of the section, at most {allowed} go without approval"
    return over


def _sections_over_adds(changes: list[Change], limits: LimitSettings) -> dict[Ref, str]:
    allowed = limits.section_max_adds
    if allowed is None:
        return {}
    counts = Counter(change.subject for change in changes if change.kind in SECTION_ADDITIONS)
    return {
        section: f"{count} additions to the section, at most {allowed} go without approval"
        for section, count in counts.items()
        if count > allowed
    }
