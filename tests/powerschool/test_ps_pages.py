"""Lists are read whole or known not to be, whatever happens to them meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from ps_rig import Script, count, error, listed, make_session, ok

from sds_daemon.errors import SourceDown, SourceInvalid
from sds_daemon.roster.proof import Resource
from sds_daemon.sources.powerschool.pages import ListCall, Listing, read_list

PATH = "/ws/v1/school/3/student"


class Live(Script):
    """One list that changes when a given request arrives (counted from 1, counts and pages alike)."""

    def __init__(self, rows: list[Any], size: int = 3, true_size: int | None = None) -> None:
        super().__init__()
        self.rows = rows
        self.size = size
        self.true_size = true_size or size
        self.at: dict[int, Callable[[list[Any]], None]] = {}
        self.always: Callable[[list[Any]], None] | None = None
        self.seen = 0
        self.overrides = {PATH: self.page, f"{PATH}/count": self.counted}

    def _tick(self) -> None:
        self.seen += 1
        if change := self.at.get(self.seen) or self.always:
            change(self.rows)

    def page(self, request: httpx.Request) -> httpx.Response:
        self._tick()
        start = (int(request.url.params["page"]) - 1) * self.true_size
        rows = self.rows[start : start + self.true_size]
        return listed("students", "student", rows) if rows or start == 0 else ok({"students": ""})

    def counted(self, _request: httpx.Request) -> httpx.Response:
        self._tick()
        return count(len(self.rows))

    async def read(self, *, count_first: bool = True, careful: bool = False) -> Listing:
        call = ListCall(
            path=PATH, root="students", item="student", size=self.size, count_first=count_first, careful=careful
        )
        return await read_list(make_session(self), call)

    def pages(self) -> int:
        return self.paths().count(PATH)


def rows(*ids: int) -> list[dict[str, Any]]:
    return [{"id": number} for number in ids]


def reason(listing: Listing) -> str | None:
    return listing.part(Resource.STUDENTS, "3").reason


@pytest.mark.parametrize(("number", "pages"), [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (6, 3), (7, 3)])
async def test_a_list_at_rest_is_read_to_its_short_page(number: int, pages: int) -> None:
    live = Live(rows(*range(1, number + 1)))
    listing = await live.read()
    assert [row["id"] for row in listing.rows] == list(range(1, number + 1))
    assert (listing.expected_before, listing.expected, reason(listing)) == (number, number, None)
    assert live.pages() == listing.pages
    assert live.pages() <= pages


async def test_page_size_and_number_are_stated() -> None:
    live = Live(rows(1, 2, 3, 4))
    await live.read()
    queries = [dict(request.url.params) for request in live.requests if request.url.path == PATH]
    assert queries[0] == {"page": "1", "pagesize": "3"}
    assert queries[1] == {"page": "2", "pagesize": "3"}


async def test_a_row_inserted_in_front_is_seen_and_no_row_doubled() -> None:
    live = Live(rows(1, 2, 3, 4, 5))
    live.at[3] = lambda table: table.insert(0, {"id": 9})
    listing = await live.read()
    assert sorted(row["id"] for row in listing.rows) == [1, 2, 3, 4, 5, 9]
    assert reason(listing) is None
    assert live.pages() > 2  # it was read again


async def test_a_row_deleted_in_front_hides_another_until_the_list_is_read_again() -> None:
    live = Live(rows(1, 2, 3, 4, 5))
    live.at[3] = lambda table: table.pop(0)
    listing = await live.read()
    assert sorted(row["id"] for row in listing.rows) == [2, 3, 4, 5]
    assert reason(listing) is None


async def test_a_row_moved_by_renaming_is_noticed_although_the_count_stands_still() -> None:
    live = Live(rows(1, 2, 3, 4, 5, 6))
    live.at[3] = lambda table: table.insert(0, table.pop())  # the last one is now first: never seen by page 2
    listing = await live.read()
    assert sorted(row["id"] for row in listing.rows) == [1, 2, 3, 4, 5, 6]
    assert reason(listing) is None


def swap(table: list[Any]) -> None:
    """A row that was read goes, another comes: the counts stand still."""
    table.pop(0)
    table.append({"id": 1000 + len(table) + table[-1]["id"]})


@pytest.mark.parametrize("count_first", [True, False])
async def test_a_careful_list_notices_one_in_and_one_out(count_first: bool) -> None:
    live = Live(rows(1, 2, 3, 4, 5))
    live.at[3 if count_first else 2] = swap
    listing = await live.read(count_first=count_first, careful=True)
    assert [row["id"] for row in listing.rows] == [row["id"] for row in live.rows]
    assert listing.settled


async def test_a_careful_list_notices_a_deletion_that_empties_its_last_page() -> None:
    live = Live(rows(1, 2, 3, 4))
    live.at[2] = lambda table: table.pop(0)
    listing = await live.read(count_first=False, careful=True)
    assert [row["id"] for row in listing.rows] == [2, 3, 4]
    assert listing.settled


async def test_a_careful_list_that_goes_on_moving_is_not_settled() -> None:
    live = Live(rows(1, 2, 3, 4, 5))
    live.always = swap
    assert not (await live.read(careful=True)).settled


async def test_a_careful_list_of_one_page_is_read_once() -> None:
    live = Live(rows(1, 2))
    assert (await live.read(careful=True)).settled
    assert live.pages() == 1


async def test_a_list_that_never_stands_still_is_unproved_with_the_reason() -> None:
    live = Live(rows(1, 2, 3, 4))
    live.always = lambda table: table.insert(0, {"id": 100 + len(table)})
    listing = await live.read()
    assert "the count moved from" in (reason(listing) or "")
    assert live.paths().count(f"{PATH}/count") == 6  # three readings, no more


async def test_a_list_shorter_than_its_count_is_unproved() -> None:
    live = Live(rows(1, 2, 3))
    live.overrides[f"{PATH}/count"] = lambda _request: count(5)
    listing = await live.read()
    assert reason(listing) == "3 of 5 rows were received"


async def test_a_server_with_a_smaller_limit_than_it_says_is_read_whole() -> None:
    live = Live(rows(*range(1, 8)), size=5, true_size=2)
    listing = await live.read()
    assert (len(listing.rows), reason(listing)) == (7, None)


async def test_without_a_first_count_the_smaller_limit_is_found_at_the_second_reading() -> None:
    live = Live(rows(*range(1, 8)), size=5, true_size=2)
    listing = await live.read(count_first=False)
    assert (len(listing.rows), listing.expected_before, reason(listing)) == (7, None, None)


async def test_a_server_that_does_not_turn_pages_ends_the_list() -> None:
    live = Live(rows(1, 2, 3))
    live.overrides = {PATH: lambda _request: listed("students", "student", rows(1, 2, 3)), f"{PATH}/count": count(9)}
    listing = await live.read()
    assert (len(listing.rows), reason(listing)) == (3, "3 of 9 rows were received")


async def test_an_id_listed_twice_stays_unproved_and_is_named() -> None:
    live = Live([{"id": 1}, {"id": "1", "x": 2}, {"id": 2}])
    listing = await live.read()
    assert listing.doubled == ["1"]
    assert reason(listing) == "2 of 3 rows were received"


async def test_rows_without_an_id_are_counted_once_each() -> None:
    live = Live([{"name": "a"}, {"name": "b"}, "text", {"id": {}}])
    listing = await live.read()
    assert (len(listing.rows), reason(listing)) == (4, None)


@pytest.mark.parametrize(
    "answer",
    [ok({"schools": {}}), ok([]), ok("x"), ok({"students": 5}), ok({"students": []}), ok({"errorMessage": {}})],
)
async def test_an_answer_of_another_shape_is_an_error_not_an_empty_list(answer: httpx.Response) -> None:
    live = Live(rows(1))
    live.overrides[PATH] = lambda _request: answer
    with pytest.raises(SourceInvalid, match="/ws/v1/school/3/student"):
        await live.read()


@pytest.mark.parametrize(
    "answer",
    [ok({"count": 3}), ok({"resource": ""}), ok({"resource": {"count": "x"}}), ok({"resource": {"count": -1}})],
)
async def test_a_count_that_is_none_is_an_error(answer: httpx.Response) -> None:
    live = Live(rows(1))
    live.overrides[f"{PATH}/count"] = lambda _request: answer
    with pytest.raises(SourceInvalid, match="holds no count"):
        await live.read()


async def test_a_page_that_fails_in_the_end_fails_the_list() -> None:
    live = Live(rows(1, 2, 3, 4))
    real = live.page
    live.overrides[PATH] = lambda request: error(503, "busy") if request.url.params["page"] == "2" else real(request)
    with pytest.raises(SourceDown, match="503"):
        await live.read()
