"""A small first sync with the tenant, recorded from the sandbox: it pins what the client sends to Graph and Entra.

Record it anew with SDS_DAEMON_RECORD=1 after a deliberate change.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import vcr
from writing_rig import STUDENT_SKU, MemoryLedger, license_of, small_school, student, tenant

from sds_daemon.clock import Clock
from sds_daemon.config.secrets import Secret
from sds_daemon.config.settings import TenantSettings
from sds_daemon.plan.change import Result
from sds_daemon.sandbox.entra import EntraOptions
from sds_daemon.store import Store
from sds_daemon.targets.entra import executor
from sds_daemon.targets.entra.target import EntraTarget

CASSETTE = Path(__file__).parents[2] / "cassettes" / "recorded" / "entra" / "first_sync.yaml"
RECORDING = os.environ.get("SDS_DAEMON_RECORD") == "1"
HOST = "https://sandbox.example.org"
PORT = re.compile(r"https://127\.0\.0\.1:\d+")
HIDDEN = {
    re.compile(r'("password":\s*")[^"]+'): "not-a-password",
    re.compile(r"(client_secret=)[^&]+"): "not-a-secret",
}


def _fake_token(match: re.Match[str]) -> str:
    """A token with the same permissions that opens nothing."""
    payload = match[2].split(".")[1]
    roles = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["roles"]
    claims = base64.urlsafe_b64encode(json.dumps({"roles": roles}).encode()).decode().rstrip("=")
    return f"{match[1]}e30.{claims}.not-a-signature"


def _hidden(text: str) -> str:
    for pattern, instead in HIDDEN.items():
        text = pattern.sub(rf"\g<1>{instead}", text)
    return PORT.sub(HOST, text)


def _clean_request(request: Any) -> Any:
    body = request.body
    if isinstance(body, dict):
        request.body = {name: _hidden(f"{name}={value}").partition("=")[2] for name, value in body.items()}
    elif body:
        request.body = _hidden(body.decode() if isinstance(body, bytes) else body).encode()
    request.uri = PORT.sub(HOST, request.uri)
    return request


def _clean_response(response: dict[str, Any]) -> dict[str, Any]:
    text = response["body"]["string"].decode()
    text = re.sub(r'("access_token":\s*")([^"]+)', _fake_token, text)
    response["body"]["string"] = PORT.sub(HOST, text).encode()
    response["headers"] = {k: v for k, v in response["headers"].items() if k.lower() == "content-type"}
    return response


def _same_document(first: Any, second: Any) -> None:
    assert _document(first.body) == _document(second.body)


def _document(body: Any) -> Any:
    """A form as aiohttp is given it or as text, or JSON."""
    if isinstance(body, dict) or not body:
        return body or {}
    text = body.decode() if isinstance(body, bytes) else str(body)
    return json.loads(text) if text.startswith("{") else dict(parse_qsl(text))


player = vcr.VCR(
    record_mode="all" if RECORDING else "none",
    match_on=["method", "path", "query", "document"],
    decode_compressed_response=True,
    filter_headers=["authorization", "client-request-id", "cookie", "host", "user-agent"],
    before_record_request=_clean_request,
    before_record_response=_clean_response,
)
player.register_matcher("document", _same_document)


@asynccontextmanager
async def settings(folder: Path) -> AsyncIterator[TenantSettings]:
    """Of the sandbox while recording, of a server nobody reaches otherwise."""
    if RECORDING:
        async with tenant(folder) as made:
            yield made.settings
        return
    options = EntraOptions()
    yield TenantSettings(
        name="test",
        tenant_id=options.tenant_id,
        client_id=options.client_id,
        client_secret=Secret("not-a-secret"),
        cloud="custom",
        authority=HOST,
        graph_url=HOST,
        lag_horizon=3.0,
    )


async def test_a_first_sync_is_the_recorded_conversation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new is used at once: which batch something is in would depend on the clock otherwise."""
    monkeypatch.setattr(executor, "UNSEEN", 0.0)
    changes = [*small_school(students=2, classes=1), license_of(student(1), STUDENT_SKU)]
    async with settings(tmp_path) as chosen:
        ledger = MemoryLedger()
        target = EntraTarget(chosen, Clock())
        with player.use_cassette(str(CASSETTE)) as tape, Store.open(tmp_path / "state.db", Clock()) as store:
            await target.refresh(store.directory(chosen.tenant_id))
            await target.apply(changes, ledger)
            await target.close()
        assert RECORDING or tape.all_played
    assert ledger.results() == {Result.DONE: len(changes)}
