"""Runs commands in processes of their own that need not import everything again: a server forks one for each.

What the program does at start is the same; only the imports are there already. Tests of starting itself (test_cli,
test_daemon, test_installed, the demo) start the interpreter anew.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

MODULES = (
    "sds_daemon.assembly",
    "sds_daemon.config.load",
    "sds_daemon.sources.powerschool.source",
    "sds_daemon.targets.entra.target",
    "sds_daemon.targets.entra.requests",
    "sds_daemon.targets.entra.reading",
    "sds_daemon.targets.entra.facts",
    "azure.identity.aio",
    "msgraph.graph_request_adapter",
)


class Warm:
    """The server's client, one per test process."""

    _process: subprocess.Popen[str] | None = None

    def run(self, arguments: list[str], environment: dict[str, str], cwd: Path, timeout: float) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of a command. Raises TimeoutExpired, the command killed."""
        with tempfile.TemporaryDirectory(prefix="warm-") as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            order = {"arguments": arguments, "environment": environment, "cwd": str(cwd)}
            self._tell(order | {"out": str(out), "err": str(err)})
            pid = self._answer(30)["pid"]
            try:
                code = self._answer(timeout)["code"]
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                self._answer(10)
                raise subprocess.TimeoutExpired(arguments, timeout) from None
            return code, out.read_text(), err.read_text()

    def _tell(self, order: dict[str, Any]) -> None:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
            atexit.register(self._process.kill)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _answer(self, seconds: float) -> Any:
        assert self._process is not None and self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise TimeoutError
        line = self._process.stdout.readline()
        assert line, "the server of commands died"
        return json.loads(line)


def serve() -> None:
    """Import everything, then fork a process for each order on standard input."""
    import sds_daemon.cli

    for module in pkgutil.iter_modules(sds_daemon.cli.__path__):
        importlib.import_module(f"sds_daemon.cli.{module.name}")
    for name in MODULES:
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order)
        print(json.dumps({"pid": pid}), flush=True)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


def _become(order: dict[str, Any]) -> None:
    """Be the command, in its folder, with its environment and its output; never returns."""
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    for number, name in ((1, order["out"]), (2, order["err"])):
        target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(target, number)
        os.close(target)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    sys.argv = ["sds-daemon", *order["arguments"]]
    code = 1
    try:
        from sds_daemon.cli.main import main

        main(order["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - the end of a process: it is shown, as an interpreter would
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
