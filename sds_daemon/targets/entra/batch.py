"""What goes into a $batch and what comes back."""

from __future__ import annotations

import msgspec

from sds_daemon.plan.change import Change
from sds_daemon.targets.entra.errors import GraphError


class Item(msgspec.Struct, kw_only=True, eq=False):
    """One request of a $batch.

    `url` is relative to the service root's version: "/users", "/groups/{id}/members/$ref". `objects` are the ids (or
    made-up names, such as "upn:x", before there is an id) of the directory objects the request writes: two items that
    share one are never in flight together. `needs` are ids that must be visible for it to succeed, besides `objects`;
    a 404 is lag while one of them is young (`BatchExecutor.born`). `writes` is the published cost, `adds` how many
    references a multi-add carries. `create` marks a request that must not be repeated blindly. `education` marks calls
    under /education, which may be outside the write quota. `units` is the read cost. `alone`: sent by itself, since a
    $batch takes no POST without a body.
    """

    method: str
    url: str
    body: bytes | None = None
    objects: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    writes: int = 1
    adds: int = 0
    units: int = 1
    kind: str = ""
    changes: tuple[Change, ...] = ()
    create: bool = False
    education: bool = False
    alone: bool = False


class Answer(msgspec.Struct, kw_only=True, eq=False):
    """The final answer to an item, after all repeats.

    `lost`: sent, and nothing came back that tells whether it was carried out (creates only: everything else is repeated
    first). `stopped`: not sent (any more), because the run stops or the tenant became unusable
    (`BatchExecutor.failure`). `error` is None exactly when the status is 2xx. `headers` have lower-case names.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}
    error: GraphError | None = None
    lost: bool = False
    stopped: bool = False
    attempts: int = 0

    @property
    def ok(self) -> bool:
        """Whether Graph took the request."""
        return 200 <= self.status < 300


class _Created(msgspec.Struct):
    id: str = ""


def created_id(answer: Answer) -> str:
    """The `id` in a created object's answer; "" where there is none."""
    try:
        return msgspec.json.decode(answer.body, type=_Created).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
