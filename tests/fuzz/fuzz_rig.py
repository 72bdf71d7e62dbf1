"""The real reader over sockets and the whole cycle behind it, against a small district that can send nonsense."""

from __future__ import annotations

import asyncio
import copy
import os
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
from hypothesis import HealthCheck, Phase, settings
from memory_directory import DOMAIN, MemoryDirectory
from ps_rig import NOW, Script, Sleeper, enrollment, section, staff, student, term
from ps_rig import settings as source_settings

from sds_daemon.clock import FixedClock
from sds_daemon.config.settings import PersonRules, Profile
from sds_daemon.errors import SdsError
from sds_daemon.sandbox.asgi import Receive, Scope, Send
from sds_daemon.sandbox.serving import Servers
from sds_daemon.sources.powerschool.source import PowerSchoolSource
from sds_daemon.store import Store
from sds_daemon.sync.cycle import run_cycle
from sds_daemon.sync.job import Job
from sds_daemon.sync.summary import RunSummary

T = TypeVar("T")
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
RULES = PersonRules(domain=DOMAIN)
PROFILE = Profile(
    name="district",
    enabled=True,
    source="ps",
    tenant="entra",
    schools="all",
    users="create",
    policy="mirror",
    keep_passwords=False,
    students=RULES,
    teachers=RULES,
)
"""`mirror` removes the most of all policies."""


def bounded(examples: int) -> settings:
    """The same few examples each time; HYPOTHESIS_PROFILE=long: a hundred times as many, new ones, made smaller."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(
        max_examples=examples * 100 if LONG else examples,
        derandomize=not LONG,
        database=None,
        deadline=None,
        phases=tuple(Phase) if LONG else (Phase.explicit, Phase.generate),
        suppress_health_check=checks,
    )


def district() -> Script:
    """Two schools. Nonsense is made of the first one, 3; what is true of the second, 4, has to go on."""
    script = Script()
    days = ("2026-08-20", "2027-06-11")
    script.tables = {
        "district/school": [
            {"id": 3, "name": "North High", "school_number": 101},
            {"id": 4, "name": "South High", "school_number": 102},
        ],
        "school/3/term": [term(10, 3, *days)],
        "school/4/term": [term(11, 4, *days)],
        "school/3/course": [{"id": 20, "course_number": "MA1", "course_name": "Algebra"}],
        "school/4/course": [{"id": 21, "course_number": "BI1", "course_name": "Biology"}],
        "school/3/section": [section(51, staff_id=67), section(52, staff_id=68, section_number=6)],
        "school/4/section": [section(53, 4, staff_id=69, course_id=21, term_id=11)],
        "school/3/staff": [staff(67, 64), staff(68, 65)],
        "school/4/staff": [staff(69, 66, 4)],
        "school/3/student": [student(number) for number in (1, 2, 3, 4)],
        "school/4/student": [student(number, 4) for number in (5, 6, 7, 8)],
        "section/51/section_enrollment": [enrollment(900 + number, number) for number in (1, 2, 3)],
        "section/52/section_enrollment": [enrollment(910 + number, number, 52) for number in (2, 3, 4)],
        "section/53/section_enrollment": [enrollment(920 + number, number, 53) for number in (5, 6, 7, 8)],
    }
    return script


def a_day_later() -> Script:
    """The same district: student 8 has left section 53, and student 9 has come."""
    script = district()
    script.tables["school/4/student"].append(student(9, 4))
    rows = script.tables["section/53/section_enrollment"]
    rows[-1] = enrollment(928, 8, 53, exit_date="2026-09-20")
    rows.append(enrollment(929, 9, 53))
    return script


class Server:
    """A PowerSchool on a socket that answers as `script` says at the moment."""

    def __init__(self) -> None:
        self.script = district()
        self.url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands the request to the script."""
        path = scope["path"] + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        answer = self.script.handle(httpx.Request(scope["method"], f"http://script{path}", content=body))
        headers = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() != b"content-length"]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})


class World:
    """One event loop, one server, and a state in which the district was synced once."""

    def __init__(
        self,
        folder: Path,
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        first: Callable[[], Script],
        later: Callable[[], Script],
        reader: str,
    ) -> None:
        self._first, self._later, self._reader = first, later, reader
        self.server = Server()
        self._folder = folder
        self._run = run
        self._servers = Servers(Path("unused"))

    def start(self) -> None:
        """Serve, and sync the undisturbed district."""

        async def serve() -> None:
            self.server.url = self._servers.add(self.server, tls=False)
            await self._servers.start()

        self._run(serve())
        self._synced = MemoryDirectory()
        with Store.open(self._folder / "first.db", FixedClock(NOW)) as store:
            summary = self._cycle(store, self._synced, self._first())
            assert isinstance(summary, RunSummary), summary
            store.backup(self._folder / "synced.db")
        with self.again() as then:
            then.cycle(self._later())
            self.expected = then.directory

    def stop(self) -> None:
        """No longer serve."""
        self._run(self._servers.stop())

    @contextmanager
    def again(self) -> Iterator[Moment]:
        """The moment after the first sync, as often as wanted."""
        copied = self._folder / "again.db"
        for left in self._folder.glob("again.db*"):
            left.unlink()
        copied.write_bytes((self._folder / "synced.db").read_bytes())
        copied.chmod(0o600)
        with Store.open(copied, FixedClock(NOW), migrate=False) as store:
            directory = self._synced.copy()
            yield Moment(lambda script: self._cycle(store, directory, script), directory)

    def _cycle(self, store: Store, directory: MemoryDirectory, script: Script) -> RunSummary | SdsError:
        async def cycle() -> RunSummary | SdsError:
            self.server.script = script
            clock = FixedClock(NOW)
            options = {"sleep": Sleeper(), "jitter": random.Random(1)}
            source = PowerSchoolSource(source_settings(self.server.url, reader=self._reader), clock, **options)
            job = Job(
                profile=PROFILE,
                source=source,
                target=directory,
                store=store,
                clock=clock,
                state_dir=self._folder,
                lag_horizon=0,
            )
            try:
                return (await run_cycle(job))[0]
            except SdsError as error:
                return error
            finally:
                await source.close()

        found: RunSummary | SdsError = self._run(cycle())
        return found


class Moment:
    """A state and a directory; `cycle` runs one against what a script says."""

    def __init__(self, cycle: Callable[[Script], RunSummary | SdsError], directory: MemoryDirectory) -> None:
        self.cycle = cycle
        self.directory = directory


@contextmanager
def running(
    folder: Path,
    first: Callable[[], Script] = district,
    later: Callable[[], Script] = a_day_later,
    reader: str = "v1",
) -> Iterator[World]:
    """A world in a loop of its own, with what the server says on the first day and on the next."""
    with asyncio.Runner() as runner:
        world = World(folder, runner.run, first, later, reader)
        try:
            world.start()
            yield world
        finally:
            world.stop()


def rows_of(script: Script, kind: str, number: int) -> tuple[str, list[Any]]:
    """The table of a kind at school 3, and its rows."""
    names = {"school": "district/school", "section_enrollment": f"section/{51 + number % 2}/section_enrollment"}
    name = names.get(kind, f"school/3/{kind}")
    return name, script.tables[name]


def copied(row: Any) -> Any:
    """A row to be changed."""
    return copy.deepcopy(row)
