"""Runs the program with a trap at one of its seams: `python -m chaos.trap ARGUMENTS`, the trap in $CHAOS_TRAP.

The trap lives here alone; the program knows nothing of it. $CHAOS_TRAP is JSON: `moment`, `hit` (which time the moment
must come, 0: never), `act` ("kill", or what becomes of the database) and `tally` (a file that gets how often each
moment came, if the process ends by itself).
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

MOMENTS = ("unsent", "unanswered", "unrecorded", "between", "reading")
"""Intention stored and unsent; sent and unanswered; answered and unrecorded; between batches; while reading."""


class Trap:
    """Counts the moments and springs at the chosen one."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.counts: Counter[str] = Counter()
        self.under_way = 0
        self._moment = spec.get("moment")
        self._hit = int(spec.get("hit", 0))
        self._act = str(spec.get("act", "kill"))
        self._connections: list[sqlite3.Connection] = []
        self._broken = False
        if spec.get("tally"):
            atexit.register(lambda: Path(spec["tally"]).write_text(json.dumps(self.counts)))

    def reached(self, moment: str) -> None:
        """A moment has come."""
        self.counts[moment] += 1
        if moment == self._moment and self.counts[moment] == self._hit:
            self._spring()

    def connected(self, connection: sqlite3.Connection) -> None:
        """A connection to the database was made: what has become of the disk holds for it as well."""
        self._connections.append(connection)
        if self._broken:
            self._break(connection)

    def _spring(self) -> None:
        if self._act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._act == "limit":  # the kernel refuses every further byte, to files of this process
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            return
        self._broken = True
        for connection in self._connections:
            self._break(connection)

    def _break(self, connection: sqlite3.Connection) -> None:
        pragma = {"full": "max_page_count=1", "readonly": "query_only=ON"}[self._act]
        connection.execute(f"PRAGMA {pragma}")


def _is_write(request: httpx.Request) -> bool:
    """Whether a request is a batch that may change the directory."""
    if not request.url.path.endswith("/$batch"):
        return False
    items = json.loads(request.content)["requests"]
    return any(item["method"] != "GET" and not item["url"].endswith("getByIds") for item in items)


def set_network(trap: Trap) -> None:
    """Reading, and the instant a batch of writes has left whole, through httpx."""
    send = httpx.AsyncClient.send

    async def watched(client: httpx.AsyncClient, request: httpx.Request, **more: Any) -> httpx.Response:
        if not _is_write(request):
            if not trap.counts["unsent"]:
                trap.reached("reading")
            return await send(client, request, **more)

        async def trace(event: str, _info: object) -> None:
            if event.endswith("send_request_body.complete"):
                trap.reached("unanswered")

        request.extensions["trace"] = trace
        trap.under_way += 1
        try:
            return await send(client, request, **more)
        finally:
            trap.under_way -= 1

    httpx.AsyncClient.send = watched  # type: ignore[assignment,method-assign]


def set_ledger(trap: Trap) -> None:
    """Before and after what the run writes down."""
    from sds_daemon.sync.ledger import RunLedger

    intend, settle = RunLedger.intend, RunLedger.settle

    def intended(ledger: RunLedger, changes: Any) -> None:
        intend(ledger, changes)
        trap.reached("unsent")

    def settled(ledger: RunLedger, outcomes: Any) -> None:
        trap.reached("unrecorded")
        settle(ledger, outcomes)
        if not trap.under_way:
            trap.reached("between")

    RunLedger.intend, RunLedger.settle = intended, settled  # type: ignore[method-assign]


def set_database(trap: Trap) -> None:
    """Every connection, every statement ("statement"), and every one of a migration ("migrating")."""
    from sqlalchemy import Engine, event

    from sds_daemon.store import migrations

    upgrade, migrating = migrations.upgrade, [False]

    def upgraded(*arguments: Any, **named: Any) -> None:
        migrating[0] = True
        upgrade(*arguments, **named)
        migrating[0] = False

    def stated(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        trap.reached("statement")
        if migrating[0]:
            trap.reached("migrating")

    def connected(connection: sqlite3.Connection, _record: Any) -> None:
        trap.connected(connection)

    migrations.upgrade = upgraded
    event.listen(Engine, "after_cursor_execute", stated)
    event.listen(Engine, "connect", connected)


def main() -> None:
    """Set the trap and run the command line."""
    trap = Trap(json.loads(os.environ["CHAOS_TRAP"]))
    set_network(trap)
    set_ledger(trap)
    set_database(trap)
    from sds_daemon.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
