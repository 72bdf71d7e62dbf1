"""National clouds: tokens, requests and references in bodies belong to the tenant's own cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import vcr
import yaml
from graph_kit import TENANT, settings, transport

from sds_daemon.config.secrets import Secret
from sds_daemon.plan.change import Change, ChangeKind
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.targets.entra.auth import EntraTokens
from sds_daemon.targets.entra.clouds import CLOUDS, cloud_of
from sds_daemon.targets.entra.facts import Education, probe_education
from sds_daemon.targets.entra.requests import Add, Requests

ENDPOINTS = {
    "global": ("login.microsoftonline.com", "graph.microsoft.com"),
    "gcc-high": ("login.microsoftonline.us", "graph.microsoft.us"),
    "dod": ("login.microsoftonline.us", "dod-graph.microsoft.us"),
    "china": ("login.chinacloudapi.cn", "microsoftgraph.chinacloudapi.cn"),
}
MEMBER = "99999999-2222-3333-4444-555555555555"
clouds = pytest.mark.parametrize("name", ENDPOINTS)


def test_these_are_all_clouds() -> None:
    assert CLOUDS.keys() == ENDPOINTS.keys()


def _same_form(first: Any, second: Any) -> None:
    forms = [
        body if isinstance(body, dict) else dict(parse_qsl(body.decode() if isinstance(body, bytes) else body))
        for body in (first.body, second.body)
    ]
    assert forms[0]["scope"] == forms[1]["scope"]


@pytest.fixture
def authority(tmp_path: Path, name: str) -> Iterator[Any]:
    """The token authority of a cloud, and no other server; it knows the scope of that cloud's Graph alone."""
    login, graph = ENDPOINTS[name]
    request = {
        "method": "POST",
        "uri": f"https://{login}/{TENANT}/oauth2/v2.0/token",
        "body": f"scope=https%3A%2F%2F{graph}%2F.default",
        "headers": {},
    }
    answer = {
        "status": {"code": 200, "message": "OK"},
        "headers": {"Content-Type": ["application/json"]},
        "body": {"string": json.dumps({"token_type": "Bearer", "expires_in": 3599, "access_token": "a-token"})},
    }
    tape = tmp_path / "authority.yaml"
    tape.write_text(yaml.safe_dump({"version": 1, "interactions": [{"request": request, "response": answer}]}))
    player = vcr.VCR(record_mode="none", match_on=["method", "scheme", "host", "port", "path", "form"])
    player.register_matcher("form", _same_form)
    with player.use_cassette(str(tape)) as cassette:
        yield cassette


@clouds
async def test_tokens_come_from_the_clouds_authority_for_its_graph(authority: Any, name: str) -> None:
    chosen = settings(cloud=name, client_secret=Secret("not-a-secret"))
    tokens = EntraTokens(chosen, cloud_of(chosen))
    assert await tokens.token() == "a-token"
    assert authority.all_played
    await tokens.close()


def section(kind: ChangeKind) -> Change:
    return Change(kind=kind, subject=Ref(RecordKind.SECTION, "1"), member=Ref(RecordKind.STUDENT, "2"))


@clouds
def test_references_in_bodies_are_of_the_cloud(name: str) -> None:
    graph = transport(lambda request: httpx.Response(200), settings=settings(cloud=name))
    made = Requests(graph.builders, graph.cloud.base, education=False, class_api="groups")
    add = Add(section(ChangeKind.ADD_MEMBER), MEMBER)
    people = [made.add_many("g", [add]), made.add_one("g", add)]
    school = Change(
        kind=ChangeKind.ADD_SCHOOL_USER, subject=Ref(RecordKind.SCHOOL, "1"), member=Ref(RecordKind.STUDENT, "2")
    )
    people.append(made.add_to_school(school, "s", MEMBER))
    for item in people:
        assert item.url.startswith(("/groups/g", "/directory/administrativeUnits/s"))
        assert f"https://{ENDPOINTS[name][1]}/v1.0/".encode() in (item.body or b"")


@clouds
async def test_education_is_asked_for_where_it_can_exist_alone(name: str) -> None:
    asked: list[str] = []

    def script(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(200, json={"value": []})

    found = await probe_education(transport(script, settings=settings(cloud=name)))
    assert found is (Education.YES if name == "global" else Education.NOT_IN_CLOUD)
    assert asked == (["graph.microsoft.com"] if name == "global" else [])


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_custom_cloud_is_what_the_configuration_says(slash: str) -> None:
    chosen = settings(
        cloud="custom",
        authority=f"https://login.example.org:8443{slash}",
        graph_url=f"https://graph.example.org{slash}",
    )
    cloud = cloud_of(chosen)
    assert (cloud.authority, cloud.base) == ("https://login.example.org:8443", "https://graph.example.org/v1.0")
    assert cloud.scope == "https://graph.example.org/.default"
    assert (cloud.host, cloud.custom) == ("graph.example.org", True)
