"""Nothing that could write leaves for PowerSchool, whoever asks for it."""

from __future__ import annotations

import httpx
import pytest
from ps_rig import Script, make_client

from sds_daemon.errors import SourceInvalid
from sds_daemon.sources.powerschool.guard import ReadOnlyTransport

SERVER = "https://ps.example.org"


async def send(method: str, path: str) -> list[str]:
    """The requests that came through."""
    arrived: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        arrived.append(f"{request.method} {request.url.path}")
        return httpx.Response(200)

    transport = ReadOnlyTransport(httpx.MockTransport(handle))
    async with httpx.AsyncClient(transport=transport) as client:
        try:
            await client.request(method, SERVER + path, content=b"{}")
        except SourceInvalid as error:
            assert path.partition("?")[0] in error.message and arrived == []
            raise
    return arrived


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ws/v1/metadata"),
        ("GET", "/ws/schema/table/cc?projection=dcid"),
        ("POST", "/oauth/access_token/"),
        ("POST", "/ws/schema/query/org.sdsdaemon.sync.roster.students?pagesize=0"),
        ("POST", "/ws/schema/query/org.sdsdaemon.sync.roster.students/count"),
    ],
)
async def test_reading_passes(method: str, path: str) -> None:
    assert len(await send(method, path)) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/ws/v1/student"),
        ("POST", "/ws/schema/table/cc"),
        ("PUT", "/ws/schema/query/org.sdsdaemon.sync.roster.students"),
        ("PUT", "/ws/v1/event_subscription"),
        ("DELETE", "/ws/schema/table/cc/5"),
        ("PATCH", "/ws/v1/student/1"),
        ("POST", "/oauth/access_token/more"),
        ("POST", "/xte/ws/schema/query/x"),
    ],
)
async def test_anything_else_is_stopped(method: str, path: str) -> None:
    with pytest.raises(SourceInvalid, match="was stopped"):
        await send(method, path)


async def test_the_client_has_the_lock_below_it() -> None:
    script = Script()
    client = make_client(script)
    with pytest.raises(SourceInvalid, match="was stopped"):
        await client.post("/ws/v1/student", {})
    with pytest.raises(SourceInvalid, match="was stopped"):
        await client.download("/ws/schema/table/cc", {}, {})
    assert script.paths() == ["/oauth/access_token/"]
    await client.close()
