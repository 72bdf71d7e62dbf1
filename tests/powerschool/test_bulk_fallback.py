"""Where the PowerQueries cannot be read the snapshot comes whole from /ws/v1, and says why."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ps_sandbox_rig import Sandbox

from sds_daemon.clock import FixedClock
from sds_daemon.errors import SourceRefused
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import Snapshot
from sds_daemon.sources.base import Scope, Unchanged
from sds_daemon.sources.powerschool.retry import RetryRules
from sds_daemon.sources.powerschool.source import PowerSchoolSource

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

NOW = datetime(2026, 10, 1, 20, tzinfo=UTC)
FAST = RetryRules(first=0.01, longest=0.05)
BARE = """<plugin xmlns="http://plugin.powerschool.pearson.com" name="sds-daemon" version="1.0.0">
<oauth accessLevelV1Api="READ"/><publisher name="x"><contact email="x@example.org"/></publisher></plugin>"""


async def read(box: Sandbox, reader: str = "auto") -> Snapshot:
    source = PowerSchoolSource(box.read_by(reader), FixedClock(NOW), rules=FAST)
    try:
        return await source.read(Scope())
    finally:
        await source.close()


def streams(box: Sandbox) -> int:
    return len([row for row in box.requests() if "query" in row["path"] and not row["path"].endswith("/count")])


async def test_a_missing_grant_is_named_and_v1_reads_the_whole(sandbox: Sandbox) -> None:
    whole = await read(sandbox)
    assert (whole.reader, whole.notices) == ("powerquery", [])
    sandbox.set(revoked=["cc.dateleft"])
    sandbox.forget_requests()
    snapshot = await read(sandbox)
    assert (snapshot.reader, snapshot.rosters_complete, snapshot.fingerprint) == ("v1", False, "")
    (notice,) = snapshot.notices
    assert "may not read CC.DATELEFT" in notice and "install" in notice
    assert snapshot.proof.unproved() == []
    assert {key: s.students for key, s in snapshot.sections.items()} == {
        k: s.students for k, s in whole.sections.items()
    }
    assert streams(sandbox) <= 2, "nothing large is read before the refusal is known"
    with pytest.raises(SourceRefused, match=r"CC\.DATELEFT"):
        await read(sandbox, "powerquery")
    sandbox.set(revoked=[])
    assert (await read(sandbox)).reader == "powerquery"


async def test_a_plugin_without_queries_is_read_by_v1(sandbox: Sandbox) -> None:
    sandbox.plugin(files={"plugin.xml": BARE})
    snapshot = await read(sandbox)
    assert snapshot.reader == "v1"
    assert "no PowerQuery" in snapshot.notices[0]
    assert (await read(sandbox, "v1")).notices == []


async def test_a_refused_plugin_is_one_error_not_two(sandbox: Sandbox) -> None:
    sandbox.set(plugin_enabled=False)
    with pytest.raises(SourceRefused, match="client id and secret"):
        await read(sandbox)


async def test_faults_on_the_way_of_a_stream_change_nothing(sandbox: Sandbox) -> None:
    """Streams that are cut, refused or lost are tried again, then read in pages."""
    whole = await read(sandbox, "powerquery")
    for kind, more in (
        ("truncate", {"path": r"\.enrollments$", "times": 4}),
        ("reset", {"path": r"\.students$", "times": 2}),
        ("status", {"path": r"\.staff$", "status": 503, "times": 2}),
        ("expire_token", {"path": r"\.sections$", "times": 1}),
    ):
        sandbox.fault(kind, **more)
    snapshot = await read(sandbox, "powerquery")
    assert snapshot.proof.unproved() == []
    for name in ("schools", "sections", "students", "teachers", "absences"):
        assert getattr(snapshot, name) == getattr(whole, name), name


async def test_a_list_of_schools_that_is_not_whole_is_never_the_same_as_before(sandbox: Sandbox) -> None:
    """The tables' answers are the same, byte for byte; what /ws/v1 says beside them counts as well."""
    whole = await read(sandbox, "powerquery")
    assert isinstance(await again(sandbox, whole), Unchanged)
    sandbox.fault("status", status=200, body={"resource": {"count": 99}}, path="^/ws/v1/district/school/count")
    doubtful = await again(sandbox, whole)
    assert isinstance(doubtful, Snapshot)
    assert [part.resource for part in doubtful.proof.unproved()] == [Resource.SCHOOLS]
    assert doubtful.fingerprint == ""
    sandbox.heal()
    assert isinstance(await again(sandbox, whole), Unchanged)


async def again(box: Sandbox, before: Snapshot) -> Snapshot | Unchanged:
    source = PowerSchoolSource(box.read_by("powerquery"), FixedClock(NOW), rules=FAST)
    try:
        return await source.read(Scope(), known=before.fingerprint)
    finally:
        await source.close()
