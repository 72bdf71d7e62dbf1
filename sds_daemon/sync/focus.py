"""A sync of one person or one section: the whole is read and judged as ever, and the plan then narrowed to that one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from sds_daemon.errors import UsageError
from sds_daemon.plan.change import LICENSINGS, Change, ChangeKind, Plan, Reason, Withheld
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.sync.people import PERSON_KINDS
from sds_daemon.sync.sightings import in_snapshot
from sds_daemon.sync.summary import count_changes
from sds_daemon.sync.trace import parse_ref
from sds_daemon.sync.world import World

_MAKING = frozenset(
    {ChangeKind.CREATE_USER, ChangeKind.CREATE_CLASS, ChangeKind.CREATE_SCHOOL, ChangeKind.RESTORE_CLASS}
)
_LEADING = frozenset({ChangeKind.ADD_OWNER, ChangeKind.ADD_MEMBER})


class Focus(msgspec.Struct, frozen=True):
    """What the operator named: a SIS ID, "student 123", or (people) a user principal name."""

    what: Literal["person", "section"]
    text: str


class Narrowed(msgspec.Struct, frozen=True):
    """What is left of a plan. `ref`: the one record; `elsewhere`: changes left alone, counted by kind."""

    ref: Ref
    plan: Plan
    elsewhere: dict[str, int]


def narrow(focus: Focus, world: World, plan: Plan, approved: Iterable[Change]) -> Narrowed:
    """The plan for one record, and what that rests on. Raises UsageError for a record nobody knows.

    `approved` are held changes a person has approved: they go out together or not at all, so not here.
    """
    ref = find_record(focus, world)
    waiting = {change.key: change for change in approved}
    free = [change for change in plan.changes if change.key not in waiting]
    chosen = with_what_it_needs(free, ref)
    chosen_keys = {change.key for change in chosen}
    held = [item for item in plan.held if _is_about(item.change, ref)]
    held += [
        Withheld(change=change, reason=Reason.NEEDS_APPROVAL, detail="approved; a sync of the whole profile applies it")
        for change in waiting.values()
        if _is_about(change, ref)
    ]
    narrowed = Plan(changes=chosen, skipped=[item for item in plan.skipped if _is_about(item.change, ref)], held=held)
    rest = [change for change in plan.changes if change.key not in chosen_keys and not _is_about(change, ref)]
    return Narrowed(ref, narrowed, count_changes(rest))


def with_what_it_needs(changes: Sequence[Change], ref: Ref) -> list[Change]:
    """Changes about a record, and those without which they cannot be carried out, in the plan's order.

    That is: accounts, classes and schools still to be made, with their licences; for a class to be made its owners,
    since Graph may leave a group without one unprovisioned; for an owner to be taken out the owners that come instead.
    """
    chosen = {change.key for change in changes if _is_about(change, ref)}
    while True:
        more = {change.key for change in changes if change.key not in chosen and _is_needed(change, changes, chosen)}
        if not more:
            return [change for change in changes if change.key in chosen]
        chosen |= more


def _is_needed(change: Change, changes: Sequence[Change], chosen: set[tuple[ChangeKind, Ref, Ref | None]]) -> bool:
    if change.kind in _MAKING:
        return any(change.subject in (subject, member) for _, subject, member in chosen)
    if change.kind in LICENSINGS:
        return (ChangeKind.CREATE_USER, change.subject, None) in chosen
    if change.kind in _LEADING and change.member is not None and change.member.kind is RecordKind.TEACHER:
        made = (ChangeKind.CREATE_CLASS, change.subject, None) in chosen
        return made or any(kind is ChangeKind.REMOVE_OWNER and subject == change.subject for kind, subject, _ in chosen)
    return False


def _is_about(change: Change, ref: Ref) -> bool:
    return ref in (change.subject, change.member)


def find_record(focus: Focus, world: World) -> Ref:
    """The record meant. Raises UsageError where there is none, or where a bare id fits a student and a teacher."""
    kinds = (RecordKind.SECTION,) if focus.what == "section" else PERSON_KINDS
    named = parse_ref(focus.text)
    refs = [named] if named is not None else [Ref(kind, focus.text) for kind in kinds]
    found = [ref for ref in refs if ref.kind in kinds and (in_snapshot(world, ref) or ref in world.known)]
    if not found and "@" in focus.text and focus.what == "person":
        users = world.directory.users_by("userPrincipalName", [focus.text]).get(focus.text.lower(), [])
        objects = {user.id for user in users}
        found = [ref for ref, link in world.known.items() if link.object_id in objects and ref.kind in kinds]
    if not found:
        raise UsageError(
            f"profile {world.profile.name} knows no {focus.what} {focus.text}",
            remedy="give the SIS ID; sds-daemon explain ID --now says what the source has",
        )
    if len(found) > 1:
        raise UsageError(
            f"{focus.text} fits {' and '.join(str(ref) for ref in found)}",
            remedy=f'say which: --{focus.what} "{found[0]}"',
        )
    return found[0]
