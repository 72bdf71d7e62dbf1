"""The rule table, cell by cell, through the real program: what a day in the school does to the whole directory.

One sandbox per policy. All events happen on one day, each on rows of its own; after two cycles the complete state of
the directory must be what it was before, with exactly the differences the events are expected to make.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rig import Rig

from process import events, town
from process.events import CONTROL, OTHER, STAGE, Event
from process.town import State

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

EVENTS = events.all_events()
HELPER = {"op": "create_user", "userPrincipalName": "helper@contoso.edu"}
# the generated part of the district has one section without a teacher
STANDING = {("section 1501", "SectionWithoutTeacher"), ("section 7123", "SectionWithoutTeacher")}
ISSUES = STANDING | {
    ("student 81270", "InactivePerson"),
    ("section 7131", "MissingRequiredAttribute"),
    ("student 81320", "MissingRequiredAttribute"),
    ("school 530", "SchoolNoLongerListed"),
    ("school 533", "MissingRequiredAttribute"),
    ("student 81349", "TeacherIsAlsoStudent"),
}


@dataclass
class Outcome:
    """What a day did: states around it, and what the runs said of themselves."""

    before: State
    after: State
    settled: State
    first: dict[str, Any]
    second: dict[str, Any]
    third: dict[str, Any]
    writes_of_third: list[dict[str, Any]]
    issues: set[tuple[str, str]]
    log: str


def live_through(rig: Rig, policy: str) -> Outcome:
    """First sync, changes by hand, the day in the school, two more cycles."""
    rig.edit("profiles.district", policy=policy)
    rig.change_school(*town.flat(town.school(STAGE), town.school(OTHER), events.control(), events.terms()))
    rig.change_school(*town.flat(*[event.before for event in EVENTS]))
    first = rig.sync()
    change_by_hand(rig)
    before = State.of(rig)
    town.turn_to(rig, town.NEXT_DAY)
    rig.change_school(*town.flat(*[event.day for event in EVENTS]))
    done = rig.run("sync", "district", "--json").expect(1)
    after = State.of(rig)
    mark = rig.request_mark()
    third = rig.sync()
    return Outcome(
        before=before,
        after=after,
        settled=State.of(rig),
        first=first,
        second=done.json,
        third=third,
        writes_of_third=rig.writes_since(mark),
        issues=open_issues(rig),
        log=done.err,
    )


def change_by_hand(rig: Rig) -> None:
    """What people do in Teams before the day begins."""
    rig.change_directory(HELPER)
    groups = {f"group:{item['mailNickname']}": item["id"] for item in rig.directory().groups.values()}
    for event in EVENTS:
        for what, group, value in event.hand:
            if what == "rename":
                rig.change_directory({"op": "update_group", "id": groups[group], "displayName": value})
            else:
                operation = {"op": f"{what}_member", "group": groups[group], "user": value.removeprefix("user:")}
                rig.change_directory(operation)


def open_issues(rig: Rig) -> set[tuple[str, str]]:
    """(record, code) of every open issue."""
    listed = rig.run("issues", "list", "district", "--all", "--json").expect(0).json
    return {
        (f"{record['kind']} {record['sis_id']}", cause["code"])
        for profile in listed["profiles"]
        for cause in profile["causes"]
        for record in cause["issues"]
    }


@pytest.fixture(scope="class")
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """What the day did under the policy of the class."""
    policy = request.cls.policy
    rig = town.start(Path(tmp_path_factory.mktemp(f"rules-{policy}")))
    try:
        yield live_through(rig, policy)
    finally:
        rig.stop()


class RuleTable:
    """The tests of one policy."""

    policy: ClassVar[str]

    def expected(self, outcome: Outcome, *chosen: Event) -> list[str]:
        """The differences the events are to make."""
        state = outcome.before.copy()
        for event in chosen:
            event.expect(state, self.policy)
        return outcome.before.differences(state)

    @pytest.mark.parametrize("event", EVENTS, ids=[event.name for event in EVENTS])
    def test_cell(self, outcome: Outcome, event: Event) -> None:
        wanted = set(self.expected(outcome, event))
        own = [str(number) for number in numbers_of(event)]
        happened = {line for line in outcome.before.differences(outcome.after) if any(each in line for each in own)}
        others = {line for other in EVENTS if other is not event for line in self.expected(outcome, other)}
        assert happened - others == wanted - others

    def test_nothing_else_has_changed(self, outcome: Outcome) -> None:
        assert outcome.before.differences(outcome.after) == self.expected(outcome, *EVENTS)

    def test_the_control_school_is_untouched(self, outcome: Outcome) -> None:
        controls = [f"school:{CONTROL}", f"unit:{CONTROL}", "group:Section_7001", "group:Section_7002"]
        controls += [f"user:s{number}@contoso.edu" for number in range(8001, 8005)] + ["user:t9001@contoso.edu"]
        for name in controls:
            assert outcome.after.objects[name] == outcome.before.objects[name]

    def test_the_next_cycle_changes_nothing(self, outcome: Outcome) -> None:
        assert outcome.after.differences(outcome.settled) == []
        assert outcome.writes_of_third == []
        assert outcome.third["status"] == "nothing_to_do"
        assert outcome.third["planned"] == {}

    def test_everything_planned_was_applied(self, outcome: Outcome) -> None:
        assert outcome.second["applied"] == outcome.second["planned"]
        assert outcome.second["held"] == {}

    def test_the_issues(self, outcome: Outcome) -> None:
        last_owner = {("section 7119", "CannotRemoveLastOwner")} if self.policy == "mirror" else set()
        assert outcome.issues == ISSUES | last_owner

    def test_an_issue_is_announced_once(self, outcome: Outcome) -> None:
        assert "section 7123" not in outcome.log
        assert "section 7131" in outcome.log


class TestSds(RuleTable):
    policy = "sds"

    def test_what_the_policy_keeps_stays_visible(self, outcome: Outcome) -> None:
        kept = {"owner.remove": 3, "member.remove": 3, "school_user.remove": 2}
        assert outcome.second["skipped"] == kept
        assert outcome.third["skipped"] == kept


class TestAddOnly(RuleTable):
    policy = "add-only"

    def test_what_the_policy_keeps_stays_visible(self, outcome: Outcome) -> None:
        leavers = len(leaver_lines(outcome))  # the one removed by hand is out already
        assert outcome.second["skipped"] == {"owner.remove": 3, "member.remove": 3 + leavers, "school_user.remove": 2}


class TestMirror(RuleTable):
    policy = "mirror"

    def test_only_the_last_owner_is_kept(self, outcome: Outcome) -> None:
        assert outcome.second["skipped"] == {"owner.remove": 1, "member.remove": 1}


def leaver_lines(outcome: Outcome) -> list[str]:
    """What policy sds would take out of classes."""
    state = outcome.before.copy()
    for event in EVENTS:
        event.expect(state, "sds")
    return [line for line in outcome.before.differences(state) if " members - " in line]


def numbers_of(event: Event) -> set[int]:
    """The ids an event is about: of its sections, students and teachers."""
    keys = ("section", "student", "teacher", "school")
    rows = [*event.before, *event.day]
    own = {int(row["id"]) for row in rows if "id" in row and row["op"] != "add_course"}
    named = {int(row[key]) for row in rows for key in keys if row.get(key)}
    return {number for number in own | named if number not in {STAGE, OTHER, CONTROL}}


def test_events_share_no_rows() -> None:
    seen: dict[int, str] = {}
    for event in EVENTS:
        for number in {int(row["id"]) for row in event.before if "id" in row}:
            assert number not in seen, f"{event.name} and {seen[number]} share {number}"
            seen[number] = event.name
    assert json.dumps([event.day for event in EVENTS])
