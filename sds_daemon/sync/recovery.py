"""After a crash: creates that were sent and never answered are looked up before anything is created again."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from loguru import logger

from sds_daemon.clock import Clock
from sds_daemon.plan.attributes import ACCOUNT_IDENTITY
from sds_daemon.plan.change import ChangeKind
from sds_daemon.store import Link, Links, Store
from sds_daemon.sync.matching import ANCHOR_RULE, MatchResult
from sds_daemon.targets.base import Target


async def recover_creates(
    target: Target, store: Store, links: Links, clock: Clock, profile: str, licensed_kinds: frozenset[str]
) -> int:
    """Link what earlier runs created without learning of it. Returns how many objects were found.

    An intention whose object is not there is forgotten: this run plans it again.
    """
    found = 0
    unsettled = store.runs.unsettled(profile)
    for change, since in unsettled:
        if links.get(change.subject) is not None:
            continue
        object_id = await target.find(change, since)
        if object_id is None:
            continue
        found += 1
        written = {name: value for name, value in change.values.items() if name not in ACCOUNT_IDENTITY}
        licensed = change.kind is ChangeKind.CREATE_USER and change.subject.kind.value in licensed_kinds
        links.put(
            [
                Link(
                    ref=change.subject,
                    object_id=object_id,
                    profile=profile,
                    created=True,
                    rule="created",
                    licenses_due=licensed,
                    written=written,
                    linked_at=clock.now(),
                )
            ]
        )
    store.runs.forget_unsettled(profile, [change for change, _ in unsettled])
    if unsettled:
        logger.bind(profile=profile, action="recover").info(
            "{} creations of an interrupted run were looked up, {} had been carried out", len(unsettled), found
        )
    return found


def claim_created(match: MatchResult, store: Store, profile: str, licensed_kinds: Collection[str]) -> None:
    """Accounts found by our mark that a run of this profile asked Graph to make are its own, licences and all.

    The answer was lost and the account did not show yet when it was looked up: what made it is known here alone.
    """
    marked = {matched.ref for matched in match.matched if matched.rule == ANCHOR_RULE}
    sent = store.runs.sent_creates(profile, marked) if marked else set()
    match.matched = [
        msgspec.structs.replace(matched, created=True, licenses_due=matched.ref.kind.value in licensed_kinds)
        if matched.ref in sent and matched.rule == ANCHOR_RULE
        else matched
        for matched in match.matched
    ]


async def claim_unlicensed(match: MatchResult, target: Target, licensed_kinds: Collection[str]) -> None:
    """Accounts we made, found by our mark, that hold no licence at all: theirs are to be assigned.

    With a lost database nobody remembers what was due. Only where the profile makes all its accounts is it certain that
    one with our mark was made by us.
    """
    unsure = {
        matched.object_id: matched.ref
        for matched in match.matched
        if matched.rule == ANCHOR_RULE and matched.created and not matched.licenses_due
        if matched.ref.kind.value in licensed_kinds
    }
    plans = await target.plans_of(sorted(unsure)) if unsure else {}
    bare = {ref for object_id, ref in unsure.items() if object_id in plans and not plans[object_id]}
    match.matched = [
        msgspec.structs.replace(matched, licenses_due=matched.licenses_due or matched.ref in bare)
        for matched in match.matched
    ]
