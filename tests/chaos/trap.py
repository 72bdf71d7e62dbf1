"""Runs the program with a trap at one of its seams, each command in a process of its own.

`python -m chaos.trap` imports the program once and forks for each line of JSON it reads: `arguments`, `environment`,
`folder`, `out` and `err` (files) and `trap`; it answers each with the exit code, -9 for a killed process. The trap
lives here alone; the program knows nothing of it. It has a `moment`, `hit` (which time the moment must come, 0: never),
`act` ("kill", or what becomes of the database), and `tally` (a file that gets how often each moment came, if the
process ends by itself).
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import sys
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
        self._tally = spec.get("tally")

    def ended(self) -> None:
        """The process ends by itself."""
        if self._tally:
            Path(self._tally).write_text(json.dumps(self.counts))

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
        if self._act == "limit":  # the kernel refuses to let any file of this process become larger than this one
            name = self._connections[0].execute("PRAGMA database_list").fetchone()[2]
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{name}-wal").stat().st_size, resource.RLIM_INFINITY))
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
    """Before and after what the run writes down; what goes into one transaction counts as one."""
    from sds_daemon.sync.ledger import RunLedger
    from sds_daemon.targets.entra.recorder import Recorder

    intend, settle, before_send = RunLedger.intend, RunLedger.settle, Recorder.before_send
    due: list[str] = []
    sending = [False]

    def reach() -> None:
        moments, due[:] = list(due), []
        for moment in moments:
            if moment != "between" or not trap.under_way:
                trap.reached(moment)

    def intended(ledger: RunLedger, changes: Any) -> None:
        intend(ledger, changes)
        due.append("unsent")

    def settled(ledger: RunLedger, outcomes: Any) -> None:
        trap.reached("unrecorded")
        settle(ledger, outcomes)
        due.append("between")
        if not sending[0]:
            reach()

    def before(recorder: Recorder, items: Any) -> None:
        sending[0] = True
        try:
            before_send(recorder, items)
        finally:
            sending[0] = False
        reach()

    RunLedger.intend, RunLedger.settle = intended, settled  # type: ignore[method-assign]
    Recorder.before_send = before  # type: ignore[method-assign]


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


def run(job: dict[str, Any]) -> int:
    """In the child: become the command, set the trap, run; the exit code."""
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    trap = Trap(job["trap"])
    set_network(trap)
    set_ledger(trap)
    set_database(trap)
    from sds_daemon.cli.main import main as command_line

    try:
        command_line(job["arguments"])
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        trap.ended()
        sys.stdout.flush()
        sys.stderr.flush()


def main() -> None:
    """Import what commands need, then fork for each job."""
    import alembic.command  # noqa: F401
    import msgraph.graph_request_adapter  # noqa: F401

    import sds_daemon.cli.sync
    import sds_daemon.sources.powerschool.source
    import sds_daemon.sync.ledger
    import sds_daemon.targets.entra.target  # noqa: F401

    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if not child:
            os._exit(run(job))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
