"""What requests cost in writes, as far as that can be known.

Two things are not published: whether a request that adds k references costs 1 write or ceil(k/3) (field reports), and
whether calls under /education use the write quota at all. Every combination is a hypothesis with a bucket of its own,
and what Graph says of its bucket (x-ms-throttle-limit-percentage from 0.8 on, 429) decides which one is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sds_daemon.targets.entra.batch import Item

WARNING = 0.8
"""Share of the quota from which Graph sends x-ms-throttle-limit-percentage."""
BLUR = 0.03
"""Share of the bucket by which a prediction may be off before that counts as evidence."""
FADING = 0.7
"""What an old miss counts when a new one is found."""


class Hypothesis:
    """One way of counting, with the bucket it predicts.

    `under_way` is the cost of what is sent and not answered, `answered` of all that was: Graph's bucket may have been
    so much fuller than `level` when it looked. `misses` sums how far predictions were off, in shares of the bucket.
    """

    def __init__(self, *, thirds: bool, education: bool, capacity: float) -> None:
        self.thirds = thirds
        self.education = education
        self.level = capacity
        self.under_way = 0.0
        self.answered = 0.0
        self.misses = 0.0
        self.ruled_out = False

    def cost(self, items: Sequence[Item]) -> float:
        """Writes of some items. A request that makes an object and adds k references costs 1 more than the adds."""
        return float(sum(self._cost(item) for item in items))

    def _cost(self, item: Item) -> int:
        if item.education and not self.education:
            return 0
        if self.thirds and item.adds > 1:
            return max(item.writes, -(-item.adds // 3) + (1 if item.create else 0))
        return item.writes

    def error(self, level: float, since: _Sent, *, at_most: bool) -> float:
        """Distance of an observed level from the predicted range, in writes. `at_most`: it may be lower still.

        Graph looked at some moment since the request was sent: what was answered meanwhile it may not have seen yet.
        """
        below = 0.0 if at_most else level - self.level - self.unseen(since)
        return max(self.level - since.refilled - level, below, 0.0)

    def unseen(self, since: _Sent) -> float:
        """The cost of what Graph may have looked at only after this request."""
        return self.under_way + self.answered - since.answered[self]

    def anchor(self, level: float, since: _Sent) -> None:
        """Go on from an observed level, moving no further than the observation asks for."""
        self.level = min(max(self.level, level - self.unseen(since)), level + since.refilled)


@dataclass(frozen=True)
class _Sent:
    """When requests were booked: the writes that have come in since, and what had been answered by then."""

    refilled: float
    answered: dict[Hypothesis, float]


class CostBook:
    """The tenant's write bucket. `capacity` in writes, `rate` in writes per second, `level` what is left."""

    def __init__(self, capacity: float, rate: float) -> None:
        self.capacity = capacity
        self.rate = rate
        self.level = capacity
        self.hypotheses = tuple(
            Hypothesis(thirds=thirds, education=education, capacity=capacity)
            for education in (True, False)
            for thirds in (False, True)
        )
        self.believed = self.hypotheses[0]
        self._refilled = 0.0
        self._marks: dict[int, tuple[float, dict[Hypothesis, float]]] = {}
        self._warns = True

    def refill(self, seconds: float) -> None:
        """Time has passed."""
        self._refilled += seconds * self.rate
        self.level = min(self.capacity, self.level + seconds * self.rate)
        for hypothesis in self.hypotheses:
            hypothesis.level = min(self.capacity, hypothesis.level + seconds * self.rate)

    def wait(self, items: Sequence[Item], reserve: float) -> float:
        """Seconds until the items fit into the bucket and leave `reserve` (a share) in it."""
        cost = self.believed.cost(items)
        if cost == 0:
            return 0.0
        wanted = min(self.capacity, cost + reserve * self.capacity)
        return max(0.0, (wanted - self.level) / self.rate)

    def room(self, reserve: float) -> float:
        """Writes that can be booked at once and leave `reserve` (a share) in the bucket."""
        return max(0.0, self.level - reserve * self.capacity)

    def book(self, items: Sequence[Item]) -> float:
        """Take the items out of the bucket; returns what they cost as far as is believed."""
        self._marks[id(items[0])] = self._refilled, {each: each.answered for each in self.hypotheses}
        for hypothesis in self.hypotheses:
            cost = hypothesis.cost(items)
            hypothesis.level -= cost
            hypothesis.under_way += cost
        spent = self.believed.cost(items)
        self.level -= spent
        return spent

    def unbook(self, items: Sequence[Item]) -> float:
        """Put back what was booked and is not sent after all; returns what `book` did."""
        self._marks.pop(id(items[0]), None)
        for hypothesis in self.hypotheses:
            cost = hypothesis.cost(items)
            hypothesis.level += cost
            hypothesis.under_way -= cost
        spent = self.believed.cost(items)
        self.level += spent
        return spent

    def observe(self, sent: Sequence[Item], *, used: float | None, throttled: bool, wait: float | None = None) -> None:
        """Compare the buckets with what the answers to `sent` say of Graph's own.

        `used` is the share of the quota used, above 1 when it is overdrawn. None when Graph gave none: then less than
        WARNING is used, if it was asked to write at all and is one that warns. `throttled`: refused for want of writes,
        so the bucket is empty or overdrawn, by as much as comes in during `wait` (Retry-After, seconds) where known.
        """
        since = self._since(sent)
        for hypothesis in self.hypotheses:
            cost = hypothesis.cost(sent)
            hypothesis.under_way = max(0.0, hypothesis.under_way - cost)
            hypothesis.answered += cost
        if used is not None:
            self._seen((1.0 - used) * self.capacity, since, at_most=False, throttled=throttled)
        elif throttled:
            self._warns = False
            self._seen(0.0, since, at_most=True, throttled=True)
        elif self._warns:
            self._no_warning(sent, since)
        if throttled:
            self.level = min(self.level, -(wait or 0.0) * self.rate)
        self._choose()

    def _since(self, sent: Sequence[Item]) -> _Sent:
        """When the first of these was booked."""
        marks = [mark for item in sent if (mark := self._marks.pop(id(item), None)) is not None]
        if not marks:
            return _Sent(0.0, {each: each.answered for each in self.hypotheses})
        came_in, answered = min(marks, key=lambda mark: mark[0])
        return _Sent(self._refilled - came_in, answered)

    def _seen(self, level: float, since: _Sent, *, at_most: bool, throttled: bool) -> None:
        """Charge the hypotheses that were more wrong than the best one, and let those that were wrong go on from here.

        What all have wrong comes from elsewhere (this program before its restart, say) and tells nothing about costs.
        """
        blur = BLUR * self.capacity
        errors = [hypothesis.error(level, since, at_most=at_most) for hypothesis in self.hypotheses]
        least = min(errors)
        for hypothesis, error in zip(self.hypotheses, errors, strict=True):
            if max(errors) - least > blur:
                hypothesis.misses *= FADING
            if error - least > blur:
                hypothesis.misses += (error - least) / self.capacity
                hypothesis.ruled_out |= throttled and not hypothesis.education and hypothesis.level > level
            if error > blur:
                hypothesis.anchor(level, since)
        self.level = min(max(self.level, level - self.believed.unseen(since)), level + since.refilled)

    def _no_warning(self, sent: Sequence[Item], since: _Sent) -> None:
        """Graph would have warned if its bucket were below the last fifth: hypotheses that put it there are wrong.

        A hypothesis by which none of these requests uses the bucket expects no warning of them, and learns nothing.
        """
        floor = (1.0 - WARNING) * self.capacity
        errors = [floor - hypothesis.level - hypothesis.unseen(since) for hypothesis in self.hypotheses]
        least = max(0.0, min(errors))
        asked = [bool(hypothesis.cost(sent)) for hypothesis in self.hypotheses]
        for hypothesis, error, expects in zip(self.hypotheses, errors, asked, strict=True):
            if expects and error > BLUR * self.capacity:
                hypothesis.misses += (error - least) / self.capacity
                hypothesis.level = floor - hypothesis.unseen(since)
        if asked[self.hypotheses.index(self.believed)]:
            self.level = max(self.level, floor - BLUR * self.capacity - self.believed.unseen(since))

    def _choose(self) -> None:
        best = min(self.hypotheses, key=lambda h: (h.ruled_out, h.misses))
        margin = 0.0 if self.believed.ruled_out else BLUR
        if best is not self.believed and (best.misses + margin <= self.believed.misses or self.believed.ruled_out):
            self.believed = best
            self.level = min(self.capacity, best.level)
