"""A sandbox process and its administration."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from sds_daemon.config.load import load
from sds_daemon.config.settings import SourceSettings

TODAY = "2026-10-01"


class Sandbox:
    """A running sandbox: its source as the configuration names it, and its administration."""

    def __init__(self, folder: Path, *options: str) -> None:
        config = folder / "config.toml"
        command = [
            sys.executable,
            "-m",
            "sds_daemon",
            "sandbox",
            "--today",
            TODAY,
            "--config-out",
            str(config),
            *options,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.ready: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.settings: SourceSettings = load(config).sources["powerschool"]
        self._admin = httpx.Client(base_url=self.ready["admin"], trust_env=False, timeout=30)

    def read_by(self, reader: str) -> SourceSettings:
        """The source with its reader pinned."""
        return self.settings.model_copy(update={"reader": reader})

    def change(self, *operations: dict[str, Any]) -> list[dict[str, Any]]:
        """Apply changes to the district; the ids they made."""
        return list(self._call("POST", "/_sandbox/powerschool/change", list(operations))["results"])

    def plugin(self, **values: Any) -> Any:
        """Change the installed plugin, or the columns the server has."""
        return self._call("POST", "/_sandbox/powerschool/plugin", values)

    def set(self, **values: Any) -> None:
        """Change the server's settings."""
        self._call("POST", "/_sandbox/powerschool/settings", values)

    def fault(self, kind: str, **values: Any) -> None:
        """Inject a fault into the PowerSchool side."""
        self._call("POST", "/_sandbox/faults", {"side": "powerschool", "kind": kind, **values})

    def heal(self) -> None:
        """Take all faults out of force."""
        self._call("DELETE", "/_sandbox/faults")

    def state(self) -> Any:
        """All tables."""
        return self._call("GET", "/_sandbox/powerschool/state")

    def requests(self) -> list[dict[str, Any]]:
        """The log of requests to the PowerSchool side."""
        answer = self._call("GET", "/_sandbox/requests?side=powerschool&limit=100000")
        return list(answer["requests"])

    def forget_requests(self) -> None:
        """Empty the log."""
        self._call("DELETE", "/_sandbox/requests")

    def stop(self) -> None:
        """End the process."""
        self._admin.close()
        self.process.terminate()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._admin.request(method, path, json=body)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None
