"""The work on one class: made when a teacher is there, filled as people come, emptied of those who left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from http import HTTPStatus

import msgspec

from sds_daemon.plan.change import Change, ChangeKind, Outcome, Result
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.targets.entra.bodies import CLASS_EXTRAS
from sds_daemon.targets.entra.creating import create, finish, mail_of, restore, write
from sds_daemon.targets.entra.filling import chunk_size, fail_gone, fill, named
from sds_daemon.targets.entra.removing import remove
from sds_daemon.targets.entra.requests import Add, read
from sds_daemon.targets.entra.strands import Context, Strand, Urgency, member_of

_MAKING = (ChangeKind.CREATE_CLASS, ChangeKind.ADOPT_CLASS)
_ADDS = (ChangeKind.ADD_OWNER, ChangeKind.ADD_MEMBER)
MAIL_LOOKS = 5
"""How many new classes are read for their address at most: one is enough, but a new one may not be visible yet."""


class ClassStrand(Strand):
    """All changes to one class.

    A class that is to get teachers is made once one of them has an account: a group without an owner may stay
    unprovisioned (Graph docs: group-post-groups). Removals come after additions, owners' last, so that the last owner
    is never missing in between.
    """

    def __init__(self, ctx: Context, ref: Ref, changes: Sequence[Change]) -> None:
        super().__init__(ctx)
        self.ref = ref
        self._make = next((change for change in changes if change.kind in _MAKING), None)
        self.urgency = Urgency.FILLING if self._make is None else Urgency.MAKING
        self._update = next((change for change in changes if change.kind is ChangeKind.UPDATE_CLASS), None)
        self._restore = next((change for change in changes if change.kind is ChangeKind.RESTORE_CLASS), None)
        self._adds = [change for change in changes if change.kind in _ADDS]
        self._removals = _removals(changes)
        # Owners, teachers as members, students. Lists: an empty deque takes ten times as much.
        self._queues: tuple[list[Add], ...] = ([], [], [])
        self._waiting = len(self._adds)
        self._owners_waiting = sum(change.kind is ChangeKind.ADD_OWNER for change in self._adds)
        self._wants_owner = self._owners_waiting > 0
        self._without_owner = Result.DEPENDENT
        self._given_up: Result | None = None
        self._ripe = True

    def start(self) -> None:
        """Subscribe to the people who are to come in."""
        adds, self._adds = self._adds, []
        for change in adds:
            self.ctx.objects.when_known(member_of(change), self, change)
        self.wake()

    def known(self, change: Change, member_id: str | None) -> None:
        """Somebody who is to come in has an account, or will not have one."""
        owner = change.kind is ChangeKind.ADD_OWNER
        self._waiting -= 1
        self._owners_waiting -= owner
        if member_id is None or self._given_up is not None:
            lack = self.ctx.objects.lack(member_of(change))
            self._without_owner = lack if owner else self._without_owner
            self.done(change, self._given_up or lack)
        else:
            self._put([Add(change, member_id)])
        self.wake()

    def _put(self, adds: Iterable[Add]) -> None:
        for add in adds:
            teacher = member_of(add.change).kind is RecordKind.TEACHER
            self._queues[0 if add.change.kind is ChangeKind.ADD_OWNER else 1 if teacher else 2].append(add)

    @property
    def _size(self) -> int:
        return sum(map(len, self._queues))

    @property
    def _enough(self) -> bool:
        """Whether those who are there make a request, with regard to those who are still to come."""
        return not self._waiting or self._size >= chunk_size(self._size + self._waiting)

    def ready(self) -> bool:
        """Whether the class can be made or written now, or enough people are there for a request."""
        if self._restore is not None:
            return True
        if self._make is not None:
            return self._can_make()
        if not self._ripe:
            return False
        if self._waiting:
            return self._update is not None or self._enough
        return self._update is not None or self._size > 0 or bool(self._removals)

    def _can_make(self) -> bool:
        if self._wants_owner and not self._queues[0]:
            return self._owners_waiting == 0
        return not self._rides_along() or self._enough

    def _rides_along(self) -> bool:
        """Whether the first members go with the create."""
        making = self._make is not None and self._make.kind is ChangeKind.CREATE_CLASS
        return making and not self.ctx.requests.education_classes

    async def run(self) -> None:
        """Make it, write it, fill it once it can be seen; empty it when nobody is waited for."""
        if self._restore is not None:
            change, self._restore = self._restore, None
            self.ctx.recorder.settle(await restore(self.ctx, change))
        if self._make is not None:
            await self._making(self._make)
        group_id = self.ctx.objects.id_of(self.ref)
        if group_id is None:
            return self._give_up(self.ctx.objects.lack(self.ref))
        if not self._ripe:
            return None
        if self._update is not None:
            change, self._update = self._update, None
            items = partial(self.ctx.requests.update_class, change, group_id)
            self.ctx.recorder.settle(await write(self.ctx, change, items))
        while not self.ctx.stopping and (chunk := self._take()):
            self._put(await fill(self.ctx, group_id, chunk))
        await self._remove(group_id)
        return None

    # Making

    async def _making(self, change: Change) -> None:
        if self._wants_owner and not self._queues[0]:
            made = Outcome(change=change, result=self._without_owner, detail="none of its teachers could be synced")
            self._settle_made(made)
        elif change.kind is ChangeKind.ADOPT_CLASS:
            items = partial(self.ctx.requests.update_class, change, change.object_id or "")
            self._settle_made(self._adopted(await write(self.ctx, change, items)))
        else:
            await self._create(change, self._take() if self._rides_along() else [])

    def _adopted(self, made: Outcome) -> Outcome:
        """A group that was never a class is no object of the education API, which offers no way to make it one."""
        if made.status != HTTPStatus.NOT_FOUND or not self.ctx.requests.education_classes:
            return made
        detail = 'the group that holds the alias is no education class and cannot become one; with class_api = "groups"'
        return msgspec.structs.replace(made, code=IssueCode.ALIAS_TAKEN, detail=f"{detail} it can be adopted")

    def _settle_made(self, made: Outcome, riders: Iterable[Add] = ()) -> None:
        self._make, self.urgency = None, Urgency.FILLING
        self.ctx.recorder.settle(made)
        for add in riders:
            self.done(add.change, Result.DONE)
        self.ctx.objects.settle(self.ref, made)
        if made.change.kind is ChangeKind.CREATE_CLASS:
            self._ripe = False
            self.ctx.pool.later(self._ripened)

    def _ripened(self) -> None:
        """A request that comes before the class can be seen costs as much as one that is carried out."""
        self._ripe = True
        self.wake()

    async def _create(self, change: Change, riders: list[Add]) -> None:
        made, answer = await create(self.ctx, change, partial(self.ctx.requests.create_class, change, riders))
        gone = named(riders, answer)
        if gone:
            fail_gone(self.ctx, gone)
            self._put(add for add in riders if add not in gone)
            return await self._making(change)
        if made.result is not Result.DONE:
            self._put(riders)
            return self._settle_made(made)
        extras = self.ctx.requests.class_extras(change, made.object_id or "")
        made = await finish(self.ctx, made, extras, CLASS_EXTRAS)
        return self._settle_made(await self._with_mail(made), riders)

    async def _with_mail(self, made: Outcome) -> Outcome:
        """The address of the first classes made, which the education API does not tell: the core compares domains.

        A class that cannot be seen yet is waited for: nobody could be put into it before either.
        """
        if made.extra.get("mail") or self.ctx.mail_looks >= MAIL_LOOKS:
            return made
        self.ctx.mail_looks += 1
        look = read(f"/groups/{made.object_id}", select="id,mail")
        answer = await self.ctx.send(msgspec.structs.replace(look, needs=frozenset({made.object_id or ""})))
        mail = mail_of(answer) if answer.ok else ""
        if not mail:
            return made
        self.ctx.mail_looks = MAIL_LOOKS
        return msgspec.structs.replace(made, extra={**made.extra, "mail": mail})

    def _give_up(self, result: Result) -> None:
        """The class will not be there in this run: neither will anybody in it."""
        self._given_up = result
        pending = [add.change for queue in self._queues for add in queue] + list(self._removals)
        pending += [self._update] if self._update is not None else []
        for queue in self._queues:
            queue.clear()
        self._removals.clear()
        self._update = None
        for change in pending:
            self.done(change, result)

    # Filling

    def _take(self) -> list[Add]:
        """The next request's additions, owners first: a full one, or what there is when nobody more is to come."""
        if not self._enough:
            return []
        size = chunk_size(self._size + self._waiting)
        chunk: list[Add] = []
        for queue in self._queues:
            taken = size - len(chunk)
            chunk += queue[:taken]
            del queue[:taken]
        return chunk

    # Emptying

    async def _remove(self, group_id: str) -> None:
        while self._removals and not self._waiting and not self._size and not self.ctx.stopping:
            change = self._removals.pop(0)
            result = await self._remove_one(group_id, change)
            self.ctx.recorder.settle(result)
            if change.kind is ChangeKind.REMOVE_OWNER and result.result is Result.FAILED:
                self._keep_as_member(change)

    async def _remove_one(self, group_id: str, change: Change) -> Outcome:
        member_id = self.ctx.objects.id_of(member_of(change))
        if member_id is None:
            return Outcome(change=change, result=self.ctx.objects.lack(member_of(change)))
        removal = self.ctx.requests.remove_one(change, group_id, member_id)
        return await remove(self.ctx, change, removal, member_id)

    def _keep_as_member(self, owner: Change) -> None:
        """Who stays an owner stays a member: an owner alone cannot work in Teams (Graph docs: educationClass)."""
        kept = [change for change in self._removals if change.member == owner.member]
        for change in kept:
            self._removals.remove(change)
            self.done(change, Result.DEPENDENT)


def _removals(changes: Sequence[Change]) -> list[Change]:
    """Members first, owners last, each former owner's own membership right after his ownership."""
    owners = [change for change in changes if change.kind is ChangeKind.REMOVE_OWNER]
    members = {change.member: change for change in changes if change.kind is ChangeKind.REMOVE_MEMBER}
    former = {change.member: members.pop(change.member, None) for change in owners}
    order = list(members.values())
    for change in owners:
        own = former[change.member]
        order.extend([change] if own is None else [change, own])
    return order
