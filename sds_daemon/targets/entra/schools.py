"""The work on one school: made, its attributes, then who belongs to it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial

from sds_daemon.plan.change import Change, ChangeKind
from sds_daemon.roster.records import Ref
from sds_daemon.targets.entra.creating import create, write
from sds_daemon.targets.entra.outcomes import outcome
from sds_daemon.targets.entra.removing import remove
from sds_daemon.targets.entra.strands import Context, Strand, Urgency, member_of

WINDOW = 20
"""References of one school handed to the executor at a time; it keeps them from being written side by side."""

_ADDS = (ChangeKind.ADD_SCHOOL_USER, ChangeKind.ADD_SCHOOL_CLASS)


class SchoolStrand(Strand):
    """CREATE_SCHOOL, UPDATE_SCHOOL, and references to and off one school; references off go last."""

    urgency = Urgency.SCHOOL

    def __init__(self, ctx: Context, ref: Ref, changes: Sequence[Change]) -> None:
        super().__init__(ctx)
        self.ref = ref
        kinds = {change.kind: change for change in changes}
        self._create = kinds.get(ChangeKind.CREATE_SCHOOL)
        self._update = kinds.get(ChangeKind.UPDATE_SCHOOL)
        self._adds = [change for change in changes if change.kind in _ADDS]
        self._removals = deque(change for change in changes if change.kind is ChangeKind.REMOVE_SCHOOL_USER)
        self._ready: deque[tuple[Change, str]] = deque()
        self._waiting = len(self._adds)

    def start(self) -> None:
        """Subscribe to whoever is to be attached."""
        adds, self._adds = self._adds, []
        for change in adds:
            self.ctx.objects.when_known(member_of(change), self, change)
        self.wake()

    def known(self, change: Change, member_id: str | None) -> None:
        """Who is to be attached is there, or will not come."""
        self._waiting -= 1
        if member_id is None:
            self.done(change, self.ctx.objects.lack(member_of(change)))
        else:
            self._ready.append((change, member_id))
        self.wake()

    def ready(self) -> bool:
        """Whether the school is to be written, or somebody is there to be attached."""
        return bool(self._create or self._update or self._ready or (self._removals and not self._waiting))

    async def run(self) -> None:
        """Make it, write it, attach whoever is there; detach when nobody is waited for."""
        if self._create is not None:
            change, self._create = self._create, None
            made, _ = await create(self.ctx, change, partial(self.ctx.requests.create_school, change))
            self.ctx.recorder.settle(made)
            self.ctx.objects.settle(self.ref, made)
        school_id = self.ctx.objects.id_of(self.ref)
        if school_id is None:
            return self._give_up()
        if self._update is not None:
            update, self._update = self._update, None
            items = partial(self.ctx.requests.update_school, update, school_id)
            self.ctx.recorder.settle(await write(self.ctx, update, items))
        await self._attach(school_id)
        await self._detach(school_id)
        return None

    async def _attach(self, school_id: str) -> None:
        while self._ready and not self.ctx.stopping:
            some = [self._ready.popleft() for _ in range(min(WINDOW, len(self._ready)))]
            await asyncio.gather(*(self._attach_one(school_id, change, member) for change, member in some))

    async def _attach_one(self, school_id: str, change: Change, member_id: str) -> None:
        answer = await self.ctx.send(self.ctx.requests.add_to_school(change, school_id, member_id))
        self.ctx.recorder.settle(outcome(change, answer))

    async def _detach(self, school_id: str) -> None:
        while self._removals and not self._waiting and not self._ready and not self.ctx.stopping:
            change = self._removals.popleft()
            member_id = self.ctx.objects.id_of(member_of(change))
            if member_id is None:
                self.done(change, self.ctx.objects.lack(member_of(change)))
                continue
            removal = self.ctx.requests.remove_from_school(change, school_id, member_id)
            self.ctx.recorder.settle(await remove(self.ctx, change, removal, member_id))

    def _give_up(self) -> None:
        result = self.ctx.objects.lack(self.ref)
        pending = [change for change, _ in self._ready] + list(self._removals)
        pending += [self._update] if self._update is not None else []
        self._ready.clear()
        self._removals.clear()
        self._update = None
        for change in pending:
            self.done(change, result)
