"""Preflight: what a tenant is and has, what the app may do there, which attributes can be kept there."""

from __future__ import annotations

from enum import StrEnum

from sds_daemon.errors import TargetInvalid
from sds_daemon.plan import attributes
from sds_daemon.roster.records import RecordKind
from sds_daemon.targets.base import Sku, TenantFacts
from sds_daemon.targets.entra import wire
from sds_daemon.targets.entra.errors import Problem, classify
from sds_daemon.targets.entra.transport import GraphTransport, refusal

_ORGANIZATION = "/organization?$select=id,displayName,onPremisesSyncEnabled,verifiedDomains"
_SKUS = "/subscribedSkus?$select=skuId,skuPartNumber,capabilityStatus,consumedUnits,prepaidUnits,servicePlans"
_PROBE = "/education/schools?$top=1"


_EDUCATION_SKUS = ("EDU", "_STUDENT", "_FACULTY", "STANDARDWOFFPACK")
"""In the part numbers of Microsoft's education licences."""


class Education(StrEnum):
    """What /education answered."""

    YES = "yes"
    NO_LICENCE = "the tenant has no education licence"
    NOT_IN_CLOUD = "this cloud has no education API"
    NOT_PERMITTED = "the app may not read it"


_DIRECTORY_READ = frozenset({"Directory.Read.All", "Directory.ReadWrite.All"})
_DIRECTORY_WRITE = frozenset({"Directory.ReadWrite.All"})
_IMPLIED: dict[str, frozenset[str]] = {
    "User.Read.All": frozenset({"User.ReadWrite.All"}) | _DIRECTORY_READ,
    "User.ReadWrite.All": _DIRECTORY_WRITE,
    "Group.Read.All": frozenset({"Group.ReadWrite.All"}) | _DIRECTORY_READ,
    "Group.ReadWrite.All": _DIRECTORY_WRITE,
    "Organization.Read.All": frozenset({"Organization.ReadWrite.All"}) | _DIRECTORY_READ,
    "AdministrativeUnit.Read.All": frozenset({"AdministrativeUnit.ReadWrite.All"}) | _DIRECTORY_READ,
    "AdministrativeUnit.ReadWrite.All": _DIRECTORY_WRITE,
    "EduRoster.Read.All": frozenset({"EduRoster.ReadWrite.All"}),
    "LicenseAssignment.ReadWrite.All": _DIRECTORY_WRITE,
    "Member.Read.Hidden": frozenset(),
    "EduRoster.ReadWrite.All": frozenset(),
}
"""Permissions that include another one (Graph docs: permissions reference)."""


def needed_permissions(
    *, education: bool, creating: bool, licenses: bool = False, writing: bool = True, plain_groups: bool = False
) -> list[str]:
    """Application permissions a profile needs, least privilege. Source: Graph docs, permissions per call.

    A plain tenant needs User.ReadWrite.All even without creating: attributes are written to the user itself there.
    `plain_groups`: classes are made by /groups; such a group enters its school as a member of the administrative unit.
    """
    needed = ["User.ReadWrite.All" if writing and (creating or not education) else "User.Read.All"]
    needed.append("Group.ReadWrite.All" if writing else "Group.Read.All")
    needed += ["Member.Read.Hidden", "Organization.Read.All"]
    if education:
        needed.append("EduRoster.ReadWrite.All" if writing else "EduRoster.Read.All")
    if not education or plain_groups:
        needed.append("AdministrativeUnit.ReadWrite.All" if writing else "AdministrativeUnit.Read.All")
    if licenses and writing:
        needed.append("LicenseAssignment.ReadWrite.All")
    return needed


def missing_permissions(roles: frozenset[str], needed: list[str]) -> tuple[str, ...]:
    """Those of `needed` that neither stand in the token nor are included in one that does."""
    return tuple(name for name in needed if name not in roles and roles.isdisjoint(_IMPLIED.get(name, frozenset())))


async def probe_education(transport: GraphTransport) -> Education:
    """Ask /education once and tell the refusals apart. Raises TargetError for anything that is no answer to that."""
    if not transport.cloud.education:
        return Education.NOT_IN_CLOUD
    reply = await transport.read(_PROBE)
    if reply.ok:
        return Education.YES
    problem = classify(reply.error).problem
    if problem is Problem.NOT_EDUCATION:
        return Education.NO_LICENCE
    if problem is Problem.PERMISSION:
        return Education.NOT_PERMITTED
    if problem in (Problem.DEFECT, Problem.NOT_THERE):
        return Education.NOT_IN_CLOUD
    raise refusal(reply.error, "GET /education/schools")


async def gather(
    transport: GraphTransport,
    *,
    class_api: str = "auto",
    creating: bool = True,
    licenses: bool = False,
    writing: bool = True,
) -> TenantFacts:
    """Four requests. Raises TargetError; missing permissions are no error but stand in the facts."""
    roles = await transport.roles()
    probe = await probe_education(transport)
    readable = not missing_permissions(roles, ["Organization.Read.All"])
    skus = await _skus(transport) if readable else {}
    education = is_education(probe, skus, class_api)
    chosen = class_api_of(class_api, education)
    needed = needed_permissions(
        education=education, creating=creating, licenses=licenses, writing=writing, plain_groups=chosen == "groups"
    )
    missing = missing_permissions(roles, needed)
    if not readable:
        return _unknown_tenant(transport, missing, education, class_api)
    organization = await _organization(transport)
    domains = [domain.name for domain in organization.verified_domains]
    default = next((domain.name for domain in organization.verified_domains if domain.is_default), "")
    return TenantFacts(
        tenant_id=organization.id,
        display_name=organization.display_name or "",
        education=education,
        on_premises_sync=bool(organization.on_premises_sync_enabled),
        domains=tuple(domains),
        default_domain=default or (domains[0] if domains else ""),
        skus=skus,
        missing_permissions=missing,
        class_api=class_api_of(class_api, education),
        writable=writable(education=education, class_api=class_api_of(class_api, education)),
    )


def is_education(probe: Education, skus: dict[str, Sku], class_api: str) -> bool:
    """Whether the tenant is one; where the app may not ask, by the licences it owns (unreadable: assumed so)."""
    if probe is not Education.NOT_PERMITTED:
        return probe is Education.YES
    names = [sku.part_number.upper() for sku in skus.values()]
    return class_api == "education" or not names or any(mark in name for name in names for mark in _EDUCATION_SKUS)


def class_api_of(wanted: str, education: bool) -> str:
    """ "education" or "groups": what the profile says, or by what the tenant has."""
    if wanted == "auto":
        return "education" if education else "groups"
    return wanted


def _unknown_tenant(
    transport: GraphTransport, missing: tuple[str, ...], education: bool, class_api: str
) -> TenantFacts:
    return TenantFacts(
        tenant_id=transport.settings.tenant_id,
        display_name="",
        education=education,
        on_premises_sync=False,
        domains=(),
        default_domain="",
        skus={},
        missing_permissions=missing,
        class_api=class_api_of(class_api, education),
        writable=writable(education=education, class_api=class_api_of(class_api, education)),
    )


async def _organization(transport: GraphTransport) -> wire.OrganizationRow:
    page = await transport.get(_ORGANIZATION, wire.ORGANIZATIONS)
    if not page.value:
        raise TargetInvalid("GET /organization: the answer is empty", remedy="check tenant_id")
    return page.value[0]


async def _skus(transport: GraphTransport) -> dict[str, Sku]:
    """By SKU id, in lower case."""
    page = await transport.get(_SKUS, wire.SKUS)
    return {row.sku_id.lower(): _sku(row) for row in page.value}


def _sku(row: wire.SkuRow) -> Sku:
    units = row.prepaid_units or wire.Units()
    seats = units.enabled + units.warning
    return Sku(
        id=row.sku_id,
        part_number=row.sku_part_number,
        seats=seats,
        seats_free=seats - (row.consumed_units or 0),
        plans=tuple(plan.service_plan_name for plan in row.service_plans),
        enabled=(row.capability_status or "Enabled") in ("Enabled", "Warning"),
    )


_ANCHOR = frozenset(attributes.EDUCATION_ANCHOR) - {"primary_role"}
_PLAIN_USER = frozenset({*attributes.ACCOUNT_IDENTITY, *attributes.ACCOUNT_NAMES, "department", "office_location"})
_STUDENT = (frozenset(attributes.STUDENT_CHOICES) - {"school"}) | _PLAIN_USER | frozenset(attributes.EDUCATION_ANCHOR)
_TEACHER = (frozenset(attributes.TEACHER_CHOICES) - {"school"}) | _PLAIN_USER | frozenset(attributes.EDUCATION_ANCHOR)
_SECTION = frozenset({*attributes.SECTION_CHOICES, *attributes.CLASS_IDENTITY})


def writable(*, education: bool, class_api: str = "education") -> dict[RecordKind, frozenset[str]]:
    """Neutral attribute names per kind that the directory can hold. `school` is an attachment, not an attribute.

    In a plain tenant the anchor of a section and of a school is held in another attribute (uniqueName, description).
    """
    if education:
        return {
            RecordKind.STUDENT: _STUDENT,
            RecordKind.TEACHER: _TEACHER,
            RecordKind.SECTION: _SECTION if class_api == "education" else _SECTION - {"class_code"},
            RecordKind.SCHOOL: frozenset({*attributes.SCHOOL_CHOICES, *attributes.SCHOOL_IDENTITY}),
        }
    return {
        RecordKind.STUDENT: _PLAIN_USER,
        RecordKind.TEACHER: _PLAIN_USER,
        RecordKind.SECTION: _ANCHOR | {"display_name", "mail_nickname", "description"},
        RecordKind.SCHOOL: _ANCHOR | {"display_name"},
    }
