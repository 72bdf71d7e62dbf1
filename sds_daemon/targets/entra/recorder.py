"""What becomes of each change of one apply: intentions before, outcomes after, each outcome once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from sds_daemon.plan.change import Change, ChangeKind, Outcome, Result
from sds_daemon.roster.records import Ref
from sds_daemon.sources.base import Progress
from sds_daemon.targets.base import Ledger, NewPassword
from sds_daemon.targets.entra.batch import Item

SETTLE_WITHIN = 0.2

_Key = tuple[ChangeKind, Ref, Ref | None]


class Recorder:
    """Between the strands of work and the ledger.

    Outcomes are gathered and settled together: within SETTLE_WITHIN seconds, and always before the next batch goes out
    and in one transaction with what that one intends, so that what a request rests on is on record before the request
    is. `failure` is what the ledger raised: nothing more may be sent then, and the ledger is not asked again.
    """

    def __init__(self, changes: Sequence[Change], ledger: Ledger, progress: Progress) -> None:
        self._open: dict[_Key, Change] = {change.key: change for change in changes}
        self._total = len(self._open)
        self._ledger = ledger
        self._progress = progress
        self._settling: list[Outcome] = []
        self._passwords: dict[_Key, NewPassword] = {}
        self._flush_due = False
        self.failure: BaseException | None = None

    def before_send(self, items: Sequence[Item]) -> None:
        """Called by the executor right before a batch is posted."""
        changes = [change for item in items for change in item.changes if change.key in self._open]
        keys = [change.key for change in changes] if self._passwords else []
        passwords = [self._passwords.pop(key) for key in keys if key in self._passwords]
        try:
            if passwords:
                self._ledger.keep_passwords(passwords)
            with self._ledger.together():
                self.flush()
                if changes:
                    self._ledger.intend(changes)
        except BaseException as error:
            self.failure = self.failure or error
            raise

    def keep_password(self, change: Change, upn: str, password: str) -> None:
        """Have a password written to the hand-out file just before its request goes out."""
        self._passwords[change.key] = NewPassword(change.subject, upn, password)

    def settle(self, outcome: Outcome) -> None:
        """Note the outcome of a change. A second one for the same change is dropped."""
        if self._open.pop(outcome.change.key, None) is None:
            return
        self._passwords.pop(outcome.change.key, None)
        self._settling.append(outcome)
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_later(SETTLE_WITHIN, self._flush_soon)

    def is_open(self, change: Change) -> bool:
        """Whether the change has no outcome yet."""
        return change.key in self._open

    def _flush_soon(self) -> None:
        """`flush` from the event loop, where nobody is there to hear what it raises."""
        self._flush_due = False
        with suppress(BaseException):  # kept in `failure`, and raised by the run
            self.flush()

    def flush(self) -> None:
        """Hand gathered outcomes to the ledger. Raises what the ledger raises."""
        if not self._settling or self.failure is not None:
            return
        outcomes, self._settling = self._settling, []
        try:
            self._ledger.settle(outcomes)
        except BaseException as error:
            self.failure = error
            raise
        self._progress("writing", self._total - len(self._open), self._total)

    def close(self, detail: str) -> None:
        """Put off whatever has no outcome yet."""
        for change in list(self._open.values()):
            self.settle(Outcome(change=change, result=Result.DEFERRED, detail=detail))
        self.flush()
