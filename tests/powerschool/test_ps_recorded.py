"""The whole conversation of one read, recorded from the sandbox: it pins what the v1 reader sends.

Record it anew with SDS_DAEMON_RECORD=1 after a deliberate change.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import vcr
from ps_rig import settings
from ps_sandbox_rig import Sandbox

from sds_daemon.clock import FixedClock
from sds_daemon.config.settings import SourceSettings
from sds_daemon.roster.records import SchoolYear
from sds_daemon.sources.base import Scope
from sds_daemon.sources.powerschool.source import PowerSchoolSource

CASSETTE = Path(__file__).parents[2] / "cassettes" / "recorded" / "powerschool" / "v1_read.yaml"
RECORDING = os.environ.get("SDS_DAEMON_RECORD") == "1"
TOKEN = re.compile(rb'("access_token":\s*")[^"]+')


def _hide_token(response: dict[str, Any]) -> dict[str, Any]:
    response["body"]["string"] = TOKEN.sub(rb"\1a-token", response["body"]["string"])
    response["headers"] = {k: v for k, v in response["headers"].items() if k.lower() == "content-type"}
    return response


player = vcr.VCR(
    record_mode="all" if RECORDING else "none",
    match_on=["method", "path", "query", "body"],
    filter_headers=["authorization", "cookie", "host", "user-agent"],
    before_record_response=_hide_token,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SourceSettings]:
    if not RECORDING:
        yield settings()
        return
    running = Sandbox(tmp_path, "--students", "12")
    try:
        yield running.read_by("v1")
    finally:
        running.stop()


async def test_a_whole_read_is_the_recorded_conversation(server: SourceSettings) -> None:
    source = PowerSchoolSource(server, FixedClock(datetime(2026, 10, 1, 20, tzinfo=UTC)))
    with player.use_cassette(str(CASSETTE)) as tape:
        snapshot = await source.read(Scope())
    await source.close()
    assert RECORDING or tape.all_played
    assert (snapshot.year, len(snapshot.students)) == (SchoolYear(2026), 12)
    assert snapshot.proof.unproved() == []
    assert any(section.students for section in snapshot.sections.values())


def test_the_recording_holds_no_credentials() -> None:
    recorded = CASSETTE.read_text(encoding="utf-8").lower()
    assert "authorization" not in recorded
    assert set(re.findall(r'access_token\\?":\s*\\?"([^"\\]+)', recorded)) == {"a-token"}
