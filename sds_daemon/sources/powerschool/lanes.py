"""Work on many items with a fixed number of hands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def each(lanes: int, things: Collection[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """The results of `work` for all things, in their order, `lanes` at a time.

    The first error cancels the rest, waits until they have ended, and is raised as it is.
    """
    results: dict[int, R] = {}
    queue = iter(enumerate(things))

    async def lane(queue: Iterator[tuple[int, T]]) -> None:
        for position, thing in queue:
            results[position] = await work(thing)

    tasks = [asyncio.create_task(lane(queue)) for _ in range(min(lanes, len(things)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [results[position] for position in range(len(things))]
