"""reset: what is known of a record is forgotten and read anew; the directory is written to only where it differs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rig import COMMAND, PROFILE, Rig

from process.answers import SCHOOL, issues, kinds, scope
from process.by_hand import class_id, members, set_time, upn
from process.terminal import Terminal
from process.town import State, flat, school, section, start, student, teacher

pytestmark = pytest.mark.process

CLASS, BARE = 7501, 7502


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One class of three, synced; a section without a teacher is an issue."""
    rig = start(tmp_path_factory.mktemp("reset"))
    try:
        pupils = [student(number, SCHOOL) for number in (8501, 8502, 8503)]
        rig.change_school(
            *flat(
                school(SCHOOL), teacher(9501, SCHOOL), pupils,
                section(CLASS, SCHOOL, 9501, 8501, 8502, 8503), section(BARE, SCHOOL, None),
            )
        )  # fmt: skip
        scope(rig, SCHOOL)
        rig.sync(codes=(1,))
        set_time(rig, "19:00")
        rig.sync(codes=(1,))
        yield rig
    finally:
        rig.stop()


def reset(rig: Rig, *what: str) -> str:
    """Forget, without being asked; what the command said."""
    mark = rig.request_mark()
    told = rig.run("reset", PROFILE, *what, "--yes").expect(0).out
    assert rig.get("requests", since=mark)["requests"] == [], "a reset asks nobody and tells nobody"
    return told


def settle(rig: Rig, *, codes: tuple[int, ...] = (1,)) -> int:
    """A sync that must change nothing; how many writes it sent."""
    before, mark = State.of(rig), rig.request_mark()
    rig.sync(codes=codes)
    assert before.differences(State.of(rig)) == []
    return len(rig.writes_since(mark))


def test_a_person_a_section_and_a_profile_are_read_anew_without_a_write(town: Rig) -> None:
    """What the directory holds already counts as written."""
    told = reset(town, "--person", "8501")
    assert "student 8501 in profile district" in told and "2  memberships" in told
    assert settle(town) == 0
    assert f"section {CLASS}" in reset(town, "--section", str(CLASS))
    assert settle(town) == 0
    told = reset(town, "--profile")
    assert "3  students' accounts" in told and "delta links" in told
    mark = town.request_mark()
    assert settle(town) == 0
    asked = [row["path"] for row in town.get("requests", side="graph", since=mark)["requests"]]
    assert [path for path in asked if path.endswith("/users/delta")], "the directory is read from the start"
    links = town.run("links", "show", "8501", "--json").expect(0).json["links"]
    assert links[0]["written"]["grade"] == "9" and len(links[0]["memberships"]) == 2
    assert settle(town) == 0


def test_issues_are_forgotten_until_the_next_sync(town: Rig) -> None:
    """And what runs saw as well."""
    assert ("section", str(BARE)) in issues(town)
    reset(town, "--section", str(BARE))
    assert issues(town) == {}
    assert "nothing is known" in town.run("explain", str(BARE)).expect(2).err
    town.sync(codes=(1,))
    assert ("section", str(BARE)) in issues(town)


def test_an_attribute_changed_by_hand_is_written_again(town: Rig) -> None:
    """Without a reset it survives, as always."""
    town.change_directory({"op": "update_user", "upn": upn("s8502"), "displayName": "By Hand"})
    assert settle(town) == 0
    reset(town, "--person", "student 8502")
    mark = town.request_mark()
    town.sync(codes=(1,))
    assert town.directory().user(upn("s8502"))["displayName"] == "Stu Student8502"
    assert sum(kinds(town.writes_since(mark)).values()) == 1, "that one alone"


def test_a_child_removed_by_hand_comes_back(town: Rig) -> None:
    """Removals by hand are respected until the record is reset."""
    for number, what in ((8503, ("--person", "8503")), (8501, ("--section", str(CLASS)))):
        town.change_directory({"op": "remove_member", "group": class_id(town, CLASS), "user": upn(f"s{number}")})
        town.sync(codes=(1,))
        assert f"s{number}" not in members(town, CLASS)
        reset(town, *what)
        town.sync(codes=(1,))
        assert f"s{number}" in members(town, CLASS)


def test_a_leaver_between_reset_and_sync_is_still_taken_out(town: Rig) -> None:
    """A membership that was ours stays ours: forgetting it would leave the child in the class for good."""
    reset(town, "--section", str(CLASS))
    reset(town, "--person", "8502")
    town.change_school({"op": "drop", "student": 8502, "section": CLASS})
    town.sync(codes=(1,))
    assert members(town, CLASS) == {"s8501", "s8503", "t9501"}


def test_it_asks_and_it_says_what_is_wrong(town: Rig) -> None:
    """On a terminal it asks; elsewhere it wants --yes. What it does not know it does not forget."""
    assert "add --yes" in town.run("reset", PROFILE, "--person", "8501").expect(2).err
    assert "one of --person, --section and --profile" in town.run("reset", PROFILE, "--yes").expect(2).err
    assert "nothing is known of person 4711" in town.run("reset", PROFILE, "--person", "4711", "--yes").expect(2).err
    command = [*COMMAND, "--config", str(town.config), "reset", PROFILE, "--person", "8501"]
    with Terminal(command, town.environment, town.folder) as terminal:
        terminal.expect("The directory is not touched")
        terminal.answer("Forget it? [y/N]", "n")
        assert terminal.end() != 0
    links = town.run("links", "show", "8501", "--json").expect(0).json["links"]
    assert links[0]["written"], "refused: nothing was forgotten"
