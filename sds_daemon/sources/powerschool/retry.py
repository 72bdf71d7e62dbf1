"""When to try again, and for how long."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import msgspec
from loguru import logger

from sds_daemon.errors import Interrupted, SourceError

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
Stop = Callable[[], bool]

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""


class RetryRules(msgspec.Struct, frozen=True, kw_only=True):
    """`tries` in all; waits in seconds grow from `first` to `longest`; `patience` bounds the sum of all waits."""

    tries: int = 6
    first: float = 0.5
    longest: float = 30.0
    patience: float = 300.0


class TryAgain(Exception):
    """An attempt failed in a way that may pass: `error` is what to raise in the end, `wait` what the server asked for.

    Never leaves `persist`.
    """

    def __init__(self, error: SourceError, wait: float | None = None) -> None:
        self.error = error
        self.wait = wait
        super().__init__(error.message)


async def persist(
    attempt: Callable[[], Awaitable[T]], *, rules: RetryRules, sleep: Sleep, stop: Stop, jitter: random.Random
) -> T:
    """The first result of `attempt` that is not TryAgain.

    Waits between attempts: what the server asked for, else a jittered, doubling time. Raises the last attempt's error
    when the tries or the patience are used up, and Interrupted when `stop` turns true before an attempt or a wait.
    """
    patience = rules.patience
    for number in range(1, rules.tries + 1):
        look(stop)
        try:
            return await attempt()
        except TryAgain as failure:
            wait = failure.wait if failure.wait is not None else _back_off(number, rules, jitter)
            patience -= wait
            if number == rules.tries or patience < 0:
                raise failure.error from failure.__cause__
            logger.debug("{}; trying again in {:.1f} s (attempt {})", failure.error.message, wait, number + 1)
            await _pause(wait, sleep, stop)
    raise AssertionError("at least one try is made")


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait as a Retry-After header asks: seconds, also fractional, or an HTTP date. None if unreadable."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            return None
        seconds = (moment - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _back_off(number: int, rules: RetryRules, jitter: random.Random) -> float:
    ceiling: float = min(rules.longest, rules.first * 2 ** (number - 1))
    return ceiling * (0.5 + jitter.random() / 2)


async def _pause(seconds: float, sleep: Sleep, stop: Stop) -> None:
    while seconds > 0:
        look(stop)
        await sleep(min(1.0, seconds))
        seconds -= 1.0


def look(stop: Stop) -> None:
    """Raises Interrupted once `stop` is true."""
    if stop():
        raise Interrupted("reading PowerSchool was asked to stop", remedy="the next run reads it anew")
