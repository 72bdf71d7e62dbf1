"""The Entra target against a sandbox on real sockets, and a ledger that remembers everything it is told."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from sds_daemon.clock import Clock
from sds_daemon.config.secrets import Secret
from sds_daemon.config.settings import TenantSettings
from sds_daemon.plan.change import Change, ChangeKind, Outcome, Result
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.sandbox.clock import SandboxClock
from sds_daemon.sandbox.entra import EntraOptions, EntraSandbox
from sds_daemon.sandbox.faults import FaultPlan
from sds_daemon.sandbox.journal import Journal
from sds_daemon.sandbox.serving import Servers
from sds_daemon.targets.base import NewPassword
from sds_daemon.targets.entra.target import EntraTarget

SOURCE = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
STUDENT_SKU = "STANDARDWOFFPACK_STUDENT"
FACULTY_SKU = "STANDARDWOFFPACK_FACULTY"


def student(number: int | str) -> Ref:
    return Ref(RecordKind.STUDENT, str(number))


def teacher(number: int | str) -> Ref:
    return Ref(RecordKind.TEACHER, str(number))


def section(number: int | str) -> Ref:
    return Ref(RecordKind.SECTION, str(number))


def school(number: int | str = 1) -> Ref:
    return Ref(RecordKind.SCHOOL, str(number))


def anchor(ref: Ref) -> dict[str, Any]:
    return {"external_id": ref.sis_id, "external_source": "sis", "external_source_detail": SOURCE}


def create_user(ref: Ref, **more: Any) -> Change:
    name = f"{ref.kind}{ref.sis_id}"
    values = {
        "user_principal_name": f"{name}@contoso.edu",
        "mail_nickname": name,
        "display_name": f"Pat {name}",
        "given_name": "Pat",
        "surname": name,
        "usage_location": "US",
        "primary_role": str(ref.kind),
        **anchor(ref),
        **more,
    }
    return Change(kind=ChangeKind.CREATE_USER, subject=ref, values=values)


def create_class(ref: Ref, **more: Any) -> Change:
    values = {
        "display_name": f"Algebra {ref.sis_id}",
        "mail_nickname": f"Section_{ref.sis_id}",
        "course_id": "7",
        "course_name": "Algebra",
        "term_id": "2600",
        "term_start": "2026-08-20",
        "term_end": "2027-06-10",
        **anchor(ref),
        **more,
    }
    return Change(kind=ChangeKind.CREATE_CLASS, subject=ref, values=values)


def create_school(ref: Ref, **more: Any) -> Change:
    values = {"display_name": f"School {ref.sis_id}", "school_number": "100", **anchor(ref), **more}
    return Change(kind=ChangeKind.CREATE_SCHOOL, subject=ref, values=values)


def link(kind: ChangeKind, container: Ref, member: Ref) -> Change:
    return Change(kind=kind, subject=container, member=member)


def taught(container: Ref, person: Ref) -> list[Change]:
    """A teacher in a class, as the planner puts it."""
    return [link(ChangeKind.ADD_OWNER, container, person), link(ChangeKind.ADD_MEMBER, container, person)]


def license_of(ref: Ref, *skus: str) -> Change:
    return Change(kind=ChangeKind.ASSIGN_LICENSE, subject=ref, values={"licenses": list(skus)})


def join(ref: Ref, group: str) -> Change:
    return Change(kind=ChangeKind.JOIN_LICENSE_GROUP, subject=ref, values={"group": group})


def restore_of(ref: Ref, object_id: str = "g1") -> Change:
    return Change(kind=ChangeKind.RESTORE_CLASS, subject=ref, object_id=object_id)


def update(kind: ChangeKind, ref: Ref, beside: dict[str, Any] | None = None, **values: Any) -> Change:
    return Change(kind=kind, subject=ref, values=values, beside=beside or {})


def small_school(
    students: int = 25, classes: int = 2, *, teachers: int = 1, attach: bool = True, licenses: bool = False
) -> list[Change]:
    """A school of one size: every student in every class, every teacher teaching all of them."""
    changes: list[Change] = [create_school(school())]
    people = [student(n) for n in range(1, students + 1)] + [teacher(n) for n in range(1, teachers + 1)]
    changes += [create_user(ref) for ref in people]
    for number in range(1, classes + 1):
        changes.append(create_class(section(number)))
        for n in range(1, teachers + 1):
            changes += taught(section(number), teacher(n))
        changes += [link(ChangeKind.ADD_MEMBER, section(number), student(n)) for n in range(1, students + 1)]
    if attach:
        changes += [link(ChangeKind.ADD_SCHOOL_USER, school(), ref) for ref in people]
        changes += [link(ChangeKind.ADD_SCHOOL_CLASS, school(), section(n)) for n in range(1, classes + 1)]
    if licenses:
        changes += [license_of(ref, STUDENT_SKU if ref.kind is RecordKind.STUDENT else FACULTY_SKU) for ref in people]
    return changes


class MemoryLedger:
    """Keeps intentions, outcomes and passwords; links objects as the store does; insists on its contract."""

    def __init__(self, **known: str) -> None:
        self.ids: dict[Ref, str] = {}
        self.intended: Counter[Any] = Counter()
        self.outcomes: dict[Any, Outcome] = {}
        self.passwords: list[tuple[Ref, str, str]] = []
        self.events: list[tuple[str, Any]] = []

    def together(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def intend(self, changes: Sequence[Change]) -> None:
        for change in changes:
            assert change.key not in self.outcomes, f"{change.key} was sent after it was settled"
            self.intended[change.key] += 1
            self.events.append(("intend", change.key))

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            change = outcome.change
            assert change.key not in self.outcomes, f"{change.key} was settled twice"
            self.outcomes[change.key] = outcome
            self.events.append(("settle", change.key))
            if outcome.object_id and outcome.result in (Result.DONE, Result.ALREADY):
                self.ids[change.subject] = outcome.object_id

    def put_off(self, changes: Collection[Change], detail: str) -> None:
        self.settle([Outcome(change=change, result=Result.DEFERRED, detail=detail) for change in changes])

    def object_id(self, ref: Ref) -> str | None:
        return self.ids.get(ref)

    def keep_passwords(self, passwords: Sequence[NewPassword]) -> None:
        self.passwords += [tuple(new) for new in passwords]
        self.events += [("password", new.ref) for new in passwords]

    def of(self, change: Change) -> Outcome:
        return self.outcomes[change.key]

    def results(self) -> Counter[Result]:
        return Counter(outcome.result for outcome in self.outcomes.values())

    def failures(self) -> list[Outcome]:
        return [o for o in self.outcomes.values() if o.result not in (Result.DONE, Result.ALREADY)]


@dataclass
class Tenant:
    """A running sandbox tenant, and targets for it."""

    sandbox: EntraSandbox
    settings: TenantSettings
    clock: SandboxClock
    faults: FaultPlan
    journal: Journal
    targets: list[EntraTarget] = field(default_factory=list)

    def target(self, **options: Any) -> EntraTarget:
        target = EntraTarget(self.settings, Clock(), **options)
        self.targets.append(target)
        return target

    async def apply(
        self, changes: Sequence[Change], ledger: MemoryLedger | None = None, **options: Any
    ) -> MemoryLedger:
        """One apply by a target of its own; every change must have been settled."""
        ledger = ledger or MemoryLedger()
        await self.target(**options).apply(changes, ledger)
        missing = [change.key for change in changes if change.key not in ledger.outcomes]
        assert not missing, f"never settled: {missing[:5]}"
        return ledger

    async def change(self, *operations: dict[str, Any]) -> None:
        status, body = await self.sandbox.admin("POST", "change", {}, list(operations))
        assert status == 200, body

    async def set(self, **values: Any) -> None:
        status, body = await self.sandbox.admin("POST", "settings", {}, values)
        assert status == 200, body

    async def state(self) -> dict[str, Any]:
        status, body = await self.sandbox.admin("GET", "state", {}, None)
        assert status == 200
        assert isinstance(body, dict)
        return body

    async def group(self, alias: str) -> dict[str, Any]:
        found: dict[str, Any] = next(g for g in (await self.state())["groups"] if g["mailNickname"] == alias)
        return found

    async def user(self, upn: str) -> dict[str, Any]:
        found: dict[str, Any] = next(u for u in (await self.state())["users"] if u["userPrincipalName"] == upn)
        return found


@contextlib.asynccontextmanager
async def tenant(
    folder: Path, *, lag_horizon: float = 3.0, write_quota: int = 3000, granted_quota: int = 0, **options: Any
) -> AsyncIterator[Tenant]:
    """A sandbox without lag and holding times unless `options` say otherwise, with a fresh application."""
    authority = trustme.CA()
    pem, ca_file = folder / "server.pem", folder / "ca.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    authority.cert_pem.write_to_path(ca_file)
    clock = SandboxClock(options.pop("scale", 1.0))
    faults, journal = FaultPlan(), Journal(clock)
    settings = {"lag_seconds": 0.0, "service_seconds": 0.0, "write_quota": granted_quota or write_quota, **options}
    sandbox = EntraSandbox(EntraOptions(**settings), clock, faults, journal)
    servers = Servers(pem)
    graph = servers.add(sandbox.graph_app, tls=True)
    login = servers.add(sandbox.authority_app, tls=True)
    sandbox.set_urls(graph=graph, authority=login)
    await servers.start()
    made = Tenant(
        sandbox,
        TenantSettings(
            name="test",
            tenant_id=sandbox.options.tenant_id,
            client_id=sandbox.options.client_id,
            client_secret=Secret(sandbox.options.client_secret),
            cloud="custom",
            authority=login,
            graph_url=graph,
            ca_file=ca_file,
            write_quota=write_quota,
            lag_horizon=lag_horizon,
        ),
        clock,
        faults,
        journal,
    )
    try:
        yield made
    finally:
        for target in made.targets:
            await target.close()
        await servers.stop()
