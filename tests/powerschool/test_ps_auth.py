"""The token: one for its life, renewed once, never more than one request for it at a time."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta

import httpx
import pytest
from ps_rig import NOW, SECRET, Script, Sleeper, error, make_client, ok, settings

from sds_daemon.clock import FixedClock
from sds_daemon.config.secrets import Secret
from sds_daemon.errors import ConfigurationError, SourceDown, SourceInvalid, SourceRefused
from sds_daemon.sources.powerschool.auth import parse_token
from sds_daemon.sources.powerschool.client import PowerSchoolClient

TOKEN = "/oauth/access_token/"
PATH = "/ws/v1/metadata"


def bearers(script: Script) -> list[str]:
    return [request.headers["Authorization"] for request in script.requests if request.url.path != TOKEN]


async def test_the_token_is_asked_for_as_documented_and_used_as_bearer() -> None:
    script = Script()
    await make_client(script).get(PATH)
    request = script.requests[0]
    assert (request.method, request.url.path) == ("POST", TOKEN)
    assert request.headers["Authorization"] == "Basic " + base64.b64encode(f"id:{SECRET}".encode()).decode()
    assert request.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    assert request.content == b"grant_type=client_credentials"
    assert bearers(script) == ["Bearer token-1"]


@pytest.mark.parametrize("life", ["3600", 3600, "3600.0"])
async def test_the_token_is_kept_until_shortly_before_its_end(life: object) -> None:
    script, clock = Script(), FixedClock(NOW)
    script.token_life = life
    client = make_client(script, clock)
    await client.get(PATH)
    clock.advance(timedelta(seconds=3500))
    await client.get(PATH)
    assert script.tokens == 1
    clock.advance(timedelta(seconds=60))
    await client.get(PATH)
    assert script.tokens == 2


@pytest.mark.parametrize("life", [None, "", "soon", -5, 0, "1", {}, True, 10**30])
async def test_an_odd_life_does_not_make_a_token_request_of_every_call(life: object) -> None:
    script = Script()
    script.token_life = life
    client = make_client(script)
    for _ in range(5):
        await client.get(PATH)
    assert script.tokens == 1


async def test_many_calls_at_once_fetch_one_token() -> None:
    script = Script()
    client = make_client(script)
    await asyncio.gather(*(client.get(PATH) for _ in range(20)))
    assert script.tokens == 1


async def test_a_forgotten_token_is_renewed_once_for_all_calls() -> None:
    script = Script()
    script.overrides[PATH] = lambda request: (
        ok({"metadata": {}}) if request.headers["Authorization"] == "Bearer token-2" else httpx.Response(401)
    )
    client = make_client(script)
    await asyncio.gather(*(client.get(PATH) for _ in range(12)))
    assert script.tokens == 2


async def test_a_refused_fresh_token_ends_in_a_refusal_after_one_renewal() -> None:
    script = Script()
    script.overrides[PATH] = lambda _request: httpx.Response(401)
    with pytest.raises(SourceRefused, match="Data Provider Configuration") as caught:
        await make_client(script).get(PATH)
    assert (script.tokens, len(bearers(script))) == (2, 2)
    assert caught.value.exit_code == 3


async def test_the_missing_v1_capability_is_told_apart_and_not_retried() -> None:
    script = Script()
    script.overrides[PATH] = lambda _request: error(401, "Plugin is missing required accessLevelV1Api READ permission")
    with pytest.raises(SourceRefused, match="v1 API access level to READ"):
        await make_client(script).get(PATH)
    assert (script.tokens, len(bearers(script))) == (1, 1)


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_refused_credentials_name_the_page_to_look_at_and_no_secret(status: int) -> None:
    script = Script()
    script.overrides[TOKEN] = ok({"error": "invalid_client", "error_description": SECRET}, status)
    with pytest.raises(SourceRefused, match="Plugin Management Configuration") as caught:
        await make_client(script).get(PATH)
    assert script.paths() == [TOKEN]
    assert SECRET not in str(caught.value)


async def test_a_token_request_refused_for_haste_waits_as_asked() -> None:
    script, sleeper = Script(), Sleeper()
    script.overrides[TOKEN] = [error(429, "slow down", **{"Retry-After": "2.5"})]
    await make_client(script, sleeper=sleeper).get(PATH)
    assert sum(sleeper.slept) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(404, html="<h1>no</h1>"), SourceInvalid),
        (httpx.Response(302, headers={"Location": "https://message.powerschool.com/?server=x"}), SourceDown),
        (httpx.Response(200, html="<html>PowerSchool page unavailable</html>"), SourceDown),
        (ok({"token_type": "Bearer"}), SourceInvalid),
        (ok({"access_token": "a\nb"}), SourceInvalid),
        (ok({"access_token": "é"}), SourceInvalid),
        (ok({"access_token": ""}), SourceInvalid),
        (ok(["x"]), SourceInvalid),
    ],
)
async def test_a_token_answer_that_is_none(answer: httpx.Response, kind: type[Exception]) -> None:
    script = Script()
    script.overrides[TOKEN] = lambda _request: answer
    with pytest.raises(kind):
        await make_client(script).get(PATH)
    assert bearers(script) == []


async def test_after_a_failed_token_request_the_next_call_asks_again() -> None:
    script = Script()
    script.overrides[TOKEN] = [httpx.Response(401)]
    client = make_client(script)
    with pytest.raises(SourceRefused):
        await client.get(PATH)
    await client.get(PATH)
    assert script.tokens == 1


async def test_a_secret_that_cannot_be_read_is_a_configuration_error() -> None:
    script = Script()
    source = settings(client_secret=Secret("env:SDS_NO_SUCH_VARIABLE"))
    client = PowerSchoolClient(source, FixedClock(NOW), transport=httpx.MockTransport(script.handle))
    with pytest.raises(ConfigurationError, match="SDS_NO_SUCH_VARIABLE"):
        await client.get(PATH)
    assert script.requests == []


def test_a_token_does_not_show_itself() -> None:
    token = parse_token({"access_token": "abc-token", "expires_in": "60"}, NOW)
    assert "abc-token" not in repr(token) + str(token)
