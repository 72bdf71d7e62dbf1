"""A whole read from a scripted server: what comes out, and what a fault costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from ps_rig import Script, enrollment, error, make_source, ok, section, staff, student, term, two_schools

from sds_daemon.errors import (
    ConfigurationError,
    Interrupted,
    SourceDown,
    SourceError,
    SourceInvalid,
    SourceMissing,
    SourceRefused,
    SourceUnreachable,
)
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import (
    Absence,
    RecordKind,
    RecordProblem,
    Ref,
    RosterEntry,
    SchoolYear,
    Snapshot,
    Teacher,
)
from sds_daemon.sources.base import Scope

ROSTER = "/ws/v1/section/51/section_enrollment"


async def read(script: Script, now: str = "2026-10-01T12:00+00:00", **scope: Any) -> Snapshot:
    source = make_source(script, datetime.fromisoformat(now).astimezone(UTC))
    try:
        return await source.read(Scope(**scope))
    finally:
        await source.close()


def problem_of(snapshot: Snapshot, ref: Ref) -> list[RecordProblem]:
    return [problem for problem in snapshot.problems if problem.ref == ref]


async def test_a_small_district_is_read_whole_and_proved() -> None:
    snapshot = await read(Script())
    assert (snapshot.reader, snapshot.rosters_complete, snapshot.year) == ("v1", False, SchoolYear(2026))
    assert snapshot.source_uuid == "9da61059-8673-4f08-afe9-a7291fecd260"
    found = snapshot.sections["51"]
    assert (found.students, found.teachers, found.frozen) == (("1", "2"), (RosterEntry("64"),), False)
    assert found.course is not None
    assert found.course.name == "Algebra"
    assert set(snapshot.students) == {"1", "2"}
    assert snapshot.teachers["64"].school_ids == ("3",)
    assert (snapshot.problems, snapshot.absences, snapshot.notices) == ([], {}, [])
    assert snapshot.proof.unproved() == []
    counted = {(part.resource, part.school_id): (part.expected, part.received) for part in snapshot.proof.parts}
    assert counted == {
        (Resource.SCHOOLS, None): (1, 1),
        (Resource.TERMS, "3"): (1, 1),
        (Resource.COURSES, "3"): (1, 1),
        (Resource.SECTIONS, "3"): (1, 1),
        (Resource.STAFF, "3"): (1, 1),
        (Resource.STUDENTS, "3"): (2, 2),
        (Resource.ENROLLMENTS, "3"): (2, 2),
    }


async def test_reading_writes_nothing() -> None:
    script = Script()
    snapshot = await read(script)
    writes = [request for request in script.requests if request.method != "GET"]
    assert [request.url.path for request in writes] == ["/oauth/access_token/"]
    assert snapshot.calls == len(script.requests) - 1


async def test_filters_and_expansions_are_stated() -> None:
    script = Script()
    script.metadata["student_max_page_size"] = 40
    await read(script, include_preregistered=True)
    queries = {request.url.path: dict(request.url.params) for request in script.requests}
    assert queries["/ws/v1/school/3/student"] == {
        "q": "school_enrollment.enroll_status==(A,P)",
        "page": "1",
        "pagesize": "40",
        "expansions": "school_enrollment,contact_info,demographics",
    }
    assert queries["/ws/v1/school/3/student/count"] == {"q": "school_enrollment.enroll_status==(A,P)"}
    assert queries["/ws/v1/school/3/section"]["q"] == "term.start_year==2026"
    assert queries["/ws/v1/school/3/section"]["expansions"] == "term"
    assert queries["/ws/v1/school/3/staff"]["expansions"] == "emails,school_affiliations"


async def test_today_is_the_day_in_the_district() -> None:
    assert str((await read(Script(), "2026-10-02T05:00+00:00")).day) == "2026-10-01"


async def test_an_unknown_time_zone_is_said() -> None:
    for zone in ("Mars/Olympus", "", "../etc", 5):
        script = Script()
        script.metadata["district_timezone"] = zone
        snapshot = await read(script)
        assert snapshot.timezone == "UTC"
        assert "time zone" in snapshot.notices[0]


async def test_the_district_s_uuid_may_come_from_the_district() -> None:
    script = Script()
    del script.metadata["district_uuid"]
    script.singles["district"] = {"uuid": "abc"}
    assert (await read(script)).source_uuid == "abc"
    script.singles["district"] = {"uuid": ""}
    with pytest.raises(SourceInvalid, match="no district uuid"):
        await read(script)


# Schools


async def test_the_special_schools_are_skipped_and_the_count_still_fits() -> None:
    script = Script()
    special = [
        {"id": 1, "name": "District Office", "school_number": 0},
        {"id": 2, "name": "Graduated Students", "school_number": 999999},
    ]
    script.tables["district/school"] += special
    script.overrides["/ws/v1/district/school/count"] = lambda _request: ok({"resource": {"count": 2}})
    snapshot = await read(script)
    assert set(snapshot.schools) == {"3"}
    assert snapshot.proof.doubt(Resource.SCHOOLS, None) is None


async def test_only_the_schools_in_scope_are_read() -> None:
    script = two_schools()
    snapshot = await read(script, schools=("102",))
    assert set(snapshot.schools) == {"4"}
    assert not any("/school/3/" in path for path in script.paths())


async def test_an_unknown_school_stops_the_read_with_the_choices() -> None:
    with pytest.raises(ConfigurationError, match=r"North High \(101\)"):
        await read(Script(), schools=("Atlantis",))


async def test_a_server_without_schools_is_no_empty_district() -> None:
    script = Script()
    script.tables["district/school"] = []
    with pytest.raises(SourceInvalid, match="lists no school"):
        await read(script)


# Sections


async def test_sections_before_their_lead_days_are_not_taken_up() -> None:
    script = Script()
    script.tables["school/3/term"].append(term(12, 3, "2027-01-11", "2027-06-11", portion=2))
    script.tables["school/3/section"].append(section(52, term_id=12))
    script.tables["section/52/section_enrollment"] = [enrollment(902, 1, 52, entry_date="2027-01-11")]
    early = await read(script, "2026-12-27T20:00+00:00")
    assert set(early.sections) == {"51"}
    ready = await read(script, "2026-12-28T20:00+00:00")
    assert ready.sections["52"].students == ("1",)
    assert early.proof.unproved() == ready.proof.unproved() == []


async def test_a_section_whose_term_is_over_is_frozen_with_its_people() -> None:
    snapshot = await read(Script(), "2027-06-30T20:00+00:00")
    assert snapshot.sections["51"].frozen
    assert snapshot.sections["51"].students == ("1", "2")


async def test_sections_of_another_year_stay_out_even_if_the_server_lists_them() -> None:
    script = Script()
    script.tables["school/3/term"].append(term(9, 3, "2025-08-21", "2026-06-12", year=2025))
    script.tables["school/3/section"].append(section(40, term_id=9))
    assert set((await read(script)).sections) == {"51"}


async def test_a_term_that_only_the_section_knows_is_taken_from_there_or_read() -> None:
    script = Script()
    nested = {**section(52, term_id=12), "term": term(12, 3, "2026-08-20", "2026-12-20", portion=2)}
    script.tables["school/3/section"] += [nested, section(53, term_id=13), section(54, term_id=14)]
    script.tables |= {f"section/{number}/section_enrollment": [] for number in (52, 53, 54)}
    script.singles["term/13"] = term(13, 3, "2026-08-20", "2026-12-20", portion=2)
    snapshot = await read(script)
    assert set(snapshot.sections) == {"51", "52", "53"}
    (problem,) = problem_of(snapshot, Ref(RecordKind.SECTION, "54"))
    assert problem.code == IssueCode.INVALID_REFERENCE
    assert "its term 14 cannot be read" in problem.detail


async def test_a_course_outside_the_catalogue_is_read_by_id_once() -> None:
    script = Script()
    script.tables["school/3/section"] = [
        section(51, course_id=77),
        section(52, course_id=77),
        section(53, course_id=78),
    ]
    script.tables |= {f"section/{number}/section_enrollment": [] for number in (52, 53)}
    script.singles["course/77"] = {"id": 77, "course_number": "00X", "course_name": "Band"}
    snapshot = await read(script)
    assert script.paths().count("/ws/v1/course/77") == 1
    assert snapshot.sections["52"].course is not None
    assert snapshot.sections["52"].course.number == "00X"
    assert snapshot.sections["53"].course is None
    assert problem_of(snapshot, Ref(RecordKind.SECTION, "53"))


async def test_a_section_listed_by_the_wrong_school_is_left_out() -> None:
    script = Script()
    script.tables["school/3/section"].append(section(52, 9))
    snapshot = await read(script)
    assert set(snapshot.sections) == {"51"}
    assert "names school 9" in problem_of(snapshot, Ref(RecordKind.SECTION, "52"))[0].detail


# Teachers


async def test_one_teacher_per_person_over_schools() -> None:
    script = two_schools()
    script.tables["school/4/staff"] = [staff(68, 64, 4)]
    snapshot = await read(script)
    assert list(snapshot.teachers) == ["64"]
    assert snapshot.teachers["64"].school_ids == ("3", "4")
    assert snapshot.sections["51"].teachers == snapshot.sections["52"].teachers == (RosterEntry("64"),)


@pytest.mark.parametrize(("kind", "status"), [(2, 1), (0, 1), (3, 1), (4, 1), (1, 2)])
async def test_other_staff_get_nothing(kind: int, status: int) -> None:
    script = Script()
    script.tables["school/3/staff"].append(staff(70, 80, kind=kind, status=status, name={"first_name": "\x00"}))
    snapshot = await read(script)
    assert set(snapshot.teachers) == {"64"}
    assert snapshot.problems == []


async def test_whoever_leads_a_section_is_a_teacher_whatever_the_affiliation() -> None:
    script = Script()
    script.tables["school/3/staff"] = [staff(67, 64, kind=2)]
    assert (await read(script)).teachers["64"].school_ids == ("3",)


async def test_a_teacher_without_a_section_counts_by_affiliation_in_scope() -> None:
    script = two_schools()
    script.tables["school/3/staff"].append(staff(70, 80, school=4))
    assert (await read(script, schools=("101",))).teachers.keys() == {"64"}
    assert (await read(script)).teachers["80"].school_ids == ("4",)


async def test_a_lead_teacher_who_is_not_listed_is_read_by_id() -> None:
    script = Script()
    script.tables["school/3/staff"] = []
    script.singles["staff/67"] = staff(67, 64, 9)
    snapshot = await read(script)
    assert snapshot.teachers == {
        "64": Teacher(
            id="64",
            school_ids=("3",),
            username="teacher64",
            first_name="Tess",
            last_name="Teach",
            number="4711",
            email="t64@example.org",
        )
    }
    assert snapshot.proof.unproved() == []


async def test_a_lead_teacher_who_does_not_exist_is_a_gap_not_a_leave() -> None:
    script = Script()
    script.tables["school/3/staff"] = []
    snapshot = await read(script)
    assert snapshot.sections["51"].teachers == ()
    assert "staff 67" in (snapshot.proof.doubt(Resource.SECTIONS, "3", "51") or "")
    assert snapshot.proof.doubt(Resource.SECTIONS, "3", "99") is None
    assert problem_of(snapshot, Ref(RecordKind.TEACHER, "staff 67"))


@pytest.mark.parametrize("broken", [{"staff_id": {"x": 1}}, {"course_id": "2\x00"}, {"term_id": []}, {"school_id": {}}])
async def test_a_section_with_a_reference_that_cannot_be_read_is_left_out(broken: dict[str, Any]) -> None:
    script = Script()
    script.tables["school/3/section"] = [section(51), section(52, **broken)]
    snapshot = await read(script)
    assert set(snapshot.sections) == {"51"}
    assert problem_of(snapshot, Ref(RecordKind.SECTION, "52"))
    assert snapshot.proof.unproved() == []


async def test_a_section_without_a_lead_is_simply_without() -> None:
    script = Script()
    script.tables["school/3/section"] = [section(51, staff_id="")]
    snapshot = await read(script)
    assert (snapshot.sections["51"].teachers, snapshot.problems) == ((), [])
    assert snapshot.proof.doubt(Resource.SECTIONS, "3", "51") is None


async def test_a_teacher_with_a_broken_name_stays_on_the_roster_and_out_of_the_teachers() -> None:
    script = Script()
    script.tables["school/3/staff"] = [staff(67, 64, name={"first_name": "\x00", "last_name": "B"})]
    snapshot = await read(script)
    assert snapshot.sections["51"].teachers == (RosterEntry("64"),)
    assert snapshot.teachers == {}
    assert problem_of(snapshot, Ref(RecordKind.TEACHER, "64"))[0].code == IssueCode.INVALID_RECORD


async def test_ids_in_every_form_join() -> None:
    script = Script()
    script.tables["school/3/staff"] = [staff(67, 64, id="67", users_dcid="64.0")]
    script.tables["school/3/student"] = [student(1, id="1"), student(2, id=2.0)]
    snapshot = await read(script)
    assert snapshot.sections["51"].teachers == (RosterEntry("64"),)
    assert set(snapshot.students) == {"1", "2"}
    assert snapshot.absences == {}


# Students


async def test_students_of_other_statuses_are_not_taken_although_listed() -> None:
    script = Script()
    script.tables["school/3/student"] = [student(1), student(2, status="T"), student(3, status="P")]
    snapshot = await read(script)
    assert set(snapshot.students) == {"1"}
    assert snapshot.absences == {"2": Absence.INACTIVE}
    assert set((await read(script, include_preregistered=True)).students) == {"1", "3"}


async def test_enrolled_students_outside_the_lists_are_looked_up() -> None:
    script = Script()
    script.tables["section/51/section_enrollment"] += [enrollment(910 + n, n) for n in (5, 6, 7, 8)]
    script.singles |= {
        "student/5": student(5, status="G"),
        "student/6": student(6, 9),
        "student/8": student(8),
    }
    snapshot = await read(script)
    assert snapshot.absences == {"5": Absence.INACTIVE, "6": Absence.OTHER_SCHOOL, "7": Absence.UNKNOWN}
    assert set(snapshot.students) == {"1", "2", "8"}  # 8 is active here: the list had moved
    assert snapshot.sections["51"].students == ("1", "2", "5", "6", "7", "8")


async def test_students_of_ended_enrollments_are_not_looked_up() -> None:
    script = Script()
    script.tables["section/51/section_enrollment"].append(enrollment(910, 5, exit_date="2026-09-01"))
    assert (await read(script)).absences == {}
    assert "/ws/v1/student/5" not in script.paths()


async def test_a_broken_student_is_left_out_but_stays_in_the_section() -> None:
    script = Script()
    script.tables["school/3/student"] = [student(1), student(2, name={"first_name": "\ud800", "last_name": "B"})]
    snapshot = await read(script)
    assert set(snapshot.students) == {"1"}
    assert snapshot.sections["51"].students == ("1", "2")
    assert [problem.code for problem in problem_of(snapshot, Ref(RecordKind.STUDENT, "2"))] == ["InvalidRecord"]
    assert snapshot.absences == {}
    assert snapshot.proof.unproved() == []


async def test_an_id_listed_twice_is_named_and_leaves_the_part_unproved() -> None:
    script = Script()
    script.tables["school/3/student"] = [student(1), student(2), student(2, local_id=5)]
    snapshot = await read(script)
    assert problem_of(snapshot, Ref(RecordKind.STUDENT, "2"))[0].code == IssueCode.DUPLICATE_SIS_ID
    assert snapshot.proof.doubt(Resource.STUDENTS, "3") == "2 of 3 rows were received"


# Rosters


async def test_an_enrollment_that_cannot_be_read_makes_its_section_a_gap_and_no_other() -> None:
    script = Script()
    script.tables["school/3/section"].append(section(52))
    script.tables["section/52/section_enrollment"] = [enrollment(902, 1, 52)]
    script.tables["section/51/section_enrollment"][1]["entry_date"] = "soon"
    snapshot = await read(script)
    assert snapshot.sections["51"].students == ("1",)
    assert "enrollment 901" in (snapshot.proof.doubt(Resource.ENROLLMENTS, "3", "51") or "")
    assert snapshot.proof.doubt(Resource.ENROLLMENTS, "3", "52") is None
    assert problem_of(snapshot, Ref(RecordKind.STUDENT, "2"))


@pytest.mark.parametrize("suffix", ["", "/count"])
@pytest.mark.parametrize("answer", [error(500, "x"), error(404, "x"), ok({}), httpx.ReadTimeout("x")])
async def test_a_section_list_that_fails_is_a_gap(suffix: str, answer: Any) -> None:
    script = two_schools()

    def always(_request: httpx.Request) -> Any:
        return answer

    script.overrides[ROSTER + suffix] = always
    snapshot = await read(script)
    assert snapshot.sections["51"].students == ()
    assert ROSTER in (snapshot.proof.doubt(Resource.ENROLLMENTS, "3", "51") or "")
    assert snapshot.proof.doubt(Resource.ENROLLMENTS, "4", "52") is None


async def test_many_failing_section_lists_fail_the_read() -> None:
    script = Script()
    script.tables["school/3/section"] = [section(number) for number in range(100, 110)]
    for number in range(100, 106):
        script.overrides[f"/ws/v1/section/{number}/section_enrollment"] = lambda _request: error(500, "x")
    script.tables |= {f"section/{number}/section_enrollment": [] for number in range(106, 110)}
    with pytest.raises(SourceDown, match="section_enrollment"):
        await read(script)


async def test_a_refused_section_list_fails_the_read_at_once() -> None:
    script = Script()
    script.overrides[ROSTER] = lambda _request: error(403, "no")
    with pytest.raises(SourceRefused):
        await read(script)


async def test_a_roster_that_moves_is_read_again_and_else_a_gap() -> None:
    script = Script()
    script.overrides[f"{ROSTER}/count"] = [ok({"resource": {"count": 3}})]
    assert (await read(script)).proof.unproved() == []
    script.overrides[f"{ROSTER}/count"] = lambda _request: ok({"resource": {"count": 3}})
    snapshot = await read(script)
    assert snapshot.proof.doubt(Resource.ENROLLMENTS, "3", "51") == "2 of 3 enrollments were received"
    assert snapshot.sections["51"].students == ("1", "2")  # what was read may still be added


# Faults of whole parts


PARTS = [
    "/ws/v1/metadata",
    "/ws/v1/district/school",
    "/ws/v1/district/school/count",
    *(
        f"/ws/v1/school/3/{kind}{suffix}"
        for kind in ("term", "course", "section", "staff", "student")
        for suffix in ("", "/count")
    ),
]


@pytest.mark.parametrize("path", PARTS)
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda: error(500, "x"), SourceDown),
        (lambda: httpx.ConnectError("gone"), SourceUnreachable),
        (lambda: httpx.Response(200, html="<html>down</html>"), SourceDown),
        (lambda: httpx.Response(302, headers={"Location": "https://message.powerschool.com/"}), SourceDown),
        (lambda: error(403, "no"), SourceRefused),
        (lambda: error(404, "no"), SourceInvalid),
        (lambda: ok({}), SourceInvalid),
    ],
)
async def test_there_is_no_half_snapshot(path: str, answer: Callable[[], Any], kind: type[SourceError]) -> None:
    script = Script()
    script.overrides[path] = lambda _request: answer()
    with pytest.raises(kind):
        await read(script)


async def test_by_id_reads_that_fail_in_the_end_fail_the_read() -> None:
    for path, change in (
        ("/ws/v1/course/77", {"school/3/section": [section(51, course_id=77)]}),
        ("/ws/v1/staff/67", {"school/3/staff": []}),
        ("/ws/v1/student/2", {"school/3/student": [student(1)]}),
        ("/ws/v1/term/12", {"school/3/section": [section(51, term_id=12)]}),
    ):
        script = Script()
        script.tables |= change
        script.overrides[path] = lambda _request: error(503, "x")
        with pytest.raises(SourceDown, match=path):
            await read(script)


async def test_a_stop_interrupts_between_calls() -> None:
    for after in range(2, 14):
        script = Script()
        source = make_source(script)
        with pytest.raises(Interrupted):
            await source.read(Scope(), stop=lambda script=script, after=after: len(script.requests) >= after)  # type: ignore[misc]
        assert len(script.requests) <= after + 3  # calls that were under way
        await source.close()


async def test_progress_counts_up_to_its_totals() -> None:
    seen: dict[str, list[tuple[int, int | None]]] = {}
    source = make_source(two_schools())
    await source.read(Scope(), progress=lambda stage, done, total: seen.setdefault(stage, []).append((done, total)))
    assert seen["Reading students"] == [(1, 2), (2, 2)]
    assert seen["Reading class rosters"] == [(1, 2), (2, 2)]
    await source.close()


async def test_schools_are_listed_for_the_wizard() -> None:
    script = two_schools()
    script.tables["district/school"].append({"id": 1, "name": "District Office", "school_number": 0})
    source = make_source(script)
    listed = await source.list_schools()
    assert [(school.id, school.number, school.name) for school in listed] == [
        ("3", "101", "North High"),
        ("4", "102", "South High"),
    ]
    await source.close()
    await source.close()


async def test_years_that_do_not_exist_are_said() -> None:
    with pytest.raises(ConfigurationError, match="2031-32"):
        await read(Script(), school_year=2031)
    with pytest.raises(ConfigurationError, match="begins on 2026-08-20"):
        await read(Script(), "2026-07-01T12:00+00:00")


async def test_the_old_year_stays_between_years() -> None:
    script = Script()
    script.tables["school/3/term"].append(term(9, 3, "2025-08-21", "2026-06-12", year=2025))
    assert (await read(script, "2026-08-05T20:00+00:00")).year == SchoolYear(2025)
    assert (await read(script, "2026-08-06T20:00+00:00")).year == SchoolYear(2026)


async def test_one_source_reads_for_two_profiles_with_one_token() -> None:
    script = two_schools()
    source = make_source(script)
    first = await source.read(Scope(schools=("101",)))
    second = await source.read(Scope(schools=("102",)))
    assert (set(first.sections), set(second.sections), script.tokens) == ({"51"}, {"52"}, 1)
    await source.close()


@pytest.mark.parametrize(
    ("item", "resource"),
    [
        ("term", Resource.TERMS),
        ("course", Resource.COURSES),
        ("section", Resource.SECTIONS),
        ("staff", Resource.STAFF),
        ("student", Resource.STUDENTS),
    ],
)
async def test_a_list_that_one_of_the_schools_does_not_have_leaves_its_part_unproved(
    item: str, resource: Resource
) -> None:
    script = two_schools()
    script.overrides[f"/ws/v1/school/4/{item}"] = lambda _request: error(404, "no")
    script.singles |= {
        "term/11": term(11, 4, "2026-08-20", "2027-06-11"),
        "staff/68": staff(68, 65, 4),
        "student/3": student(3, 4),
    }
    snapshot = await read(script)
    assert f"no /ws/v1/school/4/{item}" in (snapshot.proof.doubt(resource, "4") or "")
    assert snapshot.proof.doubt(resource, "3") is None
    problems = problem_of(snapshot, Ref(RecordKind.SCHOOL, "4"))
    assert [problem.code for problem in problems] == [IssueCode.SCHOOL_UNREADABLE]
    assert snapshot.sections["51"].students == ("1", "2")


async def test_without_a_school_s_sections_its_enrollments_are_unproved_as_well() -> None:
    script = two_schools()
    script.overrides["/ws/v1/school/4/section/count"] = lambda _request: error(404, "no")
    snapshot = await read(script)
    assert set(snapshot.sections) == {"51"}
    assert snapshot.proof.doubt(Resource.ENROLLMENTS, "4") == "its sections could not be read"
    assert snapshot.proof.doubt(Resource.ENROLLMENTS, "3") is None


async def test_a_list_that_no_school_has_fails_the_read() -> None:
    script = two_schools()
    for school in (3, 4):
        script.overrides[f"/ws/v1/school/{school}/student"] = lambda _request: error(404, "no")
    with pytest.raises(SourceMissing, match="student"):
        await read(script)


async def test_whom_a_staff_id_means_that_came_twice_is_asked_for() -> None:
    script = Script()
    script.tables["school/3/staff"] = [staff(67, 65), staff(67, 64)]
    script.singles["staff/67"] = staff(67, 64)
    assert (await read(script)).sections["51"].teachers == (RosterEntry("64"),)
    del script.singles["staff/67"]
    snapshot = await read(script)
    assert snapshot.sections["51"].teachers == ()
    assert "cannot be read" in (snapshot.proof.doubt(Resource.SECTIONS, "3", "51") or "")
