"""explain: why is this child (not) in this class, from the record of past runs and by looking now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import PROFILE, Rig

from process.answers import SCHOOL, account, scope
from process.town import flat, school, section, start, student, teacher

pytestmark = pytest.mark.process

LED, OTHER, BARE = 7301, 7302, 7303
ABROAD = 899


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Accounts are matched. 8303 has none, 8304 and 9303 claim one account, 8305 lives at a school out of scope."""
    rig = start(tmp_path_factory.mktemp("explain"), "--users", "match")
    try:
        rig.change_school(
            *flat(
                school(SCHOOL),
                school(ABROAD),
                [teacher(number, SCHOOL) for number in (9301, 9302, 9303)],
                [student(number, SCHOOL) for number in (8301, 8302, 8303)],
                student(8304, SCHOOL, username="t9303"),
                student(8305, ABROAD),
                section(LED, SCHOOL, 9301, 8301, 8302, 8303, 8304, 8305),
                section(OTHER, SCHOOL, 9302, 8302),
                section(BARE, SCHOOL, None, 8301),
            )
        )
        rig.change_directory(*[account(alias) for alias in ("s8301", "s8302", "t9301", "t9302", "t9303")])
        scope(rig, SCHOOL)
        rig.sync(codes=(1,))
        yield rig
    finally:
        rig.stop()


def explain(rig: Rig, *words: str) -> dict[str, Any]:
    """The one trace of a question."""
    traces = rig.run("explain", *words, "--json").expect(0).json["traces"]
    assert len(traces) == 1
    return dict(traces[0])


def step(trace: dict[str, Any], stage: str) -> tuple[bool | None, str]:
    """How a step went, and all it says."""
    found = next(each for each in trace["steps"] if each["stage"] == stage)
    return found["ok"], "\n".join(found["lines"])


def test_a_child_in_a_class(town: Rig) -> None:
    """Every step speaks, in the order of a cycle; the trace needs neither server."""
    mark = town.request_mark()
    trace = explain(town, "student 8301", "--section", str(LED))
    assert town.get("requests", since=mark)["requests"] == [], "a look back asks nobody"
    stages = [each["stage"] for each in trace["steps"]]
    assert stages == [
        "read", "in scope", "valid", "matched", "linked", "planned", "policy", "limits", "sent", "answer", "directory",
    ]  # fmt: skip
    assert all(each["ok"] for each in trace["steps"])
    assert trace["answer"] == f"student 8301 is in the class of section {LED}"
    read = step(trace, "read")[1]
    assert "/ws/schema/query/org.sdsdaemon.sync.roster.enrollments: 5 students, read whole" in read
    assert "/ws/schema/query/org.sdsdaemon.sync.roster.students brought it (run 1; 4 of 4 rows)" in read
    assert "username@contoso.edu=userPrincipalName" in step(trace, "matched")[1]
    assert "1 done" in step(trace, "answer")[1]
    by_name = explain(town, "s8301@contoso.edu", "--section", str(LED))
    assert by_name == trace, "a sign-in name means the same person"


@pytest.mark.parametrize(
    ("who", "where", "stage", "because"),
    [
        ("student 8303", LED, "matched", "UnmatchedEntry: no account has this userPrincipalName"),
        ("student 8304", LED, "matched", "TeacherIsAlsoStudent: the account belongs to teacher 9303"),
        ("student 8305", LED, "read", "the student's home school is outside the profile"),
        ("student 8301", OTHER, "read", f"the roster of section {OTHER} does not name student 8301"),
        ("student 8301", BARE, "linked", "SectionWithoutTeacher: it has no teacher; the class is not made yet"),
        ("teacher 9302", LED, "read", f"the roster of section {LED} does not name teacher 9302"),
    ],
)
def test_the_step_that_stopped_a_child(town: Rig, who: str, where: int, stage: str, because: str) -> None:
    """The first step that says no is the answer, from the record and looking now alike."""
    for now in ([], ["--now"]) if stage == "read" else ([],):
        trace = explain(town, who, "--section", str(where), *now)
        assert trace["answer"].startswith(f"stopped at “{stage}”"), trace["answer"]
        assert because in trace["answer"]
        assert step(trace, "directory")[0] is not True or "does not name" in because


def test_candidates_and_remedy_are_named(town: Rig) -> None:
    """What was looked for, how many have it, what to do; a bare id fits every kind."""
    told = town.run("explain", "8303").expect(0).out
    assert "looked for userPrincipalName = “s8303@contoso.edu”: 0 accounts" in told
    assert "create the account" in told
    both = town.run("explain", "8304").expect(0).out
    holder = town.directory().user("t9303@contoso.edu")["id"]
    assert f"“t9303@contoso.edu”: 1 account ({holder})" in both


def test_a_section_and_a_school(town: Rig) -> None:
    """Records of every kind."""
    place = explain(town, "section", str(LED))
    assert "class.create" in step(place, "planned")[1] and step(place, "directory")[0]
    bare = explain(town, "section", str(BARE))
    assert "SectionWithoutTeacher" in bare["answer"] and "teacherless" in bare["remedy"]
    assert step(explain(town, "school", str(SCHOOL)), "directory")[0]


def test_what_nobody_knows(town: Rig) -> None:
    """An unknown id is an error; a kind without an id as well; --now asks the source for the one record."""
    assert "nothing is known of 4711" in town.run("explain", "4711").expect(2).err
    assert "student needs a SIS ID" in town.run("explain", "student").expect(2).err
    trace = explain(town, "student 4711", "--now")
    assert "there is no such student (/ws/v1/student/4711)" in step(trace, "read")[1]
    elsewhere = explain(town, "student 8305", "--now")
    assert f"the student is active, home school {ABROAD}" in step(elsewhere, "read")[1]


def test_now_tells_of_a_change_before_any_sync(town: Rig) -> None:
    """A child enrolled a moment ago: the record knows nothing of it yet, a look now says what the next sync sends."""
    town.change_school({"op": "enroll", "student": 8301, "section": OTHER})
    before = explain(town, "student 8301", "--section", str(OTHER))
    assert "does not name" in before["answer"]
    mark = town.request_mark()
    trace = explain(town, "student 8301", "--section", str(OTHER), "--now")
    assert trace["answer"].startswith("the next sync would send member.add student 8301"), trace["answer"]
    assert town.writes_since(mark) == [] and town.leaks_since(mark) == []
    assert [run["id"] for run in town.run("runs", "--json").expect(0).json["runs"]] == [1], "no history"
    town.sync(codes=(1,))
    assert "is in the class" in explain(town, "student 8301", "--section", str(OTHER))["answer"]


def test_a_teacher_the_policy_keeps(town: Rig) -> None:
    """Why is she still in it? The policy, by name."""
    town.change_school({"op": "assign_teacher", "section": OTHER, "teacher": 9301})
    town.sync(codes=(1,))
    for now in ([], ["--now"]):
        trace = explain(town, "teacher 9302", "--section", str(OTHER), *now)
        assert "still in the class" in trace["answer"]
        assert "kept by the policy (policy sds)" in trace["answer"]
        assert step(trace, "policy")[0] is False


def test_refused_by_graph(town: Rig) -> None:
    """The answer of Graph, with its status."""
    town.change_school(
        {"op": "enroll", "student": 8302, "section": BARE}, {"op": "drop", "student": 8302, "section": OTHER}
    )
    body = {"error": {"code": "Authorization_RequestDenied", "message": "Insufficient privileges"}}
    group = town.directory().class_of(str(OTHER))
    assert group is not None
    fault = {"side": "graph", "kind": "status", "status": 403, "path": f"groups/{group['id']}/members", "body": body}
    town.post("faults", fault)
    town.sync(codes=(1,))
    town.delete("faults")
    trace = explain(town, "student 8302", "--section", str(OTHER))
    assert step(trace, "answer")[0] is False and "HTTP 403" in step(trace, "answer")[1]
    town.sync(codes=(1,))
    trace = explain(town, "student 8302", "--section", str(OTHER))
    assert step(trace, "answer")[0], "a later run had better luck"


def test_a_child_gone_from_the_source(town: Rig) -> None:
    """Nothing is done about it, and the record still knows since when."""
    town.change_school({"op": "delete_student", "student": 8302})
    town.sync(codes=(1,))
    trace = explain(town, "student 8302")
    assert step(trace, "read")[0] is False
    assert "not among the active students" in trace["answer"]
    assert step(trace, "directory")[0], "the account is kept"


def test_held_by_a_limit(tmp_path: Path) -> None:
    """Over the limit: it waits, and the trace says for which approval."""
    rig = start(tmp_path)
    try:
        pupils = list(range(8351, 8361))
        rig.change_school(
            *flat(
                school(SCHOOL),
                teacher(9351, SCHOOL),
                [student(n, SCHOOL) for n in pupils],
                section(7351, SCHOOL, 9351, *pupils),
            )
        )
        scope(rig, SCHOOL)
        rig.sync(codes=(0,))
        rig.change_school(*[{"op": "drop", "student": n, "section": 7351} for n in pupils[:9]])
        rig.sync(codes=(4,))
        trace = explain(rig, "student 8351", "--section", "7351", "--profile", PROFILE)
        assert step(trace, "limits")[0] is False and "waits: over the limit" in step(trace, "limits")[1]
        assert "still in the class" in trace["answer"] and "over the limit" in trace["answer"]
    finally:
        rig.stop()
