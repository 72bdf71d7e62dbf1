"""The readers against the sandbox over real sockets and TLS: what the tables hold is what the snapshot says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from ps_sandbox_rig import Sandbox

from sds_daemon.clock import FixedClock
from sds_daemon.config.settings import SourceSettings
from sds_daemon.errors import SourceDown, SourceRefused, SourceUnreachable
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import Absence, Snapshot
from sds_daemon.sources.base import Scope
from sds_daemon.sources.powerschool.retry import RetryRules
from sds_daemon.sources.powerschool.source import PowerSchoolSource

pytestmark = pytest.mark.process

PAGED = ("course", "school", "section", "section_enrollment", "staff", "student", "term")
TODAY = "2026-10-01"
NOW = datetime(2026, 10, 1, 20, tzinfo=UTC)
FAST = RetryRules(first=0.01, longest=0.05)


@pytest.fixture(params=["v1", "powerquery"])
async def source(sandbox: Sandbox, request: pytest.FixtureRequest) -> AsyncIterator[PowerSchoolSource]:
    reading = PowerSchoolSource(sandbox.read_by(request.param), FixedClock(NOW), rules=FAST)
    yield reading
    await reading.close()


@pytest.fixture
async def v1_source(sandbox: Sandbox) -> AsyncIterator[PowerSchoolSource]:
    reading = PowerSchoolSource(sandbox.read_by("v1"), FixedClock(NOW), rules=FAST)
    yield reading
    await reading.close()


def expected(state: dict[str, Any]) -> dict[str, Any]:
    """What the tables say, by the plainest means."""
    real = {row["dcid"] for row in state["schools"] if row["number"] not in (0, 999999)}
    terms = {row["dcid"]: row for row in state["terms"]}
    user_of = {row["dcid"]: row["user"] for row in state["staff"]}
    sections = {
        row["dcid"]: row
        for row in state["sections"]
        if row["school"] in real
        and terms[row["term"]]["start_year"] == 2026
        and terms[row["term"]]["first_day"] <= "2026-10-15"
    }
    rosters: dict[str, set[str]] = {str(dcid): set() for dcid in sections}
    for row in state["enrollments"]:
        if row["section"] in sections and not row["dropped"] and row["entry_date"] <= TODAY < row["exit_date"]:
            rosters[str(row["section"])].add(str(row["student"]))
    leads = {str(dcid): str(user_of[row["staff"]]) for dcid, row in sections.items() if row["staff"]}
    teaching = {
        str(row["user"]) for row in state["staff"] if row["type"] == 1 and row["status"] == 1 and row["school"] in real
    }
    students = {row["dcid"]: row for row in state["students"] if row["enroll_status"] == 0 and row["school"] in real}
    return {
        "schools": {str(dcid) for dcid in real},
        "rosters": {section: tuple(sorted(members)) for section, members in rosters.items()},
        "leads": leads,
        "teachers": teaching | set(leads.values()),
        "usernames": {str(dcid): row["username"] for dcid, row in students.items()},
        "teacher_numbers": {str(row["dcid"]): row["teacher_number"] for row in state["users"]},
        "section_numbers": {str(dcid): row["number"] for dcid, row in sections.items()},
    }


def assert_agrees(snapshot: Snapshot, state: dict[str, Any]) -> None:
    """The snapshot is exactly what the tables say."""
    truth = expected(state)
    assert set(snapshot.schools) == truth["schools"]
    assert {section.id: section.students for section in snapshot.sections.values()} == truth["rosters"]
    leads = {section.id: section.teachers[0].teacher_id for section in snapshot.sections.values() if section.teachers}
    assert leads == truth["leads"]
    assert set(snapshot.teachers) == truth["teachers"]
    assert {student.id: student.username for student in snapshot.students.values()} == truth["usernames"]
    assert {t.id: t.number for t in snapshot.teachers.values()}.items() <= truth["teacher_numbers"].items()
    assert {section.id: section.number for section in snapshot.sections.values()} == truth["section_numbers"]
    assert snapshot.problems == []


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_the_district_is_read_whole_at_any_page_size(
    sandbox: Sandbox, v1_source: PowerSchoolSource, size: int
) -> None:
    sandbox.set(page_sizes=dict.fromkeys(PAGED, size))
    if size == 1:  # a call for every row: one small school's worth of rosters is enough
        sandbox.set(page_sizes={"section_enrollment": 50})
    snapshot = await v1_source.read(Scope())
    state = sandbox.state()
    assert_agrees(snapshot, state)
    assert snapshot.proof.unproved() == []
    assert snapshot.source_uuid == state["uuid"]
    assert {request["method"] for request in sandbox.requests() if "/ws/" in request["path"]} == {"GET"}
    assert snapshot.calls == len([request for request in sandbox.requests() if "/ws/" in request["path"]])


async def test_ids_of_students_and_teachers_overlap_and_stay_apart(source: PowerSchoolSource) -> None:
    snapshot = await source.read(Scope())
    shared = snapshot.students.keys() & snapshot.teachers.keys()
    assert shared
    assert all(snapshot.students[sis_id].username != snapshot.teachers[sis_id].username for sis_id in shared)


async def test_plain_http_to_loopback(sandbox: Sandbox) -> None:
    settings = SourceSettings(**{**dict(sandbox.settings), "url": sandbox.ready["powerschool_http"], "ca_file": None})
    source = PowerSchoolSource(settings, FixedClock(NOW))
    assert_agrees(await source.read(Scope()), sandbox.state())
    await source.close()


async def test_without_the_private_authority_nothing_is_sent(sandbox: Sandbox) -> None:
    settings = SourceSettings(**{**dict(sandbox.settings), "ca_file": None})
    source = PowerSchoolSource(settings, FixedClock(NOW), rules=FAST)
    with pytest.raises(SourceUnreachable, match=r"certificate.*ca_file"):
        await source.read(Scope())
    assert sandbox.requests() == []
    await source.close()


async def test_changes_of_a_school_day_are_seen(sandbox: Sandbox, source: PowerSchoolSource) -> None:
    before = await source.read(Scope())
    section = next(section for section in before.sections.values() if len(section.students) > 6)
    first, second, third, fourth, *_ = section.students
    sandbox.change(
        {"op": "drop", "student": int(first), "section": int(section.id), "how": "exit"},
        {"op": "drop", "student": int(second), "section": int(section.id), "how": "dropped"},
        {"op": "drop", "student": int(third), "section": int(section.id), "how": "delete"},
        {"op": "set_enroll_status", "student": int(fourth), "status": "T", "end_enrollments": False},
        {"op": "update_student", "student": int(section.students[4]), "username": "000123"},
    )
    after = await source.read(Scope())
    assert_agrees(after, sandbox.state())
    left = set(section.students) - set(after.sections[section.id].students)
    assert left == {first, second, third}
    assert after.absences == {fourth: Absence.INACTIVE}
    assert after.students[section.students[4]].username == "000123"
    sandbox.change({"op": "reenroll", "student": int(first), "section": int(section.id)})
    assert first in (await source.read(Scope())).sections[section.id].students


async def test_a_lead_teacher_who_left_stays_lead_until_replaced(sandbox: Sandbox, source: PowerSchoolSource) -> None:
    before = await source.read(Scope())
    section = next(section for section in before.sections.values() if section.teachers)
    teacher = section.teachers[0].teacher_id
    sandbox.change({"op": "leave", "teacher": int(teacher)})
    after = await source.read(Scope())
    assert after.sections[section.id].teachers == section.teachers
    assert teacher in after.teachers
    assert after.proof.unproved() == []


async def test_faults_that_pass_change_nothing(sandbox: Sandbox, v1_source: PowerSchoolSource) -> None:
    for kind, more in (
        ("status", {"status": 503, "times": 3}),
        ("status", {"status": 429, "headers": {"Retry-After": "0.1"}, "times": 3}),
        ("reset", {"times": 3}),
        ("truncate", {"times": 3}),
        ("expire_token", {"times": 2}),
    ):
        sandbox.fault(kind, path="/ws/v1", probability=0.2, **more)
    snapshot = await v1_source.read(Scope())
    assert_agrees(snapshot, sandbox.state())
    assert snapshot.proof.unproved() == []


@pytest.mark.parametrize(
    ("break_it", "kind", "words"),
    [
        (lambda box: box.set(maintenance=True), SourceDown, "message.powerschool.com"),
        (lambda box: box.set(v1_access="NONE"), SourceRefused, "v1 API access level to READ"),
        (lambda box: box.set(plugin_enabled=False), SourceRefused, "client id and secret"),
        (lambda box: box.fault("html", path="/staff"), SourceDown, "web page"),
        (lambda box: box.fault("status", path="/student$", status=500), SourceDown, "500"),
    ],
)
async def test_faults_that_stay_end_the_read(
    sandbox: Sandbox,
    v1_source: PowerSchoolSource,
    break_it: Callable[[Sandbox], None],
    kind: type[Exception],
    words: str,
) -> None:
    break_it(sandbox)
    with pytest.raises(kind, match=words.replace(".", r"\.")):
        await v1_source.read(Scope())


async def test_one_ill_section_is_a_gap(sandbox: Sandbox, v1_source: PowerSchoolSource) -> None:
    whole = await v1_source.read(Scope())
    ill = next(iter(whole.sections))
    sandbox.fault("status", path=f"/section/{ill}/section_enrollment", status=500)
    snapshot = await v1_source.read(Scope())
    (part,) = snapshot.proof.unproved()
    assert (part.resource, set(part.gaps)) == (Resource.ENROLLMENTS, {ill})
    assert {k: s.students for k, s in snapshot.sections.items() if k != ill} == {
        k: s.students for k, s in whole.sections.items() if k != ill
    }


async def test_a_district_that_moves_while_it_is_read(sandbox: Sandbox, source: PowerSchoolSource) -> None:
    sandbox.set(page_sizes={"student": 5, "section_enrollment": 5}, latency=0.01)
    rested = await source.read(Scope())
    school = int(next(iter(rested.schools)))
    reading = asyncio.create_task(source.read(Scope()))
    added = 0
    while not reading.done():
        sandbox.change({"op": "add_student", "school": school, "first_name": "Aa", "last_name": f"Aa{added}"})
        added += 1
        await asyncio.sleep(0.1)
    snapshot = await reading
    assert added > 2
    assert rested.students.keys() <= snapshot.students.keys() or snapshot.proof.doubt(Resource.STUDENTS, str(school))
    assert {k: s.students for k, s in snapshot.sections.items()} == {k: s.students for k, s in rested.sections.items()}


async def test_two_reads_need_one_token(sandbox: Sandbox, source: PowerSchoolSource) -> None:
    await source.read(Scope())
    await source.read(Scope())
    tokens = [request for request in sandbox.requests() if request["path"].startswith("/oauth")]
    assert len(tokens) == 1
