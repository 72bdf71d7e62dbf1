"""A preview cannot write, whatever the code above its transport tries."""

from __future__ import annotations

import json

import httpx
import pytest
from graph_kit import transport

from sds_daemon.errors import TargetInvalid
from sds_daemon.targets.entra.guard import ReadOnlyTransport

ROOT = "https://graph.microsoft.com/v1.0"


async def send(method: str, path: str, content: bytes | None = None) -> int:
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        return httpx.Response(200, json={})

    async with httpx.AsyncClient(transport=ReadOnlyTransport(httpx.MockTransport(answer))) as client:
        try:
            return (await client.request(method, ROOT + path, content=content)).status_code
        except TargetInvalid:
            assert sent == [], "a refused request must not leave"
            raise


def batch(*items: tuple[str, str]) -> bytes:
    return json.dumps({"requests": [{"id": str(n), "method": m, "url": u} for n, (m, u) in enumerate(items)]}).encode()


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/users", None),
        ("POST", "/directoryObjects/getByIds?$select=id", b"{}"),
        ("POST", "/$batch", batch(("GET", "/users/1"), ("POST", "/directoryObjects/getByIds"))),
        ("POST", "/tenant/oauth2/v2.0/token", b"grant"),
    ],
)
async def test_reading_passes(method: str, path: str, content: bytes | None) -> None:
    assert await send(method, path, content) == 200


@pytest.mark.parametrize(
    ("method", "path", "content", "named"),
    [
        ("POST", "/users", b"{}", "POST /v1.0/users"),
        ("PATCH", "/users/1", b"{}", "PATCH /v1.0/users/1"),
        ("DELETE", "/groups/1", None, "DELETE"),
        ("PUT", "/users/1/manager/$ref", b"{}", "PUT"),
        ("POST", "/users/1/assignLicense", b"{}", "assignLicense"),
        ("POST", "/$batch", batch(("GET", "/users/1"), ("DELETE", "/users/2")), "DELETE /users/2"),
        ("POST", "/$batch", batch(("get", "/users/1"), ("patch", "/users/2")), "PATCH /users/2"),
        ("POST", "/$batch", batch(("POST", "/users?x=/directoryObjects/getByIds")), "POST /users"),
        ("POST", "/$batch", batch(("POST", "/x/oauth2/v2.0/token")), "POST /x/oauth2/v2.0/token"),
        ("POST", "/$batch", batch(("POST", "/$batch")), "POST /$batch"),
        ("POST", "/$batch", batch(("POST", "https://elsewhere.example/users")), "POST https://elsewhere.example/users"),
        ("POST", "/$batch", batch(("POST", "/directoryObjects/getByIds/extra")), "getByIds/extra"),
        ("POST", "/directory/deletedItems/1/restore", b"{}", "restore"),
        ("POST", "/groups/1/members/$ref", b"{}", "$ref"),
        ("POST", "/groups/1/owners/$ref?x=/directoryObjects/getByIds", b"{}", "$ref"),
        ("HEAD", "/users", None, "HEAD"),
        ("OPTIONS", "/users", None, "OPTIONS"),
        ("POST", "/$batch", b'{"requests":[["POST","/users"]]}', "POST"),
        ("POST", "/$batch", b"[]", "POST"),
        ("POST", "/$batch", b"", "POST"),
        ("POST", "/$batch", b"not json", "POST"),
        ("POST", "/$batch", b'{"requests":[{"id":"1"}]}', "POST"),
        ("POST", "/$batch", b'{"requests":7}', "POST"),
    ],
)
async def test_writing_is_stopped_and_named(method: str, path: str, content: bytes | None, named: str) -> None:
    with pytest.raises(TargetInvalid) as raised:
        await send(method, path, content)
    assert named in str(raised.value)


async def test_a_read_only_transport_has_the_lock_and_a_writing_one_has_not() -> None:
    def script(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={})

    locked, free = transport(script, read_only=True), transport(script)
    with pytest.raises(TargetInvalid):
        await locked.request("PATCH", "/users/1", b"{}")
    assert (await free.request("PATCH", "/users/1", b"{}")).ok
