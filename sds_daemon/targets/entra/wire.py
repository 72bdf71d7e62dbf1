"""The JSON that goes over the wire, as msgspec sees it: $batch and the pages that are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from sds_daemon.targets.entra.batch import Item
from sds_daemon.targets.entra.errors import GraphError, parse_error

_CONTENT = {"Content-Type": "application/json"}
_encoder = msgspec.json.Encoder()


class BatchResponse(msgspec.Struct):
    """One answer of a $batch."""

    id: str
    status: int
    headers: dict[str, Any] | None = None
    body: msgspec.Raw = msgspec.Raw(b"")

    def lower_headers(self) -> dict[str, str]:
        """Headers with lower-case names and text values."""
        return {name.lower(): str(value) for name, value in self.headers.items()} if self.headers else {}


class _BatchResponses(msgspec.Struct):
    responses: list[BatchResponse]


_responses = msgspec.json.Decoder(_BatchResponses)


def encode_batch(items: Sequence[Item], *, chain: bool = False) -> bytes:
    """The body of a $batch. Ids are the items' positions; `chain`: each one waits for the one before."""
    requests: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        request: dict[str, Any] = {"id": str(number), "method": item.method, "url": item.url}
        if item.body is not None:
            request["headers"] = _CONTENT
            request["body"] = msgspec.Raw(item.body)
        if chain and number:
            request["dependsOn"] = [str(number - 1)]
        requests.append(request)
    return _encoder.encode({"requests": requests})


def decode_batch(body: bytes) -> dict[str, BatchResponse] | None:
    """Answers by id; None when the body is no batch answer."""
    try:
        return {response.id: response for response in _responses.decode(body).responses}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def parse_item_error(status: int, body: bytes) -> GraphError:
    """An item's error body."""
    return parse_error(status, body)


class Removed(msgspec.Struct):
    """`@removed` of a delta row: "changed" is soft-deleted, "deleted" gone for good."""

    reason: str = ""


class UserRow(msgspec.Struct, rename="camel", kw_only=True):
    """A user of /users/delta or getByIds. UNSET: not in the answer."""

    id: str
    user_principal_name: str | msgspec.UnsetType | None = msgspec.UNSET
    mail: str | None = None
    mail_nickname: str | msgspec.UnsetType | None = msgspec.UNSET
    display_name: str | None = None
    account_enabled: bool | None = None
    on_premises_sync_enabled: bool | None = None
    created_date_time: str | None = None
    removed: Removed | None = msgspec.field(name="@removed", default=None)


class EducationPart(msgspec.Struct, rename="camel"):
    """The `student` or `teacher` part of an educationUser."""

    external_id: str | None = None
    student_number: str | None = None
    teacher_number: str | None = None
    grade: str | None = None
    graduation_year: str | None = None
    birth_date: str | None = None


class EducationRow(msgspec.Struct, rename="camel", kw_only=True):
    """A user of /education/users/delta."""

    id: str
    primary_role: str | None = None
    external_source: str | None = None
    external_source_detail: str | None = None
    student: EducationPart | None = None
    teacher: EducationPart | None = None
    removed: Removed | None = msgspec.field(name="@removed", default=None)


class LinkRow(msgspec.Struct):
    """An entry of `members@delta` or `owners@delta`: somebody in a group, or out of it."""

    id: str
    removed: Removed | None = msgspec.field(name="@removed", default=None)


class GroupRow(msgspec.Struct, rename="camel", kw_only=True):
    """A group of /groups/delta or getByIds. UNSET: not in the answer."""

    id: str
    display_name: str | msgspec.UnsetType | None = msgspec.UNSET
    mail_nickname: str | msgspec.UnsetType | None = msgspec.UNSET
    mail: str | msgspec.UnsetType | None = msgspec.UNSET
    created_date_time: str | None = None
    group_types: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    unique_name: str | msgspec.UnsetType | None = msgspec.UNSET
    members: list[LinkRow] = msgspec.field(name="members@delta", default_factory=list)
    owners: list[LinkRow] = msgspec.field(name="owners@delta", default_factory=list)
    removed: Removed | None = msgspec.field(name="@removed", default=None)

    @property
    def about_members_only(self) -> bool:
        """Whether the row says nothing of the group itself: a large group goes on over several rows."""
        properties = (self.display_name, self.mail_nickname, self.mail, self.group_types, self.unique_name)
        return self.removed is None and all(value is msgspec.UNSET for value in properties)


class ClassRow(msgspec.Struct, rename="camel", kw_only=True):
    """A class of /education/classes/delta."""

    id: str
    external_id: str | None = None
    external_source: str | None = None
    external_source_detail: str | None = None
    removed: Removed | None = msgspec.field(name="@removed", default=None)


class SchoolRow(msgspec.Struct, rename="camel", kw_only=True):
    """A school of /education/schools, or an administrative unit."""

    id: str
    display_name: str | None = None
    description: str | None = None
    external_id: str | None = None
    external_source: str | None = None
    external_source_detail: str | None = None


class IdRow(msgspec.Struct):
    """A row of which only the id is read."""

    id: str


class AssignedPlan(msgspec.Struct, rename="camel"):
    """A service plan of a user."""

    service: str = ""
    capability_status: str = ""


class PlansRow(msgspec.Struct, rename="camel"):
    """A user with plans."""

    id: str
    assigned_plans: list[AssignedPlan] = []


class VerifiedDomain(msgspec.Struct, rename="camel"):
    """A domain of /organization."""

    name: str
    is_default: bool = False


class OrganizationRow(msgspec.Struct, rename="camel"):
    """The tenant."""

    id: str
    display_name: str | None = None
    on_premises_sync_enabled: bool | None = None
    verified_domains: list[VerifiedDomain] = []


class Units(msgspec.Struct):
    """`prepaidUnits` of a subscription."""

    enabled: int = 0
    suspended: int = 0
    warning: int = 0


class ServicePlan(msgspec.Struct, rename="camel"):
    """A service plan of a subscription."""

    service_plan_name: str = ""


class SkuRow(msgspec.Struct, rename="camel"):
    """A row of /subscribedSkus."""

    sku_id: str
    sku_part_number: str
    capability_status: str | None = None
    consumed_units: int | None = None
    prepaid_units: Units | None = None
    service_plans: list[ServicePlan] = []


RowT = TypeVar("RowT")


class Page(msgspec.Struct, Generic[RowT]):
    """A page of a collection."""

    value: list[RowT]
    next_link: str | None = msgspec.field(name="@odata.nextLink", default=None)
    delta_link: str | None = msgspec.field(name="@odata.deltaLink", default=None)


USERS = msgspec.json.Decoder(Page[UserRow])
EDUCATION_USERS = msgspec.json.Decoder(Page[EducationRow])
GROUPS = msgspec.json.Decoder(Page[GroupRow])
CLASSES = msgspec.json.Decoder(Page[ClassRow])
SCHOOLS = msgspec.json.Decoder(Page[SchoolRow])
IDS = msgspec.json.Decoder(Page[IdRow])
PLANS = msgspec.json.Decoder(Page[PlansRow])
ORGANIZATIONS = msgspec.json.Decoder(Page[OrganizationRow])
SKUS = msgspec.json.Decoder(Page[SkuRow])
ONE_CLASS = msgspec.json.Decoder(ClassRow)
ONE_EDUCATION_USER = msgspec.json.Decoder(EducationRow)


def decode_ids(body: bytes) -> Page[IdRow] | None:
    """A page of ids; None for what is none."""
    try:
        return IDS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
