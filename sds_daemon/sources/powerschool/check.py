"""`sds-daemon check` on the PowerSchool side: which step to a first answer fails, and what to do about it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from sds_daemon.clock import Clock
from sds_daemon.config.settings import SourceSettings
from sds_daemon.errors import ConfigurationError, SourceError
from sds_daemon.roster.schools import entries_known_before
from sds_daemon.sources.base import Finding, Scope, fault, no_progress
from sds_daemon.sources.powerschool.bulk import BulkReader
from sds_daemon.sources.powerschool.client import PowerSchoolClient, Session, certificate_fault, tls_context
from sds_daemon.sources.powerschool.desk import Desk
from sds_daemon.sources.powerschool.district import Facts, read_facts, read_schools, read_terms
from sds_daemon.sources.powerschool.grants import explain_refusal
from sds_daemon.sources.powerschool.pages import read_count
from sds_daemon.sources.powerschool.reader import V1Reader
from sds_daemon.sources.powerschool.scope import choosable, schools_in_scope
from sds_daemon.sources.powerschool.sections import sections_call
from sds_daemon.sources.powerschool.year import choose_year, years_to_ask

SLOW = "the lead teacher of a section is read alone, and every section costs two calls"
PATIENCE = 10.0
EXPIRY_WARNING_DAYS = 30


class _Failed(Exception):
    """Ends the check with a last finding."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.message)


async def check_source(
    settings: SourceSettings, client: PowerSchoolClient, clock: Clock, scope: Scope | None
) -> list[Finding]:
    """Name, port, TLS, credentials, path, v1 access, reader, a scope's schools and year; ends where one fails."""
    findings: list[Finding] = []
    try:
        async for finding in _steps(settings, client, clock, scope):
            findings.append(finding)
    except _Failed as failure:
        findings.append(failure.finding)
    return findings


async def _steps(
    settings: SourceSettings, client: PowerSchoolClient, clock: Clock, scope: Scope | None
) -> AsyncIterator[Finding]:
    parts = urlsplit(client.base)
    host = parts.hostname or ""
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    yield await _check_name(host, port)
    yield await _check_port(host, port)
    if parts.scheme == "https":
        yield await _check_tls(settings, host, port, clock)
    session = Session(client)
    await _answered("credentials", client.authenticate)
    yield Finding(level="ok", topic="credentials", message="PowerSchool accepts the client id and secret")
    facts = await _answered("server", lambda: read_facts(session))
    yield _server(facts)
    desk = Desk(session, no_progress)
    desk.page_sizes = facts.page_sizes
    schools = await _answered("v1 access", lambda: read_schools(desk))
    count = len(choosable(schools))
    yield Finding(level="ok", topic="v1 access", message=f"the plugin may read /ws/v1; {count} schools")
    yield await _answered("reader", lambda: _check_reader(session, settings.reader))
    if scope is not None:
        async for finding in _check_scope(desk, schools, scope, clock, facts):
            yield finding


async def _check_name(host: str, port: int) -> Finding:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PATIENCE):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        raise _failed(
            "name",
            f"{host} cannot be resolved: {getattr(error, 'strerror', None) or 'no answer from the name server'}",
            "check the spelling of url in config.toml, and the name servers of this machine",
        ) from error
    addresses = ", ".join(sorted({str(entry[4][0]) for entry in found}))
    return Finding(level="ok", topic="name", message=f"{host} is {addresses}")


async def _check_port(host: str, port: int) -> Finding:
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise _failed(
            "port",
            f"{host} does not accept connections on port {port}: {reason}",
            "check the port in url, that the server runs, and the firewalls in between",
        ) from error
    await _hang_up(writer)
    return Finding(level="ok", topic="port", message=f"port {port} is open")


async def _check_tls(settings: SourceSettings, host: str, port: int, clock: Clock) -> Finding:
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(host, port, ssl=tls_context(settings.ca_file))
    except ssl.SSLCertVerificationError as error:
        raise _failed(
            "TLS",
            f"the certificate of {host} was not accepted: {certificate_fault(error)}",
            "put the certificate of the school's own authority into a PEM file and name it as ca_file; "
            "the host in url must be one the certificate was made for",
        ) from error
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or "no answer"
        raise _failed(
            "TLS",
            f"{host}:{port} does not speak TLS 1.2 or later: {reason}",
            "check scheme and port in url: https belongs to the TLS port",
        ) from error
    certificate = writer.get_extra_info("peercert") or {}
    await _hang_up(writer)
    return _certificate(certificate, clock)


def _certificate(certificate: dict[str, Any], clock: Clock) -> Finding:
    expiry = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    days = (expiry - clock.now()).days
    message = f"the server's certificate is valid until {expiry:%Y-%m-%d}"
    if days < EXPIRY_WARNING_DAYS:
        remedy = "ask whoever runs PowerSchool to renew it in time: reading stops on that day"
        return Finding(level="warning", topic="TLS", message=message, remedy=remedy)
    return Finding(level="ok", topic="TLS", message=message)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(1.0):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        return


async def _check_reader(session: Session, choice: str) -> Finding:
    """Which reader a sync would take, and what keeps it from the better one."""
    if choice == V1Reader.name:
        return Finding(level="note", topic="reader", message=f'reader = "v1" is set: {SLOW}')
    refusal = await BulkReader().probe(session)
    if refusal is None:
        return Finding(
            level="ok", topic="reader", message="the plugin's PowerQueries can be read, co-teachers included"
        )
    why = await explain_refusal(session, refusal)
    pinned = choice == BulkReader.name
    return Finding(
        level="error" if pinned else "warning",
        topic="reader",
        message=why if pinned else f"{why}; until then {SLOW}",
        remedy=refusal.remedy or "",
    )


def _server(facts: Facts) -> Finding:
    version = facts.version or "of unknown version"
    known = f"PowerSchool {version}, district {facts.uuid}, time zone {facts.timezone}"
    return Finding(
        level="warning" if facts.notices else "ok",
        topic="server",
        message="; ".join([known, *facts.notices]),
        data={"version": facts.version, "district_uuid": facts.uuid, "page_sizes": facts.page_sizes},
    )


async def _check_scope(
    desk: Desk, schools: list[Any], scope: Scope, clock: Clock, facts: Facts
) -> AsyncIterator[Finding]:
    try:
        chosen = schools_in_scope(schools, scope)
    except ConfigurationError as error:
        raise _Failed(fault("schools", error)) from error
    for sentence in entries_known_before(schools, () if scope.schools == "all" else scope.schools, scope.known):
        yield Finding(level="warning", topic="schools", message=sentence)
    named = ", ".join(f"{school.name} ({school.number})" for school in choosable(chosen.values()))
    yield Finding(level="ok", topic="schools", message=f"{len(chosen)} chosen: {named}", data={"ids": sorted(chosen)})
    today = clock.today(facts.timezone)

    async def year() -> Any:
        years = years_to_ask(today, scope.lead_days, scope.school_year)
        terms = await read_terms(desk, chosen, years)
        return choose_year(terms.values(), today, scope.lead_days, scope.school_year)

    found = await _answered("school year", year)
    sections = await _answered("school year", lambda: _count_sections(desk, list(chosen), found.start_year))
    message = f"{found} is read on {today}; PowerSchool counts {sections} sections in it"
    level, remedy = ("ok", "") if sections else ("warning", "look whether the year's sections are scheduled yet")
    yield Finding(level=level, topic="school year", message=message, remedy=remedy, data={"sections": sections})


async def _count_sections(desk: Desk, schools: list[str], start_year: int) -> int:
    total = 0
    for school_id in schools:
        total += await read_count(desk.session, sections_call(desk, school_id, start_year))
    return total


async def _answered(topic: str, ask: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await ask()
    except (SourceError, ConfigurationError) as error:
        raise _Failed(fault(topic, error)) from error


def _failed(topic: str, message: str, remedy: str) -> _Failed:
    return _Failed(Finding(level="error", topic=topic, message=message, remedy=remedy))
