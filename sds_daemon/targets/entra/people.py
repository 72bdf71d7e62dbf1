"""The work on one account: made or adopted, then its attributes, then its licences."""

from __future__ import annotations

from collections.abc import Sequence

from sds_daemon.plan.change import Change, ChangeKind, Outcome, Result
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.records import Ref
from sds_daemon.targets.entra.accounts import make_password
from sds_daemon.targets.entra.batch import Answer
from sds_daemon.targets.entra.bodies import USER_EXTRAS
from sds_daemon.targets.entra.creating import create, finish, write
from sds_daemon.targets.entra.errors import Problem
from sds_daemon.targets.entra.outcomes import failed, outcome, verdict_of
from sds_daemon.targets.entra.strands import Context, Strand, Urgency


class PersonStrand(Strand):
    """CREATE_USER, ADOPT_USER, UPDATE_USER and ASSIGN_LICENSE of one person, in this order."""

    urgency = Urgency.PERSON

    def __init__(self, ctx: Context, ref: Ref, changes: Sequence[Change]) -> None:
        super().__init__(ctx)
        self.ref = ref
        order = (ChangeKind.CREATE_USER, ChangeKind.ADOPT_USER, ChangeKind.UPDATE_USER, ChangeKind.ASSIGN_LICENSE)
        self._left = sorted(changes, key=lambda change: order.index(change.kind))

    def start(self) -> None:
        """Begin."""
        self.wake()

    def ready(self) -> bool:
        """Whether anything is left: nothing here waits for other objects."""
        return bool(self._left)

    async def run(self) -> None:
        """Work the changes off; one that makes the account and fails takes the rest with it."""
        while self._left and not self.ctx.stopping:
            change = self._left.pop(0)
            if change.kind is ChangeKind.CREATE_USER:
                self._settle_made(await self._create(change))
            elif change.kind is ChangeKind.ADOPT_USER:
                self._settle_made(await self._update(change, change.object_id))
            else:
                await self._improve(change)

    def _settle_made(self, made: Outcome) -> None:
        self.ctx.recorder.settle(made)
        self.ctx.objects.settle(self.ref, made)

    async def _create(self, change: Change) -> Outcome:
        made, answer = await self._create_with_password(change)
        if answer_is(answer, Problem.PASSWORD):
            made, _ = await self._create_with_password(change)
        if made.object_id is None:
            return made
        extras = self.ctx.requests.user_extras(change, made.object_id)
        return await finish(self.ctx, made, extras, USER_EXTRAS)

    async def _create_with_password(self, change: Change) -> tuple[Outcome, Answer | None]:
        password = make_password()
        if self.ctx.keep_passwords:
            upn = str(change.values.get("user_principal_name") or "")
            self.ctx.recorder.keep_password(change, upn, password)
        return await create(self.ctx, change, lambda: self.ctx.requests.create_user(change, password))

    async def _improve(self, change: Change) -> None:
        user_id = self.ctx.objects.id_of(self.ref)
        if user_id is None:
            self.done(change, self.ctx.objects.lack(self.ref))
        elif change.kind is ChangeKind.ASSIGN_LICENSE:
            self.ctx.recorder.settle(await self._license(change, user_id))
        else:
            self.ctx.recorder.settle(await self._update(change, user_id))

    async def _update(self, change: Change, user_id: str | None) -> Outcome:
        return await write(self.ctx, change, lambda: self.ctx.requests.update_user(change, user_id or ""))

    async def _license(self, change: Change, user_id: str) -> Outcome:
        ids, unknown = self.ctx.licenses.resolve(change.values.get("licenses") or ())
        if unknown:
            return failed(change, IssueCode.INVALID_LICENSE, f"the tenant does not own {', '.join(unknown)}")
        if not ids:
            return Outcome(change=change, result=Result.ALREADY)
        if self.ctx.licenses.exhausted(ids):
            return failed(change, IssueCode.NO_SEAT, "no seat of the licence is left")
        answer = await self.ctx.send(self.ctx.requests.assign_license(change, user_id, ids))
        if answer_is(answer, Problem.NO_SEAT):
            self.ctx.licenses.out_of_seats(ids)
        return outcome(change, answer)


def answer_is(answer: Answer | None, problem: Problem) -> bool:
    """Whether an answer is a refusal of this kind."""
    return answer is not None and answer.error is not None and verdict_of(answer).problem is problem
