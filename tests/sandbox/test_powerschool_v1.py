"""The lists and singles of `/ws/v1`: which rows, which members, which order, which pages."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from powerschool_rig import TODAY, Rig, items, running

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.generate import generate

ALL_STATUSES = "school_enrollment.enroll_status==(A,P,G,T,H,I)"


def real_schools(rig: Rig) -> list[model.School]:
    return [school for school in rig.district.schools.values() if 0 < school.number < 999999]


async def listed(rig: Rig, path: str, root: str, item: str, **params: Any) -> list[dict[str, Any]]:
    """All pages of a list, as a careful client reads them."""
    found: list[dict[str, Any]] = []
    for page in range(1, 1000):
        container = (await rig.json(path, page=page, **params))[root]
        rows = items(container.get(item)) if container else []
        found += rows
        if not rows:
            return found
    raise AssertionError("the list never ends")


async def test_school_list_shows_special_schools_but_count_leaves_out_the_graduated() -> None:
    async with running(generate(students=1200, seed=3, today=TODAY)) as rig:
        schools = await listed(rig, "/ws/v1/district/school", "schools", "school")
        names = [school["name"] for school in schools]
        assert names == sorted(names)
        assert {0, 999999} < {school["school_number"] for school in schools}
        count = await rig.json("/ws/v1/district/school/count")
        assert count == {"resource": {"count": len(schools) - 1}}
        await rig.set(special_schools="hide")
        assert len(await listed(rig, "/ws/v1/school", "schools", "school")) == len(schools) - 2


async def test_ids_are_dcids_and_staff_are_listed_per_school_with_one_users_dcid() -> None:
    async with running(generate(students=1200, seed=3, today=TODAY)) as rig:
        per_person: dict[int, set[int]] = {}
        for school in real_schools(rig):
            rows = await listed(
                rig, f"/ws/v1/school/{school.dcid}/staff", "staffs", "staff", expansions="school_affiliations"
            )
            assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
            for row in rows:
                per_person.setdefault(row["users_dcid"], set()).add(row["id"])
                affiliations = items(row["school_affiliations"]["school_affiliation"])
                here = [a for a in affiliations if a["school_id"] == school.dcid]
                assert [a["status"] for a in here] == [1]
        assert max(len(ids) for ids in per_person.values()) == 2
        assert all(row.id != row.dcid for row in rig.district.students.values())


async def test_staff_who_left_disappear_from_the_list_but_stay_readable() -> None:
    async with running() as rig:
        school = real_schools(rig)[0]
        member = next(row for row in rig.district.staff_at(school.dcid) if row.status == 1 and row.type == 1)
        await rig.change({"op": "leave", "teacher": member.user})
        rows = await listed(rig, f"/ws/v1/school/{school.dcid}/staff", "staffs", "staff")
        assert member.dcid not in {row["id"] for row in rows}
        single = await rig.json(f"/ws/v1/staff/{member.dcid}", expansions="school_affiliations")
        assert {a["status"] for a in items(single["staff"]["school_affiliations"]["school_affiliation"])} == {2}


async def test_school_students_are_active_only_unless_the_query_names_a_status() -> None:
    async with running() as rig:
        school = real_schools(rig)[0].dcid
        path = f"/ws/v1/school/{school}/student"
        active = await listed(rig, path, "students", "student", expansions="school_enrollment")
        assert {row["school_enrollment"]["enroll_status"] for row in active} == {"A"}
        assert len(active) == 120
        everyone = await listed(rig, path, "students", "student", q=ALL_STATUSES)
        by_code = await listed(
            rig, path, "students", "student", q="school_enrollment.enroll_status_code=gt=-2147483648"
        )
        assert len(everyone) == len(by_code) > 120
        lower = await rig.json(f"{path}/count", q="school_enrollment.enroll_status==(a,p)")
        waiting = [s for s in rig.district.students.values() if s.school == school and s.enroll_status == -1]
        assert lower == {"resource": {"count": 120 + len(waiting)}}
        district = await rig.json("/ws/v1/district/student/count")
        assert district == {"resource": {"count": len(rig.district.students)}}


async def test_student_members_with_and_without_expansions() -> None:
    async with running() as rig:
        student = next(s for s in rig.district.students.values() if s.email and s.username.isalpha())
        bare = (await rig.json(f"/ws/v1/student/{student.dcid}"))["student"]
        assert bare["id"] == student.dcid
        assert bare["local_id"] == int(student.number)
        assert bare["student_username"] == student.username
        assert "school_enrollment" not in bare and "contact_info" not in bare
        assert "contact_info" in bare["@expansions"]
        full = await rig.json(
            f"/ws/v1/student/{student.dcid}", expansions="school_enrollment, contact_info,demographics,addresses,bogus"
        )
        record = full["student"]
        assert record["contact_info"] == {"email": student.email}
        assert record["school_enrollment"]["school_id"] == student.school
        assert record["school_enrollment"]["entry_date"] == student.entry_date.isoformat()
        assert record["addresses"] == ""
        assert record["demographics"]["gender"] == student.gender


async def test_sections_default_to_the_current_year_and_q_chooses_another() -> None:
    async with running() as rig:
        path = f"/ws/v1/school/{real_schools(rig)[0].dcid}/section"
        now = await listed(rig, path, "sections", "section", expansions="term")
        assert {row["term"]["start_year"] for row in now} == {2026}
        assert "term" not in (await listed(rig, path, "sections", "section"))[0]
        last = await listed(rig, path, "sections", "section", q="term.start_year==2025", expansions="term")
        assert last and {row["term"]["start_year"] for row in last} == {2025}
        assert (await rig.json(f"{path}/count", q="term.start_year==2025"))["resource"]["count"] == len(last)
        assert (await rig.json(path, q="term.start_year==1999"))["sections"].keys() == {"@expansions", "@extensions"}


async def test_between_two_years_the_default_is_empty() -> None:
    async with running() as rig:
        school = real_schools(rig)[0].dcid
        for term in [t for t in rig.district.terms.values() if t.school == school and t.start_year == 2026]:
            rig.district.assign(term, "last_day", TODAY - dt.timedelta(days=1))
        assert (await rig.json(f"/ws/v1/school/{school}/section/count"))["resource"]["count"] == 0
        assert (await rig.json(f"/ws/v1/school/{school}/term/count"))["resource"]["count"] == 0
        known = await rig.json(f"/ws/v1/school/{school}/term", q="start_year==2026")
        assert len(known["terms"]["term"]) == 3


async def test_terms_are_sorted_and_share_their_local_id_between_schools() -> None:
    async with running(generate(students=1200, seed=3, today=TODAY)) as rig:
        seen: list[list[dict[str, Any]]] = []
        for school in real_schools(rig):
            seen.append(await listed(rig, f"/ws/v1/school/{school.dcid}/term", "terms", "term"))
        for terms in seen:
            assert [(t["portion"], t["start_date"]) for t in terms] == sorted(
                (t["portion"], t["start_date"]) for t in terms
            )
            assert terms[0]["start_date"] <= TODAY.isoformat() <= terms[0]["end_date"]
            assert terms[0]["local_id"] == 3600
        assert len({t["id"] for terms in seen for t in terms}) == 3 * len(seen)


async def test_courses_of_the_district_are_not_listed_by_schools_but_can_be_read() -> None:
    async with running() as rig:
        school = real_schools(rig)[0].dcid
        listed_ids = {c["id"] for c in await listed(rig, f"/ws/v1/school/{school}/course", "courses", "course")}
        used = {s["course_id"] for s in await listed(rig, f"/ws/v1/school/{school}/section", "sections", "section")}
        missing = used - listed_ids
        assert missing
        for course in missing:
            assert (await rig.json(f"/ws/v1/course/{course}"))["course"]["id"] == course


async def test_enrollments_include_dropped_and_past_rows_sorted_by_student_and_entry() -> None:
    async with running(generate(students=600, seed=5, today=TODAY)) as rig:
        rows: list[dict[str, Any]] = []
        for section in rig.district.sections:
            part = await listed(
                rig, f"/ws/v1/section/{section}/section_enrollment", "section_enrollments", "section_enrollment"
            )
            keys = [(row["student_id"], row["entry_date"]) for row in part]
            assert keys == sorted(keys)
            count = await rig.json(f"/ws/v1/section/{section}/section_enrollment/count")
            assert count["resource"]["count"] == len(part)
            rows += part
        assert any(row["dropped"] is True for row in rows)
        assert any(row["entry_date"] == row["exit_date"] for row in rows)
        assert any(row["exit_date"] <= TODAY.isoformat() and not row["dropped"] for row in rows)
        assert len({row["id"] for row in rows}) == len(rows)
        one = rows[17]
        single = (await rig.json(f"/ws/v1/section_enrollment/{one['id']}"))["section_enrollment"]
        assert {key: single[key] for key in one} == one


async def test_pages_do_not_exceed_the_maximum_and_end_empty() -> None:
    async with running(page_sizes={"student": 50}) as rig:
        path = f"/ws/v1/school/{real_schools(rig)[0].dcid}/student"
        assert len((await rig.json(path))["students"]["student"]) == 50
        assert len((await rig.json(path, pagesize=1000))["students"]["student"]) == 50
        assert len((await rig.json(path, pagesize=7, page=2))["students"]["student"]) == 7
        assert len((await rig.json(path, page=3))["students"]["student"]) == 20
        assert (await rig.json(path, page=4)) == {"students": ""}
        assert (await rig.json("/ws/v1/metadata"))["metadata"]["student_max_page_size"] == 50
        await rig.set(over_max_pagesize="error")
        refused = await rig.get(path, pagesize=51)
        assert (refused.status_code, list(refused.json())) == (400, ["errorMessage"])


@pytest.mark.parametrize("params", [{"page": "0"}, {"page": "x"}, {"pagesize": "-1"}])
async def test_impossible_pages_are_refused(params: dict[str, str]) -> None:
    async with running() as rig:
        answer = await rig.get("/ws/v1/district/student", **params)
        assert answer.status_code == 400
        assert answer.json()["errorMessage"]["message"]


async def test_pages_drift_when_rows_come_and_go_during_a_read() -> None:
    """Offset paging without a snapshot: an insertion shows a row twice, a deletion hides one."""
    async with running() as rig:
        school = real_schools(rig)[0].dcid
        path = f"/ws/v1/school/{school}/student"
        first = [row["id"] for row in (await rig.json(path, pagesize=50, page=1))["students"]["student"]]
        await rig.change({"op": "add_student", "school": school, "first_name": "Al", "last_name": "Aaa"})
        second = [row["id"] for row in (await rig.json(path, pagesize=50, page=2))["students"]["student"]]
        assert set(first) & set(second) == {first[-1]}
        await rig.change(*({"op": "delete_student", "student": dcid} for dcid in first[:3]))
        third = [row["id"] for row in (await rig.json(path, pagesize=50, page=3))["students"]["student"]]
        assert len(set(first + second + third)) < 121


@pytest.mark.parametrize(
    "path",
    [
        "school/999",
        "school/999/section",
        "section/1/section_enrollment",
        "student/5",
        "section_enrollment/1",
        "nothing",
    ],
)
async def test_unknown_ids_and_paths_are_404_with_the_v1_envelope(path: str) -> None:
    async with running() as rig:
        answer = await rig.get(f"/ws/v1/{path}")
        assert answer.status_code == 404
        assert isinstance(answer.json()["errorMessage"]["message"], str)


@pytest.mark.parametrize(
    ("path", "q"),
    [
        ("student", "favourite_colour==red"),
        ("student", "school_enrollment.enroll_status==(A,P"),
        ("student", "no operator"),
        ("student", "school_enrollment.enroll_status_code=gt=many"),
        ("section", "start_year==2026"),
        ("term", "term.start_year==2026"),
        ("staff", "id==1"),
    ],
)
async def test_queries_that_make_no_sense_are_refused(path: str, q: str) -> None:
    async with running() as rig:
        answer = await rig.get(f"/ws/v1/school/{real_schools(rig)[0].dcid}/{path}", q=q)
        assert answer.status_code == 400
        assert answer.json()["errorMessage"]["message"]


async def test_queries_combine_wildcards_comparisons_and_lists() -> None:
    async with running() as rig:
        student = next(s for s in rig.district.students.values() if s.enroll_status == 0)
        q = f"name.last_name=={student.last_name[:2].lower()}*;id=le={student.dcid};local_id==({student.number},1)"
        found = await listed(rig, "/ws/v1/district/student", "students", "student", q=q)
        assert [row["id"] for row in found] == [student.dcid]
        later = await rig.json("/ws/v1/district/student/count", q="school_enrollment.entry_date=ge=2027-01-01")
        assert later["resource"]["count"] == sum(s.enroll_status == -1 for s in rig.district.students.values())


async def test_new_day_makes_another_year_current() -> None:
    async with running() as rig:
        path = f"/ws/v1/school/{real_schools(rig)[0].dcid}/term"
        assert {t["start_year"] for t in (await rig.json(path))["terms"]["term"]} == {2026}
        rig.clock.advance(300 * 86400)
        await rig.fetch_token()
        assert {t["start_year"] for t in (await rig.json(path))["terms"]["term"]} == {2027}
