"""Refusals that would only repeat themselves, so that a missing permission does not cost ten thousand requests."""

from __future__ import annotations

from sds_daemon.targets.entra.batch import Answer, Item
from sds_daemon.targets.entra.errors import Problem
from sds_daemon.targets.entra.outcomes import verdict_of

PERMISSION_TRIES = 20
"""Permission refusals of one kind in a row until it is given up: single accounts may be out of the app's reach."""


class Refusals:
    """Remembers, for one apply, what the tenant refuses altogether."""

    def __init__(self) -> None:
        self._quota: Answer | None = None
        self._in_a_row: dict[str, int] = {}
        self._permission: dict[str, Answer] = {}

    def known(self, item: Item) -> Answer | None:
        """The refusal an item would get, where that is known: creates once the object quota is used up, and kinds of
        request for which the application has no permission."""
        return (self._quota if item.create else None) or self._permission.get(item.kind)

    def note(self, item: Item, answer: Answer) -> None:
        """Learn from an answer."""
        if answer.ok:
            self._in_a_row.pop(item.kind, None)
        elif answer.error is not None and not answer.lost:
            self._note_refusal(item, answer)

    def _note_refusal(self, item: Item, answer: Answer) -> None:
        problem = verdict_of(answer).problem
        if problem is Problem.OBJECT_QUOTA and item.create:
            self._quota = answer
        elif problem is Problem.PERMISSION:
            count = self._in_a_row[item.kind] = self._in_a_row.get(item.kind, 0) + 1
            if count >= PERMISSION_TRIES:
                self._permission[item.kind] = answer
