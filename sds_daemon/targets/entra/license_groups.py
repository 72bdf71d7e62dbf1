"""Licences by group (Entra docs: group-based licensing): who is put into the group receives what it gives."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from http import HTTPStatus

import msgspec

from sds_daemon.plan.change import Change, Outcome
from sds_daemon.plan.issues import IssueCode
from sds_daemon.targets.base import LicenseGroup
from sds_daemon.targets.entra.batch import Item
from sds_daemon.targets.entra.filling import chunk_size, fill
from sds_daemon.targets.entra.outcomes import failed, outcome
from sds_daemon.targets.entra.requests import Add
from sds_daemon.targets.entra.strands import Context, Strand, Urgency
from sds_daemon.targets.entra.transport import GraphTransport, refusal

WINDOW = 20
"""Requests for one group handed to the executor at a time; it keeps them from being written side by side."""

_FIELDS = "id,displayName,groupTypes,mailEnabled,isAssignableToRole,onPremisesSyncEnabled,assignedLicenses"


class _Assigned(msgspec.Struct, rename="camel"):
    sku_id: str = ""


class _Row(msgspec.Struct, rename="camel", kw_only=True):
    display_name: str | None = None
    group_types: list[str] | None = None
    mail_enabled: bool | None = None
    is_assignable_to_role: bool | None = None
    on_premises_sync_enabled: bool | None = None
    assigned_licenses: list[_Assigned] | None = None


_row = msgspec.json.Decoder(_Row)


def address(group_id: str) -> str:
    """Where to read what `standing` judges by; Graph gives assignedLicenses to those alone who ask for it by name."""
    return f"/groups/{group_id}?$select={_FIELDS}"


async def look(transport: GraphTransport, group_id: str) -> LicenseGroup:
    """How a group stands. Raises TargetError when Graph does not say."""
    reply = await transport.read(address(group_id))
    if not reply.ok and reply.status != HTTPStatus.NOT_FOUND:
        raise refusal(reply.error, "GET /groups/{id}")
    return standing(group_id, reply.status, reply.body)


def standing(group_id: str, status: int, body: bytes) -> LicenseGroup:
    """How a group stands by the answer, which is 200 or 404."""
    if status == HTTPStatus.NOT_FOUND:
        remedy = "copy the Object ID of a group that gives licences into license_group"
        return LicenseGroup(id=group_id, fault="is not in the tenant", remedy=remedy)
    try:
        row = _row.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return LicenseGroup(id=group_id, fault="came in an answer that cannot be read", remedy="try again later")
    fault, remedy = _fault(row)
    skus = tuple(each.sku_id.lower() for each in row.assigned_licenses or ())
    return LicenseGroup(id=group_id, name=row.display_name or "", skus=skus, fault=fault, remedy=remedy)


def _fault(row: _Row) -> tuple[str, str]:
    """What keeps a group from giving licences to people put into it by Graph, and the remedy; empty for nothing."""
    kinds = row.group_types or []
    other = "name a security or Microsoft 365 group with assigned membership"
    if "DynamicMembership" in kinds:
        what = "has dynamic membership: its rule decides who is in it, and nobody can be added"
        return what, f"{other}, or leave license_group out and let the rule give the licences"
    if row.on_premises_sync_enabled:
        return "is mastered in the local Active Directory, and takes members there alone", f"{other}, made in the cloud"
    if row.is_assignable_to_role:
        return "can be assigned to roles, and the app may not write to such a group", other
    if row.mail_enabled and "Unified" not in kinds:
        return "is a mail-enabled security group or a distribution list, which Graph does not write", other
    if not row.assigned_licenses:
        return (
            "gives no licences",
            "assign licences to it in the Microsoft 365 admin centre, or name a group that has some",
        )
    return "", ""


class LicenseGroupStrand(Strand):
    """JOIN_LICENSE_GROUP of everybody who is to come into one group, as accounts are there.

    The group is looked at first: nobody is put into one that gives nothing, since nothing would show that later.
    """

    urgency = Urgency.PERSON

    def __init__(self, ctx: Context, group_id: str, changes: Sequence[Change]) -> None:
        super().__init__(ctx)
        self._id = group_id
        self._changes = list(changes)
        self._ready: deque[Add] = deque()
        self._waiting = len(self._changes)
        self._looked = False
        self._refuse: Callable[[Change], Outcome] | None = None

    def start(self) -> None:
        """Subscribe to the people who are to come in."""
        changes, self._changes = self._changes, []
        for change in changes:
            self.ctx.objects.when_known(change.subject, self, change)
        self.wake()

    def known(self, change: Change, member_id: str | None) -> None:
        """Somebody has an account, or will not have one."""
        self._waiting -= 1
        if member_id is None:
            self.done(change, self.ctx.objects.lack(change.subject))
        else:
            self._ready.append(Add(change, member_id))
        self.wake()

    def ready(self) -> bool:
        """Whether enough people are there for a request, with regard to those who are still to come."""
        return bool(self._ready) and (
            not self._waiting or len(self._ready) >= chunk_size(len(self._ready) + self._waiting)
        )

    async def run(self) -> None:
        """Look at the group once, then add whoever is there."""
        if not self._looked:
            self._looked = True
            self._refuse = await self._look()
        while self._refuse is not None and self._ready:
            self.ctx.recorder.settle(self._refuse(self._ready.popleft().change))
        while not self.ctx.stopping and (chunks := self._take()):
            for again in await asyncio.gather(*(fill(self.ctx, self._id, chunk) for chunk in chunks)):
                self._ready.extend(again)

    async def _look(self) -> Callable[[Change], Outcome] | None:
        """What becomes of all changes where the group does not serve; None where it does."""
        answer = await self.ctx.send(Item(method="GET", url=address(self._id), writes=0, kind="read"))
        if not answer.ok and answer.status != HTTPStatus.NOT_FOUND:
            return lambda change: outcome(change, answer)
        group = standing(self._id, answer.status, answer.body)
        if not group.fault:
            return None
        detail = f"the licence group {group.id} {group.fault}; {group.remedy}"
        return lambda change: failed(change, IssueCode.LICENSE_GROUP, detail, status=answer.status)

    def _take(self) -> list[list[Add]]:
        """The next requests' people."""
        chunks: list[list[Add]] = []
        while len(chunks) < WINDOW and self.ready():
            size = chunk_size(len(self._ready) + self._waiting)
            chunks.append([self._ready.popleft() for _ in range(size)])
        return chunks
