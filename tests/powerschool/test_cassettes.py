"""The client against exchanges composed from published examples of real servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import vcr
from ps_rig import settings

from sds_daemon.clock import FixedClock
from sds_daemon.errors import SourceDown, SourceRefused
from sds_daemon.roster.records import School
from sds_daemon.sources.base import no_progress
from sds_daemon.sources.powerschool.client import PowerSchoolClient, Session
from sds_daemon.sources.powerschool.desk import Desk
from sds_daemon.sources.powerschool.district import read_facts, read_schools
from sds_daemon.sources.powerschool.pages import read_list
from sds_daemon.sources.powerschool.people import STAFF_EXPANSIONS, STUDENT_EXPANSIONS
from sds_daemon.sources.powerschool.reader import V1Reader
from sds_daemon.sources.powerschool.sections import sections_call
from sds_daemon.sources.powerschool.wire import (
    Affiliation,
    parse_course,
    parse_enrollment,
    parse_section,
    parse_staff,
    parse_student,
    parse_term,
)

CASSETTES = Path(__file__).parents[2] / "cassettes"
COMPOSED = CASSETTES / "composed" / "powerschool"
NAMES = sorted(path.stem for path in COMPOSED.glob("*.yaml"))

player = vcr.VCR(
    cassette_library_dir=str(COMPOSED),
    record_mode="none",
    match_on=["method", "scheme", "host", "port", "path", "query", "body"],
)


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The cassette named by the test's marker; every exchange in it must be used."""
    name = request.param
    with player.use_cassette(f"{name}.yaml") as tape:
        yield tape
        assert tape.all_played, f"{name}: exchanges left over"


def plays(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("cassette", [name], indirect=True)


@pytest.fixture
def session() -> Session:
    clock = FixedClock(datetime(2026, 10, 1, 12, tzinfo=UTC))
    return Session(PowerSchoolClient(settings("https://powerschool.example.org"), clock))


def desk(session: Session) -> Desk:
    return Desk(session, no_progress)


@plays("metadata")
async def test_metadata(cassette: Any, session: Session) -> None:
    facts = await read_facts(session)
    assert (facts.uuid, facts.timezone) == ("00000000-0000-4000-8000-0000000000aa", "America/Los_Angeles")
    assert facts.page_sizes["section_enrollment"] == 100
    assert facts.notices == []


@plays("schools")
async def test_schools(cassette: Any, session: Session) -> None:
    assert await read_schools(desk(session)) == [
        School(
            id="2",
            name="Apple Grove High School",
            number="3",
            low_grade="9",
            high_grade="12",
            principal_name="Pat Principal",
            principal_email="principal@example.org",
            phone="916-555-0100",
            street="100 Sample Street",
            city="Folsom",
            state="CA",
            postal_code="95630",
        )
    ]


@plays("courses")
async def test_courses(cassette: Any, session: Session) -> None:
    listing = await read_list(session, desk(session).call("course", "/ws/v1/school/3/course"))
    courses = [parse_course(row).value for row in listing.rows]
    assert [(course.id, course.number) for course in courses if course] == [("2135", "CSC101"), ("2136", "2001")]
    assert listing.settled


@plays("sections")
async def test_sections(cassette: Any, session: Session) -> None:
    listing = await read_list(session, sections_call(desk(session), "3", 2019))
    section = parse_section(listing.rows[0], "3").value
    assert section is not None
    assert (section.id, section.number, section.period, section.lead_staff_id) == ("1500", "5", "6(M-F)", "3955")
    term = parse_term(section.term_row, "3").value
    assert term is not None
    assert (term.id, term.start_year, term.full_year, term.end) == (section.term_id, 2019, True, date(2020, 6, 12))


@plays("section_enrollment")
async def test_section_enrollments(cassette: Any, session: Session) -> None:
    single = parse_enrollment((await session.get("/ws/v1/section_enrollment/962"))["section_enrollment"], "51").value
    assert single is not None
    assert (single.student_id, single.entry, single.exit) == ("569", date(2020, 5, 1), date(2020, 7, 1))
    lists = []
    for section in (51, 52):
        path = f"/ws/v1/section/{section}/section_enrollment"
        call = desk(session).call("section_enrollment", path, count_first=False, careful=True)
        listing = await read_list(session, call)
        assert listing.settled
        lists.append([parse_enrollment(row, str(section)).value for row in listing.rows])
    assert lists == [[single], []]


@plays("staff")
async def test_staff(cassette: Any, session: Session) -> None:
    answer = await session.get("/ws/v1/staff/67", {"expansions": STAFF_EXPANSIONS})
    staff = parse_staff(answer["staff"]).value
    assert staff is not None
    assert (staff.id, staff.person_id, staff.username, staff.number) == ("67", "64", "johnny_teach", "Jeremy.Johnson")
    assert (staff.email, staff.affiliations) == ("x@example.org", (Affiliation("6", 1, 1),))
    assert staff.faults == ()


@plays("student")
async def test_student(cassette: Any, session: Session) -> None:
    answer = await session.get("/ws/v1/student/569", {"expansions": STUDENT_EXPANSIONS})
    student = parse_student(answer["student"], "").value
    assert student is not None
    assert (student.username, student.number, student.school_id, student.status) == ("78654", "10569", "6", "active")
    assert (student.grade, student.birth_date, student.email) == ("10", "2004-02-29", "sample.student@example.org")


@plays("maintenance")
async def test_maintenance(cassette: Any, session: Session) -> None:
    with pytest.raises(SourceDown, match=r"message\.powerschool\.com"):
        await read_facts(session)


@plays("v1_capability")
async def test_v1_capability(cassette: Any, session: Session) -> None:
    await read_facts(session)
    refusal = await V1Reader().probe(session)
    assert isinstance(refusal, SourceRefused)
    assert "READ" in str(refusal)


def test_every_composed_cassette_has_a_test_and_names_its_origin() -> None:
    tested = set(re.findall(r'@plays\("(\w+)"\)', Path(__file__).read_text(encoding="utf-8")))
    assert tested == set(NAMES)
    for name in NAMES:
        assert (COMPOSED / f"{name}.yaml").read_text(encoding="utf-8").startswith("# Composed, not recorded. ")
