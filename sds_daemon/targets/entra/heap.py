"""Python's garbage collector while a plan is written."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 10_000
"""New objects after which the young ones are looked through; Python's own 700 are those of three batches."""

_before: list[tuple[int, int, int]] = []


@contextmanager
def settled_heap() -> Iterator[None]:
    """What is in memory now is not looked through for garbage inside.

    A large district's plan and snapshot are millions of objects, none of which becomes garbage before the end: a
    quarter of the time of writing would go into finding that out again and again. May be entered by several runs at
    once; the last to leave puts everything back.
    """
    _before.append(gc.get_threshold())
    gc.freeze()
    gc.set_threshold(YOUNG, *_before[0][1:])
    try:
        yield
    finally:
        outer = _before[0]
        _before.pop()
        if not _before:
            gc.set_threshold(*outer)
            gc.unfreeze()
