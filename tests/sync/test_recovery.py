"""Whose accounts are those found by our mark: what an earlier run asked Graph to make is remembered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from memory_directory import MemoryDirectory

from sds_daemon.clock import FixedClock
from sds_daemon.plan.change import Change, ChangeKind, Outcome, Result
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Store
from sds_daemon.sync.matching import ANCHOR_RULE, Matched, MatchResult
from sds_daemon.sync.recovery import claim_created, claim_unlicensed

NOW = datetime(2026, 10, 14, 8, 0, tzinfo=UTC)
SENT, PLANNED, STRANGER = (Ref(RecordKind.STUDENT, number) for number in ("7", "8", "9"))
SOURCE_RULE = "username@contoso.edu=user_principal_name"


def creation(ref: Ref) -> Change:
    return Change(kind=ChangeKind.CREATE_USER, subject=ref, values={"user_principal_name": f"{ref.sis_id}@contoso.edu"})


def found(*refs: Ref, rule: str = ANCHOR_RULE) -> MatchResult:
    matched = [Matched(ref=ref, object_id=f"object of {ref}", rule=rule) for ref in refs]
    linked = {each.ref: each.object_id for each in matched}
    return MatchResult(linked=linked, matched=matched, creates=[], issues=[], foreign=set())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A run that planned two accounts and sent the request for one of them; its answer never came."""
    store = Store.open(tmp_path / "state" / "state.db", FixedClock(NOW))
    run = store.runs.begin("oak")
    store.runs.record_plan(run, [creation(SENT), creation(PLANNED)])
    store.runs.intend(run, [creation(SENT)])
    yield store
    store.close()


def due(match: MatchResult) -> dict[Ref, tuple[bool, bool]]:
    return {each.ref: (each.created, each.licenses_due) for each in match.matched}


@pytest.mark.parametrize("fate", ["unknown", "looked up in vain", "put off"])
def test_licences_of_an_account_that_showed_late_are_due(store: Store, fate: str) -> None:
    """However its creation was recorded: unanswered, forgotten because it could not be seen, or left for later."""
    if fate == "looked up in vain":
        store.runs.forget_unsettled("oak", [creation(SENT)])
    if fate == "put off":
        store.runs.settle(1, [Outcome(change=creation(SENT), result=Result.DEFERRED)])
    match = found(SENT, PLANNED, STRANGER)
    claim_created(match, store, "oak", {"student"})
    assert due(match) == {SENT: (True, True), PLANNED: (False, False), STRANGER: (False, False)}


def test_only_kinds_with_licences_are_due(store: Store) -> None:
    match = found(SENT)
    claim_created(match, store, "oak", {"teacher"})
    assert due(match) == {SENT: (True, False)}


def test_another_profile_did_not_make_it(store: Store) -> None:
    match = found(SENT)
    claim_created(match, store, "elm", {"student"})
    assert due(match) == {SENT: (False, False)}


def test_an_account_found_by_its_name_was_there_before(store: Store) -> None:
    match = found(SENT, rule=SOURCE_RULE)
    claim_created(match, store, "oak", {"student"})
    assert due(match) == {SENT: (False, False)}


class Plans(MemoryDirectory):
    """A directory in which these accounts have these service plans; an account that is not named cannot be read."""

    def __init__(self, plans: dict[Ref, set[str]]) -> None:
        super().__init__()
        self._plans = {f"object of {ref}": frozenset(names) for ref, names in plans.items()}

    async def plans_of(self, ids: Sequence[str]) -> dict[str, frozenset[str]]:
        return {each: self._plans[each] for each in ids if each in self._plans}


async def test_with_a_lost_record_accounts_of_ours_without_any_licence_get_theirs() -> None:
    bare, licensed, unread = SENT, PLANNED, STRANGER
    match = found(bare, licensed, unread)
    match.matched = [msgspec.structs.replace(each, created=True) for each in match.matched]
    await claim_unlicensed(match, Plans({bare: set(), licensed: {"exchange"}}), {"student"})
    assert due(match) == {bare: (True, True), licensed: (True, False), unread: (True, False)}


@pytest.mark.parametrize(
    ("created", "rule", "kind"),
    [(False, ANCHOR_RULE, "student"), (True, SOURCE_RULE, "student"), (True, ANCHOR_RULE, "teacher")],
)
async def test_nobody_elses_account_is_licensed(created: bool, rule: str, kind: str) -> None:
    match = found(SENT, rule=rule)
    match.matched = [msgspec.structs.replace(each, created=created) for each in match.matched]
    await claim_unlicensed(match, Plans({SENT: set()}), {kind})
    assert due(match) == {SENT: (created, False)}
