"""The client against exchanges with Graph and Entra composed from published examples."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
import vcr
from graph_kit import FakeTokens, settings

from sds_daemon.clock import FixedClock
from sds_daemon.config.secrets import Secret
from sds_daemon.errors import TargetRefused
from sds_daemon.store import Store
from sds_daemon.targets.entra import facts, wire
from sds_daemon.targets.entra.auth import EntraTokens
from sds_daemon.targets.entra.batch import Answer, Item, created_id
from sds_daemon.targets.entra.clouds import cloud_of
from sds_daemon.targets.entra.errors import Problem
from sds_daemon.targets.entra.executor import BatchExecutor
from sds_daemon.targets.entra.facts import Education
from sds_daemon.targets.entra.governor import Governor, Lane
from sds_daemon.targets.entra.outcomes import verdict_of
from sds_daemon.targets.entra.reading import Reading
from sds_daemon.targets.entra.transport import GraphTransport

CASSETTES = Path(__file__).parents[2] / "cassettes" / "composed" / "entra"
NAMES = sorted(path.stem for path in CASSETTES.glob("*.yaml"))
APP = "0f6c3b1e-52a7-4f0b-8d1a-6f0d2c9a7e44"
STUDENT_SKU = "314c4481-f395-4525-be8b-2ec4bb1e9d91"


def _same_link(first: Any, second: Any) -> None:
    """The same query but for $select: what answers look like does not hang on it."""
    left, right = ([pair for pair in request.query if pair[0] != "$select"] for request in (first, second))
    assert left == right


def _same_document(first: Any, second: Any) -> None:
    assert _document(first.body) == _document(second.body)


def _document(body: Any) -> Any:
    """A form as aiohttp is given it or as text, or JSON."""
    if isinstance(body, dict) or not body:
        return body or {}
    text = body.decode() if isinstance(body, bytes) else str(body)
    return json.loads(text) if text.startswith("{") else dict(parse_qsl(text))


player = vcr.VCR(
    cassette_library_dir=str(CASSETTES),
    record_mode="none",
    match_on=["method", "scheme", "host", "port", "path", "link", "document"],
)
player.register_matcher("link", _same_link)
player.register_matcher("document", _same_document)


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The cassette named by the test's marker; every exchange in it must be used."""
    with player.use_cassette(f"{request.param}.yaml") as tape:
        yield tape
        assert tape.all_played, f"{request.param}: exchanges left over"


def plays(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("cassette", [name], indirect=True)


class Graph(GraphTransport):
    """A transport to the global cloud that notes its pauses instead of making them."""

    def __init__(self, *roles: str) -> None:
        self.pauses: list[float] = []
        tokens = FakeTokens()
        if roles:
            claims = base64.urlsafe_b64encode(json.dumps({"roles": roles}).encode()).decode().rstrip("=")
            tokens.token = lambda: asyncio.sleep(0, f"e30.{claims}.x")  # type: ignore[method-assign]
        clock = FixedClock(datetime(2026, 9, 1, tzinfo=UTC))
        super().__init__(settings(client_id=APP), clock, tokens=tokens, sleep=self._note)

    async def _note(self, seconds: float) -> None:
        self.pauses.append(seconds)


async def answers(items: Sequence[Item]) -> list[Answer]:
    """Final answers to items that leave as one batch."""
    graph = Graph()
    executor = BatchExecutor(graph, Governor(3000), Lane("x"), lag_horizon=0.9)
    try:
        return list(await asyncio.gather(*[executor.submit(item) for item in items]))
    finally:
        await executor.close()
        await graph.close()


def item(method: str, url: str, body: Any = None, **more: Any) -> Item:
    content = None if body is None else msgspec.json.encode(body)
    return Item(method=method, url=url, body=content, objects=frozenset({url + str(body)}), **more)


def user(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def group(number: int) -> str:
    return f"00000000-0000-4000-8000-0000000000a{number}"


def tokens() -> EntraTokens:
    chosen = settings(client_id=APP, client_secret=Secret("not-a-secret"))
    return EntraTokens(chosen, cloud_of(chosen))


@plays("token")
async def test_a_token_is_asked_for_once_and_kept(cassette: Any) -> None:
    authority = tokens()
    assert [await authority.token(), await authority.token()] == ["a-token", "a-token"]
    await authority.close()


@plays("token_refused")
async def test_a_wrong_secret_is_explained_and_not_quoted(cassette: Any) -> None:
    authority = tokens()
    with pytest.raises(TargetRefused, match="AADSTS7000215") as raised:
        await authority.token()
    assert "not-a-secret" not in str(raised.value)
    assert "Trace ID" not in str(raised.value)
    await authority.close()


@plays("preflight")
async def test_preflight(cassette: Any) -> None:
    graph = Graph("User.ReadWrite.All", "Group.ReadWrite.All", "Member.Read.Hidden", "Organization.Read.All")
    found = await facts.gather(graph)
    assert (found.display_name, found.education, found.class_api) == ("Contoso School District", True, "education")
    assert (found.domains, found.default_domain) == (("contoso.onmicrosoft.com", "contoso.edu"), "contoso.edu")
    assert found.missing_permissions == ("EduRoster.ReadWrite.All",)
    skus = {sku.part_number: (sku.seats, sku.seats_free, sku.enabled) for sku in found.skus.values()}
    assert skus == {"STANDARDWOFFPACK_STUDENT": (25, 11, True), "STANDARDWOFFPACK_FACULTY": (0, 0, False)}
    assert not found.on_premises_sync
    await graph.close()


@plays("preflight_other_tenant")
async def test_tenants_without_the_education_api(cassette: Any) -> None:
    graph = Graph()
    assert await facts.probe_education(graph) is Education.NO_LICENCE
    assert await facts.probe_education(graph) is Education.NOT_IN_CLOUD
    await graph.close()


@plays("throttled")
async def test_a_fraction_of_a_second_is_waited_out(cassette: Any) -> None:
    graph = Graph()
    assert len((await graph.get("/subscribedSkus", wire.SKUS)).value) == 2
    assert graph.pauses == [2.128]
    assert (graph.counts.reads, graph.counts.refused) == (2, 1)
    await graph.close()


@plays("delta")
async def test_delta_pages_and_a_delta_link_that_is_refused(cassette: Any, tmp_path: Path) -> None:
    graph = Graph()
    with Store.open(tmp_path / "state.db", graph.clock) as store:
        cache = store.directory(graph.settings.tenant_id)
        assert (await Reading(graph, cache, education=False).refresh()).full == ("groups", "users")
        present = cache.users_by("userPrincipalName", ["adele.vance@contoso.edu", "alex@contoso.edu"])
        assert present["adele.vance@contoso.edu"][0].id == user(1)
        assert "alex@contoso.edu" not in present or not present["alex@contoso.edu"]
        assert cache.groups_by_alias(["section_1"])["section_1"].id == group(1)
        assert (cache.count("user"), cache.count("group"), cache.count("school")) == (2, 1, 1)
        assert (await Reading(graph, cache, education=False).refresh()).full == ("users",)
        assert (cache.count("user"), cache.count("group"), cache.count("school")) == (1, 1, 1)
    await graph.close()


def create(name: str) -> Item:
    profile = {"forceChangePasswordNextSignIn": True, "password": "not-a-password"}
    body = {
        "accountEnabled": True,
        "displayName": "Adele Vance",
        "mailNickname": name,
        "passwordProfile": profile,
        "userPrincipalName": f"{name}@contoso.edu",
    }
    return item("POST", "/users", body, create=True)


@plays("create_users")
async def test_creates_that_succeed_and_creates_that_are_refused(cassette: Any) -> None:
    made, taken, weak, proxy = await answers([create(name) for name in ("AdeleV", "taken", "weak", "proxy")])
    assert created_id(made) == "87d349ed-44d7-43e1-9a83-5f2406dee5bd"
    verdicts = [verdict_of(answer) for answer in (taken, weak, proxy)]
    assert [v.problem for v in verdicts] == [Problem.CONFLICT, Problem.PASSWORD, Problem.CONFLICT]
    assert [verdicts[0].target, verdicts[2].target] == ["userPrincipalName", "proxyAddresses"]


@plays("assign_licences")
async def test_licences(cassette: Any) -> None:
    body = {"addLicenses": [{"skuId": STUDENT_SKU, "disabledPlans": []}], "removeLicenses": []}
    done, *refused = await answers([item("POST", f"/users/{user(n)}/assignLicense", body) for n in range(1, 5)])
    assert done.ok
    problems = [verdict_of(answer).problem for answer in refused]
    assert problems == [Problem.NO_SEAT, Problem.USAGE_LOCATION, Problem.EXCLUSIVE_PLANS]


@plays("change_members")
async def test_members_and_owners(cassette: Any) -> None:
    root = "https://graph.microsoft.com/v1.0/directoryObjects/"
    members = {"members@odata.bind": [root + user(1), root + user(2)]}
    done, present, owners, absent, last, throttled = await answers(
        [
            item("PATCH", f"/groups/{group(1)}", members),
            item("PATCH", f"/groups/{group(2)}", members),
            item("PATCH", f"/groups/{group(3)}", {"owners@odata.bind": [root + user(3)]}),
            item("DELETE", f"/groups/{group(4)}/members/{user(1)}/$ref"),
            item("DELETE", f"/groups/{group(5)}/owners/{user(3)}/$ref"),
            item("PATCH", f"/groups/{group(6)}", members),
        ]
    )
    assert done.ok
    assert (throttled.ok, throttled.attempts) == (True, 2)
    verdicts = [verdict_of(answer) for answer in (present, owners, absent, last)]
    assert [verdict.problem for verdict in verdicts] == [
        Problem.ALREADY_EXISTS,
        Problem.FORWARD_LINK_QUOTA,
        Problem.NOT_THERE,
        Problem.LAST_OWNER,
    ]
    assert verdicts[1].target == "owners"


@plays("refused_app")
async def test_an_app_that_may_not(cassette: Any) -> None:
    graph = Graph()
    with pytest.raises(TargetRefused, match="consent"):
        await graph.get("/organization", wire.ORGANIZATIONS)
    with pytest.raises(TargetRefused, match="permission"):
        await graph.get("/organization", wire.ORGANIZATIONS)
    await graph.close()


def test_every_composed_cassette_has_a_test_and_names_its_origin() -> None:
    tested = set(re.findall(r'@plays\("(\w+)"\)', Path(__file__).read_text(encoding="utf-8")))
    assert tested == set(NAMES)
    for name in NAMES:
        assert (CASSETTES / f"{name}.yaml").read_text(encoding="utf-8").startswith("# Composed, not recorded. ")
