"""The contract of a target: a directory that holds people, schools and classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from sds_daemon.plan.change import Change, Outcome
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.sources.base import Finding, Progress, no_progress


class Anchor(msgspec.Struct, frozen=True, gc=False):
    """Our mark on a directory object: which SIS record of which source it is."""

    source_uuid: str
    kind: RecordKind
    sis_id: str


class DirectoryUser(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A user as the cache keeps it. `anchor` is read from the education part; None without one."""

    id: str
    upn: str
    mail: str = ""
    mail_nickname: str = ""
    display_name: str = ""
    enabled: bool = True
    on_premises: bool = False
    created: str = ""
    anchor: Anchor | None = None
    education: dict[str, str] = {}


class DirectoryGroup(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Microsoft 365 group as the cache keeps it."""

    id: str
    display_name: str = ""
    mail_nickname: str = ""
    mail: str = ""
    created: str = ""
    anchor: Anchor | None = None


class DirectorySchool(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A school (administrative unit)."""

    id: str
    display_name: str = ""
    anchor: Anchor | None = None


class Members(msgspec.Struct, frozen=True):
    """Object ids in a group."""

    owners: frozenset[str]
    members: frozenset[str]


class MembersSeen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a look at one group or school showed, as object ids.

    `relation`: "members" or "owners" of a group, "users" or "classes" of a school. `removed`: said to be out of it.
    `complete`: whoever is not `present` is out of it.
    """

    id: str
    relation: str
    present: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    complete: bool = False


class Sku(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription. `seats_free` may be negative; `plans` are service plan names."""

    id: str
    part_number: str
    seats: int
    seats_free: int
    plans: tuple[str, ...] = ()
    enabled: bool = True


class LicenseGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group that gives licences to its members. `skus`: ids of these.

    `fault`: what keeps it from serving ("gives no licences"), `remedy` what to do; both empty where it serves.
    """

    id: str
    name: str = ""
    skus: tuple[str, ...] = ()
    fault: str = ""
    remedy: str = ""


class TenantFacts(msgspec.Struct, kw_only=True):
    """What preflight learns of a tenant. `writable`: neutral attribute names per kind that this tenant can hold."""

    tenant_id: str
    display_name: str
    education: bool
    on_premises_sync: bool
    domains: tuple[str, ...]
    default_domain: str
    skus: dict[str, Sku]
    missing_permissions: tuple[str, ...]
    class_api: str
    writable: dict[RecordKind, frozenset[str]]


class DirectoryCache(Protocol):
    """Where a target puts what it reads of the directory. The store implements it, per tenant."""

    def cursor(self, name: str) -> str | None:
        """The delta link kept under a name, or None: read everything."""

    def put_users(self, users: Iterable[DirectoryUser]) -> None:
        """Insert or replace by id. The education part (anchor, education) is kept when a user comes without one."""

    def put_education(self, rows: Iterable[tuple[str, Anchor | None, dict[str, str]]]) -> None:
        """Set the education part of users by id; unknown ids are kept until the user arrives."""

    def put_groups(self, groups: Iterable[DirectoryGroup]) -> None:
        """Insert or replace by id."""

    def put_schools(self, schools: Iterable[DirectorySchool]) -> None:
        """Insert or replace by id."""

    def groups(self, ids: Iterable[str]) -> Mapping[str, DirectoryGroup]:
        """Present groups by id, as last put."""

    def observe_members(self, seen: Iterable[MembersSeen]) -> None:
        """Who is in groups. In a full read of "groups" what it does not show, page upon page, is out of them."""

    def forget(self, kind: str, ids: Iterable[str], *, purged: bool) -> None:
        """Objects of kind "user", "group" or "school" that were deleted (purged: for good)."""

    def begin_full(self, name: str) -> None:
        """A full read of "users", "education", "groups" or "schools" starts: what it does not bring is gone."""

    def end(self, name: str, cursor: str | None) -> None:
        """The read is whole: store its delta link, and after begin_full drop what was not seen."""


class NewPassword(NamedTuple):
    """The first password of an account about to be made."""

    ref: Ref
    upn: str
    password: str


class Ledger(Protocol):
    """Stores intentions before requests go out and outcomes when answers come back. Durable when a call returns."""

    def together(self) -> AbstractContextManager[object]:
        """What is called inside is recorded in one transaction."""

    def intend(self, changes: Sequence[Change]) -> None:
        """Called before the request that carries these changes is sent (again and again when it is repeated)."""

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Called once per change with its final outcome. Created objects are linked by this."""

    def put_off(self, changes: Collection[Change], detail: str) -> None:
        """Called once at the end, at most: whatever of the apply has no outcome is DEFERRED, which may be a million
        changes. It must come to the same as settling each, and may do so without looking at any."""

    def object_id(self, ref: Ref) -> str | None:
        """The directory object a SIS record is linked to, also one linked earlier in this run."""

    def keep_passwords(self, passwords: Sequence[NewPassword]) -> None:
        """Fsync new accounts' passwords to the hand-out file (mode 0600) before their requests go out."""


class RightOfWay(Protocol):
    """Between processes that write to one tenant as one app, and so share its quota without knowing of each other."""

    def taken(self) -> AbstractContextManager[None]:
        """Others that can wait do so until the block ends, or this process does. Raises StateError."""

    def given(self) -> bool:
        """Whether another process has taken it. Must be cheap: it is asked about once a second."""


class RefreshReport(msgspec.Struct, kw_only=True):
    """Reads made by a refresh. `full` names the collections read from the start."""

    reads: int = 0
    full: tuple[str, ...] = ()
    changed: int = 0


class RequestCounts(msgspec.Struct, kw_only=True):
    """Requests of a target since it was opened: `batches` are $batch posts, `refused` 429 answers."""

    reads: int = 0
    writes: int = 0
    batches: int = 0
    refused: int = 0


class Target(ABC):
    """A directory.

    A target must never send a write outside `apply`; must call `ledger.intend` before any request that writes and
    `ledger.settle` exactly once for each change given to `apply` (or put it off), whatever happens except a crash; must
    treat "already so" as success; must never make a second object after a lost answer (look up by natural key first);
    must not write twice to one object at the same time; must honour its quota. It may send independent changes in any
    order. A read-only target must refuse every write below the feature code.
    """

    @abstractmethod
    async def facts(self) -> TenantFacts:
        """Preflight: token roles, organisation, domains, licences. Cached for the target's life. Raises TargetError."""

    @abstractmethod
    async def check(
        self, *, creating: bool, licenses: Sequence[str], domains: Sequence[str], license_groups: Sequence[str] = ()
    ) -> list[Finding]:
        """Connection, credentials, permissions, domains, licences, education tenant; never raises for a fault."""

    @abstractmethod
    async def license_groups(self, ids: Sequence[str]) -> dict[str, LicenseGroup]:
        """How each of these groups stands, one that is not there included. Raises TargetError."""

    @abstractmethod
    async def refresh(
        self, cache: DirectoryCache, *, stop: Callable[[], bool] = lambda: False, progress: Progress = no_progress
    ) -> RefreshReport:
        """Bring the cache up to date by delta; start over where a delta link is refused. Raises TargetError."""

    @abstractmethod
    async def group_members(self, ids: Sequence[str]) -> dict[str, Members]:
        """Owners and members of groups, for adoption and recovery. Missing groups are left out."""

    @abstractmethod
    async def school_members(self, ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Users and classes attached to schools."""

    @abstractmethod
    async def held_values(self, objects: Mapping[Ref, str]) -> dict[Ref, dict[str, str]]:
        """Attributes set on objects, under neutral names. Objects that are not there (yet) are left out."""

    @abstractmethod
    async def plans_of(self, ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Names of enabled service plans of users ("exchange", "SharePoint", ...), for `check`."""

    @abstractmethod
    async def find(self, change: Change, since: datetime) -> str | None:
        """The object a create may have made before its answer was lost: looked up by natural key, ours only.

        Waits out replication lag where the key does not conflict by itself (schools). None: it was not made.
        """

    @abstractmethod
    async def apply(
        self,
        changes: Sequence[Change],
        ledger: Ledger,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress = no_progress,
    ) -> None:
        """Write the changes, in dependency order, within the quota. Raises TargetError only when nothing can go on."""

    @abstractmethod
    def counts(self) -> RequestCounts:
        """Requests so far."""

    @abstractmethod
    async def close(self) -> None:
        """Release connections. May be called twice."""


Links = Mapping[Ref, str]
