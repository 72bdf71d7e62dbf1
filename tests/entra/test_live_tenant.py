"""Preflight and check against a tenant: credentials, permissions, domains, licences, kinds of tenant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from live_kit import Live, live, person

from sds_daemon.config.secrets import Secret
from sds_daemon.errors import ConfigurationError, TargetInvalid, TargetRefused, TargetUnreachable
from sds_daemon.roster.records import RecordKind
from sds_daemon.sandbox.entra.skus import Sku
from sds_daemon.sources.base import Finding
from sds_daemon.targets.entra import bodies, check, facts, members
from sds_daemon.targets.entra.facts import Education
from sds_daemon.targets.entra.governor import Governor, Lane
from sds_daemon.targets.entra.members import BatchReader
from sds_daemon.targets.entra.transport import GraphTransport

STUDENT_SKU = "314c4481-f395-4525-be8b-2ec4bb1e9d91"


def certificate(folder: Path, *, days: int = 365) -> tuple[Path, str]:
    """A PEM with key and certificate, and the certificate alone."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sds-daemon")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"app-{days}.pem"
    path.write_bytes(private + public)
    return path, public.decode()


async def checked(tenant: Live, transport: GraphTransport | None = None, **more: Any) -> list[Finding]:
    graph = transport or tenant.transport(read_only=True)
    options = {"class_api": "auto", "creating": True, "licenses": (), "domains": (), **more}
    found = await check.findings(graph, **options)
    await graph.close()
    return found


def errors(found: list[Finding]) -> list[str]:
    return [finding.message for finding in found if finding.level == "error"]


async def test_a_right_set_up_passes_and_says_what_was_tried(tmp_path: Path) -> None:
    async with live(tmp_path) as tenant:
        found = await checked(tenant, licenses=["STANDARDWOFFPACK_STUDENT", STUDENT_SKU], domains=["CONTOSO.edu"])
        assert errors(found) == []
        assert {finding.topic for finding in found} == {
            "network", "credentials", "permissions", "tenant", "domains", "licences",
        }  # fmt: skip
        assert any("education tenant" in finding.message for finding in found)
        assert any("100000" in finding.message for finding in found)
        assert any(finding.level == "note" and "expires" in finding.message for finding in found)


async def test_a_certificate_works_and_its_end_is_told(tmp_path: Path) -> None:
    path, public = certificate(tmp_path)
    async with live(tmp_path, certificates=(public,)) as tenant:
        found = await checked(tenant, tenant.transport(client_secret=None, certificate=path))
        assert errors(found) == []
        assert any("certificate expires on" in finding.message for finding in found)
        soon, _ = certificate(tmp_path, days=10)
        warned = await checked(tenant, tenant.transport(client_secret=None, certificate=soon))
        assert any(finding.level == "warning" and "expires" in finding.message for finding in warned)
        over, _ = certificate(tmp_path, days=-1)
        assert any("expired" in text for text in errors(await checked(tenant, tenant.transport(certificate=over))))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_secret": Secret("wrong")}, "AADSTS7000215"),
        ({"client_secret": Secret("old")}, "AADSTS7000222"),
        ({"client_id": "1f6c3b1e-52a7-4f0b-8d1a-6f0d2c9a7e44"}, "AADSTS700016"),
        ({"tenant_id": "1d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1"}, "AADSTS90002"),
    ],
)
async def test_refused_credentials_are_explained(tmp_path: Path, changes: dict[str, Any], code: str) -> None:
    async with live(tmp_path, expired_secrets=("old",)) as tenant:
        transport = tenant.transport(**changes)
        with pytest.raises(TargetRefused, match=code) as raised:
            await transport.roles()
        assert raised.value.remedy
        assert "wrong" not in str(raised.value).replace("is wrong", "")
        await transport.close()
        assert any(code in text for text in errors(await checked(tenant, tenant.transport(**changes))))


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "html", "status": 200},
        {"kind": "status", "status": 429, "headers": {"Retry-After": "0"}},
        {"kind": "reset"},
        {"kind": "truncate"},
        {"kind": "redirect"},
    ],
)
async def test_an_authority_that_is_ill_is_not_taken_for_a_refusal(tmp_path: Path, fault: dict[str, Any]) -> None:
    async with live(tmp_path) as tenant:
        tenant.faults.add({"side": "authority", **fault})
        transport = tenant.transport()
        with pytest.raises(TargetUnreachable):
            await transport.roles()
        tenant.faults.clear()
        assert "EduRoster.ReadWrite.All" in await transport.roles()
        await transport.close()


async def test_an_unknown_certificate_is_explained(tmp_path: Path) -> None:
    path, _ = certificate(tmp_path)
    async with live(tmp_path) as tenant:
        transport = tenant.transport(client_secret=None, certificate=path)
        with pytest.raises(TargetRefused, match="AADSTS700027"):
            await transport.roles()
        await transport.close()


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
async def test_a_certificate_file_that_cannot_be_used_is_a_configuration_error(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "app.pem"
    if content is not None:
        path.write_bytes(content)
    async with live(tmp_path) as tenant:
        transport = tenant.transport(client_secret=None, certificate=path)
        with pytest.raises(ConfigurationError, match=r"app\.pem"):
            await transport.roles()
        await transport.close()
        assert errors(await checked(tenant, tenant.transport(client_secret=None, certificate=path)))


async def test_an_untrusted_certificate_authority_is_told_from_other_faults(tmp_path: Path) -> None:
    async with live(tmp_path) as tenant:
        found = await checked(tenant, tenant.transport(ca_file=None))
        assert any("cannot be verified" in text for text in errors(found))
        transport = tenant.transport(ca_file=None)
        with pytest.raises(TargetUnreachable, match="cannot be verified"):
            await transport.roles()
        await transport.close()


async def test_a_ca_file_that_is_none_is_named(tmp_path: Path) -> None:
    async with live(tmp_path) as tenant:
        (tmp_path / "junk.pem").write_text("junk")
        for name in ("junk.pem", "absent.pem"):
            found = await checked(tenant, tenant.transport(ca_file=tmp_path / name))
            assert any(name in text for text in errors(found))


async def test_name_port_and_tls_faults_are_told_apart(tmp_path: Path) -> None:
    async with live(tmp_path) as tenant:
        closed = await checked(tenant, tenant.transport(graph_url="https://127.0.0.1:9"))
        assert any("refuses the connection" in text for text in errors(closed))
        unknown = await checked(tenant, tenant.transport(graph_url="https://no-such-host.invalid"))
        assert any("cannot be resolved" in text for text in errors(unknown))


@pytest.mark.parametrize(
    "role",
    [
        "User.ReadWrite.All",
        "Group.ReadWrite.All",
        "Member.Read.Hidden",
        "Organization.Read.All",
        "EduRoster.ReadWrite.All",
    ],
)
async def test_each_missing_permission_is_named(tmp_path: Path, role: str) -> None:
    async with live(tmp_path) as tenant:
        await tenant.change({"op": "revoke_role", "role": role})
        transport = tenant.transport()
        found = await facts.gather(transport)
        assert found.missing_permissions == (role,)
        await transport.close()
        assert any(role in text for text in errors(await checked(tenant)))


def test_permissions_follow_what_the_profile_does() -> None:
    need = facts.needed_permissions
    match = need(education=True, creating=False)
    assert "User.Read.All" in match
    assert "User.ReadWrite.All" not in match
    assert "User.ReadWrite.All" in need(education=False, creating=False)
    assert "LicenseAssignment.ReadWrite.All" not in need(education=True, creating=True)
    assert "LicenseAssignment.ReadWrite.All" in need(education=True, creating=True, licenses=True)
    assert not any("Write" in name for name in need(education=True, creating=True, licenses=True, writing=False))
    assert "AdministrativeUnit.ReadWrite.All" in need(education=False, creating=True)
    granted = frozenset({"Directory.ReadWrite.All", "EduRoster.ReadWrite.All", "Member.Read.Hidden"})
    assert facts.missing_permissions(granted, need(education=True, creating=True, licenses=True)) == ()


@pytest.mark.parametrize(
    ("options", "probe"),
    [
        ({}, Education.YES),
        ({"education": False}, Education.NO_LICENCE),
        ({"education_api": False}, Education.NOT_IN_CLOUD),
        ({"roles": ("User.Read.All",)}, Education.NOT_PERMITTED),
    ],
)
async def test_kinds_of_tenant_are_told_apart(tmp_path: Path, options: dict[str, Any], probe: Education) -> None:
    async with live(tmp_path, **options) as tenant:
        transport = tenant.transport()
        assert await facts.probe_education(transport) is probe
        await transport.close()


async def test_without_permission_to_ask_the_licences_tell_the_kind_of_tenant(tmp_path: Path) -> None:
    async with live(tmp_path) as tenant:
        await tenant.change({"op": "revoke_role", "role": "EduRoster.ReadWrite.All"})
        transport = tenant.transport()
        assert (await facts.gather(transport)).missing_permissions == ("EduRoster.ReadWrite.All",)
        await transport.close()
    async with live(
        tmp_path, skus=[Sku("6fd2c87f-b296-42f0-b197-1e91e994b900", "ENTERPRISEPACK", ())], education=False
    ) as tenant:
        await tenant.change({"op": "revoke_role", "role": "EduRoster.ReadWrite.All"})
        transport = tenant.transport()
        found = await facts.gather(transport)
        assert (found.education, found.missing_permissions) == (False, ())
        await transport.close()


async def test_a_plain_tenant_gets_groups_and_no_education_attributes(tmp_path: Path) -> None:
    async with live(tmp_path, education=False) as tenant:
        transport = tenant.transport()
        found = await facts.gather(transport)
        assert (found.education, found.class_api) == (False, "groups")
        assert "grade" not in found.writable[RecordKind.STUDENT]
        assert found.domains == ("contoso.edu", "contoso.onmicrosoft.com")
        assert found.default_domain == "contoso.edu"
        assert found.missing_permissions == ()
        await transport.close()


async def test_seats_domains_and_a_local_directory_are_reported(tmp_path: Path) -> None:
    async with live(tmp_path, on_premises_sync=True) as tenant:
        await tenant.change({"op": "set_seats", "sku": STUDENT_SKU, "enabled": 0})
        found = await checked(tenant, licenses=["standardwoffpack_student", "NOPE"], domains=["other.edu"])
        texts = errors(found)
        assert any("NOPE" in text for text in texts)
        assert any("other.edu" in text for text in texts)
        warnings = [finding for finding in found if finding.level == "warning"]
        assert any("0 of 0 seats" in finding.message for finding in warnings)
        assert any("match" in finding.remedy for finding in warnings)
        matching = await checked(tenant, creating=False)
        assert all(finding.level != "warning" for finding in matching)


async def test_check_does_not_raise_when_graph_is_down(tmp_path: Path) -> None:
    async with live(tmp_path) as tenant:
        tenant.faults.add({"side": "graph", "kind": "html", "status": 503, "path": "/organization"})
        assert errors(await checked(tenant))


def test_every_attribute_said_to_be_writable_reaches_a_body() -> None:
    anchors = {"external_id", "external_source", "external_source_detail"}
    fields = {
        (True, RecordKind.STUDENT): {*bodies.STUDENT, *bodies.USER_EXTRAS},
        (True, RecordKind.TEACHER): {*bodies.TEACHER, *bodies.USER_EXTRAS},
        (True, RecordKind.SECTION): {*bodies.CLASS, *bodies.CLASS_EXTRAS},
        (True, RecordKind.SCHOOL): set(bodies.SCHOOL),
        (False, RecordKind.STUDENT): set(bodies.ACCOUNT),
        (False, RecordKind.TEACHER): set(bodies.ACCOUNT),
        (False, RecordKind.SECTION): set(bodies.GROUP) | anchors,
        (False, RecordKind.SCHOOL): set(bodies.UNIT) | anchors,
    }
    for (education, kind), known in fields.items():
        assert facts.writable(education=education)[kind] <= known, (education, kind)


# Members and plans


def reader(transport: GraphTransport) -> BatchReader:
    return BatchReader(transport, Governor(3000), Lane("test"))


async def test_members_are_read_page_by_page_and_missing_groups_are_left_out(tmp_path: Path) -> None:
    async with live(tmp_path, page_size=7) as tenant:
        people = [row["id"] for row in await tenant.change(*(person(n) for n in range(40)))]
        group = (await tenant.change({"op": "create_group", "displayName": "A", "mailNickname": "A"}))[0]["id"]
        await tenant.change(
            *({"op": "add_member", "group": group, "user": p} for p in people),
            *({"op": "add_owner", "group": group, "user": p} for p in people[:3]),
        )
        transport = tenant.transport(read_only=True)
        gone = "00000000-0000-0000-0000-00000000000a"
        found = await members.group_members(reader(transport), [group, gone])
        assert set(found) == {group}
        assert found[group].members == frozenset(people)
        assert found[group].owners == frozenset(people[:3])
        await transport.close()


async def test_a_missing_permission_to_read_members_is_an_error_and_not_an_empty_group(tmp_path: Path) -> None:
    async with live(tmp_path) as tenant:
        group = (await tenant.change({"op": "create_group", "displayName": "A", "mailNickname": "A"}))[0]["id"]
        await tenant.change({"op": "revoke_role", "role": "Group.ReadWrite.All"})
        transport = tenant.transport(read_only=True)
        with pytest.raises(TargetRefused):
            await members.group_members(reader(transport), [group])
        await transport.close()


async def test_plans_of_many_users(tmp_path: Path) -> None:
    async with live(tmp_path) as tenant:
        people = [row["id"] for row in await tenant.change(*(person(n, usageLocation="US") for n in range(33)))]
        await tenant.change({"op": "assign_license", "id": people[0], "sku": STUDENT_SKU})
        transport = tenant.transport(read_only=True)
        found = await members.plans_of(reader(transport), people)
        assert set(found) == set(people)
        assert found[people[1]] == frozenset()
        assert "exchange" in {name.lower() for name in found[people[0]]}
        await transport.close()


async def test_a_read_only_transport_cannot_write_to_a_real_server(tmp_path: Path) -> None:
    async with live(tmp_path) as tenant:
        transport = tenant.transport(read_only=True)
        await transport.roles()
        with pytest.raises(TargetInvalid, match="preview"):
            await transport.request("DELETE", "/users/00000000-0000-0000-0000-00000000000a")
        assert tenant.journal.read("graph")["requests"] == []
        await transport.close()


async def test_an_expired_token_is_replaced_by_a_new_one_from_the_authority(tmp_path: Path) -> None:
    async with live(tmp_path) as tenant:
        transport = tenant.transport()
        await facts.probe_education(transport)
        await tenant.change({"op": "expire_tokens"})
        assert await facts.probe_education(transport) is Education.YES
        assert len(tenant.journal.read("authority")["requests"]) == 2
        await transport.close()


GROUP = "aaaaaaaa-0000-4000-8000-000000000001"


async def test_a_licence_group_is_told_with_its_licences_and_whom_it_left_without(tmp_path: Path) -> None:
    async with live(tmp_path) as tenant:
        pupils = [{"op": "create_user", "userPrincipalName": f"p{n}@contoso.edu"} for n in range(3)]
        ids = [made["id"] for made in await tenant.change(*pupils)]
        sku = "STANDARDWOFFPACK_STUDENT"
        await tenant.change({"op": "set_seats", "sku": sku, "enabled": 2})
        group = {"op": "create_group", "id": GROUP, "mailNickname": "pupils", "groupTypes": [], "licenses": [sku]}
        await tenant.change(group)
        found = await checked(tenant, license_groups=[GROUP])
        assert errors(found) == []
        assert f"the licence group pupils gives {sku}" in [finding.message for finding in found]
        assert f"{sku}: 2 of 2 seats free" in [finding.message for finding in found]
        await tenant.change(*({"op": "add_member", "group": GROUP, "user": user} for user in ids))
        warned = [finding for finding in await checked(tenant, license_groups=[GROUP]) if finding.level == "warning"]
        assert any("licence group pupils who did not get all it gives: 1" in finding.message for finding in warned)


@pytest.mark.parametrize(
    ("group", "says"),
    [
        (None, "not in the tenant"),
        ({"groupTypes": ["DynamicMembership"]}, "dynamic membership"),
        ({"groupTypes": [], "licenses": []}, "gives no licences"),
    ],
)
async def test_a_licence_group_that_does_not_serve_is_an_error_with_a_remedy(
    tmp_path: Path, group: dict[str, Any] | None, says: str
) -> None:
    async with live(tmp_path) as tenant:
        if group is not None:
            usual = {
                "op": "create_group",
                "id": GROUP,
                "mailNickname": "pupils",
                "licenses": ["STANDARDWOFFPACK_STUDENT"],
            }
            await tenant.change({**usual, **group})
        (found,) = [each for each in await checked(tenant, license_groups=[GROUP]) if each.level == "error"]
        assert says in found.message and GROUP in found.message
        assert found.topic == "licences"
        assert found.remedy


async def test_a_licence_group_that_cannot_be_read_is_a_finding_too(tmp_path: Path) -> None:
    async with live(tmp_path) as tenant:
        tenant.faults.add({"side": "graph", "kind": "status", "status": 403, "path": f"/groups/{GROUP}$"})
        assert len(errors(await checked(tenant, license_groups=[GROUP]))) == 1
