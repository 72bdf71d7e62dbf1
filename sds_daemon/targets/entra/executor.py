"""Sends items, 20 to a $batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from sds_daemon.errors import TargetError
from sds_daemon.targets.entra.batch import Answer, Item
from sds_daemon.targets.entra.governor import Governor, Lane
from sds_daemon.targets.entra.transport import GraphTransport


class BatchExecutor:
    """Queues items and sends them as soon as the governor allows.

    `before_send` is called synchronously with the items of a batch right before it is posted, on every repeat too: the
    place for storing intentions. `stop` is asked before every batch. `failure` is set when nothing can go on (tenant
    unreachable, credentials refused); items not yet answered are then answered `stopped`.
    """

    failure: TargetError | None

    def __init__(
        self,
        transport: GraphTransport,
        governor: Governor,
        lane: Lane,
        *,
        before_send: Callable[[Sequence[Item]], None] = lambda items: None,
        stop: Callable[[], bool] = lambda: False,
        lag_horizon: float = 900.0,
        in_flight: int = 4,
    ) -> None: ...

    def submit(self, item: Item) -> asyncio.Future[Answer]:
        """Queue an item; the future never raises (only cancels)."""
        ...

    async def send(self, item: Item) -> Answer:
        """`await submit(item)`."""
        ...

    def born(self, object_id: str, at: datetime | None = None) -> None:
        """Note that an object was made just now (or at an instant), so that 404s about it are taken for lag."""
        ...

    async def drain(self) -> None:
        """Return when nothing is queued or in flight."""
        ...

    async def close(self) -> None:
        """Answer what is queued with `stopped` and wait for what is in flight."""
        ...
