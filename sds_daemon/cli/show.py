"""The scenes of the demo. Every step is the real command in a process of its own, over real sockets."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import httpx

from sds_daemon.errors import SdsError, UsageError

PROFILE = "district"
PROGRAM = (sys.executable, "-m", "sds_daemon")
STOP_SECONDS = 10
TIME_SCALE = "20"  # quotas and replication lag run so much faster than the real ones


class Show:
    """A sandbox in a temporary folder, and the commands played against it."""

    def __init__(self, sandbox_arguments: Sequence[str], *, keep: bool = False, state_out: str | None = None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sds-daemon-demo-"))
        self._arguments = list(sandbox_arguments)
        self._keeping = keep
        self._state_out = state_out
        self._config = self._folder / "config.toml"
        self._sandbox: subprocess.Popen[str] | None = None
        self._ready: dict[str, Any] = {}
        self._kept = False

    def play(self) -> None:
        """All scenes in their order. Raises SdsError when a command does not end as it should."""
        self._title("a school district and a Microsoft 365 tenant, both pretend, on this machine")
        self._open()
        self._title("can both sides be reached, and is everything granted?")
        self._command("check", PROFILE)
        self._title("what would the first sync do? (a preview cannot write)")
        self._command("preview", PROFILE)
        self._title("the first sync")
        self._command("sync", PROFILE)
        before = self._state()
        self._say_counts(before)
        self._title("a school day in PowerSchool")
        self._school_day()
        self._title("what would the next sync do?")
        self._command("preview", PROFILE)
        self._title("the second sync")
        self._command("sync", PROFILE)
        after = self._state()
        self._say_counts(after)
        self._title("what could not be synced, and why")
        self._command("issues", "list", PROFILE)
        self._closing(after)

    def keep(self) -> None:
        """Leave the sandbox running and say how to use it."""
        self._kept = True
        pid = self._sandbox.pid if self._sandbox is not None else 0
        click.echo(f"\nThe pretend servers go on. Configuration: {self._config}")
        click.echo(f"  sds-daemon --config {self._config} status")
        click.echo(f"  sds-daemon --config {self._config} sync {PROFILE}")
        click.echo(f"  sds-daemon --config {self._config} run")
        click.echo(f"  curl {self._ready['admin']}/_sandbox/entra/state")
        click.echo(f"Stop them and remove everything: kill {pid}; rm -r {self._folder}")

    def clean_up(self) -> None:
        """Stop the sandbox and remove the folder, unless it is to be kept."""
        if self._kept:
            return
        if self._sandbox is not None:
            self._sandbox.send_signal(signal.SIGTERM)
            try:
                self._sandbox.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._sandbox.kill()
                self._sandbox.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _open(self) -> None:
        stay = [] if self._keeping else ["--watch-parent"]
        options = ["--config-out", str(self._config), "--time-scale", TIME_SCALE, *stay, *self._arguments]
        command = [*PROGRAM, "sandbox", *options]
        log = (self._folder / "sandbox.log").open("w")
        self._sandbox = subprocess.Popen(  # noqa: S603 - our own program
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=_environment(), start_new_session=True
        )
        assert self._sandbox.stdout is not None
        line = self._sandbox.stdout.readline()
        log.close()
        if not line:
            reason = (self._folder / "sandbox.log").read_text().strip() or "it said nothing"
            raise UsageError(f"the sandbox did not start: {reason}", remedy="see sds-daemon sandbox --help")
        self._ready = json.loads(line)
        click.echo(f"PowerSchool {self._ready['powerschool']}, Microsoft Graph {self._ready['graph']}")
        click.echo(f"configuration: {self._config}")

    def _command(self, *arguments: str) -> None:
        """Run a command as typed; issues (exit code 1) are part of the show."""
        click.secho(f"$ sds-daemon {' '.join(arguments)}", bold=True)
        done = subprocess.run(  # noqa: S603 - our own program
            [*PROGRAM, "--config", str(self._config), *arguments], env=_environment(), check=False
        )
        if done.returncode not in {0, 1}:
            raise SdsError(
                f"sds-daemon {' '.join(arguments)} ended with exit code {done.returncode}",
                remedy="the lines above say why",
            )

    def _admin(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self._ready['admin']}/_sandbox/{path}"
        answer = httpx.request(method, url, json=body, timeout=60, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = self._admin("GET", "entra/state")
        return state

    def _school_day(self) -> None:
        day = self._admin("GET", "powerschool/school-day")
        for operation in day["operations"]:
            click.echo(f"  · {operation['note']}")
        self._admin("POST", "powerschool/change", day["operations"])

    def _say_counts(self, state: dict[str, Any]) -> None:
        counts = count(state)
        click.echo(
            "in the directory now: {schools} schools, {classes} classes ({empty} without students), {users} people; "
            "{students} student memberships, {owners} owners who are also members; {members} members, "
            "{links} people linked".format(**counts)
        )

    def _closing(self, state: dict[str, Any]) -> None:
        if self._state_out is not None:
            Path(self._state_out).write_text(json.dumps(state, indent=1))
        counts = count(state)
        click.echo(
            f"\nDone: {counts['classes']} classes with {counts['members']} members for {counts['links']} people in "
            f"{counts['schools']} schools. Nobody was deleted, and no teacher was taken out of a class."
        )
        click.echo("The issues are listed by: sds-daemon issues list. Next: README, “Install for real”.")

    def _title(self, text: str) -> None:
        click.secho(f"\n== {text}", fg="cyan", bold=True)


def count(state: dict[str, Any]) -> dict[str, int]:
    """Counts of a directory state as the sandbox gives it."""
    users = {user["id"]: user for user in state["users"] if not user["deleted"]}
    classes = [group for group in state["groups"] if not group["deleted"]]
    teachers = {i for i, user in users.items() if (user.get("education") or {}).get("primaryRole") == "teacher"}
    owners = sum(len(set(group["owners"]) & set(group["members"])) for group in classes)
    members = sum(len(group["members"]) for group in classes)
    students = [len(set(group["members"]) - teachers) for group in classes]
    linked = [u for u in users.values() if (u.get("education") or {}).get("externalSource") == "sis"]
    return {
        "schools": len(state["schools"]),
        "classes": len(classes),
        "empty": students.count(0),
        "users": len(users),
        "owners": owners,
        "members": members,
        "students": sum(students),
        "links": len(linked),
    }


def _environment() -> dict[str, str]:
    """The caller's environment without settings meant for another configuration."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SDS_DAEMON_")}
