"""Reading over the transport: repeats, tokens, hosts, sizes, and what becomes of answers that are no answers."""

from __future__ import annotations

import httpx
import msgspec
import pytest
from graph_kit import FakeTokens, error_body, settings, transport

from sds_daemon.config.settings import TenantSettings
from sds_daemon.errors import ConfigurationError, TargetInvalid, TargetRefused, TargetUnreachable
from sds_daemon.targets.entra import transport as module
from sds_daemon.targets.entra import wire
from sds_daemon.targets.entra.clouds import cloud_of
from sds_daemon.targets.entra.transport import Unanswered, retry_after

ROWS = wire.IDS


def sequence(*answers: httpx.Response | Exception):
    """A script that gives one answer after another and counts."""
    remaining = list(answers)
    calls: list[httpx.Request] = []

    def script(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        answer = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    script.calls = calls  # type: ignore[attr-defined]
    return script


def page(*ids: str, **links: str) -> httpx.Response:
    return httpx.Response(200, json={"value": [{"id": i} for i in ids], **{f"@odata.{k}": v for k, v in links.items()}})


async def test_throttling_waits_as_told_even_for_fractions_of_a_second() -> None:
    script = sequence(
        httpx.Response(429, headers={"Retry-After": "2.128"}, json=error_body("TooManyRequests")),
        httpx.Response(429, headers={"Retry-After": "0"}, json=error_body("TooManyRequests")),
        page("a"),
    )
    graph = transport(script)
    assert [row.id for row in (await graph.get("/users", ROWS)).value] == ["a"]
    assert graph.pauses == [2.128, 0.0]
    assert (graph.counts.reads, graph.counts.refused) == (3, 2)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_a_passing_fault_is_repeated_and_a_lasting_one_is_reported(status: int) -> None:
    assert (await transport(sequence(httpx.Response(status, text="<html>"), page("a"))).get("/users", ROWS)).value
    lasting = sequence(httpx.Response(status, text="<html>"))
    with pytest.raises(TargetUnreachable) as raised:
        await transport(lasting).get("/users", ROWS)
    assert str(status) in str(raised.value)
    assert len(lasting.calls) == module.READ_ATTEMPTS


async def test_a_lost_connection_is_repeated_and_says_whether_it_may_have_been_sent() -> None:
    assert (await transport(sequence(httpx.ReadError("x"), page("a"))).get("/users", ROWS)).value
    with pytest.raises(Unanswered) as raised:
        await transport(sequence(httpx.ReadTimeout("x"))).request("PATCH", "/users/1", b"{}")
    assert raised.value.sent
    with pytest.raises(Unanswered) as raised:
        await transport(sequence(httpx.ConnectError("x"))).request("PATCH", "/users/1", b"{}")
    assert not raised.value.sent


async def test_an_expired_token_is_renewed_once_and_only_once() -> None:
    expired = httpx.Response(401, json=error_body("InvalidAuthenticationToken", "token is expired"))
    tokens = FakeTokens()
    script = sequence(expired, page("a"))
    await transport(script, tokens=tokens).get("/users", ROWS)
    assert [call.headers["authorization"] for call in script.calls] == ["Bearer token-1", "Bearer token-2"]
    stubborn = sequence(expired)
    with pytest.raises(TargetRefused):
        await transport(stubborn).get("/users", ROWS)
    assert len(stubborn.calls) == 2


async def test_an_app_without_consent_is_refused_without_a_second_try() -> None:
    script = sequence(
        httpx.Response(401, json=error_body("", "The identity of the calling application could not be established."))
    )
    with pytest.raises(TargetRefused, match="consent"):
        await transport(script).get("/users", ROWS)
    assert len(script.calls) == 1


async def test_a_refusal_names_the_request_and_never_quotes_the_message() -> None:
    script = sequence(httpx.Response(403, json=error_body("Authorization_RequestDenied", "ada@contoso.edu may not")))
    with pytest.raises(TargetRefused) as raised:
        await transport(script).get("/users?$filter=userPrincipalName eq 'ada@contoso.edu'", ROWS)
    assert "GET /v1.0/users: 403 Authorization_RequestDenied" in str(raised.value)
    assert "ada" not in str(raised.value)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1.0/users?$skiptoken=1",
        "http://graph.microsoft.com/v1.0/users",
        "https://graph.microsoft.com.evil.example/v1.0/users",
        "https://graph.microsoft.com:8443/v1.0/users",
        "https://graph.microsoft.com/beta/users",
        "https://graph.microsoft.com@evil.example/v1.0/users",
        "users",
    ],
)
async def test_a_link_that_leaves_graph_is_not_followed(link: str) -> None:
    script = sequence(page("a"))
    with pytest.raises(TargetInvalid):
        await transport(script).get(link, ROWS)
    assert script.calls == [], "no token may go there"


async def test_redirects_are_not_followed() -> None:
    script = sequence(httpx.Response(302, headers={"Location": "https://evil.example/"}))
    with pytest.raises(TargetInvalid, match="302"):
        await transport(script).get("/users", ROWS)
    assert len(script.calls) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"value":', b'{"value":[{"id":7}]}', b"[]", b'{"value":[{}]}'])
async def test_an_answer_that_cannot_be_understood_is_reported(body: bytes) -> None:
    with pytest.raises(TargetInvalid, match="cannot be understood"):
        await transport(sequence(httpx.Response(200, content=body))).get("/users", ROWS)


async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BODY", 1000)
    with pytest.raises(TargetInvalid, match="larger"):
        await transport(sequence(httpx.Response(200, content=b"x" * 5000))).get("/users", ROWS)


async def test_every_attempt_has_an_id_of_its_own() -> None:
    script = sequence(httpx.Response(503), page("a"))
    await transport(script).get("/users", ROWS)
    assert len({call.headers["client-request-id"] for call in script.calls}) == 2


@pytest.mark.parametrize(
    ("value", "seconds"), [("2.128", 2.128), ("0", 0.0), ("-1", None), ("soon", None), ("", None), ("nan", None)]
)
def test_retry_after_is_read_with_care(value: str, seconds: float | None) -> None:
    assert retry_after(httpx.Headers({"Retry-After": value})) == seconds
    assert retry_after(httpx.Headers({})) is None


@pytest.mark.parametrize(
    ("cloud", "host", "authority", "education"),
    [
        ("global", "graph.microsoft.com", "login.microsoftonline.com", True),
        ("gcc-high", "graph.microsoft.us", "login.microsoftonline.us", False),
        ("dod", "dod-graph.microsoft.us", "login.microsoftonline.us", False),
        ("china", "microsoftgraph.chinacloudapi.cn", "login.chinacloudapi.cn", False),
    ],
)
async def test_requests_go_to_the_cloud_of_the_tenant(cloud: str, host: str, authority: str, education: bool) -> None:
    script = sequence(page("a"))
    graph = transport(script, settings=settings(cloud=cloud))
    await graph.get("/users", ROWS)
    assert script.calls[0].url.host == host
    found = cloud_of(settings(cloud=cloud))
    assert (found.authority, found.education) == (f"https://{authority}", education)
    assert found.scope == f"https://{host}/.default"


def test_a_custom_cloud_needs_both_addresses() -> None:
    half = TenantSettings.model_construct(name="x", cloud="custom", authority="https://a", graph_url=None)
    with pytest.raises(ConfigurationError, match="graph_url"):
        cloud_of(half)


async def test_builders_give_relative_urls_of_the_tenants_own_cloud() -> None:
    graph = transport(sequence(page()), settings=settings(cloud="dod"))
    request = graph.builders.users.by_user_id("u-1").to_delete_request_information()
    assert graph.relative(request) == "/users/u-1"
    assert request.url == "https://dod-graph.microsoft.us/v1.0/users/u-1"
    await graph.close()
    await graph.close()


async def test_the_sdk_gets_no_token_for_another_host() -> None:
    from kiota_abstractions.method import Method
    from kiota_abstractions.request_information import RequestInformation

    graph = transport(sequence(page()))
    provider = graph.builders.request_adapter._authentication_provider  # the SDK offers no public way to see it
    for host, expected in (("graph.microsoft.com", "Bearer token-1"), ("evil.example", "")):
        request = RequestInformation(Method.GET)
        request.url = f"https://{host}/v1.0/users"
        await provider.authenticate_request(request)
        assert "".join(request.request_headers.get("authorization") or ()) == expected


def test_pages_keep_their_links() -> None:
    decoded = ROWS.decode(b'{"value":[],"@odata.nextLink":"n","@odata.deltaLink":"d","unknown":1}')
    assert (decoded.next_link, decoded.delta_link) == ("n", "d")
    with pytest.raises(msgspec.ValidationError):
        ROWS.decode(b"{}")
