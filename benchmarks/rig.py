"""A sandbox and the real program as processes of their own, with what each of them used of the machine.

Time is compressed, not the quota: `scale` sandbox seconds pass in a real one, and the tenant grants its published 3,000
writes in 150 / scale real seconds. So bucket, batches and work keep their proportions, and only the waiting is shorter.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import tomlkit

PROGRAM = (sys.executable, "-m", "sds_daemon")
ROOT = Path(__file__).parent.parent
PROFILE = "district"
QUOTA = 3000
PERIOD = 150.0
TENANT_QUOTA = 18_000
TENANT_PERIOD = 300.0
SAMPLE_SECONDS = 0.05
_TICK = os.sysconf("SC_CLK_TCK")
_MB = 1024.0


@dataclass(frozen=True)
class Sample:
    """One look at a process: Unix time, CPU seconds so far (user and system), resident MB."""

    at: float
    cpu: float
    resident: float


@dataclass
class Usage:
    """What a process used: exit code, what it printed, wall and CPU seconds, peak resident MB, and looks at it."""

    code: int
    out: str
    err: str
    wall: float
    cpu: float
    peak: float
    began: float
    samples: list[Sample] = field(default_factory=list)

    def cpu_at(self, when: float) -> float:
        """CPU seconds used up to a Unix time, between two looks by proportion."""
        before = Sample(self.began, 0.0, 0.0)
        for sample in self.samples:
            if sample.at >= when:
                part = (when - before.at) / max(1e-9, sample.at - before.at)
                return before.cpu + (sample.cpu - before.cpu) * max(0.0, part)
            before = sample
        return self.cpu

    def resident_at(self, when: float) -> float:
        """Resident MB at the first look from a Unix time on, else at the last."""
        found = next((sample for sample in self.samples if sample.at >= when), None)
        found = found or (self.samples[-1] if self.samples else Sample(when, 0.0, 0.0))
        return found.resident


class Watched:
    """A process that is looked at twenty times a second until it ends."""

    def __init__(self, *command: str, folder: Path) -> None:
        self._out, self._err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115 - read later
        self.began = time.time()
        self._clock = time.perf_counter()
        self._process = subprocess.Popen(command, stdout=self._out, stderr=self._err, cwd=folder, env=environment())
        self.pid = self._process.pid
        self.samples: list[Sample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            sample = look(self.pid)
            if sample is not None:
                self.samples.append(sample)

    def running(self) -> bool:
        """Whether it has not ended (it is not reaped here)."""
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found is None

    def stop(self) -> Usage:
        """SIGTERM, then its usage."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def wait(self) -> Usage:
        """Its usage, when it has ended by itself."""
        _, status, used = os.wait4(self.pid, 0)
        wall = time.perf_counter() - self._clock
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._ended.set()
        self._thread.join()
        texts = []
        for stream in (self._out, self._err):
            stream.seek(0)
            texts.append(stream.read())
            stream.close()
        return Usage(
            self._process.returncode, texts[0], texts[1], wall, used.ru_utime + used.ru_stime,
            used.ru_maxrss / _MB, self.began, self.samples,
        )  # fmt: skip


def look(pid: int) -> Sample | None:
    """One look at a process, None where it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    fields = text.rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / _TICK
    return Sample(time.time(), cpu, pages * os.sysconf("SC_PAGE_SIZE") / _MB / _MB)


def environment() -> dict[str, str]:
    """The environment without settings of the program itself."""
    return {key: value for key, value in os.environ.items() if not key.startswith("SDS_DAEMON_")}


@dataclass(frozen=True)
class Setting:
    """What a sandbox is started with.

    `cost_model`: "one" or "thirds" (ceil(k/3) writes for k members at once). `log`: rows kept of the request log.
    """

    students: int = 1000
    scale: float = 20.0
    cost_model: str = "one"
    counted: bool = False
    users: str = "create"
    district: Path | None = None
    lag: float = 5.0
    log: int = 0

    def arguments(self) -> list[str]:
        """As options of `sds-daemon sandbox`. The compressed quota is what a scaled period of `--time-scale` makes of
        these numbers: the sandbox widens buckets by the scale, so they are told narrower."""
        words = [
            "--students", str(self.students), "--time-scale", str(self.scale), "--cost-model", self.cost_model,
            "--education-counted" if self.counted else "--no-education-counted", "--users", self.users,
            "--lag", str(self.lag), "--log-limit", str(self.log), "--watch-parent",
        ]  # fmt: skip
        if self.district is not None:
            words += ["--district", f"csv:{self.district}"]
        entra = {
            "write_quota": QUOTA / self.scale,
            "write_period": PERIOD / self.scale,
            "tenant_write_quota": TENANT_QUOTA / self.scale,
            "tenant_write_period": TENANT_PERIOD / self.scale,
        }
        for name, value in entra.items():
            words += ["--entra", f"{name}={value}"]
        return words

    @property
    def rate(self) -> float:
        """Writes the quota grants in a real second."""
        return QUOTA / PERIOD * self.scale


class Rig:
    """A sandbox with a fitting configuration in a temporary folder, and commands run against it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._temporary = tempfile.TemporaryDirectory(prefix="sds-bench-")
        self.folder = Path(self._temporary.name)
        self.config = self.folder / "config.toml"
        self.ready: dict[str, Any] = {}

    def __enter__(self) -> Rig:
        command = [*PROGRAM, "sandbox", "--config-out", str(self.config), *self.setting.arguments()]
        self._sandbox = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=self.folder, env=environment())
        assert self._sandbox.stdout is not None
        line = self._sandbox.stdout.readline()
        if not line:
            raise SystemExit("the sandbox did not start; its reason stands above")
        self.ready = json.loads(line)
        self._http = httpx.Client(base_url=self.ready["admin"], timeout=600, trust_env=False)
        self.edit("tenants.contoso", write_quota=QUOTA, write_period=PERIOD / self.setting.scale)
        self.edit("daemon", log_level="WARNING")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._sandbox.send_signal(signal.SIGTERM)
        self._sandbox.communicate(timeout=60)
        self._temporary.cleanup()

    # The program

    def start(self, *arguments: str) -> Watched:
        """Start a command of the program."""
        return Watched(*PROGRAM, "--config", str(self.config), *arguments, folder=self.folder)

    def run(self, *arguments: str, codes: tuple[int, ...] = (0, 1)) -> Usage:
        """Run a command to its end; SystemExit with what it said where it ends with another code."""
        usage = self.start(*arguments).wait()
        if usage.code not in codes:
            raise SystemExit(f"{arguments} ended with {usage.code}:\n{usage.out[-2000:]}\n{usage.err[-4000:]}")
        return usage

    def sync(self) -> tuple[Usage, dict[str, Any]]:
        """One cycle; what it used, and its --json object."""
        usage = self.run("sync", PROFILE, "--json")
        summary: dict[str, Any] = json.loads(usage.out)
        return usage, summary

    def edit(self, table: str, **values: Any) -> None:
        """Set keys of a table such as "profiles.district"; None removes a key."""
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

    # The sandbox

    def sandbox_usage(self) -> Sample:
        """CPU and memory of the sandbox so far."""
        sample = look(self._sandbox.pid)
        assert sample is not None
        return sample

    def get(self, path: str) -> Any:
        """GET below the sandbox's administration."""
        answer = self._http.get(f"/_sandbox/{path}")
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: Any) -> Any:
        """POST below the sandbox's administration."""
        answer = self._http.post(f"/_sandbox/{path}", json=body)
        answer.raise_for_status()
        return answer.json()

    def mark(self) -> int:
        """The number of the newest request so far."""
        return int(self.get("requests?limit=1&since=1000000000000")["last"])

    def requests(self, side: str, since: int) -> list[dict[str, Any]]:
        """The requests to a side, "graph" or "powerschool", since a mark."""
        rows: list[dict[str, Any]] = self.get(f"requests?side={side}&since={since}")["requests"]
        return rows

    def statistics(self) -> dict[str, Any]:
        """The counters of the tenant's quota."""
        counters: dict[str, Any] = self.get("entra/statistics")
        return counters

    def fresh(self) -> None:
        """Full buckets, counters at nought."""
        self.post("entra/settings", {"refill": True})
        self._http.delete("/_sandbox/entra/statistics").raise_for_status()
