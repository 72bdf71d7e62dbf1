"""Matching over the real store: what the store answers is what matching takes it for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from matching_rig import DOMAINS, S1, S2, SOURCE, T1, codes, matching_on, profile, snapshot, student, teacher, user

from sds_daemon.clock import FixedClock
from sds_daemon.config.settings import Profile
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.records import RecordKind, Ref, Snapshot
from sds_daemon.store import Link, Store
from sds_daemon.sync.matching import FEW, MatchResult, match_people

NOW = datetime(2026, 10, 1, 8, tzinfo=UTC)
BY_UPN = matching_on("username", "contoso.com", "userPrincipalName")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "state" / "state.db", FixedClock(NOW))
    yield store
    store.close()


def link(ref: Ref, object_id: str) -> Link:
    return Link(ref=ref, object_id=object_id, profile="oak", created=False, rule="x", linked_at=NOW)


def match(store: Store, data: Snapshot, chosen: Profile = BY_UPN) -> MatchResult:
    return match_people(
        data,
        chosen,
        links=store.links(SOURCE, "t"),
        directory=store.directory("t"),
        source_uuid=SOURCE,
        domains=DOMAINS,
    )


def test_links_marks_rule_and_creation(store: Store) -> None:
    store.links(SOURCE, "t").put([link(S1, "u1")])
    store.directory("t").put_users(
        [user("u1", "old@contoso.com"), user("u2", "b@contoso.com", anchor=S2), user("u3", "Alan@Contoso.com")]
    )
    data = snapshot(student("1", "ada"), student("2", "x"), student("3", "new"), teacher("1", "alan"))
    result = match(store, data)
    assert result.linked == {S1: "u1", S2: "u2", T1: "u3"}
    assert codes(result) == {Ref(RecordKind.STUDENT, "3"): IssueCode.UNMATCHED}
    created = match(store, data, profile("create"))
    assert [one.ref.sis_id for one in created.creates] == ["3"]
    assert codes(created) == {T1: IssueCode.UPN_TAKEN}


def test_recycle_bin_and_purge(store: Store) -> None:
    store.links(SOURCE, "t").put([link(S1, "u1"), link(S2, "u2")])
    directory = store.directory("t")
    directory.put_users([user("u1", "ada@contoso.com"), user("u2", "eve@contoso.com")])
    data = snapshot(student("1", "ada"), student("2", "eve"))
    directory.forget("user", ["u1"], purged=False)
    directory.forget("user", ["u2"], purged=True)
    assert codes(match(store, data)) == {S1: IssueCode.OBJECT_DELETED, S2: IssueCode.UNMATCHED}
    directory.put_users([user("u1", "ada@contoso.com"), user("u9", "eve@contoso.com")])
    assert match(store, data).linked == {S1: "u1", S2: "u9"}, "restored, and made again by hand"


def test_names_outside_ascii_are_found_in_any_case(store: Store) -> None:
    store.directory("t").put_users([user("u1", "x@contoso.com", nickname="ÉLODIE")])
    result = match(store, snapshot(student("1", "élodie")), matching_on("username", None, "mailNickname"))
    assert result.linked == {S1: "u1"}


@pytest.mark.parametrize("count", [3, FEW + 1])
def test_marks_of_few_and_of_many(store: Store, count: int) -> None:
    refs = [Ref(RecordKind.STUDENT, str(n)) for n in range(count)]
    store.directory("t").put_users(user(f"u{ref.sis_id}", f"x{ref.sis_id}@contoso.com", anchor=ref) for ref in refs)
    result = match(store, snapshot(*(student(ref.sis_id) for ref in refs)))
    assert result.linked == {ref: f"u{ref.sis_id}" for ref in refs}
