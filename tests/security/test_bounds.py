"""Answers that would grow in memory: packed bombs, endless and slow bodies, deep and crowded JSON, on every side."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from azure.core.exceptions import ServiceResponseError
from azure.core.rest import HttpRequest

from sds_daemon.bounded import MOST_VALUES, BoundedTransport, holds_too_much
from sds_daemon.clock import FixedClock
from sds_daemon.config.secrets import Secret
from sds_daemon.config.settings import SourceSettings, TenantSettings
from sds_daemon.errors import SdsError, SourceInvalid, TargetInvalid, TargetUnreachable
from sds_daemon.sources.powerschool.client import PowerSchoolClient
from sds_daemon.targets.entra import transport as graph_module
from sds_daemon.targets.entra import wire
from sds_daemon.targets.entra.auth import EntraTokens
from sds_daemon.targets.entra.authority import AuthorityTransport
from sds_daemon.targets.entra.clouds import cloud_of
from sds_daemon.targets.entra.errors import parse_error
from sds_daemon.targets.entra.transport import GraphTransport

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
LIMIT = 100_000
JSON = {"Content-Type": "application/json"}


class TooLarge(Exception):
    """What the bound raises in these tests."""


class Pieces(httpx.AsyncByteStream):
    """A body in pieces; counts how many were taken."""

    def __init__(self, *pieces: bytes, endless: bool = False) -> None:
        self.pieces = pieces
        self.endless = endless
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            for piece in self.pieces:
                self.taken += 1
                yield piece
            if not self.endless:
                return


async def read(body: httpx.AsyncByteStream, encoding: str = "") -> bytes:
    """What a client gets through the bound."""
    headers = {"Content-Encoding": encoding} if encoding else {}
    inner = httpx.MockTransport(lambda _request: httpx.Response(200, headers=headers, stream=body))
    bound = BoundedTransport(inner, limit=LIMIT, too_large=lambda _request: TooLarge())
    async with httpx.AsyncClient(transport=bound) as client:
        answer = await client.get("https://school.example/")
        assert "Content-Encoding" not in answer.headers
        return answer.content


def in_pieces(data: bytes, size: int) -> Pieces:
    return Pieces(*(data[start : start + size] for start in range(0, len(data), size)))


@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "identity", ""])
async def test_ordinary_bodies_arrive_whole_however_they_are_cut(encoding: str, size: int) -> None:
    content = b"".join(b"%d," % number for number in range(3000)) + b"x" * 70_000
    packed = {"deflate": zlib.compress, "gzip": gzip.compress, "x-gzip": gzip.compress}.get(encoding, bytes)(content)
    assert await read(in_pieces(packed, size), encoding) == content


async def test_a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    assert len(await read(Pieces(gzip.compress(b"x" * LIMIT, mtime=0)), "gzip")) == LIMIT
    with pytest.raises(TooLarge):
        await read(Pieces(gzip.compress(b"x" * (LIMIT + 1))), "gzip")


async def test_a_bomb_is_cut_off_long_before_it_is_unpacked() -> None:
    bomb = gzip.compress(b" " * 60_000_000, mtime=0)
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            await read(Pieces(bomb), "gzip")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


async def test_an_endless_body_is_cut_off() -> None:
    body = Pieces(b" " * 1000, endless=True)
    with pytest.raises(TooLarge):
        await read(body)
    assert body.taken <= LIMIT // 1000 + 1


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "compress", "gzip,"])
async def test_what_is_packed_twice_or_in_another_way_is_not_unpacked(encoding: str) -> None:
    with pytest.raises(httpx.DecodingError, match="not asked for"):
        await read(Pieces(gzip.compress(gzip.compress(b"x", mtime=0))), encoding)


@pytest.mark.parametrize(
    "body", [b"plain text", gzip.compress(b"x" * 5000, mtime=0)[:-9], gzip.compress(b"x", mtime=0)[:5]]
)
async def test_a_broken_packed_body_is_said_to_be_broken(body: bytes) -> None:
    with pytest.raises(httpx.DecodingError):
        await read(Pieces(body), "gzip")


async def test_an_empty_body_may_claim_to_be_packed() -> None:
    assert await read(Pieces(), "gzip") == b""


def test_crowded_documents_are_known_without_parsing_them() -> None:
    assert holds_too_much(b"[" + b"[]," * (MOST_VALUES // 2 + 1) + b"[]]")
    assert not holds_too_much(b'["' + b"x" * (2 * MOST_VALUES) + b'"]')
    assert not holds_too_much(b"[]")


# PowerSchool


def source() -> SourceSettings:
    return SourceSettings(
        name="ps",
        type="powerschool",
        url="https://school.example",
        client_id=Secret("id-of-the-plugin"),
        client_secret=Secret("secret-of-the-plugin"),
    )


def powerschool(answer: httpx.Response | None = None, token: httpx.Response | None = None) -> PowerSchoolClient:
    """A client of a scripted server: its token answer, and its answer to everything else."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/access_token/":
            return token or httpx.Response(200, json={"access_token": "t", "expires_in": 60})
        return answer or httpx.Response(200, json={})

    async def sleep(_seconds: float) -> None: ...

    return PowerSchoolClient(source(), FixedClock(NOW), transport=httpx.MockTransport(handle), sleep=sleep)


def packed(status: int = 200) -> httpx.Response:
    """A hundred megabytes of spaces, packed."""
    body = b"\x1f\x8b" + gzip.compress(b" " * 100_000_000, mtime=0)[2:]
    return httpx.Response(status, headers={**JSON, "Content-Encoding": "gzip"}, stream=Pieces(body))


@pytest.mark.parametrize("status", [200, 401, 404, 500])
async def test_powerschool_may_answer_with_a_bomb_whatever_the_status(status: int) -> None:
    client = powerschool(packed(status))
    with pytest.raises(SourceInvalid, match="larger than"):
        await client.get("/ws/v1/district")


async def test_powerschool_may_answer_the_token_request_with_a_bomb() -> None:
    with pytest.raises(SourceInvalid, match="larger than"):
        await powerschool(token=packed()).get("/ws/v1/district")


@pytest.mark.parametrize("body", [b"[" * 500_000, b'{"a":' * 500_000 + b"1" + b"}" * 500_000])
async def test_deep_json_of_powerschool_is_refused(body: bytes) -> None:
    with pytest.raises(SourceInvalid, match="nested too deep"):
        await powerschool(httpx.Response(200, content=body, headers=JSON)).get("/ws/v1/district")


async def test_crowded_json_of_powerschool_is_refused() -> None:
    body = b"[" + b"[]," * (MOST_VALUES // 2 + 1) + b"[]]"
    with pytest.raises(SourceInvalid, match="more values"):
        await powerschool(httpx.Response(200, content=body, headers=JSON)).get("/ws/v1/district")


async def test_powerschools_xml_is_not_parsed_at_all() -> None:
    laughs = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><l>&b;</l>'
    for kind in ("application/xml", "text/xml"):
        answer = httpx.Response(200, content=laughs, headers={"Content-Type": kind})
        with pytest.raises(SdsError, match="xml"):
            await powerschool(answer).get("/ws/v1/district")


# Graph


def tenant(**more: Any) -> TenantSettings:
    return TenantSettings(
        **{
            "name": "contoso",
            "tenant_id": "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1",
            "client_id": "app",
            "client_secret": Secret("secret-of-the-app"),
            "lag_horizon": 0.9,
            **more,
        }
    )


class OneToken:
    """Always the same token."""

    async def token(self) -> str:
        return "the-token"

    async def renew(self, refused: str) -> None: ...

    async def close(self) -> None: ...


class Scripted(GraphTransport):
    """Requests made up by these tests are not held against the contract."""

    request = GraphTransport.request


def graph(answer: httpx.Response) -> GraphTransport:
    async def sleep(_seconds: float) -> None: ...

    network = httpx.MockTransport(lambda _request: answer)
    return Scripted(tenant(), FixedClock(NOW), http=network, tokens=OneToken(), sleep=sleep)


DEEP = b"[" * 300_000 + b"]" * 300_000


async def test_a_bomb_of_graph_is_cut_off() -> None:
    with pytest.raises(TargetInvalid, match="larger than 32 MB"):
        await graph(packed()).get("/users", wire.IDS)


async def test_a_slow_answer_of_graph_ends_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_module, "LONGEST_ANSWER", 0.05)

    class Dripping(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            import asyncio

            while True:
                await asyncio.sleep(0.01)
                yield b" "

    with pytest.raises(TargetUnreachable) as raised:
        await graph(httpx.Response(200, stream=Dripping())).request("PATCH", "/users/1", b"{}")
    assert raised.value.sent  # type: ignore[attr-defined]


@pytest.mark.parametrize("where", ["value", "unknown"])
async def test_deep_json_of_graph_is_an_answer_that_cannot_be_understood(where: str) -> None:
    body = b'{"%s":%s,"value":[]}' % (where.encode(), DEEP)
    with pytest.raises(TargetInvalid, match="cannot be understood"):
        await graph(httpx.Response(200, content=body)).get("/users", wire.IDS)


def test_deep_json_in_a_batch_is_no_answer() -> None:
    assert wire.decode_batch(b'{"responses":[{"id":"0","status":200,"body":%s}]}' % DEEP) is None


@pytest.mark.parametrize("body", [b'{"error":%s}' % DEEP, b'{"error":{"code":"%s"}}' % (b"x" * 2_000_000)])
def test_error_bodies_that_are_too_deep_or_too_large_tell_the_status_alone(body: bytes) -> None:
    error = parse_error(400, body)
    assert (error.status, error.code) == (400, "")


# The token authority


def authority(answer: httpx.Response) -> EntraTokens:
    """Tokens from an authority that gives one scripted answer, over the real azure-identity."""
    from azure.identity.aio import ClientSecretCredential

    settings = tenant()
    cloud = cloud_of(settings)
    tokens = EntraTokens(settings, cloud)
    network = httpx.MockTransport(lambda _request: answer)
    tokens._credential = ClientSecretCredential(
        settings.tenant_id,
        settings.client_id,
        "secret-of-the-app",
        transport=AuthorityTransport(settings, cloud, network=network),
        retry_total=0,
    )
    return tokens


async def test_a_good_answer_gives_the_token() -> None:
    answer = httpx.Response(200, json={"access_token": "abc", "expires_in": 3600, "token_type": "Bearer"})
    assert await authority(answer).token() == "abc"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>come back later</html>"),
        httpx.Response(200, json=["access_token"]),
        httpx.Response(200, json={"expires_in": 3600}),
        httpx.Response(200, json={"access_token": None, "expires_in": 3600}),
        httpx.Response(200, json={"access_token": "abc\r\nX: y", "expires_in": 3600}),
        httpx.Response(200, json={"access_token": "ab\u00e9", "expires_in": 3600}),
        httpx.Response(200, json={"access_token": "x" * 100_000, "expires_in": 3600}),
        httpx.Response(200, json={"access_token": "abc", "expires_in": None}),
        httpx.Response(200, json={"access_token": "abc", "expires_in": "soon"}),
        httpx.Response(200, content=b'{"access_token":' + b"[" * 100_000 + b"}"),
        httpx.Response(200, content=b"<!DOCTYPE l><l/>", headers={"Content-Type": "application/xml"}),
        httpx.Response(400, json={"error": {"code": "x"}}),
        httpx.Response(400, content=b""),
        httpx.Response(503, text="<html>"),
    ],
)
async def test_an_answer_of_another_shape_is_no_token_and_no_defect(answer: httpx.Response) -> None:
    with pytest.raises(TargetUnreachable) as raised:
        await authority(answer).token()
    assert "abc" not in str(raised.value)


async def test_a_bomb_of_the_authority_is_cut_off() -> None:
    with pytest.raises(TargetInvalid, match="larger than 256 kB"):
        await authority(packed()).token()


async def test_the_bound_of_the_authority_knows_what_a_form_is() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"access_token": "abc", "expires_in": 3600})

    settings = tenant()
    transport = AuthorityTransport(settings, cloud_of(settings), network=httpx.MockTransport(handle))
    address = "https://login.microsoftonline.com/x/oauth2/v2.0/token"
    answer = await transport.send(HttpRequest("POST", address, data={"client_secret": "a&b=c"}))
    assert json.loads(answer.body())["access_token"] == "abc"
    assert seen[0].content == b"client_secret=a%26b%3Dc"
    with pytest.raises(ServiceResponseError):
        await AuthorityTransport(
            settings, cloud_of(settings), network=httpx.MockTransport(lambda _request: httpx.Response(200, text="no"))
        ).send(HttpRequest("POST", address, data={}))


def test_the_graph_decoders_do_not_read_what_they_do_not_know() -> None:
    assert msgspec.json.encode(wire.IDS.decode(b'{"value":[{"id":"a","more":[[[1]]]}]}').value[0].id) == b'"a"'
