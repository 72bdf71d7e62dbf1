"""What is tried again, how long is waited, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest
from ps_rig import Answer, Script, Sleeper, error, make_client, options, settings

from sds_daemon.clock import FixedClock
from sds_daemon.errors import Interrupted, SourceDown, SourceError, SourceInvalid, SourceUnreachable
from sds_daemon.sources.powerschool.client import PowerSchoolClient
from sds_daemon.sources.powerschool.retry import retry_after

PATH = "/ws/v1/metadata"
NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", 3.0),
        ("0.25", 0.25),
        ("Thu, 01 Oct 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Oct 2026 11:00:00 GMT", 0.0),
        ("-4", 0.0),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_in_all_its_forms(value: str | None, expected: float | None) -> None:
    assert retry_after(value, NOW) == expected


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_passing_statuses_are_tried_again(status: int) -> None:
    script, sleeper = Script(), Sleeper()
    script.overrides[PATH] = [error(status, "later")] * 3
    assert "metadata" in await make_client(script, sleeper=sleeper).get(PATH)
    assert script.paths().count(PATH) == 4
    assert 0.25 <= sleeper.slept[0] <= 0.5


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("peer closed connection"),
        httpx.ReadError("reset"),
        httpx.ConnectTimeout("slow"),
    ],
)
async def test_network_errors_are_tried_again(failure: Exception) -> None:
    script = Script()
    script.overrides[PATH] = [failure, failure]
    assert "metadata" in await make_client(script).get(PATH)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(503, "busy"), SourceDown),
        (error(429, "busy"), SourceDown),
        (httpx.ConnectError("refused"), SourceUnreachable),
        (httpx.Response(200, content=b'{"metadata": ', headers={"Content-Type": "application/json"}), SourceInvalid),
    ],
)
async def test_it_gives_up_after_six_tries(answer: Answer, kind: type[SourceError]) -> None:
    script, sleeper = Script(), Sleeper()

    def always(_request: httpx.Request) -> Answer:
        return answer

    script.overrides[PATH] = always
    with pytest.raises(kind, match="/ws/v1/metadata"):
        await make_client(script, sleeper=sleeper).get(PATH)
    assert script.paths().count(PATH) == 6
    assert sum(sleeper.slept) < 16


@pytest.mark.parametrize("status", [400, 405, 409, 415, 501])
async def test_other_statuses_are_not_tried_again(status: int) -> None:
    script = Script()
    script.overrides[PATH] = lambda _request: error(status, "no")
    with pytest.raises(SourceInvalid, match=f"{status} for /ws/v1/metadata"):
        await make_client(script).get(PATH)
    assert script.paths().count(PATH) == 1


async def test_the_server_s_wish_is_honoured_exactly() -> None:
    script, sleeper = Script(), Sleeper()
    script.overrides[PATH] = [error(429, "x", **{"Retry-After": "7.5"}), error(503, "x", **{"Retry-After": "0"})]
    await make_client(script, sleeper=sleeper).get(PATH)
    assert sum(sleeper.slept) == pytest.approx(7.5)


async def test_a_wish_beyond_patience_is_given_up_at_once() -> None:
    script, sleeper = Script(), Sleeper()
    script.overrides[PATH] = lambda _request: error(503, "maintenance", **{"Retry-After": "3600"})
    with pytest.raises(SourceDown):
        await make_client(script, sleeper=sleeper).get(PATH)
    assert (sleeper.slept, script.paths().count(PATH)) == ([], 1)


async def test_a_stop_ends_the_waiting_within_a_second() -> None:
    script = Script()
    script.overrides[PATH] = lambda _request: error(503, "x", **{"Retry-After": "60"})
    sleeper = Sleeper()
    with pytest.raises(Interrupted):
        await make_client(script, sleeper=sleeper).get(PATH, stop=lambda: len(sleeper.slept) >= 2)
    assert sleeper.slept == [1.0, 1.0]


async def test_a_broken_body_is_read_again() -> None:
    script = Script()
    script.overrides[PATH] = [
        httpx.Response(200, content=b'{"metadata": {"pl', headers={"Content-Type": "application/json"}),
        httpx.Response(200, content=b"null", headers={"Content-Type": "application/json"}),
    ]
    assert "metadata" in await make_client(script).get(PATH)


async def test_the_rules_can_be_made_shorter() -> None:
    script = Script()
    script.overrides[PATH] = lambda _request: error(500, "x")
    client = PowerSchoolClient(settings(), FixedClock(NOW), **options(script, tries=2))
    with pytest.raises(SourceDown):
        await client.get(PATH)
    assert script.paths().count(PATH) == 2
