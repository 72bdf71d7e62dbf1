"""`check`, the tenant's half: what works, what does not, and what to do about it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

from sds_daemon.errors import ConfigurationError, SdsError
from sds_daemon.sources.base import Finding, fault
from sds_daemon.targets.base import Sku, TenantFacts
from sds_daemon.targets.entra import facts as preflight
from sds_daemon.targets.entra import wire
from sds_daemon.targets.entra.expiry import expiry
from sds_daemon.targets.entra.facts import Education
from sds_daemon.targets.entra.license_groups import look
from sds_daemon.targets.entra.transport import GraphTransport, tls_context

_TIMEOUT = 10.0


async def findings(
    transport: GraphTransport,
    *,
    class_api: str,
    creating: bool,
    licenses: Sequence[str],
    domains: Sequence[str],
    license_groups: Sequence[str] = (),
    writes_users: bool = False,
) -> list[Finding]:
    """Connection, credentials, permissions, domains, licences, education. Faults stand in the list.

    Stops after the first stage that makes the following ones pointless.
    """
    found = [finding async for finding in _connection(transport)]
    found += _credentials(transport)
    if any(finding.level == "error" for finding in found):
        return found
    try:
        await transport.roles()
        found.append(Finding(level="ok", topic="credentials", message="the token authority accepts the app"))
        facts = await preflight.gather(
            transport, class_api=class_api, creating=creating or writes_users, licenses=bool(licenses)
        )
        probe = await preflight.probe_education(transport)
    except SdsError as error:
        return [*found, fault("credentials", error)]
    return [
        *found,
        *_permissions(facts),
        *_tenant(facts, probe, creating=creating),
        *_domains(facts, domains),
        *_licenses(facts, licenses),
        *[finding for group_id in license_groups for finding in await _license_group(transport, facts, group_id)],
    ]


# Network: name, port, TLS, told apart


async def _connection(transport: GraphTransport) -> AsyncIterator[Finding]:
    if not transport.cloud.loopback and _has_proxy():
        yield Finding(
            level="note", topic="network", message="a proxy is set in the environment; names and ports are its business"
        )
        return
    try:
        context = tls_context(transport.settings)
    except ConfigurationError as error:
        yield fault("network", error)
        return
    for url in (transport.cloud.authority, transport.cloud.graph):
        yield await _reach(url, context)


def _has_proxy() -> bool:
    return any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"))


async def _reach(url: str, context: ssl.SSLContext) -> Finding:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    where = f"{host}:{port}"
    try:
        await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return _unreachable(where, f"the name {host} cannot be resolved", "check the DNS of this machine and the URL")
    try:
        secure = context if parts.scheme == "https" else None
        opening = asyncio.open_connection(host, port, ssl=secure, server_hostname=host if secure else None)
        _, writer = await asyncio.wait_for(opening, _TIMEOUT)
    except ssl.SSLCertVerificationError as error:
        return _unreachable(
            where,
            f"the certificate of {where} cannot be verified: {error.verify_message}",
            "set ca_file to the authority that signed it, or check for a proxy that opens TLS",
        )
    except ssl.SSLError as error:
        return _unreachable(where, f"{where} does not speak TLS ({error.reason})", "check the URL and any proxy")
    except TimeoutError:
        return _unreachable(where, f"{where} does not answer", f"open outgoing port {port} in the firewall")
    except OSError as error:
        return _unreachable(
            where, f"{where} refuses the connection ({error.strerror})", "check the URL and the firewall"
        )
    writer.close()
    return Finding(level="ok", topic="network", message=f"{where} answers")


def _unreachable(where: str, message: str, remedy: str) -> Finding:
    return Finding(level="error", topic="network", message=message, remedy=remedy, data={"address": where})


# Secret or certificate


def _credentials(transport: GraphTransport) -> list[Finding]:
    found = expiry(transport.settings, transport.clock.now())
    data = {"expires": found.ends.isoformat()} if found.ends else {}
    return [Finding(level=found.level, topic="credentials", message=found.message, remedy=found.remedy, data=data)]


# The tenant


def _permissions(facts: TenantFacts) -> list[Finding]:
    if not facts.missing_permissions:
        return [Finding(level="ok", topic="permissions", message="every permission needed is granted")]
    return [
        Finding(
            level="error",
            topic="permissions",
            message=f"the application permission {name} is missing",
            remedy="add it under API permissions, Microsoft Graph, application permissions; grant admin consent",
            data={"permission": name},
        )
        for name in facts.missing_permissions
    ]


def _tenant(facts: TenantFacts, probe: Education, *, creating: bool) -> list[Finding]:
    name = facts.display_name or facts.tenant_id
    if probe is Education.YES:
        found = [Finding(level="ok", topic="tenant", message=f"{name} is an education tenant")]
    elif probe is Education.NOT_PERMITTED:
        found = [
            Finding(
                level="warning",
                topic="tenant",
                message=f"whether {name} is an education tenant cannot be told: {probe.value}",
                remedy="grant EduRoster.ReadWrite.All",
            )
        ]
    else:
        message = f"{name}: {probe.value}; schools become administrative units, education attributes are not written"
        found = [Finding(level="note", topic="tenant", message=message)]
    if facts.on_premises_sync:
        found.append(_synchronised(creating=creating))
    return found


def _synchronised(*, creating: bool) -> Finding:
    return Finding(
        level="warning" if creating else "note",
        topic="tenant",
        message="accounts are synchronised from a local Active Directory (AADConnect)",
        remedy='create accounts there and use users = "match" here' if creating else "",
    )


def _domains(facts: TenantFacts, wanted: Sequence[str]) -> list[Finding]:
    verified = {domain.lower() for domain in facts.domains}
    found = [
        Finding(
            level="error",
            topic="domains",
            message=f"{domain} is not a verified domain of the tenant",
            remedy=f"verified are: {', '.join(sorted(verified)) or 'none that can be read'}",
            data={"domain": domain},
            configuration=True,
        )
        for domain in dict.fromkeys(wanted)
        if domain.lower() not in verified
    ]
    return found or [
        Finding(
            level="ok",
            topic="domains",
            message=f"verified domains: {', '.join(facts.domains)}",
            data={"domains": list(facts.domains)},
        )
    ]


def _licenses(facts: TenantFacts, wanted: Sequence[str]) -> list[Finding]:
    known = {sku.part_number.lower(): sku for sku in facts.skus.values()} | dict(facts.skus)
    return [_license(name, known.get(name.lower()), facts) for name in dict.fromkeys(wanted)]


async def _license_group(transport: GraphTransport, facts: TenantFacts, group_id: str) -> list[Finding]:
    """Whether the group serves, which licences it gives with their seats, and whether members went without."""
    try:
        group = await look(transport, group_id)
        if group.fault:
            what = f"the licence group {group_id} {group.fault}"
            return [Finding(level="error", topic="licences", message=what, remedy=group.remedy, data={"id": group_id})]
        without = await transport.get(f"/groups/{group_id}/membersWithLicenseErrors?$select=id&$top=999", wire.IDS)
    except SdsError as error:
        return [fault("licences", error)]
    names = sorted(facts.skus[sku].part_number if sku in facts.skus else sku for sku in group.skus)
    called = f"the licence group {group.name or group_id}"
    data = {"id": group_id, "licences": names}
    found = [Finding(level="ok", topic="licences", message=f"{called} gives {', '.join(names)}", data=data)]
    if without.value:
        more = " or more" if without.next_link else ""
        found.append(
            Finding(
                level="warning",
                topic="licences",
                message=f"members of {called} who did not get all it gives: {len(without.value)}{more}",
                remedy="look at the group's licences in the Microsoft 365 admin centre; mostly seats are missing",
            )
        )
    return [*found, *_licenses(facts, names)]


def _license(name: str, sku: Sku | None, facts: TenantFacts) -> Finding:
    owned = ", ".join(sorted(sku.part_number for sku in facts.skus.values())) or "none"
    if sku is None:
        return Finding(
            level="error", topic="licences", message=f"the tenant does not own {name}", remedy=f"it owns: {owned}"
        )
    data = {"id": sku.id, "part_number": sku.part_number, "seats": sku.seats, "seats_free": sku.seats_free}
    seats = f"{sku.part_number}: {max(0, sku.seats_free)} of {sku.seats} seats free"
    if not sku.enabled:
        return Finding(level="error", topic="licences", message=f"{sku.part_number} is not enabled", data=data)
    if sku.seats_free <= 0:
        return Finding(level="warning", topic="licences", message=seats, remedy="buy or free seats", data=data)
    return Finding(level="ok", topic="licences", message=seats, data=data)
