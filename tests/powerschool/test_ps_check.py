"""`check` tells the steps to a first answer apart, each on the real thing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from ps_rig import Script, error, make_source, ok
from ps_rig import settings as rig_settings
from ps_sandbox_rig import Sandbox

from sds_daemon.clock import FixedClock
from sds_daemon.config.secrets import Secret
from sds_daemon.config.settings import SourceSettings
from sds_daemon.sources.base import Finding, Scope
from sds_daemon.sources.powerschool.retry import RetryRules
from sds_daemon.sources.powerschool.source import PowerSchoolSource

NOW = datetime(2026, 10, 1, 20, tzinfo=UTC)


async def checked(settings: SourceSettings, scope: Scope | None = None, now: datetime = NOW) -> list[Finding]:
    source = PowerSchoolSource(settings, FixedClock(now), rules=RetryRules(tries=2, first=0.01))
    try:
        return await source.check(scope)
    finally:
        await source.close()


def changed(settings: SourceSettings, **values: Any) -> SourceSettings:
    return SourceSettings(**{**dict(settings), **values})


def failed_at(findings: list[Finding]) -> Finding:
    """The last finding, which must be the only error and say what to do."""
    assert {finding.level for finding in findings[:-1]} <= {"ok", "note"}
    assert findings[-1].level == "error"
    assert findings[-1].remedy
    return findings[-1]


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    """A port that takes connections and speaks no TLS."""

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.mark.process
async def test_a_healthy_server_is_ok_at_each_step(sandbox: Sandbox) -> None:
    findings = await checked(sandbox.settings, Scope())
    assert [(finding.topic, finding.level) for finding in findings] == [
        (topic, "ok")
        for topic in ("name", "port", "TLS", "credentials", "server", "v1 access", "reader", "schools", "school year")
    ]
    assert findings[-1].data["sections"] > 0
    assert "2026-27" in findings[-1].message


@pytest.mark.process
async def test_each_fault_is_found_at_its_own_step(sandbox: Sandbox) -> None:
    plain = sandbox.settings
    finding = failed_at(await checked(changed(plain, ca_file=None)))
    assert finding.topic == "TLS"
    assert "ca_file" in finding.remedy
    finding = failed_at(await checked(changed(plain, client_secret=Secret("wrong"))))
    assert (finding.topic, "wrong" in finding.message) == ("credentials", False)
    assert not finding.configuration
    assert "Data Provider Configuration" in finding.remedy
    for values in ({"schools": ("Atlantis",)}, {"schools": ()}):
        finding = failed_at(await checked(plain, Scope(**values)))
        assert (finding.topic, finding.configuration) == ("schools", True)
        assert not finding.message.startswith("schools: ")
    for year in (2031, "never"):
        finding = failed_at(await checked(plain, Scope(school_year=year)))
        assert (finding.topic, finding.configuration) == ("school year", True)
    sandbox.set(v1_access="NONE")
    finding = failed_at(await checked(plain, Scope()))
    assert finding.topic == "v1 access"
    assert "READ" in finding.remedy
    sandbox.set(v1_access="READ", maintenance=True)
    finding = failed_at(await checked(plain))
    assert "message.powerschool.com" in finding.message
    assert "maintenance" in finding.remedy


@pytest.mark.process
async def test_what_the_bulk_reader_lacks_is_named(sandbox: Sandbox) -> None:
    sandbox.set(revoked=["students.dob", "cc.dateleft"])
    (finding,) = [each for each in await checked(sandbox.settings) if each.topic == "reader"]
    assert finding.level == "warning"
    assert "may not read CC.DATELEFT, STUDENTS.DOB" in finding.message
    assert "approve" in finding.remedy and "Plugin Management" in finding.remedy
    (finding,) = [each for each in await checked(sandbox.read_by("powerquery")) if each.level == "error"]
    assert "CC.DATELEFT" in finding.message
    (finding,) = [each for each in await checked(sandbox.read_by("v1")) if each.topic == "reader"]
    assert finding.level == "note"


@pytest.mark.process
async def test_a_certificate_about_to_end_is_a_warning(sandbox: Sandbox) -> None:
    findings = await checked(sandbox.settings, now=datetime(2999, 12, 20, tzinfo=UTC))
    assert (findings[2].topic, findings[2].level) == ("TLS", "warning")
    assert findings[2].remedy


async def test_a_closed_port() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        settings = rig_settings(f"https://127.0.0.1:{port}")
        finding = failed_at(await checked(settings))
    assert finding.topic == "port"
    assert str(port) in finding.message


async def test_a_port_that_speaks_no_tls(silent_port: int) -> None:
    finding = failed_at(await checked(rig_settings(f"https://127.0.0.1:{silent_port}")))
    assert finding.topic == "TLS"


async def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nowhere(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nowhere)
    finding = failed_at(await checked(rig_settings("https://powerschool.invalid")))
    assert finding.topic == "name"
    assert "powerschool.invalid" in finding.message


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips the steps below HTTP, which the scripted server does not have."""

    async def fine(*_: Any) -> Finding:
        return Finding(level="ok", topic="step", message="")

    for step in ("_check_name", "_check_port", "_check_tls"):
        monkeypatch.setattr(f"sds_daemon.sources.powerschool.check.{step}", fine)


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize(
    ("path", "answer", "topic"),
    [
        ("/oauth/access_token/", error(404, "x"), "credentials"),
        ("/ws/v1/metadata", error(404, "x"), "server"),
        ("/ws/v1/metadata", ok({"metadata": 5}), "server"),
        ("/ws/v1/district/school", error(403, "x"), "v1 access"),
        ("/ws/v1/school/3/term", error(403, "x"), "school year"),
        ("/ws/v1/school/3/section/count", error(403, "x"), "school year"),
    ],
)
async def test_a_check_never_raises(path: str, answer: Any, topic: str) -> None:
    script = Script()
    script.overrides[path] = lambda _request: answer
    source = make_source(script)
    assert failed_at(await source.check(Scope())).topic == topic
    await source.close()


@pytest.mark.usefixtures("reachable")
async def test_a_secret_that_cannot_be_read_is_a_finding() -> None:
    source = make_source(Script(), client_secret=Secret("env:SDS_NO_SUCH_VARIABLE"))
    finding = failed_at(await source.check(None))
    assert "SDS_NO_SUCH_VARIABLE" in finding.message
    await source.close()


@pytest.mark.usefixtures("reachable")
async def test_a_year_without_sections_is_a_warning() -> None:
    script = Script()
    script.tables["school/3/section"] = []
    source = make_source(script)
    assert [finding.level for finding in await source.check(Scope())][-1] == "warning"
    await source.close()
