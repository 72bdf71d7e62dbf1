"""The Entra target: what the core sees of Entra ID and Microsoft Graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sds_daemon.clock import Clock
from sds_daemon.errors import TargetUnreachable
from sds_daemon.plan.change import Change, ChangeKind
from sds_daemon.roster.records import Ref
from sds_daemon.sources.base import Finding, Progress, no_progress
from sds_daemon.targets.base import (
    DirectoryCache,
    Ledger,
    LicenseGroup,
    Members,
    RefreshReport,
    RequestCounts,
    RightOfWay,
    Target,
    TenantFacts,
)
from sds_daemon.targets.entra.executor import BatchExecutor
from sds_daemon.targets.entra.find import Finder, Seen
from sds_daemon.targets.entra.governor import Lane, Priority, governor_for
from sds_daemon.targets.entra.recorder import Recorder
from sds_daemon.targets.entra.transport import GraphTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sds_daemon.config.settings import TenantSettings
    from sds_daemon.targets.entra.members import BatchReader
    from sds_daemon.targets.entra.strands import Context


class EntraTarget(Target):
    """One tenant, for one profile.

    `class_api`: "auto", "education" or "groups". `creating` and `licensing` tell which permissions the profile needs.
    `read_only`: nothing but reads can leave, whatever is asked. `priority`: "interactive" work goes ahead of "bulk"
    work of the same process and, where there is a `right_of_way`, of others. `keep_passwords`: first passwords are
    handed to the ledger before their request goes out.
    """

    def __init__(
        self,
        settings: TenantSettings,
        clock: Clock,
        *,
        class_api: str = "auto",
        creating: bool = True,
        licensing: bool = False,
        read_only: bool = False,
        keep_passwords: bool = True,
        priority: str = "bulk",
        right_of_way: RightOfWay | None = None,
        transport: GraphTransport | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._class_api = class_api
        self._creating = creating
        self._licensing = licensing
        self._read_only = read_only
        self._keep_passwords = keep_passwords
        self._priority = Priority.INTERACTIVE if priority == "interactive" else Priority.BULK
        self._right_of_way = right_of_way
        self._transport = transport or GraphTransport(settings, clock, read_only=read_only)
        self._facts: TenantFacts | None = None
        self._unsettled: dict[Ref, datetime] = {}
        self._births: dict[str, datetime] = {}

    # Reading

    async def facts(self) -> TenantFacts:
        """Preflight, once. Raises TargetError."""
        if self._facts is None:
            from sds_daemon.targets.entra import facts

            self._facts = await facts.gather(
                self._transport,
                class_api=self._class_api,
                creating=self._creating,
                licenses=self._licensing,
                writing=not self._read_only,
            )
        return self._facts

    async def check(
        self, *, creating: bool, licenses: Sequence[str], domains: Sequence[str], license_groups: Sequence[str] = ()
    ) -> list[Finding]:
        """Connection, credentials, permissions, domains, licences, kind of tenant; never raises for a fault."""
        from sds_daemon.targets.entra import check

        return await check.findings(
            self._transport,
            class_api=self._class_api,
            creating=creating,
            licenses=licenses,
            license_groups=license_groups,
            domains=domains,
            writes_users=self._creating,
        )

    async def license_groups(self, ids: Sequence[str]) -> dict[str, LicenseGroup]:
        """How groups that are to give licences stand, a request for each. Raises TargetError."""
        from sds_daemon.targets.entra.license_groups import look

        return {group_id: await look(self._transport, group_id) for group_id in ids}

    async def refresh(
        self, cache: DirectoryCache, *, stop: Callable[[], bool] = lambda: False, progress: Progress = no_progress
    ) -> RefreshReport:
        """Bring the cache up to date by delta. Raises TargetError."""
        from sds_daemon.targets.entra.reading import Reading

        facts = await self.facts()
        reading = Reading(self._transport, cache, education=facts.education, stop=stop, progress=progress)
        return await reading.refresh()

    async def group_members(self, ids: Sequence[str]) -> dict[str, Members]:
        """Owners and members of groups; missing groups are left out."""
        from sds_daemon.targets.entra import members

        return await members.group_members(self._reader(), ids)

    async def school_members(self, ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Users and classes attached to schools."""
        from sds_daemon.targets.entra import members

        facts = await self.facts()
        education = facts.education and facts.class_api == "education"
        return await members.school_members(self._reader(), ids, education=education)

    async def held_values(self, objects: Mapping[Ref, str]) -> dict[Ref, dict[str, str]]:
        """Attributes set on our objects, read one by one."""
        from sds_daemon.targets.entra import held

        facts = await self.facts()
        return await held.held_values(self._reader(), objects, education=facts.education, class_api=facts.class_api)

    async def plans_of(self, ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Names of enabled service plans of users."""
        from sds_daemon.targets.entra import members

        return await members.plans_of(self._reader(), ids)

    def _reader(self) -> BatchReader:
        from sds_daemon.targets.entra.members import BatchReader

        return BatchReader(self._transport, governor_for(self._settings), self._lane())

    # Writing

    async def find(self, change: Change, since: datetime) -> str | None:
        """The object a create made before its answer was lost; None: it was not made, or is not visible yet.

        Raises TargetUnreachable for a school that cannot be looked up: a second one would not be refused.

        In the latter case the create is tried again by the plan, refused by the directory, and then waited for.
        """
        async with self._executor(lambda items: None, lambda: False) as executor:
            found = await self._finder(executor, await self.facts(), lambda: False).lost(change, since, since)
        if found.seen is Seen.OURS:
            self._births[found.id] = since
            return found.id
        if found.seen is Seen.UNKNOWN and change.kind is ChangeKind.CREATE_SCHOOL:
            raise TargetUnreachable(
                f"whether an interrupted run made {change.subject} could not be looked up",
                remedy="nothing is made twice: the next cycle looks again",
            )
        self._unsettled[change.subject] = since
        return None

    async def apply(
        self,
        changes: Sequence[Change],
        ledger: Ledger,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress = no_progress,
    ) -> None:
        """Write the changes, each as soon as what it rests on is there. Raises TargetError when nothing can go on."""
        recorder = Recorder(changes, ledger, progress)
        with self._going_first():
            await self._carry_out(changes, ledger, recorder, stop)

    def _going_first(self) -> AbstractContextManager[None]:
        """Interactive work goes ahead of other processes' bulk work, and bulk work lets theirs go ahead."""
        if self._right_of_way is None:
            return nullcontext()
        if self._priority is Priority.INTERACTIVE:
            return self._right_of_way.taken()
        return governor_for(self._settings).giving_way(self._right_of_way.given)

    async def _carry_out(
        self, changes: Sequence[Change], ledger: Ledger, recorder: Recorder, stop: Callable[[], bool]
    ) -> None:
        from sds_daemon.targets.entra import schedule
        from sds_daemon.targets.entra.heap import settled_heap

        try:
            facts = await self.facts()
            async with self._executor(recorder.before_send, lambda: stop() or recorder.failure is not None) as executor:
                for object_id, at in self._births.items():
                    executor.born(object_id, at)
                context = self._context(changes, ledger, recorder, executor, facts, stop)
                with settled_heap():
                    await schedule.run(changes, context)
        finally:
            recorder.close("the run ended before its turn")

    def counts(self) -> RequestCounts:
        """Requests so far."""
        return self._transport.counts

    async def close(self) -> None:
        """Release connections. May be called twice."""
        await self._transport.close()

    @asynccontextmanager
    async def _executor(self, before_send: Any, stop: Callable[[], bool]) -> AsyncIterator[BatchExecutor]:
        executor = BatchExecutor(
            self._transport,
            governor_for(self._settings),
            self._lane(),
            before_send=before_send,
            stop=stop,
            lag_horizon=self._settings.lag_horizon,
        )
        try:
            yield executor
        finally:
            await executor.close()

    def _lane(self) -> Lane:
        return Lane(self._settings.name, self._priority)

    def _finder(self, executor: BatchExecutor, facts: TenantFacts, stop: Callable[[], bool]) -> Finder:
        return Finder(
            executor.send,
            self._clock,
            education=facts.education,
            class_api=facts.class_api,
            horizon=self._settings.lag_horizon,
            stop=stop,
        )

    def _context(
        self,
        changes: Sequence[Change],
        ledger: Ledger,
        recorder: Recorder,
        executor: BatchExecutor,
        facts: TenantFacts,
        stop: Callable[[], bool],
    ) -> Context:
        from sds_daemon.targets.entra.accounts import Licenses
        from sds_daemon.targets.entra.ages import Ages
        from sds_daemon.targets.entra.refusals import Refusals
        from sds_daemon.targets.entra.requests import Requests
        from sds_daemon.targets.entra.schedule import coming
        from sds_daemon.targets.entra.strands import Context, Objects, Pool

        made = coming(changes)
        pool = Pool(ripening=lambda: executor.ripening)
        return Context(
            requests=Requests(
                self._transport.builders,
                self._transport.cloud.base,
                education=facts.education,
                class_api=facts.class_api,
            ),
            executor=executor,
            recorder=recorder,
            finder=self._finder(executor, facts, stop),
            objects=Objects(ledger, made, pool.later),
            licenses=Licenses(facts.skus),
            clock=self._clock,
            pool=pool,
            stop=stop,
            refusals=Refusals(),
            ages=Ages(executor.send, executor.born),
            link=self._transport.link,
            keep_passwords=self._keep_passwords,
            unsettled={ref: self._unsettled.pop(ref) for ref in made & self._unsettled.keys()},
        )
