"""Drives the real program as an operator would: a sandbox process, command lines, the sandbox's administration."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import contracts
import httpx
import tomlkit
from warm import Warm

WARM = Warm()
COMMAND = [sys.executable, "-m", "sds_daemon"]
PROFILE = "district"
LOOKING = {("preview",), ("check",), ("explain",), ("status",), ("issues",), ("runs",), ("links",), ("reset",)}
READING_POSTS = ("/oauth2/v2.0/token", "/oauth/access_token", "/directoryObjects/getByIds", "/$batch")


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def expect(self, *codes: int) -> Finished:
        """Fail with everything the command said unless it ended with one of these codes."""
        assert self.code in codes, f"exit code {self.code}\n--- out\n{self.out[-4000:]}\n--- err\n{self.err[-4000:]}"
        assert "Traceback (most recent call last)" not in self.err, self.err
        return self


class Rig:
    """A sandbox with a ready configuration, in a folder of its own."""

    def __init__(self, folder: Path, *sandbox_options: str, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.environment = {**_clean_environment(), **(environment or {})}
        self._options = sandbox_options
        self._process: subprocess.Popen[str] | None = None
        self._spawned: list[subprocess.Popen[str]] = []
        self.ready: dict[str, Any] = {}

    def start(self) -> Rig:
        """Start the sandbox and wait for its ready line."""
        self._process = subprocess.Popen(
            [*COMMAND, "sandbox", "--watch-parent", "--config-out", str(self.config), *self._options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.folder,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            raise AssertionError(f"the sandbox did not start: {self._process.stderr.read()}")
        self.ready = json.loads(line)
        self._http = httpx.Client(base_url=self.ready["admin"], timeout=60)
        return self

    def stop(self) -> None:
        """Stop the sandbox, which must leave within seconds; what Graph was asked must have kept to the contract."""
        if self._process is not None:
            log = self.get("requests", side="graph") if self._process.poll() is None else None
            self._http.close()
            self._process.send_signal(signal.SIGTERM)
            self._process.communicate(timeout=20)
            self._process = None
            if log is not None:
                assert log["dropped"] == 0 or "--log-limit" in self._options
                assert contracts.hold(log["requests"]) == []

    def __enter__(self) -> Rig:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # The operator's side

    def run(self, *arguments: str, timeout: float = 110, environment: dict[str, str] | None = None) -> Finished:
        """Run `sds-daemon --config CONFIG ARGUMENTS` to its end. One that only looks must send nothing that writes."""
        mark = self.request_mark() if arguments[:1] in LOOKING and self._is_alone() else None
        code, out, err = WARM.run(
            ["--config", str(self.config), *arguments],
            {**self.environment, **(environment or {})},
            self.folder,
            timeout,
        )
        if mark is not None and self._is_alone():
            leaks = self.leaks_since(mark)
            assert not leaks, f"{arguments} sent what may write: {leaks}"
        return Finished(code, out, err)

    def _is_alone(self) -> bool:
        """Whether the sandbox is up, and nothing that `spawn` started talks to it as well."""
        up = self._process is not None and self._process.poll() is None
        return up and all(process.poll() is not None for process in self._spawned)

    def leaks_since(self, mark: int) -> list[str]:
        """Requests since a mark, to either side, that a look may not send. Items of batches have rows of their own."""
        rows = self.get("requests", since=mark, limit=1_000_000)["requests"]
        return [f"{row['method']} {row['path']}" for row in rows if not _only_reads(row["method"], row["path"])]

    def sync(self, *arguments: str, profile: str = PROFILE, codes: tuple[int, ...] = (0, 1)) -> dict[str, Any]:
        """One cycle; its --json object."""
        result: dict[str, Any] = self.run("sync", profile, "--json", *arguments).expect(*codes).json
        return result

    def preview(self, profile: str = PROFILE) -> dict[str, Any]:
        """The plan as --json."""
        result: dict[str, Any] = self.run("preview", profile, "--json").expect(0).json
        return result

    def spawn(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        process = subprocess.Popen(
            [*COMMAND, "--config", str(self.config), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.folder,
        )
        self._spawned.append(process)
        return process

    def edit(self, table: str, **values: Any) -> None:
        """Set keys of a table such as "profiles.district.students"; None removes a key."""
        document = tomlkit.parse(self.config.read_text())
        place: Any = document
        for name in table.split("."):
            if name not in place:
                place[name] = tomlkit.table()
            place = place[name]
        for key, value in values.items():
            if value is None:
                place.pop(key, None)
            else:
                place[key] = value
        self.config.write_text(tomlkit.dumps(document))

    def forget_state(self) -> None:
        """Delete the state database, as a lost disk would."""
        database = tomlkit.parse(self.config.read_text()).unwrap()["daemon"]["database"]
        for path in Path(database).parent.glob(Path(database).name + "*"):
            path.unlink()

    # The sandbox's administration

    def get(self, path: str, **query: Any) -> Any:
        """GET below /_sandbox/."""
        answer = self._http.get(f"/_sandbox/{path}", params=query)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def post(self, path: str, body: Any) -> Any:
        """POST below /_sandbox/."""
        answer = self._http.post(f"/_sandbox/{path}", json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def delete(self, path: str) -> None:
        """DELETE below /_sandbox/."""
        answer = self._http.delete(f"/_sandbox/{path}")
        assert answer.status_code < 300, answer.text

    def change_school(self, *operations: dict[str, Any]) -> list[dict[str, Any]]:
        """Change the district in PowerSchool."""
        results: list[dict[str, Any]] = self.post("powerschool/change", list(operations))["results"]
        return results

    def change_directory(self, *operations: dict[str, Any]) -> Any:
        """Change the directory by hand, as an administrator or teacher would."""
        return self.post("entra/change", list(operations))

    def district(self) -> Any:
        """All tables of the PowerSchool side."""
        return self.get("powerschool/state")

    def directory(self) -> Directory:
        """The complete state of the directory."""
        return Directory(self.get("entra/state"))

    def request_mark(self) -> int:
        """A mark for `writes_since`: what arrives from now on, even while earlier requests still wait for answers."""
        return int(self.get("requests", limit=1, since=10**9)["last"])

    def writes_since(self, mark: int) -> list[dict[str, Any]]:
        """Requests to Graph since a mark that could have changed something ($batch posts themselves left out)."""
        rows = self.get("requests", side="graph", since=mark, limit=1_000_000)["requests"]
        return [
            row
            for row in rows
            if row["method"] != "GET" and not row["path"].endswith(("/$batch", "/directoryObjects/getByIds"))
        ]


def _only_reads(method: str, path: str) -> bool:
    if method == "GET":
        return True
    return method == "POST" and (path.endswith(READING_POSTS) or path.startswith("/ws/schema/query/"))


class Directory:
    """The sandbox's directory state, with the look-ups tests need."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        self.users = {user["id"]: user for user in state["users"]}
        self.groups = {group["id"]: group for group in state["groups"]}
        self.schools = {school["id"]: school for school in state["schools"]}

    def user(self, upn: str) -> dict[str, Any]:
        """The living user with a sign-in name."""
        found = [u for u in self.users.values() if u["userPrincipalName"].lower() == upn.lower() and not u["deleted"]]
        assert len(found) == 1, f"{len(found)} users are called {upn}"
        return found[0]

    def user_of(self, kind: str, sis_id: str) -> dict[str, Any] | None:
        """The user carrying the anchor of a student or teacher."""
        found = [
            u
            for u in self.users.values()
            if (u.get("education") or {}).get("primaryRole") == kind
            and ((u["education"].get(kind) or {}).get("externalId")) == sis_id
        ]
        assert len(found) <= 1, f"{len(found)} users carry {kind} {sis_id}"
        return found[0] if found else None

    def class_of(self, section: str) -> dict[str, Any] | None:
        """The class group of a section."""
        found = [g for g in self.groups.values() if g.get("externalId") == section and not g["deleted"]]
        assert len(found) <= 1, f"{len(found)} groups for section {section}"
        return found[0] if found else None

    def comparable(self) -> dict[str, Any]:
        """The whole state without what two equal runs may differ in: object ids, dates, passwords."""
        names = {i: f"user:{u['userPrincipalName']}" for i, u in self.users.items()}
        names |= {i: f"group:{g['mailNickname']}" for i, g in self.groups.items()}
        names |= {i: f"school:{s['externalId'] or s['displayName']}" for i, s in self.schools.items()}
        return _renamed(self.state, names)


_VOLATILE = {"id", "createdDateTime", "deletedDateTime", "request-id", "time", "lastPasswordChangeDateTime"}


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        items = [_renamed(item, names) for item in value]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    return names.get(value, value) if isinstance(value, str) else value


def wait_until(condition: Any, seconds: float = 30, step: float = 0.1) -> None:
    """Poll until a condition holds; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(step)


def _clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("SDS_DAEMON_")}
