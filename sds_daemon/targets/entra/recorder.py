"""What becomes of each change of one apply: intentions before, outcomes after, each outcome once."""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from sds_daemon.plan.change import Change, ChangeKind, Outcome
from sds_daemon.roster.records import Ref
from sds_daemon.sources.base import Progress
from sds_daemon.targets.base import Ledger, NewPassword
from sds_daemon.targets.entra.batch import Item

SETTLE_WITHIN = 0.2

_Key = tuple[ChangeKind, Ref, Ref | None]


class _Open(Collection[Change]):
    """The changes without an outcome, told by where they lie in memory.

    A first sync of a large district has two million changes: nine bytes for each instead of a key and its place.
    """

    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes  # held, so that no other object comes to lie there
        self._addresses = array("Q", sorted(map(id, changes)))
        self._left = bytearray(b"\1") * len(changes)
        self._count = len(changes)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, change: object) -> bool:
        place = self._place(change)
        return place is not None and self._left[place] == 1

    def __iter__(self) -> Iterator[Change]:
        return (change for change in self._changes if change in self)

    def discard(self, change: Change) -> bool:
        """Take a change out; false where it is not in."""
        place = self._place(change)
        if place is None or not self._left[place]:
            return False
        self._left[place] = 0
        self._count -= 1
        return True

    def _place(self, change: object) -> int | None:
        address = id(change)
        place = bisect_left(self._addresses, address)
        return place if place < len(self._addresses) and self._addresses[place] == address else None


class Recorder:
    """Between the strands of work and the ledger.

    Outcomes are gathered and settled together: within SETTLE_WITHIN seconds, and always before the next batch goes out
    and in one transaction with what that one intends, so that what a request rests on is on record before the request
    is. `failure` is what the ledger raised: nothing more may be sent then, and the ledger is not asked again.

    Outcomes must carry the very objects among `changes`, not equal ones.
    """

    def __init__(self, changes: Sequence[Change], ledger: Ledger, progress: Progress) -> None:
        self._open = _Open(changes)
        self._total = len(self._open)
        self._ledger = ledger
        self._progress = progress
        self._settling: list[Outcome] = []
        self._passwords: dict[_Key, NewPassword] = {}
        self._flush_due = False
        self.failure: BaseException | None = None

    def before_send(self, items: Sequence[Item]) -> None:
        """Called by the executor right before a batch is posted."""
        changes = [change for item in items for change in item.changes if change in self._open]
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
        if not self._open.discard(outcome.change):
            return
        if self._passwords:
            self._passwords.pop(outcome.change.key, None)
        self._settling.append(outcome)
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_later(SETTLE_WITHIN, self._flush_soon)

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
        """Put off whatever has no outcome yet, unless the ledger has failed."""
        self.flush()
        if not len(self._open) or self.failure is not None:
            return
        self._passwords.clear()
        try:
            self._ledger.put_off(self._open, detail)
        except BaseException as error:
            self.failure = error
            raise
        self._open = _Open(())
        self._progress("writing", self._total, self._total)
