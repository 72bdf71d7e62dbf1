"""Members and owners of groups as delta brings them: in parts, in any order, said to be removed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from graph_kit import transport

from sds_daemon.clock import FixedClock
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Directory, Link, Membership, Role, Store
from sds_daemon.targets.entra.reading import Reading

TENANT, SOURCE = "tenant", "5d8a1c52-0000-4000-8000-000000000001"
CLASS = Ref(RecordKind.SECTION, "1")
NOW = datetime(2026, 9, 1, tzinfo=UTC)
ROOT = "https://graph.microsoft.com/v1.0"
GROUP = {
    "id": "g1",
    "displayName": "Biology",
    "mailNickname": "Section_1",
    "mail": "s@x.org",
    "groupTypes": ["Unified"],
}
Page = dict[str, Any]


def pupil(number: int) -> Ref:
    return Ref(RecordKind.STUDENT, str(number))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Class 1 with three pupils, written long ago."""
    clock = FixedClock(NOW)
    with Store.open(tmp_path / "state" / "state.db", clock) as opened:
        refs = {CLASS: "g1", **{pupil(n): f"u{n}" for n in (1, 2, 3)}}
        opened.links(SOURCE, TENANT).put(
            Link(ref=ref, object_id=oid, profile="north", created=True, rule="created", linked_at=NOW)
            for ref, oid in refs.items()
        )
        run = opened.runs.begin("north", SOURCE, TENANT)
        opened.memberships(SOURCE, TENANT).add((Membership(CLASS, pupil(n), Role.MEMBER) for n in (1, 2, 3)), run)
        opened.runs.finish(run, "success", {})
        clock.advance(timedelta(hours=1))
        yield opened


def links(*present: int, gone: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    return [{"id": f"u{n}"} for n in present] + [{"id": f"u{n}", "@removed": {"reason": "deleted"}} for n in gone]


class Graph:
    """Serves the pages of one round of /groups/delta, and nothing else of interest."""

    def __init__(self, *pages: list[Page]) -> None:
        self.pages = pages
        self.urls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.urls.append(str(request.url))
        if not request.url.path.endswith("/groups/delta"):
            return httpx.Response(200, json={"value": [], "@odata.deltaLink": f"{ROOT}/users/delta?$deltatoken=u"})
        number = int(request.url.params.get("$skiptoken", 0))
        following = (
            {"@odata.nextLink": f"{ROOT}/groups/delta?$skiptoken={number + 1}"}
            if number + 1 < len(self.pages)
            else {"@odata.deltaLink": f"{ROOT}/groups/delta?$deltatoken=next"}
        )
        return httpx.Response(200, json={"value": self.pages[number], **following})


async def refresh(cache: Directory, *pages: list[Page]) -> Graph:
    graph = Graph(*pages)
    reader = transport(graph)
    await Reading(reader, cache, education=False).refresh()
    await reader.close()
    return graph


def absent(store: Store) -> set[str]:
    rows = store.memberships(SOURCE, TENANT).absent("north", NOW + timedelta(hours=1))
    return {row.member.sis_id for row in rows}


async def test_members_are_asked_for(store: Store) -> None:
    graph = await refresh(store.directory(TENANT), [GROUP | {"members@delta": links(1, 2, 3)}])
    (asked,) = [url for url in graph.urls if "/groups/delta" in url]
    assert {"members", "owners"} <= set(httpx.URL(asked).params["$select"].split(","))
    assert absent(store) == set()


async def test_large_groups_come_in_several_rows(store: Store) -> None:
    """Some of them say nothing of the group: its properties are kept from the row that does."""
    cache = store.directory(TENANT)
    more = {"id": "g1", "members@delta": links(2)}
    await refresh(cache, [GROUP | {"members@delta": links(1)}, more], [{"id": "g1", "members@delta": links(3)}])
    assert absent(store) == set()
    assert cache.groups(["g1"])["g1"].display_name == "Biology"


async def test_whoever_a_full_read_does_not_show_is_out(store: Store) -> None:
    await refresh(store.directory(TENANT), [GROUP | {"members@delta": links(1)}], [GROUP | {"members@delta": links(3)}])
    assert absent(store) == {"2"}


async def test_changes_of_members_cost_no_further_read(store: Store) -> None:
    """A row that holds nothing but members is no reason to fetch the group."""
    cache = store.directory(TENANT)
    await refresh(cache, [GROUP | {"members@delta": links(1, 2, 3)}])
    graph = await refresh(cache, [{"id": "g1", "members@delta": links(gone=(2,))}])
    assert absent(store) == {"2"}
    assert not [url for url in graph.urls if "filter" in url or "/groups/g1" in url]
    assert cache.groups(["g1"])["g1"].mail_nickname == "Section_1"


async def test_out_and_in_again_is_in(store: Store) -> None:
    cache = store.directory(TENANT)
    await refresh(cache, [GROUP | {"members@delta": links(1, 2, 3)}])
    out, back = {"id": "g1", "members@delta": links(gone=(2,))}, {"id": "g1", "members@delta": links(2)}
    await refresh(cache, [out], [back])
    assert absent(store) == set()
