"""Two readers, one truth: what /ws/v1 and the PowerQueries make of a district is equal in all but co-teachers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ps_sandbox_rig import Sandbox

from sds_daemon.clock import FixedClock
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import Absence, RosterRole, Section, Snapshot
from sds_daemon.sources.base import Scope, Unchanged
from sds_daemon.sources.powerschool.source import PowerSchoolSource

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SAMPLES = Path(__file__).parents[3] / "shared/data/o365-edu-tools-sds-samples/SDS_Format"
AUTUMN = datetime(2026, 10, 1, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One district for the tests that leave the sections they do not own alone."""
    running = Sandbox(tmp_path_factory.mktemp("town"), "--students", "400")
    try:
        yield running
    finally:
        running.stop()


async def read(box: Sandbox, reader: str, scope: Scope | None = None, now: datetime = AUTUMN) -> Snapshot:
    source = PowerSchoolSource(box.read_by(reader), FixedClock(now))
    try:
        return await source.read(scope or Scope())
    finally:
        await source.close()


async def read_both(box: Sandbox, scope: Scope | None = None, now: datetime = AUTUMN) -> tuple[Snapshot, Snapshot]:
    return await read(box, "v1", scope, now), await read(box, "powerquery", scope, now)


def records(snapshot: Snapshot) -> dict[str, Any]:
    """Everything both readers know. A teacher whom a section knows as co-teacher alone is no record of v1's."""
    co_only = _co_teachers(snapshot)
    teachers = {
        key: msgspec.structs.replace(teacher, school_ids=()) if key in co_only else teacher
        for key, teacher in snapshot.teachers.items()
    }
    return {
        "frame": (snapshot.source_uuid, snapshot.day, snapshot.timezone, snapshot.year),
        "schools": snapshot.schools,
        "sections": {key: _led(section) for key, section in snapshot.sections.items()},
        "students": snapshot.students,
        "teachers": teachers,
        "absences": snapshot.absences,
        "problems": sorted((str(problem.ref), problem.code) for problem in snapshot.problems),
    }


def _co_teachers(snapshot: Snapshot) -> set[str]:
    entries = (entry for section in snapshot.sections.values() for entry in section.teachers)
    return {entry.teacher_id for entry in entries if entry.role is RosterRole.CO_TEACHER}


def _led(section: Section) -> Section:
    leads = tuple(entry for entry in section.teachers if entry.role is RosterRole.LEAD)
    return msgspec.structs.replace(section, teachers=leads)


def assert_equal(v1: Snapshot, bulk: Snapshot) -> None:
    one, other = records(v1), records(bulk)
    for person in _co_teachers(bulk):
        mine, theirs = other["teachers"].pop(person), one["teachers"].pop(person, None)
        assert theirs is None or msgspec.structs.replace(theirs, school_ids=()) == mine
    for name in one:
        assert one[name] == other[name], name
    assert v1.proof.unproved() == bulk.proof.unproved() == []


async def test_a_generated_district(town: Sandbox) -> None:
    v1, bulk = await read_both(town)
    assert len(bulk.students) == 400
    assert_equal(v1, bulk)
    assert bulk.calls < 40 < v1.calls
    assert (bulk.rosters_complete, v1.rosters_complete, v1.fingerprint) == (True, False, "")


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 7, 15, 20, tzinfo=UTC),
        datetime(2026, 8, 25, 20, tzinfo=UTC),
        datetime(2027, 1, 20, 20, tzinfo=UTC),
        datetime(2027, 6, 28, 20, tzinfo=UTC),
        datetime(2027, 7, 20, 20, tzinfo=UTC),
    ],
    ids=lambda now: f"{now:%Y-%m-%d}",
)
async def test_terms_that_have_ended_or_are_to_come(town: Sandbox, now: datetime) -> None:
    assert_equal(*await read_both(town, Scope(lead_days=5), now))


def add_school(box: Sandbox, number: int) -> int:
    """A school with a class of two of its own students; its id."""
    (made,) = box.change({"op": "add_school", "name": f"School {number}", "number": number})
    people = [
        {"op": "add_student", "school": made["school"], "first_name": "A", "last_name": f"B{n}"} for n in range(2)
    ]
    students = [row["student"] for row in box.change(*people)]
    lesson = {"op": "add_section", "school": made["school"], "course_name": "Art", "course_number": f"A{number}"}
    box.change({**lesson, "students": students})
    return int(made["school"])


async def test_some_of_the_schools(sandbox: Sandbox) -> None:
    """Schools that are not chosen lie between the chosen ones; a student of theirs sits in a chosen one's class."""
    first, _, third = [add_school(sandbox, number) for number in (7001, 7002, 7003)]
    everything = await read(sandbox, "powerquery")
    section = next(each for each in everything.sections.values() if each.school_id == str(third))
    guest = next(each for each in everything.students.values() if each.school_id not in (str(first), str(third)))
    shared = next(each for each in everything.students.values() if each.school_id == str(first))
    for student in (guest, shared):  # the shared one comes with both ranges of schools
        sandbox.change({"op": "enroll", "student": int(student.id), "section": int(section.id)})
    v1, bulk = await read_both(sandbox, Scope(schools=("7001", "school 7003")))
    assert set(bulk.schools) == {str(first), str(third)}
    assert bulk.absences == {guest.id: Absence.OTHER_SCHOOL}
    assert_equal(v1, bulk)


async def test_a_school_day_of_changes(sandbox: Sandbox) -> None:
    before = await read(sandbox, "v1")
    sections = sorted(before.sections.values(), key=lambda section: -len(section.students))
    big, other, third = sections[:3]
    a, b, c, d, e, f = map(int, big.students[:6])
    teacher = int(other.teachers[0].teacher_id)
    elsewhere = add_school(sandbox, 7001)
    sandbox.change(
        {"op": "drop", "student": a, "section": int(big.id), "how": "exit"},
        {"op": "drop", "student": b, "section": int(big.id), "how": "dropped"},
        {"op": "drop", "student": c, "section": int(big.id), "how": "delete"},
        {"op": "set_enroll_status", "student": d, "status": "T", "end_enrollments": False},
        {"op": "transfer_student", "student": e, "school": elsewhere},
        {"op": "enroll", "student": e, "section": int(big.id)},
        {"op": "enroll", "student": f, "section": int(other.id), "entry_date": "2026-10-01", "exit_date": "2026-10-01"},
        {"op": "update_student", "student": f, "username": " 000123 ", "email": "", "middle_name": "\u00a0x"},
        {"op": "update_section", "section": int(third.id), "number": "007", "external_expression": ""},
        {"op": "leave", "teacher": teacher},
        {"op": "unassign_teacher", "section": int(third.id)},
        {"op": "set_enroll_status", "student": int(sections[4].students[0]), "status": "P"},
        {"op": "add_course", "name": "District Choir", "number": "CHOIR", "id": 90210},
        {"op": "update_section", "section": int(sections[5].id), "course": 90210},
    )
    sandbox.change({"op": "reenroll", "student": a, "section": int(big.id)})
    v1, bulk = await read_both(sandbox)
    assert_equal(v1, bulk)
    assert bulk.absences[str(d)] is Absence.INACTIVE
    assert str(a) in bulk.sections[big.id].students and str(b) not in bulk.sections[big.id].students
    wider = await read_both(sandbox, Scope(include_preregistered=True))
    assert_equal(*wider)
    assert wider[1].students.keys() > bulk.students.keys()


async def test_co_teachers_are_known_while_they_teach(sandbox: Sandbox) -> None:
    before = await read(sandbox, "powerquery")
    section = next(section for section in before.sections.values() if len(section.teachers) == 1)
    lead = section.teachers[0].teacher_id
    mate = next(key for key, t in before.teachers.items() if key != lead and section.school_id in t.school_ids)
    sandbox.change({"op": "add_co_teacher", "section": int(section.id), "teacher": int(mate)})
    v1, bulk = await read_both(sandbox)
    assert [(e.teacher_id, e.role) for e in bulk.sections[section.id].teachers] == [
        (lead, RosterRole.LEAD),
        (mate, RosterRole.CO_TEACHER),
    ]
    assert v1.sections[section.id].teachers == section.teachers
    assert_equal(v1, bulk)
    sandbox.change({"op": "remove_co_teacher", "section": int(section.id), "teacher": int(mate)})
    later = await read(sandbox, "powerquery", now=datetime(2026, 10, 2, 20, tzinfo=UTC))
    assert later.sections[section.id].teachers == section.teachers


async def test_nothing_new_is_known_without_decoding_and_anything_new_is_seen(sandbox: Sandbox) -> None:
    source = PowerSchoolSource(sandbox.read_by("powerquery"), FixedClock(AUTUMN))
    first = await source.read(Scope())
    assert first.fingerprint
    again = await source.read(Scope(), known=first.fingerprint)
    assert isinstance(again, Unchanged)
    assert (again.fingerprint, again.notices) == (first.fingerprint, first.notices)
    other = await source.read(Scope(include_preregistered=True), known=first.fingerprint)
    assert isinstance(other, Snapshot)
    student = next(iter(first.students))
    sandbox.change({"op": "update_student", "student": int(student), "last_name": "Changed"})
    changed = await source.read(Scope(), known=first.fingerprint)
    assert isinstance(changed, Snapshot)
    assert changed.students[student].last_name == "Changed"
    assert changed.fingerprint not in ("", first.fingerprint)
    await source.close()
    tomorrow = PowerSchoolSource(sandbox.read_by("powerquery"), FixedClock(datetime(2026, 10, 2, 20, tzinfo=UTC)))
    assert isinstance(await tomorrow.read(Scope(), known=changed.fingerprint), Snapshot)
    await tomorrow.close()


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample districts are not here")
@pytest.mark.parametrize("sample", ["100_Users", "25_Users"])
async def test_sample_districts(tmp_path: Path, sample: str) -> None:
    box = Sandbox(tmp_path, "--district", f"csv:{SAMPLES / sample}")
    try:
        v1, bulk = await read_both(box)
        assert bulk.sections
        assert bulk.proof.part(Resource.ENROLLMENTS, next(iter(bulk.schools))) is not None
        assert_equal(v1, bulk)
    finally:
        box.stop()
