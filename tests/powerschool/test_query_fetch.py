"""A PowerQuery is believed only when its rows fit the counts around it; a broken stream is read in pages."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from ps_rig import Script, error, make_session, ok
from query_rig import Queries, json_answer

from sds_daemon.errors import Interrupted, SourceInvalid, SourceRefused
from sds_daemon.sources.powerschool import fetch as module
from sds_daemon.sources.powerschool.client import Session
from sds_daemon.sources.powerschool.fetch import Batch, Call, fetch, fingerprint, read_query_count
from sds_daemon.sources.powerschool.queries import COURSES, CourseRecord
from sds_daemon.sources.powerschool.rows import read_rows

CALL = Call(COURSES)


def courses(number: int) -> list[dict[str, Any]]:
    return [{"id": str(each), "number": f"C{each}", "name": "Course"} for each in range(1, number + 1)]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def queries(script: Script, monkeypatch: pytest.MonkeyPatch) -> Queries:
    monkeypatch.setattr(module, "PAGE", 10)
    return Queries(script, courses=courses(25))


async def fetched(session: Session) -> Batch:
    return await fetch(session, CALL, await read_query_count(session, CALL))


def ids(batch: Batch) -> list[str]:
    return [row.id for rows in read_rows(batch.spool, CourseRecord) for row in rows]


WHOLE = [row["id"] for row in courses(25)]


async def test_one_stream_is_enough(script: Script, queries: Queries) -> None:
    batch = await fetched(make_session(script))
    assert (batch.reason, batch.rows, ids(batch)) == (None, 25, WHOLE)
    assert [params for _, params in queries.asked] == [{"pagesize": "0"}]


async def test_no_rows_are_no_rows(script: Script, queries: Queries) -> None:
    queries.rows["courses"] = []
    batch = await fetched(make_session(script))
    assert (batch.reason, ids(batch)) == (None, [])


def _cut(body: bytes) -> httpx.Response:
    return json_answer(body[: len(body) // 2])


def _short(body: bytes) -> httpx.Response:
    """A server that ends a stream early, in good order."""
    return json_answer(body[: body.index(b',{"_name"', 300)] + b"]}")


def _error(_body: bytes) -> httpx.Response:
    return error(500, "out of memory")


def _broken(_body: bytes) -> httpx.Response:
    raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


@pytest.mark.parametrize("fault", [_cut, _short, _error, _broken])
@pytest.mark.parametrize("limit", [1_000_000, 4])
async def test_pages_where_the_stream_does_not_come_whole(
    script: Script, queries: Queries, fault: Any, limit: int
) -> None:
    """Also where the server gives fewer rows a page than it was asked for."""
    queries.streams, queries.page_limit = fault, limit
    batch = await fetched(make_session(script))
    assert (batch.reason, ids(batch)) == (None, WHOLE)
    assert any("page" in params for _, params in queries.asked)


async def test_a_row_that_comes_during_the_stream_is_read_in_the_next(script: Script, queries: Queries) -> None:
    answers = 0

    def grow() -> None:
        nonlocal answers
        answers += 1
        if answers == 1:
            queries.rows["courses"] = courses(26)

    queries.before_answer = grow
    batch = await fetched(make_session(script))
    assert (batch.reason, batch.rows) == (None, 26)
    assert len(queries.asked) == 2


async def test_a_list_that_never_rests_proves_nothing(script: Script, queries: Queries) -> None:
    queries.before_answer = lambda: queries.rows["courses"].append({"id": str(len(queries.rows["courses"]) + 1)})
    batch = await fetched(make_session(script))
    assert batch.reason is not None and "moved" in batch.reason
    assert len(queries.asked) == 3
    assert fingerprint([], [batch]) == ""


async def test_pages_count_only_when_two_readings_agree(script: Script, queries: Queries) -> None:
    """One row goes and another comes: the count stands still, and a row slips from page to page."""
    queries.streams = _broken
    turns = 0

    def swap() -> None:
        nonlocal turns
        turns += 1
        if turns == 6:  # after three tries of the stream, between the pages of the first reading
            queries.rows["courses"] = [*courses(25)[1:], {"id": "99"}]

    queries.before_answer = swap
    batch = await fetched(make_session(script))
    assert batch.reason is None
    assert ids(batch) == [*WHOLE[1:], "99"]


async def test_a_server_that_does_not_turn_pages_proves_nothing(script: Script, queries: Queries) -> None:
    queries.streams = _broken
    script.overrides[COURSES.path] = lambda request: (
        _broken(b"") if request.url.params["pagesize"] == "0" else queries._answer(_first_page(request))
    )
    batch = await fetched(make_session(script))
    assert batch.reason == "10 of 25 rows of courses were received"


def _first_page(request: httpx.Request) -> httpx.Request:
    url = request.url.copy_merge_params({"page": "1"})
    return httpx.Request("POST", url, content=request.content)


async def test_a_query_that_is_not_there_is_a_refusal_with_a_remedy(script: Script, queries: Queries) -> None:
    script.overrides[f"{COURSES.path}/count"] = error(404, "not found")
    with pytest.raises(SourceRefused, match=r"no PowerQuery org\.sdsdaemon\.sync\.roster\.courses.*plugin build"):
        await fetched(make_session(script))


async def test_missing_grants_are_named(script: Script, queries: Queries) -> None:
    errors = [
        {"resource": "org.x", "field": "courses.course_name", "code": "No access to the field"},
        {"resource": "org.x", "field": "cc.dateleft\n", "code": "No access to the field"},
    ]
    script.overrides[f"{COURSES.path}/count"] = ok({"message": "Validation Failed", "errors": errors}, 403)
    with pytest.raises(SourceRefused, match=r"may not read CC\.DATELEFT\?, COURSES\.COURSE_NAME"):
        await fetched(make_session(script))


@pytest.mark.parametrize("body", [{}, {"count": "many"}, {"count": -1}, []])
async def test_a_count_that_is_none(script: Script, queries: Queries, body: Any) -> None:
    script.overrides[f"{COURSES.path}/count"] = ok(body)
    with pytest.raises(SourceInvalid, match="no count"):
        await fetched(make_session(script))


async def test_a_stream_is_left_when_the_read_is_asked_to_stop(script: Script, queries: Queries) -> None:
    asked = False

    def stop_now() -> None:
        nonlocal asked
        asked = True

    queries.before_answer = stop_now
    session = make_session(script)
    halting = Session(session.client, lambda: asked)
    with pytest.raises(Interrupted):
        await fetched(halting)


async def test_the_fingerprint_is_of_facts_arguments_counts_and_bytes(script: Script, queries: Queries) -> None:
    session = make_session(script)
    first, again = await fetched(session), await fetched(session)
    assert fingerprint(["a"], [first]) == fingerprint(["a"], [again]) != ""
    assert fingerprint(["b"], [first]) != fingerprint(["a"], [first])
    queries.rows["courses"][3]["name"] = "Coarse"
    assert fingerprint(["a"], [await fetched(session)]) != fingerprint(["a"], [first])
