"""What leaves for the server, and what is believed of what comes back."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from ps_rig import NOW, SECRET, Script, error, make_client, make_session, ok, settings

from sds_daemon.clock import FixedClock
from sds_daemon.errors import ConfigurationError, Interrupted, SourceDown, SourceInvalid, SourceRefused
from sds_daemon.sources.powerschool import client as client_module
from sds_daemon.sources.powerschool.client import PowerSchoolClient, Session, server_url, tls_context
from sds_daemon.sources.powerschool.lanes import each

PATH = "/ws/v1/metadata"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://ps.example.org", "https://ps.example.org"),
        ("https://ps.example.org:8443/", "https://ps.example.org:8443"),
        (" https://PS.example.org ", "https://ps.example.org"),
        ("http://127.0.0.1:7000", "http://127.0.0.1:7000"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:7000", "http://[::1]:7000"),
    ],
)
def test_urls_that_may_be_spoken_to(url: str, expected: str) -> None:
    assert server_url(settings(url)) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://ps.example.org",
        "http://192.168.1.5",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org",
        "ftp://ps.example.org",
        "ps.example.org",
        "https://",
        "https://user:secret@ps.example.org",
        "https://ps.example.org/admin",
        "https://ps.example.org?x=1",
        "https://ps.example.org:port",
        "https://[::1",
    ],
)
def test_urls_that_may_not(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\[sources.ps\] url") as caught:
        server_url(settings(url))
    assert "secret" not in caught.value.message


def test_verification_is_always_on(tmp_path: Path) -> None:
    context = tls_context(None)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    for content in (None, "no certificate"):
        path = tmp_path / "ca.pem"
        if content:
            path.write_text(content)
        with pytest.raises(ConfigurationError, match="ca_file"):
            tls_context(path)


async def test_headers_of_every_call() -> None:
    script = Script()
    await make_client(script).get(PATH, {"q": "school_enrollment.enroll_status==(A,P)", "page": 1})
    request = script.requests[-1]
    assert request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"].startswith("sds-daemon/")
    assert request.url.params["q"] == "school_enrollment.enroll_status==(A,P)"


async def test_redirects_are_not_followed_and_mean_down() -> None:
    script = Script()
    location = "https://message.powerschool.com/?server=ps.example.org"
    script.overrides[PATH] = lambda _request: httpx.Response(302, headers={"Location": location})
    with pytest.raises(SourceDown, match=r"message\.powerschool\.com"):
        await make_client(script).get(PATH)
    assert {request.url.host for request in script.requests} == {"ps.example.org"}
    assert script.paths().count(PATH) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<html>PowerSchool page unavailable</html>"),
        httpx.Response(200, text="  <!DOCTYPE html>"),
        httpx.Response(200, content=b"<html/>"),
    ],
)
async def test_a_web_page_is_down_not_empty(answer: httpx.Response) -> None:
    script = Script()
    script.overrides[PATH] = lambda _request: answer
    with pytest.raises(SourceDown, match="a web page instead of data"):
        await make_client(script).get(PATH)


async def test_xml_is_said_to_be_xml() -> None:
    script = Script()
    script.overrides[PATH] = lambda _r: httpx.Response(200, content=b"<a/>", headers={"Content-Type": "text/xml"})
    with pytest.raises(SourceInvalid, match="as text/xml although JSON was asked for"):
        await make_client(script).get(PATH)


@pytest.mark.parametrize(
    "answer",
    [
        error(403, "No access to staff"),
        httpx.Response(403, json={"message": "No access to staff", "errors": [{"code": "NoAccess"}]}),
    ],
)
async def test_a_403_quotes_either_envelope_and_names_what_to_click(answer: httpx.Response) -> None:
    script = Script()
    script.overrides[PATH] = lambda _request: answer
    with pytest.raises(SourceRefused, match=r'"No access to staff".*Data Provider Configuration'):
        await make_client(script).get(PATH)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errorMessage": "x"}', b'{"message": 5}', b"\xff"])
async def test_error_bodies_of_any_shape_do_no_harm(body: bytes) -> None:
    script = Script()
    script.overrides[PATH] = lambda _request: httpx.Response(403, content=body)
    with pytest.raises(SourceRefused, match="forbids /ws/v1/metadata"):
        await make_client(script).get(PATH)


async def test_messages_hold_no_query_no_token_and_no_secret() -> None:
    script = Script()
    script.overrides[PATH] = lambda _request: error(400, "line\r\nbreak " + "x" * 900)
    with pytest.raises(SourceInvalid) as caught:
        await make_client(script).get(PATH, {"q": "student_username==private"})
    shown = str(caught.value)
    assert not any(word in shown for word in ("private", SECRET, "token-1", "\n"))
    assert len(shown) < 500


async def test_404_is_none_for_find_and_an_error_for_get() -> None:
    script = Script()
    session = make_session(script)
    assert await session.find("/ws/v1/course/5") is None
    with pytest.raises(SourceInvalid, match="has no /ws/v1/course/5"):
        await session.get("/ws/v1/course/5")
    assert session.calls == 2


class Endless(httpx.AsyncByteStream):
    def __init__(self) -> None:
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.sent += 1
            yield b" " * 65_536


async def test_an_endless_answer_is_cut_off() -> None:
    stream = Endless()

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path != PATH:
            return ok({"access_token": "t", "expires_in": 60})
        return httpx.Response(200, headers={"Content-Type": "application/json"}, stream=stream)

    client = PowerSchoolClient(settings(), FixedClock(NOW), transport=httpx.MockTransport(handle))
    with pytest.raises(SourceInvalid, match="larger than 64 MB"):
        await client.get(PATH)
    assert stream.sent <= 1026


async def test_a_small_answer_that_unpacks_to_a_huge_one_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LARGEST_ANSWER", 1_000_000)
    script = Script()
    packed = gzip.compress(b" " * 3_000_000)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    script.overrides[PATH] = lambda _request: httpx.Response(200, content=packed, headers=headers)

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path != PATH:
            return ok({"access_token": "t", "expires_in": 60})
        return httpx.Response(200, content=packed, headers=headers)

    client = PowerSchoolClient(settings(), FixedClock(NOW), transport=httpx.MockTransport(handle))
    with pytest.raises(SourceInvalid, match="larger than"):
        await client.get(PATH)


async def test_never_more_calls_at_once_than_allowed() -> None:
    running = most = 0

    async def handle(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        if request.url.path != PATH:
            return ok({"access_token": "t", "expires_in": 60})
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return ok({"metadata": {}})

    client = PowerSchoolClient(settings(max_calls=3), FixedClock(NOW), transport=httpx.MockTransport(handle))
    await asyncio.gather(*(client.get(PATH) for _ in range(40)))
    assert most == 3


async def test_stop_is_looked_at_before_each_call() -> None:
    script = Script()
    session = Session(make_client(script), stop=lambda: len(script.requests) >= 3)
    with pytest.raises(Interrupted):
        for _ in range(10):
            await session.get(PATH)
    assert len(script.requests) == 3


async def test_lanes_keep_the_order_and_raise_the_first_error_after_ending_the_rest() -> None:
    ended = []

    async def work(thing: int) -> int:
        try:
            await asyncio.sleep(0.001 * (thing % 3))
            if thing == 7:
                raise ValueError("seven")
            return thing * 2
        finally:
            ended.append(thing)

    assert await each(3, [5, 4, 3, 2, 1], work) == [10, 8, 6, 4, 2]
    assert await each(3, [], work) == []
    ended.clear()
    with pytest.raises(ValueError, match="seven"):
        await each(3, list(range(100)), work)
    assert len(ended) < 20
