"""Other clients for the same sandbox, each run as a process of its own: `python -m benchmarks.clients NAME CONFIG`.

`sdk`: what a user would write with msgraph-sdk, one request at a time in 16 tasks, retries as the SDK makes them.
`paging`: all users by the SDK's typed pages. `bare`: prebuilt batches by httpx alone, the sandbox's own ceiling.
`reader`: the requests of a cycle to PowerSchool once more, every field decoded, and nothing else. Each prints one JSON
object of counts.
"""

from __future__ import annotations

import asyncio
import json
import resource
import ssl
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

TASKS = 16
TRIES = 12
WAIT = 0.25
BATCH = 20
CONNECTIONS = 8
SOURCE_CALLS = 4
"""At once: what the program allows itself."""
Job = Callable[[], Awaitable[Any]]


class Tenant:
    """Where the tenant is and what opens it, from the sandbox's configuration."""

    def __init__(self, config: Path) -> None:
        found = tomllib.loads(config.read_text())["tenants"]["contoso"]
        self.root: str = found["graph_url"] + "/v1.0"
        self._settings = found
        self._secret = Path(found["client_secret"].removeprefix("file:")).read_text()
        self.context = ssl.create_default_context(cafile=found["ca_file"])

    async def token(self) -> str:
        """A token by client secret."""
        url = f"{self._settings['authority']}/{self._settings['tenant_id']}/oauth2/v2.0/token"
        form = {
            "grant_type": "client_credentials",
            "client_id": self._settings["client_id"],
            "client_secret": self._secret,
            "scope": f"{self._settings['graph_url']}/.default",
        }
        async with httpx.AsyncClient(verify=self.context) as http:
            answer = await http.post(url, data=form)
            answer.raise_for_status()
            token: str = answer.json()["access_token"]
            return token


@asynccontextmanager
async def sdk(tenant: Tenant) -> AsyncIterator[Any]:
    """A GraphServiceClient as its documentation builds it, but for the roots of the sandbox."""
    from kiota_abstractions.authentication import (
        AccessTokenProvider,
        AllowedHostsValidator,
        BaseBearerTokenAuthenticationProvider,
    )
    from msgraph import GraphServiceClient
    from msgraph.graph_request_adapter import GraphRequestAdapter, options
    from msgraph_core import GraphClientFactory

    token = await tenant.token()

    class Fixed(AccessTokenProvider):  # type: ignore[misc]
        async def get_authorization_token(self, uri: str, context: Any = None) -> str:
            return token

        def get_allowed_hosts_validator(self) -> Any:
            return AllowedHostsValidator(["127.0.0.1"])

    async with httpx.AsyncClient(verify=tenant.context, http2=True, timeout=100) as http:
        client = GraphClientFactory.create_with_default_middleware(client=http, options=options)
        adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Fixed()), client)
        adapter.base_url = tenant.root
        yield GraphServiceClient(request_adapter=adapter)


async def spread(jobs: Iterable[Job]) -> list[Any]:
    """Carry out jobs with 16 tasks; an exception is a job's result."""
    waiting = iter(enumerate(jobs))
    results: dict[int, Any] = {}

    async def work() -> None:
        for place, job in waiting:
            results[place] = await persist(job)

    await asyncio.gather(*(work() for _ in range(TASKS)))
    return [results[place] for place in sorted(results)]


async def persist(job: Job) -> Any:
    """A job's result, or its last error.

    The SDK repeats what was throttled, but neither what came in the way of another write to the same object (409) nor
    what is not visible yet (404): its user finds that out and adds this.
    """
    for attempt in range(TRIES):
        try:
            return await job()
        except Exception as error:  # noqa: BLE001 - whatever the SDK raises is what its user gets
            if getattr(error, "response_status_code", None) not in (404, 409) or attempt == TRIES - 1:
                return error
        await asyncio.sleep(WAIT)
    return None


class OneByOne:
    """A first sync as one writes it with the SDK: stage after stage, a request for each object and each membership."""

    def __init__(self, client: Any, root: str, district: dict[str, Any]) -> None:
        self._graph = client
        self._root = root
        self._district = district
        self.lost = 0

    async def run(self) -> dict[str, Any]:
        """All stages; how many requests failed for good."""
        schools = await self._stage({row["dcid"]: self._school(row) for row in self._wanted_schools()})
        people = await self._stage({key: self._person(row) for key, row in self._people().items()})
        sections = {row["dcid"]: row for row in self._district["sections"] if row["school"] in schools}
        classes = await self._stage({key: self._class(row) for key, row in sections.items()})
        await self._stage(self._school_members(schools, people, sections, classes))
        await self._stage(self._members(people, classes, "section_teachers", "owners"))
        await self._stage(self._members(people, classes, "section_teachers", "members"))
        await self._stage(self._members(people, classes, "enrollments", "members"))
        return {"lost": self.lost}

    async def _stage(self, jobs: dict[Any, Job]) -> dict[Any, Any]:
        results = dict(zip(jobs, await spread(jobs.values()), strict=True))
        self.lost += sum(isinstance(result, Exception) for result in results.values())
        return {key: result for key, result in results.items() if not isinstance(result, Exception)}

    def _wanted_schools(self) -> list[dict[str, Any]]:
        teaching = {row["school"] for row in self._district["sections"]}
        return [row for row in self._district["schools"] if row["dcid"] in teaching]

    def _people(self) -> dict[tuple[str, int], dict[str, Any]]:
        students = {("student", row["dcid"]): row for row in self._district["students"] if row["enroll_status"] == 0}
        staff = {row["user"] for row in self._district["staff"] if row["type"] == 1 and row["status"] == 1}
        users = {("teacher", row["dcid"]): row for row in self._district["users"] if row["dcid"] in staff}
        return students | users

    def _school(self, row: dict[str, Any]) -> Job:
        from msgraph.generated.models.education_school import EducationSchool

        body = EducationSchool(display_name=row["name"], external_id=str(row["dcid"]))
        return lambda: self._made(self._graph.education.schools.post(body))

    def _person(self, row: dict[str, Any]) -> Job:
        from msgraph.generated.models.education_student import EducationStudent
        from msgraph.generated.models.education_teacher import EducationTeacher
        from msgraph.generated.models.education_user import EducationUser
        from msgraph.generated.models.education_user_role import EducationUserRole
        from msgraph.generated.models.password_profile import PasswordProfile

        teacher = "teacher_username" in row
        name = row["teacher_username" if teacher else "username"]
        body = EducationUser(
            user_principal_name=f"{name}@contoso.edu", mail_nickname=name, account_enabled=True, usage_location="US",
            display_name=f"{row['first_name']} {row['last_name']}", given_name=row["first_name"],
            surname=row["last_name"], password_profile=PasswordProfile(password="Sunny-Day-4711"),
        )  # fmt: skip
        body.primary_role = EducationUserRole.Teacher if teacher else EducationUserRole.Student
        if teacher:
            body.teacher = EducationTeacher(external_id=str(row["dcid"]), teacher_number=row["teacher_number"])
        else:
            body.student = EducationStudent(external_id=str(row["dcid"]), student_number=row["number"])
        return lambda: self._made(self._graph.education.users.post(body))

    def _class(self, row: dict[str, Any]) -> Job:
        from msgraph.generated.models.education_class import EducationClass

        body = EducationClass(
            display_name=f"Class {row['number']}", mail_nickname=f"Section_{row['dcid']}", external_id=str(row["dcid"]),
            description="A class",
        )  # fmt: skip
        return lambda: self._made(self._graph.education.classes.post(body))

    async def _made(self, request: Awaitable[Any]) -> str:
        return str((await request).id)

    def _school_members(self, schools: Any, people: Any, sections: Any, classes: Any) -> dict[Any, Job]:
        homes = {row["user"]: row["school"] for row in self._district["staff"]}
        homes = {("teacher", user): school for user, school in homes.items()}
        homes |= {("student", row["dcid"]): row["school"] for row in self._district["students"]}
        jobs: dict[Any, Job] = {}
        for key, user in people.items():
            if homes.get(key) in schools:
                builder = self._graph.education.schools.by_education_school_id(schools[homes[key]]).users.ref
                jobs["user", key] = self._reference(builder, f"education/users/{user}")
        for key, made in classes.items():
            builder = self._graph.education.schools.by_education_school_id(schools[sections[key]["school"]]).classes.ref
            jobs["class", key] = self._reference(builder, f"education/classes/{made}")
        return jobs

    def _members(self, people: Any, classes: Any, table: str, relation: str) -> dict[Any, Job]:
        """One class after the other in turn, so that the tasks seldom write to one class at once."""
        users = {row["dcid"]: ("teacher", row["user"]) for row in self._district["staff"]}
        wanted: dict[str, dict[str, Job]] = {}
        for row in self._district[table]:
            key = users.get(row["staff"]) if table == "section_teachers" else ("student", row["student"])
            group, person = classes.get(row["section"]), people.get(key)
            if group and person and self._lasts(row):
                builder = getattr(self._graph.groups.by_group_id(group), relation).ref
                wanted.setdefault(group, {})[person] = self._reference(builder, f"users/{person}")
        turns = [(turn, group, person) for group, jobs in wanted.items() for turn, person in enumerate(jobs)]
        return {(group, person): wanted[group][person] for _, group, person in sorted(turns, key=lambda each: each[0])}

    def _lasts(self, row: dict[str, Any]) -> bool:
        end = row.get("exit_date") or row["end_date"]
        return not row.get("dropped") and str(end) > time.strftime("%Y-%m-%d")

    def _reference(self, builder: Any, path: str) -> Job:
        from msgraph.generated.models.reference_create import ReferenceCreate

        body = ReferenceCreate(odata_id=f"{self._root}/{path}")
        return lambda: builder.post(body)


async def one_by_one(tenant: Tenant, district: dict[str, Any]) -> dict[str, Any]:
    """The whole first sync of the district, as the sandbox tells it."""
    async with sdk(tenant) as client:
        return await OneByOne(client, tenant.root, district).run()


async def paging(tenant: Tenant) -> dict[str, Any]:
    """All users, typed, 999 a page."""
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from msgraph.generated.users.users_request_builder import UsersRequestBuilder

    parameters = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(
        select=["id", "userPrincipalName", "mail", "mailNickname", "displayName", "givenName", "surname"], top=999
    )
    async with sdk(tenant) as client:
        cpu, wall = time.process_time(), time.perf_counter()
        page = await client.users.get(request_configuration=RequestConfiguration(query_parameters=parameters))
        users = len(page.value)
        while page.odata_next_link:
            page = await client.users.with_url(page.odata_next_link).get()
            users += len(page.value)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"users": users, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "peak": peak}


async def bare(tenant: Tenant, batches: int) -> dict[str, Any]:
    """Batches of new users, then of changes to them, made beforehand and posted over 8 connections: items a second."""
    headers = {"authorization": f"Bearer {await tenant.token()}", "content-type": "application/json"}
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(verify=tenant.context, headers=headers, limits=limits, timeout=100) as http:
        made = await _posted(http, tenant, [_new_users(number) for number in range(batches)])
        ids = [answer["body"]["id"] for answers in made["answers"] for answer in answers]
        chunks = [ids[first : first + BATCH] for first in range(0, len(ids), BATCH)]
        changed = await _posted(http, tenant, [_changes(chunk) for chunk in chunks])
    return {"creates": made["rate"], "updates": changed["rate"], "items": 2 * BATCH * batches}


class Source:
    """The school's server, from the sandbox's configuration."""

    def __init__(self, config: Path) -> None:
        found = tomllib.loads(config.read_text())["sources"]["powerschool"]
        self.url: str = found["url"]
        self.login = (found["client_id"], Path(found["client_secret"].removeprefix("file:")).read_text())
        self.context = ssl.create_default_context(cafile=found["ca_file"])


class Reader:
    """Asks what it is given, four at a time, and decodes the answers with msgspec: rows into structs of text."""

    def __init__(self, source: Source, requests: list[dict[str, Any]]) -> None:
        self._source = source
        self._requests = requests
        self._decoders: dict[int, msgspec.json.Decoder[Any]] = {}
        self._rows = 0

    async def run(self, rounds: int) -> dict[str, Any]:
        """CPU and wall seconds of each round after the first, in which columns are learned."""
        async with httpx.AsyncClient(verify=self._source.context, base_url=self._source.url, timeout=600) as http:
            form = {"grant_type": "client_credentials"}
            answer = await http.post("/oauth/access_token", data=form, auth=self._source.login)
            http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
            http.headers["accept"] = "application/json"
            figures = [await self._round(http) for _ in range(rounds + 1)][1:]
        return {"cpu": [cpu for cpu, _ in figures], "wall": [wall for _, wall in figures], "rows": self._rows}

    async def _round(self, http: httpx.AsyncClient) -> tuple[float, float]:
        self._rows, waiting = 0, iter(enumerate(self._requests))
        cpu, wall = time.process_time(), time.perf_counter()

        async def work() -> None:
            for place, row in waiting:
                self._decode(place, (await http.send(self._request(http, row))).raise_for_status().content)

        await asyncio.gather(*(work() for _ in range(SOURCE_CALLS)))
        return time.process_time() - cpu, time.perf_counter() - wall

    def _request(self, http: httpx.AsyncClient, row: dict[str, Any]) -> httpx.Request:
        url = row["path"] + (f"?{row['query']}" if row["query"] else "")
        return http.build_request(row["method"], url, json=row["body"] if row["method"] == "POST" else None)

    def _decode(self, place: int, content: bytes) -> None:
        decoder = self._decoders.get(place)
        if decoder is None:
            decoder = self._decoders[place] = _typed(msgspec.json.decode(content))
        found = decoder.decode(content)
        self._rows += len(found.record) if hasattr(found, "record") else 0


def _typed(sample: Any) -> msgspec.json.Decoder[Any]:
    """A decoder for answers like this one: `record` as structs of its columns, else whatever it holds."""
    rows = sample.get("record") if isinstance(sample, dict) else None
    if not isinstance(rows, list):
        return msgspec.json.Decoder()
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            kinds.setdefault(name, set()).add(type(value))
    row = msgspec.defstruct("Row", [_field(name, of) for name, of in kinds.items()], gc=False)
    return msgspec.json.Decoder(msgspec.defstruct("Answer", [("record", list[row], [])]))  # type: ignore[valid-type]


def _field(name: str, kinds: set[type]) -> tuple[str, Any, Any]:
    """A column that may be absent, of the one type all its values have."""
    kind = kinds.pop() if len(kinds) == 1 else Any
    return name, kind | None if kind in (str, int) else Any, None


async def _posted(http: httpx.AsyncClient, tenant: Tenant, bodies: list[bytes]) -> dict[str, Any]:
    answers: list[Any] = []
    waiting = iter(bodies)

    async def work() -> None:
        for body in waiting:
            answer = await http.post(f"{tenant.root}/$batch", content=body)
            answer.raise_for_status()
            answers.append(answer.content)

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    seconds = time.perf_counter() - begun
    decoded = [json.loads(content)["responses"] for content in answers]
    failed = [answer for items in decoded for answer in items if answer["status"] >= 300]
    if failed:
        raise SystemExit(f"{len(failed)} items failed, such as {failed[0]}")
    return {"rate": len(bodies) * BATCH / seconds, "answers": decoded}


def _new_users(number: int) -> bytes:
    requests = [
        {
            "id": str(place),
            "method": "POST",
            "url": "/education/users",
            "headers": {"Content-Type": "application/json"},
            "body": {
                "userPrincipalName": f"u{number}.{place}@contoso.edu",
                "mailNickname": f"u{number}.{place}",
                "displayName": f"User {number} {place}",
                "givenName": "User",
                "surname": f"{number} {place}",
                "accountEnabled": True,
                "usageLocation": "US",
                "primaryRole": "student",
                "student": {"externalId": f"{number}{place:02d}", "studentNumber": f"{number}{place:02d}"},
                "passwordProfile": {"password": "Sunny-Day-4711", "forceChangePasswordNextSignIn": True},
            },
        }
        for place in range(BATCH)
    ]
    return json.dumps({"requests": requests}).encode()


def _changes(ids: list[str]) -> bytes:
    requests = [
        {
            "id": str(place),
            "method": "PATCH",
            "url": f"/users/{user}",
            "headers": {"Content-Type": "application/json"},
            "body": {"department": "Mathematics"},
        }
        for place, user in enumerate(ids)
    ]
    return json.dumps({"requests": requests}).encode()


def main() -> None:
    """Run the client named and print its counts."""
    name, tenant = sys.argv[1], Tenant(Path(sys.argv[2]))
    work = {
        "sdk": lambda: one_by_one(tenant, json.loads(Path(sys.argv[3]).read_text())),
        "paging": lambda: paging(tenant),
        "reader": lambda: Reader(Source(Path(sys.argv[2])), json.loads(Path(sys.argv[3]).read_text())).run(
            int(sys.argv[4])
        ),
        "bare": lambda: bare(tenant, int(sys.argv[3])),
    }
    print(json.dumps(asyncio.run(work[name]())))


if __name__ == "__main__":
    main()
