"""The target against a stateful tenant that lags, throttles, loses answers and refuses."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from writing_rig import (
    FACULTY_SKU,
    SOURCE,
    STUDENT_SKU,
    MemoryLedger,
    Tenant,
    create_class,
    create_school,
    create_user,
    license_of,
    link,
    school,
    section,
    small_school,
    student,
    taught,
    teacher,
    tenant,
    update,
)

from sds_daemon.clock import Clock
from sds_daemon.errors import TargetError, TargetInvalid
from sds_daemon.plan.change import Change, Outcome
from sds_daemon.plan.change import ChangeKind as K
from sds_daemon.plan.change import Result as R
from sds_daemon.plan.issues import IssueCode

MAKES = (K.CREATE_SCHOOL, K.CREATE_USER, K.CREATE_CLASS)


async def whole(made: Tenant, ledger: MemoryLedger, students: int, classes: int) -> None:
    """The directory holds a small school exactly, nothing twice."""
    assert ledger.failures() == []
    state = await made.state()
    assert len(state["users"]) == students + 1
    assert len(state["groups"]) == classes
    assert {len(group["members"]) for group in state["groups"]} == {students + 1}
    assert {len(group["owners"]) for group in state["groups"]} == {1}
    places = state["schools"] or state["administrativeUnits"]
    assert len(places) == 1


LAG = {"lag_seconds": 1.0, "service_seconds": 0.01}


@pytest.mark.parametrize("api", ["education", "groups"])
async def test_objects_that_show_late_are_waited_for(tmp_path: Path, api: str) -> None:
    async with tenant(tmp_path, lag_horizon=2.0, **LAG) as made:
        ledger = await made.apply(small_school(students=25, classes=2), class_api=api)
        await whole(made, ledger, 25, 2)
        assert any("mail" in outcome.extra for outcome in ledger.outcomes.values()), "the address of a new class"


@pytest.mark.parametrize("api", ["education", "groups"])
async def test_lost_answers_make_nothing_twice(tmp_path: Path, api: str) -> None:
    async with tenant(tmp_path, lag_horizon=2.0, **LAG) as made:
        made.faults.add({"side": "graph", "kind": "lost_answer", "method": "POST", "status": 504, "probability": 0.2})
        made.faults.add({"side": "graph", "kind": "lost_answer", "path": "batch", "times": 3, "after": 2})
        made.faults.add({"side": "graph", "kind": "lost_answer", "method": "PATCH", "status": 500, "probability": 0.2})
        await whole(made, await in_two_runs(made, class_api=api), 25, 2)


async def test_lost_answers_in_a_plain_tenant(tmp_path: Path) -> None:
    async with tenant(tmp_path, lag_horizon=2.0, education=False, education_api=False, **LAG) as made:
        made.faults.add({"side": "graph", "kind": "lost_answer", "method": "POST", "status": 504, "probability": 0.2})
        await whole(made, await in_two_runs(made), 25, 2)


async def in_two_runs(made: Tenant, **options: Any) -> MemoryLedger:
    """A storm may put a change off, and what rests on it; the run after the storm finds or makes all of it."""
    since = Clock().now()
    ledger = await made.apply(small_school(students=25, classes=2), **options)
    assert {outcome.result for outcome in ledger.failures()} <= {R.DEFERRED}
    made.faults.clear()
    left = [outcome.change for outcome in ledger.failures()]
    return await taken_up(made, ledger, left, [change for change in left if change.kind in MAKES], since, **options)


async def test_throttling_costs_time_only(tmp_path: Path) -> None:
    """The sandbox grants less than the settings say, so the target runs into refusals."""
    granted = {"granted_quota": 30, "write_period": 4.0, "cost_model": "thirds", "education_counted": True}
    async with tenant(tmp_path, lag_horizon=2.0, **granted) as made:
        ledger = await made.apply(small_school(students=15, classes=2))
        await whole(made, ledger, 15, 2)
        assert made.targets[0].counts().refused > 0


async def test_faults_of_every_kind_at_once(tmp_path: Path) -> None:
    async with tenant(tmp_path, lag_horizon=2.0, **LAG) as made:
        conflict = {
            "error": {
                "code": "Directory_ConcurrencyViolation",
                "message": "Error due to concurrent requests being made to the tenant. Please wait briefly and retry.",
            }
        }
        for method in ("POST", "PATCH"):
            storm = {"side": "graph", "kind": "status", "method": method, "probability": 0.05}
            made.faults.add({**storm, "status": 409, "body": conflict})
            for status in (500, 503):
                made.faults.add({**storm, "status": status, "headers": {"Retry-After": "0.1"}})
        made.faults.add({"side": "graph", "kind": "reset", "path": "batch", "times": 2})
        made.faults.add({"side": "graph", "kind": "truncate", "path": "batch", "times": 1, "after": 4})
        made.faults.add({"side": "graph", "kind": "expire_token", "times": 1, "after": 30})
        ledger = await made.apply(small_school(students=30, classes=3))
        again = await made.apply(small_school(students=30, classes=3)[1:], known(ledger, school()))
        assert again.failures() == []
        again.outcomes |= {key: outcome for key, outcome in ledger.outcomes.items() if outcome.result is R.DONE}
        await whole(made, again, 30, 3)


def known(ledger: MemoryLedger, *refs: Any) -> MemoryLedger:
    made = MemoryLedger()
    made.ids = {ref: ledger.ids[ref] for ref in refs if ref in ledger.ids}
    return made


@pytest.mark.parametrize("sent", [1, 3, 8, 15])
async def test_a_run_killed_in_the_middle_is_completed_by_the_next(tmp_path: Path, sent: int) -> None:
    """The process dies after a batch went out: its outcomes are unknown, its intentions are on record."""
    async with tenant(tmp_path, lag_horizon=3.0, **LAG) as made:
        changes = small_school(students=25, classes=2)
        ledger = Killed(sent)
        with pytest.raises(Kill):
            await made.target().apply(changes, ledger)
        await asyncio.sleep(0.05)
        left = [change for change in changes if change.key not in ledger.outcomes]
        next_run = await taken_up(made, ledger, left, ledger.unsettled(), ledger.started)
        await whole(made, next_run, 25, 2)


async def taken_up(
    made: Tenant, ledger: MemoryLedger, left: list[Change], uncertain: list[Change], since: datetime, **options: Any
) -> MemoryLedger:
    """The next run: it looks for what may have been made since, and does what is left."""
    next_run = MemoryLedger()
    next_run.ids = dict(ledger.ids)
    target = made.target(**options)
    for change in uncertain:
        found = await target.find(change, since)
        if found is not None:
            next_run.ids[change.subject] = found
    await target.apply([c for c in left if not (c.kind in MAKES and c.subject in next_run.ids)], next_run)
    return next_run


class Kill(BaseException):
    """The process ends here."""


class Killed(MemoryLedger):
    """A ledger whose process is killed after so many batches were posted."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.left = batches
        self.dead = False
        self.started = Clock().now()
        self.sent: list[Change] = []

    def intend(self, changes: Any) -> None:
        super().intend(changes)
        self.sent += changes
        self.left -= 1

    def settle(self, outcomes: Any) -> None:
        if self.dead:
            return
        if self.left <= 0:
            self.dead = True
            raise Kill
        super().settle(outcomes)

    def unsettled(self) -> list[Change]:
        creates = {c.key: c for c in self.sent if str(c.kind).endswith(".create")}
        return [change for key, change in creates.items() if key not in self.outcomes]


async def test_no_seat_is_an_issue_and_the_account_is_made(education: Tenant) -> None:
    await education.change({"op": "set_seats", "sku": STUDENT_SKU, "enabled": 2})
    people = [student(n) for n in range(1, 6)]
    ledger = await education.apply([*map(create_user, people), *[license_of(ref, STUDENT_SKU) for ref in people]])
    assert [outcome.code for outcome in ledger.failures()] == [IssueCode.NO_SEAT] * 3
    state = await education.state()
    assert sum(bool(user["licenses"]) for user in state["users"]) == 2
    await education.change({"op": "set_seats", "sku": STUDENT_SKU, "enabled": 50})
    again = await education.apply([license_of(ref, STUDENT_SKU) for ref in people], ledger=known(ledger, *people))
    assert again.failures() == []
    assert all(user["licenses"] for user in (await education.state())["users"])


async def test_an_account_without_usage_location_gets_no_licence(education: Tenant) -> None:
    change = create_user(teacher(1), usage_location=None)
    ledger = await education.apply([change, license_of(teacher(1), FACULTY_SKU)])
    assert [outcome.code for outcome in ledger.failures()] == [IssueCode.INVALID_USAGE_LOCATION]


async def test_a_user_name_held_by_somebody_else(tmp_path: Path) -> None:
    async with tenant(tmp_path, lag_horizon=1.0) as made:
        await made.change({"op": "create_user", "userPrincipalName": "Student1@contoso.edu", "displayName": "Sam"})
        ledger = await made.apply([create_user(student(1)), create_user(student(2))])
        assert ledger.of(create_user(student(1))).code == IssueCode.UPN_TAKEN
        assert ledger.of(create_user(student(2))).result is R.DONE
        assert (await made.user("Student1@contoso.edu"))["displayName"] == "Sam"


async def test_an_alias_held_by_another_group(tmp_path: Path) -> None:
    async with tenant(tmp_path, lag_horizon=1.0) as made:
        await made.change({"op": "create_group", "mailNickname": "Section_1", "displayName": "By hand"})
        changes = [create_user(teacher(1)), create_class(section(1)), *taught(section(1), teacher(1))]
        ledger = await made.apply(changes)
        assert ledger.of(create_class(section(1))).code == IssueCode.ALIAS_TAKEN
        assert ledger.results() == {R.DONE: 1, R.FAILED: 1, R.DEPENDENT: 2}


async def test_an_unverified_domain_is_the_value_of_one_record(education: Tenant) -> None:
    wrong = create_user(student(1), user_principal_name="student1@elsewhere.example")
    ledger = await education.apply([wrong, create_user(student(2))])
    assert ledger.of(wrong).code == IssueCode.INVALID_VALUE
    assert "elsewhere" not in ledger.of(wrong).detail


async def test_members_that_are_there_already(education: Tenant) -> None:
    changes = small_school(students=30, classes=1, attach=False)
    ledger = await education.apply([change for change in changes if change.member != student(30)])
    group = ledger.ids[section(1)]
    await education.change({"op": "create_user", "userPrincipalName": "x@contoso.edu", "displayName": "X"})
    adds = [link(K.ADD_MEMBER, section(1), student(n)) for n in range(1, 31)]
    again = await education.apply([create_user(student(30)), *adds], known(ledger, *ledger.ids))
    assert again.results() == {R.DONE: 1, R.ALREADY: 30}
    assert len(next(g for g in (await education.state())["groups"] if g["id"] == group)["members"]) == 31


async def test_changes_of_a_school_year(education: Tenant) -> None:
    """A teacher is replaced, a student leaves, another moves school, attributes change."""
    ledger = await education.apply(
        [*small_school(students=3, classes=1, teachers=1), create_user(teacher(2)), create_school(school(2))]
    )
    day = [
        *taught(section(1), teacher(2)),
        link(K.REMOVE_OWNER, section(1), teacher(1)),
        link(K.REMOVE_MEMBER, section(1), teacher(1)),
        link(K.REMOVE_MEMBER, section(1), student(2)),
        link(K.REMOVE_MEMBER, section(1), student(9)),
        link(K.ADD_SCHOOL_USER, school(2), student(3)),
        link(K.REMOVE_SCHOOL_USER, school(1), student(3)),
        update(K.UPDATE_USER, student(1), {"external_id": "1"}, grade="9", surname="Renamed", student_number=None),
        update(K.UPDATE_CLASS, section(1), display_name="Algebra II", course_number="102", period="3"),
        update(K.UPDATE_SCHOOL, school(1), principal_name="P. Rincipal", phone=None),
    ]  # fmt: skip
    after = await education.apply(day, known(ledger, *ledger.ids))
    assert [(outcome.change.member, outcome.result) for outcome in after.failures()] == [(student(9), R.DEPENDENT)]
    group = await education.group("Section_1")
    assert [o["id"] if isinstance(o, dict) else o for o in group["owners"]] == [ledger.ids[teacher(2)]]
    assert len(group["members"]) == 3
    assert group["displayName"] == "Algebra II"
    person = await education.user("student1@contoso.edu")
    assert (person["surname"], person["education"]["student"]["grade"]) == ("Renamed", "9")
    assert person["education"]["student"]["externalId"] == "1"
    schools = {entry["externalId"]: entry for entry in (await education.state())["schools"]}
    assert (len(schools["1"]["users"]), len(schools["2"]["users"])) == (3, 1)
    again = await education.apply([change for change in day if "remove" in change.kind], known(ledger, *ledger.ids))
    assert {outcome.result for outcome in again.outcomes.values()} == {R.ALREADY, R.DEPENDENT}


async def test_the_last_owner_is_kept_and_told(education: Tenant) -> None:
    ledger = await education.apply(small_school(students=1, classes=1))
    removal = link(K.REMOVE_OWNER, section(1), teacher(1))
    outcome: Outcome = (await education.apply([removal], known(ledger, *ledger.ids))).of(removal)
    assert (outcome.result, outcome.code) == (R.FAILED, IssueCode.LAST_OWNER)
    assert len((await education.group("Section_1"))["owners"]) == 1


async def test_more_owners_than_a_group_may_have(tmp_path: Path) -> None:
    async with tenant(tmp_path, max_owners=3) as made:
        people = [teacher(n) for n in range(1, 6)]
        changes = [*map(create_user, people), create_class(section(1))]
        for person in people:
            changes += taught(section(1), person)
        ledger = await made.apply(changes)
        assert [outcome.code for outcome in ledger.failures()] == [IssueCode.TOO_MANY_OWNERS] * 2
        group = await made.group("Section_1")
        assert (len(group["owners"]), len(group["members"])) == (3, 5)


async def test_a_deleted_account_keeps_nobody_else_out(tmp_path: Path) -> None:
    async with tenant(tmp_path, lag_horizon=1.0) as made:
        ledger = await made.apply(
            [change for change in small_school(students=5, classes=1) if change.kind is not K.ADD_MEMBER]
        )
        await made.change({"op": "delete_user", "id": ledger.ids[student(2)]})
        adds = [link(K.ADD_MEMBER, section(1), student(n)) for n in range(1, 6)]
        after = await made.apply(adds, known(ledger, *ledger.ids))
        assert [outcome.change.member for outcome in after.failures()] == [student(2)]
        assert after.failures()[0].code == IssueCode.OBJECT_DELETED


async def test_accounts_mastered_on_premises(education: Tenant) -> None:
    await education.change(
        {"op": "create_user", "userPrincipalName": "a@contoso.edu", "displayName": "A", "onPremisesSyncEnabled": True}
    )
    ledger = MemoryLedger()
    ledger.ids[student(1)] = (await education.user("a@contoso.edu"))["id"]
    ledger.ids[student(2)] = ledger.ids[student(1)]
    marks = update(
        K.UPDATE_USER,
        student(1),
        external_id="1",
        external_source="sis",
        external_source_detail=SOURCE,
        primary_role="student",
    )
    name = update(K.UPDATE_USER, student(2), surname="Else")
    await education.apply([marks], ledger)
    await education.apply([name], ledger)
    assert ledger.of(marks).result is R.DONE
    assert ledger.of(name).code == IssueCode.ON_PREMISES


async def test_stopping_between_batches_loses_nothing(education: Tenant) -> None:
    changes = small_school(students=200, classes=4)
    ledger = MemoryLedger()
    await education.target().apply(changes, ledger, stop=lambda: len(ledger.outcomes) > 100)
    assert set(ledger.results()) == {R.DONE, R.DEFERRED}
    assert len(ledger.outcomes) == len(changes)
    left = [change for change in changes if ledger.of(change).result is R.DEFERRED]
    again = await education.apply(left, known(ledger, *ledger.ids))
    await whole(education, again, 200, 4)


async def test_a_read_only_target_writes_nothing(education: Tenant) -> None:
    changes = small_school(students=2, classes=1)
    ledger = MemoryLedger()
    with pytest.raises(TargetInvalid):
        await education.target(read_only=True).apply(changes, ledger)
    assert set(ledger.results()) == {R.DEFERRED}
    state = await education.state()
    assert (state["users"], state["groups"], state["schools"]) == ([], [], [])


async def test_a_tenant_that_is_gone_ends_the_run_with_everything_settled(education: Tenant) -> None:
    education.faults.add({"side": "graph", "kind": "reset", "path": "batch", "after": 3})
    changes = small_school(students=60, classes=2)
    ledger = MemoryLedger()
    with pytest.raises(TargetError):
        await education.target().apply(changes, ledger)
    assert len(ledger.outcomes) == len(changes)
    assert set(ledger.results()) <= {R.DONE, R.DEFERRED, R.ALREADY}


async def test_credentials_withdrawn_in_the_middle(education: Tenant) -> None:
    target = education.target()
    await target.facts()
    await education.change({"op": "revoke_role", "role": "EduRoster.ReadWrite.All"})
    ledger = MemoryLedger()
    await target.apply(small_school(students=3, classes=1), ledger)
    assert {outcome.code for outcome in ledger.outcomes.values() if outcome.result is R.FAILED} == {IssueCode.REFUSED}
    assert (await education.state())["users"] == []
