"""The work on one class: made when a teacher is there, filled as people come, emptied of those who left."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial

import msgspec

from sds_daemon.plan.change import Change, ChangeKind, Outcome, Result
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.records import Ref
from sds_daemon.targets.entra.batch import Answer
from sds_daemon.targets.entra.creating import create, finish, mail_of, write
from sds_daemon.targets.entra.errors import Problem, Verdict
from sds_daemon.targets.entra.outcomes import failed, outcome, verdict_of
from sds_daemon.targets.entra.requests import MULTI_ADD, Add, read, relation_of
from sds_daemon.targets.entra.strands import Context, Strand, Urgency

_MAKING = (ChangeKind.CREATE_CLASS, ChangeKind.ADOPT_CLASS)
_ADDS = (ChangeKind.ADD_OWNER, ChangeKind.ADD_MEMBER)
# One bad reference spoils a multi-add with these; the others are tried one by one.
_SPOILED = frozenset(
    {
        Problem.ALREADY_EXISTS,
        Problem.CONFLICT,
        Problem.FORWARD_LINK_QUOTA,
        Problem.NOT_THERE,
        Problem.INVALID_VALUE,
        Problem.TOO_LARGE,
        Problem.UNKNOWN,
    }
)
MAIL_LOOKS = 5
_WORST_FIRST = (Result.FAILED, Result.DEFERRED, Result.DONE, Result.ALREADY)


class _Ids(msgspec.Struct):
    class Id(msgspec.Struct):
        id: str = ""

    value: list[Id] = []


class ClassStrand(Strand):
    """All changes to one class.

    A class that is to get teachers is made once one of them has an account: a group without an owner may stay
    unprovisioned (Graph docs: group-post-groups). ADD_OWNER also makes the teacher a member, as Teams wants it, and
    REMOVE_OWNER takes both away, unless the plan holds a change of its own for the membership. Removals come after
    additions, owners' last; so the last owner is never missing in between.
    """

    urgency = Urgency.CLASS

    def __init__(self, ctx: Context, ref: Ref, changes: Sequence[Change]) -> None:
        super().__init__(ctx, ref)
        self._make = next((change for change in changes if change.kind in _MAKING), None)
        self._update = next((change for change in changes if change.kind is ChangeKind.UPDATE_CLASS), None)
        self._adds = [change for change in changes if change.kind in _ADDS]
        self._own_members = {c.member for c in changes if c.kind in (ChangeKind.ADD_MEMBER, ChangeKind.REMOVE_MEMBER)}
        self._removals = _removals(changes)
        self._owners: deque[Add] = deque()
        self._members: deque[Add] = deque()
        self._size = 0
        self._waiting = len(self._adds)
        self._owners_waiting = sum(change.kind is ChangeKind.ADD_OWNER for change in self._adds)
        self._wants_owner = self._owners_waiting > 0
        self._lost_owner = Result.DEPENDENT
        self._given_up: Result | None = None

    def start(self) -> None:
        """Subscribe to the people who are to come in."""
        adds, self._adds = self._adds, []
        for change in adds:
            self.ctx.objects.when_known(_member(change), partial(self._known, change))
        self.wake()

    def _known(self, change: Change, member_id: str | None) -> None:
        owner = change.kind is ChangeKind.ADD_OWNER
        self._waiting -= 1
        self._owners_waiting -= owner
        if self._given_up is not None or member_id is None:
            lack = self.ctx.objects.lack(_member(change))
            self._lost_owner = lack if owner else self._lost_owner
            self.done(change, self._given_up or lack)
        else:
            self._put(Add(change, member_id, owner, not owner or change.member not in self._own_members))
        self.wake()

    def _put(self, *adds: Add) -> None:
        for add in adds:
            (self._owners if add.change.kind is ChangeKind.ADD_OWNER else self._members).append(add)
            self._size += add.size

    def ready(self) -> bool:
        """Whether the class can be made or written now, or enough people are there for a request."""
        if self._make is not None:
            return self._can_make()
        whole = self._waiting == 0
        enough = self._size >= MULTI_ADD or (whole and self._size > 0)
        return enough or self._update is not None or (whole and bool(self._removals))

    def _can_make(self) -> bool:
        if self._wants_owner and not self._owners:
            return self._owners_waiting == 0
        return not self._rides_along() or self._size >= MULTI_ADD or self._waiting == 0

    def _rides_along(self) -> bool:
        """Whether the first members go with the create."""
        making = self._make is not None and self._make.kind is ChangeKind.CREATE_CLASS
        return making and not self.ctx.requests.education_classes

    async def run(self) -> None:
        """Make it, write it, fill it; empty it when nobody is waited for."""
        if self._make is not None:
            await self._making(self._make)
        group_id = self.ctx.objects.id_of(self.ref)
        if group_id is None:
            return self._give_up(self.ctx.objects.lack(self.ref))
        if self._update is not None:
            change, self._update = self._update, None
            items = partial(self.ctx.requests.update_class, change, group_id)
            self.ctx.recorder.settle(await write(self.ctx, change, items))
        while not self.ctx.stopping and (chunk := self._take()):
            await self._add(group_id, chunk)
        await self._remove(group_id)
        return None

    # Making

    async def _making(self, change: Change) -> None:
        self._make = None
        if self._wants_owner and not self._owners:
            made = Outcome(change=change, result=self._lost_owner, detail="none of its teachers could be synced")
        elif change.kind is ChangeKind.ADOPT_CLASS:
            items = partial(self.ctx.requests.update_class, change, change.object_id or "")
            made = await write(self.ctx, change, items)
        else:
            return await self._create(change)
        self._settle_made(made)
        return None

    def _settle_made(self, made: Outcome, riders: Iterable[Add] = ()) -> None:
        self.ctx.recorder.settle(made)
        for add in riders:
            self.done(add.change, Result.DONE)
        self.ctx.objects.settle(self.ref, made)

    async def _create(self, change: Change) -> None:
        riders = self._take() if not self.ctx.requests.education_classes else []
        while True:
            made, answer = await create(self.ctx, change, partial(self.ctx.requests.create_class, change, riders))
            missing = _missing(answer)
            gone = [add for add in riders if missing and add.member_id == missing]
            if not gone:
                break
            self._fail_gone(gone)
            riders = [add for add in riders if add not in gone]
            if self._wants_owner and not any(add.owner for add in riders):
                break
        if made.result is Result.DONE:
            made = await finish(self.ctx, made, self.ctx.requests.class_extras(change, made.object_id or ""))
            return self._settle_made(await self._with_mail(made), riders)
        self._put(*riders)
        return self._settle_made(made)

    async def _with_mail(self, made: Outcome) -> Outcome:
        """The address of the first classes made, which the education API does not tell: the core compares domains."""
        if made.extra.get("mail") or self.ctx.mail_looks >= MAIL_LOOKS:
            return made
        self.ctx.mail_looks += 1
        answer = await self.ctx.send(read(f"/groups/{made.object_id}", select="id,mail"))
        mail = mail_of(answer) if answer.ok else ""
        if not mail:
            return made
        self.ctx.mail_looks = MAIL_LOOKS
        return msgspec.structs.replace(made, extra={**made.extra, "mail": mail})

    def _give_up(self, result: Result) -> None:
        self._given_up = result
        pending = [add.change for add in (*self._owners, *self._members)] + [r.change for r in self._removals]
        pending += [r.member for r in self._removals if r.member is not None]
        pending += [self._update] if self._update is not None else []
        self._owners.clear()
        self._members.clear()
        self._removals.clear()
        self._size, self._update = 0, None
        for change in pending:
            self.done(change, result)

    # Filling

    def _take(self) -> list[Add]:
        """The next request's additions, owners first: a full one, or what there is when nobody more is to come."""
        if self._size < MULTI_ADD and self._waiting:
            return []
        chunk: list[Add] = []
        room = MULTI_ADD
        for queue in (self._owners, self._members):
            while queue and queue[0].size <= room:
                add = queue.popleft()
                room -= add.size
                chunk.append(add)
        self._size -= MULTI_ADD - room
        return chunk

    async def _add(self, group_id: str, chunk: list[Add]) -> None:
        answer = await self.ctx.send(self.ctx.requests.add_many(group_id, chunk))
        if answer.ok or answer.stopped or answer.error is None:
            return self._settle_all(chunk, answer)
        verdict = verdict_of(answer)
        if verdict.problem not in _SPOILED or verdict.missing == group_id:
            return self._settle_all(chunk, answer)
        return await self._add_spoiled(group_id, chunk, verdict)

    def _settle_all(self, chunk: Iterable[Add], answer: Answer) -> None:
        for add in chunk:
            self.ctx.recorder.settle(outcome(add.change, answer))

    async def _add_spoiled(self, group_id: str, chunk: list[Add], verdict: Verdict) -> None:
        """Nothing of the chunk was added: set aside what spoils it, if that can be told, else go one by one."""
        gone = [add for add in chunk if verdict.missing and add.member_id == verdict.missing]
        self._fail_gone(gone)
        rest = [add for add in chunk if add not in gone]
        left = await self._sifted(group_id, rest) if verdict.problem is Problem.ALREADY_EXISTS else rest
        if sum(add.size for add in left) < sum(add.size for add in chunk):
            return self._put(*left)
        for add in left:
            await self._add_singly(group_id, add)
        return None

    async def _sifted(self, group_id: str, chunk: list[Add]) -> list[Add]:
        """What of a chunk is not there already. A first page is enough: whoever it misses is added singly."""
        owners = await self._ids(f"/groups/{group_id}/owners") if any(add.owner for add in chunk) else frozenset()
        members = await self._ids(f"/groups/{group_id}/members")
        left = [(add, add.without(owners, members)) for add in chunk]
        for add, rest in left:
            if rest is None:
                self.done(add.change, Result.ALREADY)
        return [rest for _, rest in left if rest is not None]

    async def _ids(self, url: str) -> frozenset[str]:
        answer = await self.ctx.send(read(url, select="id", top="999"))
        if not answer.ok:
            return frozenset()
        try:
            return frozenset(entry.id for entry in msgspec.json.decode(answer.body, type=_Ids).value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return frozenset()

    async def _add_singly(self, group_id: str, add: Add) -> None:
        relations = ["owners"] * add.owner + ["members"] * add.member
        results: list[Outcome] = []
        for relation in relations:
            item = self.ctx.requests.add_one(add.change, relation, group_id, add.member_id)
            results.append(outcome(add.change, await self.ctx.send(item)))
        self.ctx.recorder.settle(min(results, key=lambda result: _WORST_FIRST.index(result.result)))

    def _fail_gone(self, adds: Iterable[Add]) -> None:
        for add in adds:
            self.ctx.recorder.settle(
                failed(add.change, IssueCode.OBJECT_DELETED, "the directory no longer has the account", status=404)
            )

    # Emptying

    async def _remove(self, group_id: str) -> None:
        while self._removals and not self._waiting and not self._size and not self.ctx.stopping:
            removal = self._removals.popleft()
            result = await self._remove_one(group_id, removal.change, relation_of(removal.change.kind))
            if removal.change.kind is ChangeKind.REMOVE_OWNER:
                result = await self._remove_owner_as_member(group_id, removal, result)
            self.ctx.recorder.settle(result)

    async def _remove_one(self, group_id: str, change: Change, relation: str) -> Outcome:
        member_id = self.ctx.objects.id_of(_member(change))
        if member_id is None:
            return Outcome(change=change, result=self.ctx.objects.lack(_member(change)))
        return outcome(change, await self.ctx.send(self.ctx.requests.remove_one(change, relation, group_id, member_id)))

    async def _remove_owner_as_member(self, group_id: str, removal: _Removal, owner: Outcome) -> Outcome:
        gone = owner.result in (Result.DONE, Result.ALREADY)
        if removal.member is not None:
            member = removal.member
            left = await self._remove_one(group_id, member, "members") if gone else None
            self.ctx.recorder.settle(left or Outcome(change=member, result=Result.DEPENDENT))
            return owner
        if not gone or removal.change.member in self._own_members:
            return owner
        member_left = await self._remove_one(group_id, removal.change, "members")
        return min(owner, member_left, key=lambda result: _WORST_FIRST.index(result.result))


class _Removal(msgspec.Struct, eq=False):
    """A removal; `member` is the change that takes a former owner out as a member, sent after it."""

    change: Change
    member: Change | None = None


def _removals(changes: Sequence[Change]) -> deque[_Removal]:
    """Members first, owners last, an owner's own membership after his ownership."""
    owners = [change for change in changes if change.kind is ChangeKind.REMOVE_OWNER]
    former = {change.member for change in owners}
    members = {change.member: change for change in changes if change.kind is ChangeKind.REMOVE_MEMBER}
    plain = [_Removal(change) for change in members.values() if change.member not in former]
    return deque([*plain, *(_Removal(change, members.get(change.member)) for change in owners)])


def _missing(answer: Answer | None) -> str:
    return verdict_of(answer).missing if answer is not None and answer.error is not None else ""


def _member(change: Change) -> Ref:
    """The person of a membership; a membership without one is a defect of the planner."""
    if change.member is None:
        raise ValueError(f"{change.kind} of {change.subject} names no member")
    return change.member
