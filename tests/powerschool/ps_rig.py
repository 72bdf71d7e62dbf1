"""A scripted PowerSchool for tests: a small district as plain rows, answered through httpx's mock transport.

Every path can be overridden by a fixed answer, a list of answers in turn, or a function.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from sds_daemon.clock import FixedClock
from sds_daemon.config.secrets import Secret
from sds_daemon.config.settings import SourceSettings
from sds_daemon.sources.powerschool.client import PowerSchoolClient, Session
from sds_daemon.sources.powerschool.retry import RetryRules
from sds_daemon.sources.powerschool.source import PowerSchoolSource

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
SECRET = "s3cr3t-of-the-plugin"
Answer = httpx.Response | Exception
Override = Answer | Sequence[Answer] | Callable[[httpx.Request], Answer]


def settings(url: str = "https://ps.example.org", **changes: Any) -> SourceSettings:
    values = {
        "name": "ps",
        "type": "powerschool",
        "url": url,
        "client_id": Secret("id"),
        "client_secret": Secret(SECRET),
        "reader": "v1",
    }
    return SourceSettings(**{**values, **changes})


def ok(value: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=json.dumps(value).encode(), headers={"Content-Type": "application/json"})


def listed(root: str, item: str, rows: Sequence[Any]) -> httpx.Response:
    """A page as v1 writes it: one row bare, no row as no member."""
    inner: dict[str, Any] = {"@extensions": "x"}
    if rows:
        inner[item] = rows[0] if len(rows) == 1 else list(rows)
    return ok({root: inner})


def count(number: int) -> httpx.Response:
    return ok({"resource": {"count": number}})


def error(status: int, message: str, **headers: str) -> httpx.Response:
    return httpx.Response(
        status,
        content=json.dumps({"errorMessage": {"message": message}}).encode(),
        headers={"Content-Type": "application/json", **headers},
    )


def term(number: int, school: int, start: str, end: str, *, year: int = 2026, portion: int = 1) -> dict[str, Any]:
    return {
        "id": number,
        "local_id": (year - 1990) * 100,
        "school_id": school,
        "start_year": year,
        "portion": portion,
        "start_date": start,
        "end_date": end,
        "abbreviation": "T",
        "name": f"Term {number}",
    }


def section(number: int, school: int = 3, **changes: Any) -> dict[str, Any]:
    row = {"id": number, "school_id": school, "course_id": 20, "term_id": 10, "section_number": 5, "staff_id": 67}
    return {**row, **changes}


def staff(
    number: int, person: int, school: int = 3, *, kind: int = 1, status: int = 1, **changes: Any
) -> dict[str, Any]:
    row = {
        "id": number,
        "local_id": 4711,
        "teacher_username": f"teacher{person}",
        "name": {"first_name": "Tess", "last_name": "Teach"},
        "emails": {"work_email": f"t{person}@example.org"},
        "school_affiliations": {"school_affiliation": {"school_id": school, "type": kind, "status": status}},
        "users_dcid": person,
    }
    return {**row, **changes}


def student(number: int, school: int = 3, *, status: str = "A", **changes: Any) -> dict[str, Any]:
    row = {
        "id": number,
        "local_id": 100000 + number,
        "student_username": f"pupil{number}",
        "name": {"first_name": "Pat", "last_name": "Pupil"},
        "school_enrollment": {"enroll_status": status, "grade_level": 9, "school_id": school},
        "contact_info": {"email": f"p{number}@example.org"},
        "demographics": {"birth_date": "2010-05-06", "projected_graduation_year": 2029},
    }
    return {**row, **changes}


def enrollment(number: int, student_id: int, section_id: int = 51, **changes: Any) -> dict[str, Any]:
    row = {
        "id": number,
        "section_id": section_id,
        "student_id": student_id,
        "entry_date": "2026-08-20",
        "exit_date": "2027-06-12",
        "dropped": False,
    }
    return {**row, **changes}


class Script:
    """The server. `tables` holds rows by list path below /ws/v1; `requests` every request that arrived."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.overrides: dict[str, Override] = {}
        self.token_life: Any = "2504956"
        self.tokens = 0
        self.metadata: dict[str, Any] = {
            "powerschool_version": "25.7.0.1",
            "district_timezone": "America/Los_Angeles",
            "district_uuid": "9da61059-8673-4f08-afe9-a7291fecd260",
        }
        self.tables: dict[str, list[Any]] = {
            "district/school": [{"id": 3, "name": "North High", "school_number": 101}],
            "school/3/term": [term(10, 3, "2026-08-20", "2027-06-11")],
            "school/3/course": [{"id": 20, "course_number": "MA1", "course_name": "Algebra"}],
            "school/3/section": [section(51)],
            "school/3/staff": [staff(67, 64)],
            "school/3/student": [student(1), student(2)],
            "section/51/section_enrollment": [enrollment(900, 1), enrollment(901, 2)],
        }
        self.singles: dict[str, Any] = {}

    def paths(self) -> list[str]:
        """The paths of all requests, without query."""
        return [request.url.path for request in self.requests]

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.path
        override = self.overrides.get(path)
        if override is not None:
            answer = self._overridden(path, override, request)
            if answer is not None:
                return answer
        if path.startswith("/oauth/access_token"):
            self.tokens += 1
            return ok({"access_token": f"token-{self.tokens}", "token_type": "Bearer", "expires_in": self.token_life})
        return self._v1(path.removeprefix("/ws/v1/"), request)

    def _overridden(self, path: str, override: Override, request: httpx.Request) -> httpx.Response | None:
        if callable(override):
            answer = override(request)
        elif isinstance(override, httpx.Response | Exception):
            answer = override
        else:
            answer = override[0]
            self.overrides[path] = override[1:]
            if not override[1:]:
                del self.overrides[path]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def _v1(self, path: str, request: httpx.Request) -> httpx.Response:
        if path == "metadata":
            return ok({"metadata": self.metadata})
        table, counted = path.removesuffix("/count"), path.endswith("/count")
        if table in self.tables:
            rows = self._filtered(table, request)
            if counted:
                return count(len(rows))
            page, size = int(request.url.params.get("page", 1)), int(request.url.params.get("pagesize", 100))
            item = table.rpartition("/")[2]
            root = "staffs" if item == "staff" else f"{item}s"
            return listed(root, item, rows[(page - 1) * size : page * size])
        if path in self.singles:
            return ok({path.partition("/")[0]: self.singles[path]})
        return error(404, "not found")

    def _filtered(self, table: str, request: httpx.Request) -> list[Any]:
        """Rows of the year asked for; a row that is none of any year is listed always."""
        query = request.url.params.get("q", "")
        if table.endswith("/term") and query:
            year = query.rpartition("==")[2]
            return [
                row for row in self.tables[table] if not isinstance(row, dict) or str(row.get("start_year")) == year
            ]
        return self.tables[table]


class Sleeper:
    """A sleep that takes no time and remembers."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def options(script: Script, sleeper: Sleeper | None = None, **rules: Any) -> dict[str, Any]:
    return {
        "transport": httpx.MockTransport(script.handle),
        "sleep": sleeper or Sleeper(),
        "rules": RetryRules(**rules),
        "jitter": random.Random(1),
    }


def make_source(
    script: Script, now: datetime = NOW, sleeper: Sleeper | None = None, **changes: Any
) -> PowerSchoolSource:
    return PowerSchoolSource(settings(**changes), FixedClock(now), **options(script, sleeper))


def make_client(script: Script, clock: FixedClock | None = None, sleeper: Sleeper | None = None) -> PowerSchoolClient:
    return PowerSchoolClient(settings(), clock or FixedClock(NOW), **options(script, sleeper))


def make_session(script: Script) -> Session:
    return Session(make_client(script))


def two_schools() -> Script:
    """The scripted server with a second school, that has a section of its own."""
    script = Script()
    script.tables["district/school"].append({"id": 4, "name": "South High", "school_number": 102})
    script.tables |= {
        "school/4/term": [term(11, 4, "2026-08-20", "2027-06-11")],
        "school/4/course": [],
        "school/4/section": [section(52, 4, term_id=11, staff_id=68)],
        "school/4/staff": [staff(68, 65, 4)],
        "school/4/student": [student(3, 4)],
        "section/52/section_enrollment": [enrollment(902, 3, 52)],
    }
    return script
