"""Secrets do not come out: not by repr, errors, tracebacks or logs; and tokens go to their own host alone."""

from __future__ import annotations

import io
import logging
import pickle
import re
import traceback
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from loguru import logger

from sds_daemon import logs, redaction
from sds_daemon.cli import main as cli_main
from sds_daemon.cli.context import CommandContext
from sds_daemon.clock import FixedClock
from sds_daemon.config.load import settings_of
from sds_daemon.config.secrets import Secret
from sds_daemon.config.settings import SourceSettings, TenantSettings
from sds_daemon.errors import ConfigurationError, SourceDown, SourceError, TargetError, TargetInvalid
from sds_daemon.redaction import HIDDEN, hide, redact
from sds_daemon.sources.powerschool.client import PowerSchoolClient
from sds_daemon.targets.entra import wire
from sds_daemon.targets.entra.auth import make_credential
from sds_daemon.targets.entra.authority import AuthorityTransport
from sds_daemon.targets.entra.clouds import cloud_of
from sds_daemon.targets.entra.transport import GraphTransport, shown_root

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
SECRET = "qV7~unlikely-to-be-a-word"
TOKEN = "opaque.token_of-the-server"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQ==\n-----END PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", type(redaction._known)())


def tenant(**more: object) -> TenantSettings:
    settings = {
        "name": "contoso",
        "tenant_id": "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1",
        "client_id": "app",
        "client_secret": Secret(SECRET),
        "lag_horizon": 0.9,
        **more,
    }
    return TenantSettings(**settings)  # type: ignore[arg-type]


def source() -> SourceSettings:
    return SourceSettings(
        name="ps",
        type="powerschool",
        url="https://school.example",
        client_id=Secret("plugin-id-0001"),
        client_secret=Secret(SECRET),
    )


def test_no_representation_of_the_settings_shows_a_secret() -> None:
    for value in (source(), tenant(), {"a": [tenant()]}):
        for text in (repr(value), str(value), f"{value}"):
            assert SECRET not in text
    for value in (source(), tenant()):
        assert SECRET not in str(value.model_dump())


def test_a_configuration_with_faults_does_not_quote_its_secrets(tmp_path: Path) -> None:
    contoso = {"tenant_id": "x", "client_id": "app", "client_secret": SECRET, "secret": SECRET, "write_quota": "many"}
    district = {"type": "powerschool", "url": 7, "client_id": [SECRET], "client_secret": {"value": SECRET}}
    with pytest.raises(ConfigurationError) as raised:
        settings_of({"tenants": {"contoso": contoso}, "sources": {"district": district}}, tmp_path / "c.toml", {})
    shown = "".join(traceback.format_exception(raised.value))
    assert SECRET not in shown
    assert "client_secret" in shown


def test_a_secret_that_was_used_is_struck_out_of_whatever_is_written() -> None:
    assert redact(f"before {SECRET}") == f"before {SECRET}", "nothing is known of it yet"
    assert Secret(SECRET).reveal() == SECRET
    assert redact(f"a{SECRET}b {SECRET}") == f"a{HIDDEN}b {HIDDEN}"
    stream = io.StringIO()
    logs.configure("INFO", stream, journal=False)
    try:
        try:
            raise RuntimeError(f"unexpected answer {SECRET}")
        except RuntimeError:
            logger.bind(run=SECRET).opt(exception=True).error("it was {}", SECRET)
    finally:
        logger.remove()
    assert SECRET not in stream.getvalue()
    assert stream.getvalue().count(HIDDEN) >= 3


def test_short_values_are_not_struck_out_and_only_the_latest_are_kept() -> None:
    hide("secret")
    assert redact("the secret garden") == "the secret garden"
    for number in range(200):
        hide(f"token-number-{number:04}")
    assert redact("token-number-0199") == HIDDEN
    assert len(redaction._known) == redaction.MOST


@pytest.mark.parametrize("text", [PEM, f"cannot load {PEM} here", PEM.partition("-----END")[0]])
def test_a_private_key_is_struck_out(text: str) -> None:
    assert "MIIE" not in redact(text)
    assert "kqhk" not in redact(text)


def test_a_defect_keeps_its_traceback_private_and_free_of_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    hide(SECRET)
    try:
        raise ValueError(f"{SECRET} client_secret={TOKEN}")
    except ValueError as error:
        assert cli_main._defect(error, CommandContext()) == cli_main.DEFECT
    (kept,) = (tmp_path / "defects").iterdir()
    assert "ValueError" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    shown = kept.read_text() + "".join(capsys.readouterr())
    assert SECRET not in shown
    assert TOKEN not in shown


# PowerSchool


def powerschool(answers: dict[str, httpx.Response], seen: list[httpx.Request]) -> PowerSchoolClient:
    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answers.get(request.url.path, httpx.Response(200, json={"access_token": TOKEN, "expires_in": 60}))

    async def sleep(_seconds: float) -> None: ...

    return PowerSchoolClient(source(), FixedClock(NOW), transport=httpx.MockTransport(handle), sleep=sleep)


ELSEWHERE = ["https://evil.example/ws", "//evil.example/", "http://school.example/", "https://[", "javascript:alert(1)"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ELSEWHERE)
async def test_powerschools_redirects_take_neither_token_nor_secret_along(status: int, location: str) -> None:
    for path in ("/oauth/access_token/", "/ws/v1/district"):
        seen: list[httpx.Request] = []
        client = powerschool({path: httpx.Response(status, headers={"Location": location})}, seen)
        with pytest.raises(SourceError) as raised:
            await client.get("/ws/v1/district")
        assert {request.url.host for request in seen} == {"school.example"}
        assert {request.url.scheme for request in seen} == {"https"}
        assert SECRET not in str(raised.value)
        assert TOKEN not in str(raised.value)
        if location.startswith("https://evil"):
            assert isinstance(raised.value, SourceDown)
            assert "evil.example" in str(raised.value)


async def test_what_powerschool_says_back_is_not_repeated_with_the_token_in_it() -> None:
    echo = httpx.Response(403, json={"message": f"token {TOKEN} and Basic cGx1Z2luLWlkLTAwMDE6c2VjcmV0"})
    with pytest.raises(SourceError) as raised:
        await powerschool({"/ws/v1/district": echo}, []).get("/ws/v1/district")
    assert TOKEN not in redact(str(raised.value))


# Graph and the authority


class OneToken:
    """Always the same token."""

    async def token(self) -> str:
        return TOKEN

    async def renew(self, refused: str) -> None: ...

    async def close(self) -> None: ...


class Scripted(GraphTransport):
    """Requests made up by these tests are not held against the contract."""

    request = GraphTransport.request


def graph(answer: httpx.Response, seen: list[httpx.Request]) -> GraphTransport:
    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer

    async def sleep(_seconds: float) -> None: ...

    return Scripted(tenant(), FixedClock(NOW), http=httpx.MockTransport(handle), tokens=OneToken(), sleep=sleep)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ELSEWHERE)
async def test_graphs_redirects_take_no_token_along(status: int, location: str) -> None:
    for method, url, content in (("GET", "/users", None), ("POST", "/$batch", b'{"requests":[]}')):
        seen: list[httpx.Request] = []
        transport = graph(httpx.Response(status, headers={"Location": location}), seen)
        with pytest.raises(TargetError) as raised:
            await transport.request(method, url, content)
        assert {request.url.host for request in seen} == {"graph.microsoft.com"}
        assert TOKEN not in str(raised.value)
        if location.startswith("https://evil"):
            assert isinstance(raised.value, TargetInvalid)
            assert "https://evil.example" in str(raised.value)


@pytest.mark.parametrize(
    "link",
    [
        "https://[",
        "https://graph.microsoft.com/v1.0/users?\x00",
        "https://graph.microsoft.com/v1.0/users\r\nHost: evil.example",
        "https://user:pw@graph.microsoft.com/v1.0/users",
        "https://graph.microsoft.com\\@evil.example/v1.0/users",
        "https:graph.microsoft.com/v1.0/users",
        "ftp://graph.microsoft.com/v1.0/users",
        "",
    ],
)
async def test_links_made_to_deceive_are_refused_before_anything_is_sent(link: str) -> None:
    seen: list[httpx.Request] = []
    transport = graph(httpx.Response(200, json={"value": []}), seen)
    for use in (lambda: transport.link(link), lambda: transport._absolute(link)):
        with pytest.raises(TargetInvalid) as raised:
            use()
        assert raised.value.message.isprintable()
        assert "user:pw" not in str(raised.value)
    with pytest.raises(TargetInvalid):
        await transport.get(link, wire.IDS)
    assert seen == []


@pytest.mark.parametrize("link", ["https://a.example\x1b[31m/x", "https://" + "x" * 5000, "https://a\n.example/"])
def test_a_foreign_address_is_shown_short_and_printable(link: str) -> None:
    assert shown_root(link).isprintable()
    assert len(shown_root(link)) <= 100


@pytest.mark.parametrize("status", [307, 308, 303])
async def test_the_authoritys_redirect_takes_no_secret_along(status: int) -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status, headers={"Location": "https://evil.example/token"})

    settings = tenant()
    transport = AuthorityTransport(settings, cloud_of(settings), network=httpx.MockTransport(handle))
    from azure.core.rest import HttpRequest

    with pytest.raises(TargetError, match=r"evil\.example") as raised:
        await transport.send(
            HttpRequest("POST", "https://login.microsoftonline.com/t/oauth2/v2.0/token", data={"client_secret": SECRET})
        )
    assert [request.url.host for request in seen] == ["login.microsoftonline.com"]
    assert SECRET not in str(raised.value)
    with pytest.raises(TargetInvalid):
        await transport.send(HttpRequest("POST", "https://evil.example/t/token", data={"client_secret": SECRET}))
    assert len(seen) == 1


def test_the_credential_is_made_with_our_transport_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, object] = {}
    monkeypatch.setattr(logging.getLogger("azure.identity"), "level", logging.NOTSET)  # and put back afterwards

    class Recorded:
        def __init__(self, *_positional: str, **options: object) -> None:
            made.update(options)

    monkeypatch.setattr("azure.identity.aio.ClientSecretCredential", Recorded)
    make_credential(tenant(), cloud_of(tenant()))
    assert isinstance(made["transport"], AuthorityTransport)
    assert "connection_verify" not in made


def test_nothing_turns_verification_off_or_parses_xml_or_unpickles() -> None:
    root = Path(cli_main.__file__).parents[1]
    forbidden = re.compile(
        r"verify\s*=\s*False|CERT_NONE|check_hostname\s*=\s*False|_create_unverified|follow_redirects\s*=\s*True"
        r"|import pickle|xml\.etree|import xml|minidom|yaml\.load|\beval\(|\bexec\(|shell\s*=\s*True"
    )
    for path in root.rglob("*.py"):
        if "sandbox" not in path.parts:
            assert not forbidden.search(path.read_text()), path


def test_a_secret_is_not_pickled_by_accident() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(SECRET), protocol=0)
