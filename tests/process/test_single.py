"""sync of one person or one section: everything is read and judged, and only what concerns that one goes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rig import PROFILE, Rig

from process.answers import SCHOOL, issues, kinds, scope
from process.town import State, flat, group, pupil, school, section, start, student, teacher

pytestmark = pytest.mark.process

ONE, TWO = 7401, 7402
SKU = "STANDARDWOFFPACK_STUDENT"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Two classes, three students; one licence seat. Nothing is synced yet."""
    rig = start(tmp_path_factory.mktemp("single"))
    try:
        rig.change_school(
            *flat(
                school(SCHOOL),
                [teacher(number, SCHOOL) for number in (9401, 9402)],
                [student(number, SCHOOL) for number in (8401, 8402, 8403)],
                section(ONE, SCHOOL, 9401, 8401, 8402),
                section(TWO, SCHOOL, 9402, 8403),
            )
        )
        rig.change_directory({"op": "set_seats", "sku": SKU, "enabled": 1})
        scope(rig, SCHOOL)
        rig.edit("profiles.district.students", licenses=[SKU])
        yield rig
    finally:
        rig.stop()


def ours(rig: Rig) -> set[str]:
    """Everything in the directory that is a person, class or school of this town."""
    names = State.of(rig).objects
    return {name for name in names if any(str(n) in name for n in (SCHOOL, ONE, TWO, 84, 94)) and "unit" not in name}


def runs(rig: Rig) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rig.run("runs", "--json").expect(0).json["runs"]
    return found


def test_a_preview_of_one_person(town: Rig) -> None:
    """Shows the same narrowing, and the seats it would take."""
    told = town.run("preview", PROFILE, "--json", "--person", "8401").expect(0).json
    assert told["only"] == "student 8401"
    assert {(row["kind"], row["subject"]["sis_id"]) for row in told["changes"] if row["kind"].endswith("create")} == {
        ("school.create", str(SCHOOL)),
        ("user.create", "8401"),
        ("user.create", "9401"),
        ("class.create", str(ONE)),
    }
    assert told["elsewhere"]["class.create"] == 1
    (seat,) = told["seats"]
    assert (seat["part_number"], seat["needed"], seat["free"], seat["short"]) == (SKU, 1, 1, 0)
    (seat,) = town.preview()["seats"]
    assert (seat["needed"], seat["free"], seat["short"]) == (3, 1, 2)
    assert f"3  of 1 free seats of {SKU}: 2 too few" in town.run("preview", PROFILE).expect(0).out
    assert ours(town) == set()


def test_a_first_person_brings_what_it_rests_on(town: Rig) -> None:
    """The account with its licence, the school, the class with its owner; nobody else."""
    done = town.sync("--person", "8401", codes=(0,))
    assert done["only"] == "student 8401" and sum(done["elsewhere"].values()) > 0
    state = State.of(town).objects
    assert ours(town) == {f"school:{SCHOOL}", group(ONE), pupil(8401), "user:t9401@contoso.edu"}
    assert sorted(state[group(ONE)]["members"]) == [pupil(8401), "user:t9401@contoso.edu"]
    assert state[group(ONE)]["owners"] == ["user:t9401@contoso.edu"]
    assert state[pupil(8401)]["licenses"]
    status = town.run("status", "--json").expect(0).json["profiles"][0]
    assert status["last_success"] is None, "the profile as a whole has not been synced"
    assert [run["kind"] for run in runs(town)] == ["single"]


def test_a_section_leaves_the_rest_alone(town: Rig) -> None:
    """Its members get accounts; other people are as before."""
    before = State.of(town)
    town.sync("--section", f"section {ONE}", codes=(1,))
    after = State.of(town)
    assert pupil(8402) in after.objects[group(ONE)]["members"]
    assert {f"school:{SCHOOL}", group(ONE), pupil(8401), pupil(8402), "user:t9401@contoso.edu"} == ours(town)
    assert before.objects[pupil(8401)] == after.objects[pupil(8401)]
    assert issues(town)[("student", "8402")] == "AzureActiveDirectoryNoLicenseAvailable"


def test_issues_of_others_stay_open(town: Rig) -> None:
    """A run that did not try to cure them says nothing about them."""
    town.sync("--person", "student 8401", codes=(0, 1))
    assert issues(town)[("student", "8402")] == "AzureActiveDirectoryNoLicenseAvailable"
    town.change_directory({"op": "set_seats", "sku": SKU, "enabled": 9})
    town.sync("--person", "s8402@contoso.edu", codes=(0,))
    assert issues(town) == {}


def test_the_whole_after_the_parts(town: Rig) -> None:
    """A whole sync does the rest, once; then there is nothing to do, for one and for all."""
    town.sync(codes=(0,))
    assert {group(TWO), pupil(8403)} <= ours(town)
    mark = town.request_mark()
    assert town.sync(codes=(0,))["status"] == "nothing_to_do"
    assert town.sync("--person", "8403", codes=(0,))["status"] == "nothing_to_do"
    assert town.writes_since(mark) == []


def test_a_change_of_one_and_of_another(town: Rig) -> None:
    """Only the named one is carried out; the other waits, untouched, for the whole."""
    town.change_school(
        {"op": "enroll", "student": 8401, "section": TWO}, {"op": "enroll", "student": 8402, "section": TWO}
    )
    mark = town.request_mark()
    done = town.sync("--person", "8402", codes=(0,))
    assert done["applied"] == {"member.add": 1} and done["elsewhere"] == {"member.add": 1}
    assert sum(kinds(town.writes_since(mark)).values()) == 1
    members = State.of(town).objects[group(TWO)]["members"]
    assert pupil(8402) in members and pupil(8401) not in members
    town.sync(codes=(0,))
    assert pupil(8401) in State.of(town).objects[group(TWO)]["members"]


def test_the_gates_hold_for_one_as_for_all(town: Rig) -> None:
    """What the limits hold is held for the named person too, under the same number, and no part of it slips out."""
    town.edit("profiles.district.limits", max_adds=0)
    town.change_school(*flat(student(8404, SCHOOL, TWO), student(8405, SCHOOL, TWO)))
    mark = town.request_mark()
    held = town.sync("--person", "8404", codes=(4,))
    assert held["applied"].keys() == {"user.create", "user.license"}
    assert set(held["held"]) == {"member.add", "school_user.add"}
    assert not [row for row in town.writes_since(mark) if "members" in str(row["body"])]
    whole = town.sync(codes=(4,))
    assert whole["held_number"] == held["held_number"]
    looked_at = [shown_held(town, run["run"]) for run in (held, whole)]
    assert looked_at[0] == looked_at[1], "approving either run lets out the same, so either shows all of it"
    assert len(looked_at[0]) > sum(held["held"].values())
    town.edit("profiles.district.limits", max_adds=None)
    town.sync(codes=(0,))


def shown_held(town: Rig, run: int) -> list[tuple[str, str]]:
    """What a look at a run shows as held."""
    changes = town.run("runs", "show", str(run), "--state", "held", "--json").expect(0).json["changes"]
    return sorted((change["kind"], str(change["member"])) for change in changes)


def test_what_cannot_be_named(town: Rig) -> None:
    """An unknown id, a kind that does not fit, both options at once: refused, and no mark on the profile."""
    assert "knows no person 4711" in town.run("sync", PROFILE, "--person", "4711").expect(2).err
    assert "knows no section 8401" in town.run("sync", PROFILE, "--section", "8401").expect(2).err
    assert "knows no person teacher 8401" in town.run("sync", PROFILE, "--person", "teacher 8401").expect(2).err
    both = town.run("sync", PROFILE, "--person", "8401", "--section", str(ONE)).expect(2)
    assert "do not go together" in both.err
    status = town.run("status", "--json").expect(0).json["profiles"][0]
    assert status["failures"] == 0


def test_an_id_that_fits_two(town: Rig) -> None:
    """Number spaces of students and staff overlap: the kind must be said then."""
    town.change_school(student(9401, SCHOOL, username="twin"))
    said = town.run("sync", PROFILE, "--person", "9401").expect(2).err
    assert "student 9401 and teacher 9401" in said
    done = town.sync("--person", "student 9401", codes=(0,))
    assert done["applied"]["user.create"] == 1
