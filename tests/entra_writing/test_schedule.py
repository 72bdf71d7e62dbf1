"""What is sent when: dependencies, sizes, order, and what follows from a failure."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from fake_executor import ROOT, Bench, error, lost, ok, stopped
from writing_rig import (
    MemoryLedger,
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
    update,
)

from sds_daemon.errors import TargetInvalid, TargetUnreachable
from sds_daemon.plan.change import Change, Outcome
from sds_daemon.plan.change import ChangeKind as K
from sds_daemon.plan.change import Result as R
from sds_daemon.plan.issues import IssueCode
from sds_daemon.targets.entra.batch import Answer, Item
from sds_daemon.targets.entra.filling import chunk_size
from sds_daemon.targets.entra.strands import RUNNING

EXIST = "One or more added object references already exist for the following modified properties: 'members'."
DENIED = ("Insufficient privileges to complete the operation.", "Authorization_RequestDenied")


def binds(item: Item) -> tuple[list[str], list[str]]:
    sent: dict[str, Any] = msgspec.json.decode(item.body or b"{}")
    return sent.get("owners@odata.bind", []), sent.get("members@odata.bind", [])


async def quiet(bench: Bench) -> None:
    """Return when nothing more is sent."""
    seen = -1
    while seen != len(bench.executor.items):
        seen = len(bench.executor.items)
        for _ in range(50):
            await asyncio.sleep(0)


def refuse(bench: Bench, kind: K, text: str, answer: Answer) -> None:
    """Refuse every request of a kind with a text in its body."""
    bench.executor.rules.append(
        lambda item: answer if item.kind == kind and text.encode() in (item.body or b"") else None
    )


def known(bench: Bench, students: int = 30) -> None:
    """A class and its people that are there already."""
    bench.ledger.ids |= {section(1): "g1", teacher(1): "t1", teacher(2): "t2", school(): "s1"}
    bench.ledger.ids |= {student(n): f"p{n}" for n in range(1, students + 1)}


async def test_fewest_requests_for_a_first_sync() -> None:
    bench = Bench()
    await bench.apply(small_school(students=45, classes=3, attach=False))
    adds = bench.executor.sent("PATCH", "/groups/")
    assert len(adds) == 3 * 3  # 1 owner and 46 members: 18 + 18 + 11
    assert all(sum(map(len, binds(item))) <= 20 for item in adds)
    assert sorted(item.adds for item in adds) == [11] * 3 + [18] * 6
    assert len(bench.executor.sent("POST", "/education/users")) == 46
    assert len(bench.executor.items) == 46 + 1 + 3 + 9 + 3  # people, school, classes, members, looks at the address


async def test_owners_and_teachers_go_first() -> None:
    bench = Bench()
    known(bench)
    changes = [link(K.ADD_MEMBER, section(1), student(n)) for n in range(1, 31)] + taught(section(1), teacher(1))
    await bench.apply(changes)
    first, second = bench.executor.sent("PATCH", "/groups/g1")
    owners, members = binds(first)
    assert [url.rsplit("/", 1)[1] for url in owners] == ["t1"]
    assert members[0].endswith("/t1")
    assert len(members) == 17
    assert len(binds(second)[1]) == 14


async def test_a_class_waits_for_a_teacher_and_for_nobody_else() -> None:
    bench = Bench()
    held = "student"
    bench.executor.hold = lambda item: item.kind == K.CREATE_USER and held.encode() in (item.body or b"")
    running = asyncio.create_task(bench.apply(small_school(students=2, classes=1, attach=False)))
    await quiet(bench)
    assert len(bench.executor.sent("POST", "/education/classes")) == 1
    assert bench.executor.sent("PATCH", "/groups/") == []
    bench.executor.release()
    ledger = await running
    assert ledger.failures() == []
    assert len(bench.executor.sent("PATCH", "/groups/")) == 1


async def test_a_full_request_leaves_while_others_are_still_awaited() -> None:
    bench = Bench()
    known(bench)
    bench.executor.hold = lambda item: item.create
    changes = [link(K.ADD_MEMBER, section(1), student(n)) for n in range(1, 31)]
    changes += [create_user(student(99)), link(K.ADD_MEMBER, section(1), student(99))]
    running = asyncio.create_task(bench.apply(changes))
    await quiet(bench)
    assert [item.adds for item in bench.executor.sent("PATCH", "/groups/g1")] == [18]
    bench.executor.release()
    await running
    assert [item.adds for item in bench.executor.sent("PATCH", "/groups/g1")] == [18, 13]


async def test_people_do_not_wait_for_classes_that_wait_for_the_quota() -> None:
    bench = Bench()
    there = 2 * RUNNING
    bench.ledger.ids |= {section(n): f"g{n}" for n in range(there)} | {student(0): "p0"}
    bench.executor.hold = lambda item: item.url.startswith("/groups/")
    changes = [link(K.ADD_MEMBER, section(n), student(0)) for n in range(there)]
    task = asyncio.create_task(bench.apply([*changes, *(create_user(student(n)) for n in range(1, there))]))
    await quiet(bench)
    assert len(bench.executor.sent("PATCH", "/groups/")) == RUNNING, "held back"
    assert len(bench.executor.sent("POST", "/education/users")) == there - 1
    bench.executor.release()
    await task


async def test_a_class_that_is_there_is_filled_before_others_are_made() -> None:
    bench = Bench()
    known(bench, 20)
    bench.executor.hold = lambda item: item.kind in (K.CREATE_USER, K.CREATE_CLASS)
    fill = [link(K.ADD_MEMBER, section(1), who) for who in (*(student(n) for n in range(1, 20)), teacher(3))]
    made = [create_class(section(n)) for n in range(2, 3 * RUNNING)]
    task = asyncio.create_task(bench.apply([create_user(teacher(3)), *made, *fill]))
    await quiet(bench)
    assert len(bench.executor.held) == 1 + RUNNING
    bench.executor.release()
    await task
    urls = [f"{item.method} {item.url}" for item in bench.executor.items]
    assert urls[: urls.index("PATCH /groups/g1")].count("POST /education/classes") < RUNNING + 20


async def test_school_attachments_do_not_wait_for_classes() -> None:
    bench = Bench()
    bench.executor.hold = lambda item: item.kind == K.CREATE_CLASS
    changes = small_school(students=5, classes=1)
    running = asyncio.create_task(bench.apply(changes))
    await quiet(bench)
    assert len(bench.executor.sent("POST", "/users/$ref")) == 6
    assert bench.executor.sent("POST", "/classes/$ref") == []
    bench.executor.release()
    await running
    assert len(bench.executor.sent("POST", "/classes/$ref")) == 1


async def test_licences_follow_the_account_at_once() -> None:
    bench = Bench()
    await bench.apply([create_user(student(1)), license_of(student(1), "STUDENT", "faculty")])
    made, licensed = bench.executor.items
    assert made.create
    assert len(msgspec.json.decode(licensed.body or b"")["addLicenses"]) == 2


async def test_removals_come_after_additions_and_owners_last() -> None:
    bench = Bench()
    known(bench)
    changes = [
        link(K.REMOVE_OWNER, section(1), teacher(1)),
        link(K.REMOVE_MEMBER, section(1), teacher(1)),
        link(K.REMOVE_MEMBER, section(1), student(3)),
        *taught(section(1), teacher(2)),
    ]
    await bench.apply(changes)
    sent = [f"{item.method} {item.url}" for item in bench.executor.items]
    assert sent == [
        "PATCH /groups/g1",
        "DELETE /groups/g1/members/p3/$ref",
        "DELETE /groups/g1/owners/t1/$ref",
        "DELETE /groups/g1/members/t1/$ref",
    ]


PEOPLE = {
    "listed": ([ok(200, value=[{"id": "p3"}])], R.DEFERRED),
    "not listed": ([ok(200, value=[{"id": "p4"}])], R.ALREADY),
    "listed on a later page": (
        [ok(200, value=[{"id": "p4"}], **{"@odata.nextLink": f"{ROOT}/next"}), ok(200, value=[{"id": "p3"}])],
        R.DEFERRED,
    ),
    "not listed on any page": (
        [ok(200, value=[{"id": "p4"}], **{"@odata.nextLink": f"{ROOT}/next"}), ok(200, value=[])],
        R.ALREADY,
    ),
    "gone altogether": ([error(404, "Resource 'g1' does not exist", "Request_ResourceNotFound")], R.ALREADY),
    "not to be read": ([error(503)], R.DEFERRED),
    "no answer": ([lost()], R.DEFERRED),
    "no JSON": ([Answer(status=200, body=b"<html>")], R.DEFERRED),
}


@pytest.mark.parametrize("place", ["class", "school"])
@pytest.mark.parametrize("what", PEOPLE)
async def test_a_removal_answered_not_found_is_checked_against_who_is_there(what: str, place: str) -> None:
    bench = Bench()
    known(bench)
    pages, result = PEOPLE[what]
    bench.executor.on("DELETE", "p3/$ref", error(404, "Resource 'p3' does not exist", "Request_ResourceNotFound"))
    bench.executor.on("GET", "", *pages)
    removal = {
        "class": link(K.REMOVE_MEMBER, section(1), student(3)),
        "school": link(K.REMOVE_SCHOOL_USER, school(), student(3)),
    }[place]
    assert (await bench.apply([removal])).of(removal).result is result
    collection = {"class": "/groups/g1/members", "school": "/education/schools/s1/users"}[place]
    asked = [item.url for item in bench.executor.sent("GET", "")]
    assert asked == [f"{collection}?$select=id&$top=999", "/next"][: len(pages)]


async def test_a_removal_is_not_taken_for_done_where_the_next_page_lies_elsewhere() -> None:
    bench = Bench()
    known(bench)
    bench.executor.on("DELETE", "p3/$ref", error(404, "Resource 'p3' does not exist", "Request_ResourceNotFound"))
    elsewhere = {"@odata.nextLink": "https://graph.example.org/v1.0/next"}
    bench.executor.on("GET", "", ok(200, value=[{"id": "p4"}], **elsewhere))
    removal = link(K.REMOVE_MEMBER, section(1), student(3))
    with pytest.raises(TargetInvalid):
        await bench.apply([removal])
    assert bench.ledger.of(removal).result is R.DEFERRED


async def test_the_last_owner_stays_and_stays_a_member() -> None:
    bench = Bench()
    known(bench)
    refusal = error(400, "The group must have at least one owner, hence this owner cannot be removed.")
    bench.executor.on("DELETE", "/owners/", refusal)
    owner, member = link(K.REMOVE_OWNER, section(1), teacher(1)), link(K.REMOVE_MEMBER, section(1), teacher(1))
    ledger = await bench.apply([owner, member])
    assert (ledger.of(owner).result, ledger.of(owner).code) == (R.FAILED, IssueCode.LAST_OWNER)
    assert ledger.of(member).result is R.DEPENDENT
    assert bench.executor.sent("DELETE", "/members/") == []


async def test_what_rests_on_a_failed_account_is_not_sent() -> None:
    bench = Bench()
    refuse(bench, K.CREATE_USER, "student2", error(400, "Invalid value specified for property 'surname'"))
    changes = [*small_school(students=3, classes=1), license_of(student(2), "STUDENT")]
    ledger = await bench.apply(changes)
    results = {change.key: ledger.of(change).result for change in changes}
    assert results[(K.CREATE_USER, student(2), None)] is R.FAILED
    dependents = [key for key in results if student(2) in key[1:] and key[0] is not K.CREATE_USER]
    assert len(dependents) == 3
    assert {results[key] for key in dependents} == {R.DEPENDENT}
    assert {result for key, result in results.items() if student(2) not in key[1:]} == {R.DONE}


async def test_a_class_none_of_whose_teachers_came_is_not_made() -> None:
    bench = Bench()
    refuse(bench, K.CREATE_USER, "teacher", error(400, "Property surname is invalid."))
    changes = small_school(students=3, classes=1)
    ledger = await bench.apply(changes)
    assert bench.executor.sent("POST", "/education/classes") == []
    assert ledger.of(create_class(section(1))).result is R.DEPENDENT
    assert ledger.of(link(K.ADD_MEMBER, section(1), student(1))).result is R.DEPENDENT
    assert ledger.of(link(K.ADD_SCHOOL_CLASS, school(), section(1))).result is R.DEPENDENT
    assert ledger.of(link(K.ADD_SCHOOL_USER, school(), student(1))).result is R.DONE


async def test_a_section_without_teachers_in_the_plan_is_made_at_once() -> None:
    bench = Bench(class_api="groups")
    ledger = await bench.apply([create_class(section(1))])
    assert ledger.of(create_class(section(1))).result is R.DONE


@pytest.mark.parametrize("api", ["education", "groups"])
async def test_a_failed_class_takes_its_members_and_its_school_with_it(api: str) -> None:
    bench = Bench(class_api=api)
    bench.executor.rules.append(
        lambda item: (
            error(400, "Invalid value specified for property 'displayName'") if item.kind == K.CREATE_CLASS else None
        )
    )
    ledger = await bench.apply(small_school(students=3, classes=1))
    assert ledger.of(create_class(section(1))).code == IssueCode.INVALID_VALUE
    assert ledger.results()[R.DEPENDENT] == 6
    assert bench.executor.sent("PATCH", "/groups") == []


async def test_first_members_ride_along_where_groups_are_made() -> None:
    bench = Bench(class_api="groups")
    await bench.apply(small_school(students=45, classes=2, attach=False))
    creates = bench.executor.sent("POST", "/groups")
    assert [item.adds for item in creates] == [18, 18]
    assert sorted(item.adds for item in bench.executor.sent("PATCH", "/groups/")) == [11, 11, 18, 18]


@pytest.mark.parametrize("total", range(1, 120))
def test_references_go_in_as_few_requests_as_can_be_and_in_threes_where_that_costs_none(total: int) -> None:
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(chunk_size(total - sum(sizes)))
    assert sum(sizes) == total
    assert max(sizes) <= 20
    assert len(sizes) == -(-total // 20)
    if total <= 18 * (len(sizes) - 1) + 20:
        assert sum(-(-size // 3) for size in sizes) == -(-total // 3)


async def test_a_rider_who_is_gone_does_not_keep_the_class_from_being_made() -> None:
    bench = Bench(class_api="groups")
    known(bench)
    del bench.ledger.ids[section(1)]
    gone = error(404, "Resource 'p2' does not exist or one of its queried reference-property objects are not present.")
    bench.executor.on("POST", "/groups", gone)
    changes = [create_class(section(1)), *taught(section(1), teacher(1))]
    changes += [link(K.ADD_MEMBER, section(1), student(n)) for n in (1, 2, 3)]
    ledger = await bench.apply(changes)
    assert ledger.of(create_class(section(1))).result is R.DONE
    assert ledger.of(changes[-2]).code == IssueCode.OBJECT_DELETED
    assert ledger.results()[R.DONE] == 5


async def test_who_is_there_already_is_set_aside_and_the_rest_goes_in_one_request() -> None:
    bench = Bench()
    known(bench)
    bench.executor.on("PATCH", "/groups/g1", error(400, EXIST))
    bench.executor.on("GET", "/groups/g1/members", ok(200, value=[{"id": "p1"}, {"id": "p2"}]))
    changes = [link(K.ADD_MEMBER, section(1), student(n)) for n in range(1, 11)]
    ledger = await bench.apply(changes)
    assert [item.adds for item in bench.executor.sent("PATCH", "/groups/g1")] == [10, 8]
    assert ledger.results() == {R.ALREADY: 2, R.DONE: 8}


async def test_reads_that_lag_behind_lead_to_single_additions() -> None:
    bench = Bench()
    known(bench)
    bench.executor.on("PATCH", "/groups/g1", error(400, EXIST))
    bench.executor.on("POST", "/groups/g1/members/$ref", error(400, EXIST))
    ledger = await bench.apply([link(K.ADD_MEMBER, section(1), student(n)) for n in range(1, 4)])
    assert ledger.results() == {R.ALREADY: 1, R.DONE: 2}
    assert len(bench.executor.sent("POST", "/groups/g1/members/$ref")) == 3


async def test_too_many_owners_are_told_one_by_one() -> None:
    bench = Bench()
    known(bench)
    quota = "Unable to perform operation as '101' would exceed the maximum quota count '100' for forward-link 'owners'."
    bench.executor.on("PATCH", "/groups/g1", error(403, quota, "Directory_QuotaExceeded"))
    bench.executor.on("POST", "/groups/g1/owners/$ref", ok(), error(403, quota, "Directory_QuotaExceeded"))
    changes = [link(K.ADD_OWNER, section(1), teacher(n)) for n in (1, 2)]
    ledger = await bench.apply([*changes, link(K.ADD_MEMBER, section(1), student(1))])
    assert sorted(o.code for o in ledger.failures()) == [IssueCode.TOO_MANY_OWNERS]
    assert ledger.results()[R.DONE] == 2


async def test_one_deleted_account_does_not_keep_the_others_out() -> None:
    bench = Bench()
    known(bench)
    gone = error(404, "Resource 'p2' does not exist or one of its queried reference-property objects are not present.")
    bench.executor.on("PATCH", "/groups/g1", gone)
    bench.executor.on("GET", "/directory/deletedItems/p2", ok(200, id="p2"))
    changes = [link(K.ADD_MEMBER, section(1), student(n)) for n in range(1, 6)]
    ledger = await bench.apply(changes)
    assert ledger.of(changes[1]).code == IssueCode.OBJECT_DELETED
    assert ledger.results() == {R.DONE: 4, R.FAILED: 1}
    assert bench.executor.births == []


async def test_an_object_in_no_recycle_bin_is_taken_for_a_new_one() -> None:
    """The run before may have made it a second ago and been killed."""
    bench = Bench()
    known(bench)
    gone = error(404, "Resource 'p2' does not exist or one of its queried reference-property objects are not present.")
    bench.executor.on("PATCH", "/groups/g1", gone)
    bench.executor.on("GET", "/directory/deletedItems/p2", error(404, "", "Request_ResourceNotFound"))
    ledger = await bench.apply([link(K.ADD_MEMBER, section(1), student(n)) for n in range(1, 4)])
    assert ledger.results() == {R.DONE: 3}
    assert bench.executor.births == ["p2"]
    assert len(bench.executor.sent("PATCH", "/groups/g1")) == 2


async def test_a_class_that_is_gone_fails_all_its_members_without_trying_each() -> None:
    bench = Bench()
    known(bench)
    gone = error(404, "Resource 'g1' does not exist or one of its queried reference-property objects are not present.")
    bench.executor.rules.append(lambda item: gone if item.method == "PATCH" else None)
    bench.executor.on("GET", "/directory/deletedItems/g1", ok(200, id="g1"))
    ledger = await bench.apply([link(K.ADD_MEMBER, section(1), student(n)) for n in range(1, 31)])
    assert {outcome.code for outcome in ledger.outcomes.values()} == {IssueCode.OBJECT_DELETED}
    assert bench.executor.sent("POST") == []


async def test_people_who_are_not_linked_are_dependents() -> None:
    bench = Bench()
    known(bench, students=1)
    changes = [link(K.ADD_MEMBER, section(1), student(9)), link(K.REMOVE_MEMBER, section(1), student(8))]
    ledger = await bench.apply(
        [*changes, link(K.ADD_SCHOOL_USER, school(), student(9)), license_of(student(9), "STUDENT")]
    )
    assert ledger.results() == {R.DEPENDENT: 4}
    assert bench.executor.items == []


async def test_stop_puts_the_rest_off() -> None:
    bench = Bench()

    def after_ten(item: Item) -> None:
        bench.stop = bench.stop or len(bench.executor.items) >= 10

    bench.executor.rules.append(after_ten)
    ledger = await bench.apply(small_school(students=300, classes=2))
    results = ledger.results()
    assert results[R.DEFERRED] > 500
    assert set(results) == {R.DONE, R.DEFERRED}
    assert len(bench.executor.items) < 400


async def test_items_the_executor_would_not_send_any_more_are_put_off_and_the_reason_is_raised() -> None:
    bench = Bench()

    def down(item: Item) -> Any:
        if len(bench.executor.items) > 20:
            bench.executor.failure = TargetUnreachable("no answer")
        return stopped() if bench.executor.failure else None

    bench.executor.rules.append(down)
    changes = small_school(students=50, classes=2)
    with pytest.raises(TargetUnreachable):
        await bench.apply(changes)
    assert {change.key for change in changes} == set(bench.ledger.outcomes)
    assert set(bench.ledger.results()) <= {R.DONE, R.DEFERRED}


async def test_a_ledger_that_fails_ends_the_run_with_its_error() -> None:
    class Full(MemoryLedger):
        def settle(self, outcomes: Any) -> None:
            raise TargetUnreachable("the disk is full")

    bench = Bench()
    bench.ledger = Full()
    with pytest.raises(TargetUnreachable):
        await bench.apply(small_school(students=5, classes=1))


async def test_cancelling_settles_what_is_open() -> None:
    bench = Bench()
    bench.executor.hold = lambda item: True
    changes = small_school(students=5, classes=1)
    running = asyncio.create_task(bench.apply(changes))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert {outcome.result for outcome in bench.ledger.outcomes.values()} == {R.DEFERRED}
    assert len(bench.ledger.outcomes) == len(changes)


async def test_intentions_and_passwords_are_stored_before_the_request() -> None:
    bench = Bench()
    await bench.apply([create_user(student(1))])
    assert [event for event, _ in bench.ledger.events] == ["password", "intend", "settle"]
    [(ref, upn, password)] = bench.ledger.passwords
    assert (ref, upn) == (student(1), "student1@contoso.edu")
    assert msgspec.json.decode(bench.executor.items[0].body or b"")["passwordProfile"]["password"] == password


async def test_passwords_are_not_kept_when_that_is_switched_off() -> None:
    bench = Bench()
    await bench.apply([create_user(student(1))], keep_passwords=False)
    assert bench.ledger.passwords == []


async def test_a_link_is_on_record_before_what_rests_on_it_goes_out() -> None:
    bench = Bench()
    await bench.apply(small_school(students=30, classes=2, licenses=False))
    made: set[Any] = set()
    for event, key in bench.ledger.events:
        if event == "settle" and key[0] in (K.CREATE_USER, K.CREATE_CLASS, K.CREATE_SCHOOL):
            made.add(key[1])
        if event == "intend" and key[2] is not None:
            assert set(key[1:]) <= made


async def test_a_second_password_is_tried_once() -> None:
    weak = error(400, "The specified password does not comply with password complexity requirements.")
    bench = Bench()
    bench.executor.on("POST", "/education/users", weak)
    ledger = await bench.apply([create_user(student(1))])
    assert ledger.of(create_user(student(1))).result is R.DONE
    assert len({password for _, _, password in ledger.passwords}) == 2
    bench = Bench()
    bench.executor.on("POST", "/education/users", weak, weak)
    ledger = await bench.apply([create_user(student(1))])
    assert ledger.of(create_user(student(1))).result is R.FAILED
    assert len(bench.executor.items) == 2


async def test_seats_that_ran_out_are_not_asked_for_again() -> None:
    bench = Bench()
    bench.ledger.ids |= {student(n): f"p{n}" for n in range(1, 31)}
    refuse(bench, K.ASSIGN_LICENSE, "", error(400, "Subscription with SKU x does not have any available licenses."))
    first = [license_of(student(1), "STUDENT")]
    await bench.apply([*first, *[create_user(teacher(n)) for n in range(3)]])
    assert bench.ledger.of(first[0]).code == IssueCode.NO_SEAT
    assert bench.ledger.results()[R.DONE] == 3
    again = Bench()
    again.ledger.ids = dict(bench.ledger.ids)
    again.executor.rules = bench.executor.rules
    ledger = await again.apply([license_of(student(n), "STUDENT") for n in range(1, 31)])
    assert {outcome.code for outcome in ledger.outcomes.values()} == {IssueCode.NO_SEAT}


async def test_a_licence_the_tenant_does_not_own_is_an_issue_and_the_account_is_made() -> None:
    bench = Bench()
    ledger = await bench.apply([create_user(student(1)), license_of(student(1), "A5_STUDENT")])
    assert ledger.of(license_of(student(1))).code == IssueCode.INVALID_LICENSE
    assert "A5_STUDENT" in ledger.of(license_of(student(1))).detail
    assert ledger.of(create_user(student(1))).result is R.DONE


async def test_a_missing_permission_is_not_asked_for_ten_thousand_times() -> None:
    bench = Bench()
    bench.ledger.ids |= {student(n): f"p{n}" for n in range(1, 501)}
    bench.executor.rules.append(lambda item: error(403, *DENIED) if "assignLicense" in item.url else None)
    changes = [license_of(student(n), "STUDENT") for n in range(1, 501)]
    ledger = await bench.apply([*changes, update(K.UPDATE_USER, student(1), grade="9")])
    assert {ledger.of(change).code for change in changes} == {IssueCode.REFUSED}
    assert len(bench.executor.sent("POST", "assignLicense")) <= 20 + 200  # those under way when it became known
    assert ledger.results()[R.DONE] == 1


async def test_the_object_quota_stops_creating_and_nothing_else() -> None:
    bench = Bench()
    known(bench)
    quota = error(403, "The directory object quota limit for the Tenant has been exceeded.", "Directory_QuotaExceeded")
    bench.executor.rules.append(lambda item: quota if item.create else None)
    creates = [create_user(student(n)) for n in range(1000, 1600)]
    ledger = await bench.apply([*creates, link(K.ADD_MEMBER, section(1), student(1))])
    assert {ledger.of(change).code for change in creates} == {IssueCode.QUOTA_EXCEEDED}
    assert len(bench.executor.sent("POST", "/education/users")) <= 200
    assert ledger.results()[R.DONE] == 1


async def test_updates_that_hold_nothing_for_this_tenant_are_already_so() -> None:
    bench = Bench(education=False, class_api="groups")
    known(bench)
    change = update(K.UPDATE_USER, student(1), grade="9")
    ledger = await bench.apply([change])
    assert ledger.of(change).result is R.ALREADY
    assert bench.executor.items == []


async def test_an_adopted_class_is_marked_and_then_filled() -> None:
    bench = Bench(class_api="groups")
    known(bench)
    del bench.ledger.ids[section(1)]
    adopt = Change(kind=K.ADOPT_CLASS, subject=section(1), values=create_class(section(1)).values, object_id="old")
    ledger = await bench.apply([adopt, *taught(section(1), teacher(1))])
    marked, filled = bench.executor.sent("PATCH", "/groups/old")
    assert b'_Education_AnchorId":"Section_1"' in (marked.body or b"")
    assert b"uniqueName" not in (marked.body or b""), "it can be set at creation alone (Graph docs: group)"
    assert filled.adds == 2
    assert ledger.of(adopt).object_id == "old"


async def test_an_unsendable_value_fails_its_change_alone() -> None:
    bench = Bench()
    known(bench)
    wrong = update(K.UPDATE_CLASS, section(1), term_start="someday")
    right = link(K.ADD_MEMBER, section(1), student(1))
    ledger = await bench.apply([wrong, right, create_user(student(50), birth_date="?"), create_school(school(2))])
    assert ledger.of(wrong).code == IssueCode.INVALID_VALUE
    assert ledger.of(create_user(student(50))).code == IssueCode.INVALID_VALUE
    assert ledger.of(right).result is R.DONE


async def test_attributes_of_a_failed_second_write_are_named() -> None:
    bench = Bench()
    bench.executor.on("PATCH", "/users/", error(403, *DENIED))
    change = create_user(student(1), state_id="S9")
    outcome: Outcome = (await bench.apply([change])).of(change)
    assert outcome.result is R.DONE
    assert "state_id" in outcome.extra["unwritten"]
    assert outcome.detail


async def test_the_address_of_a_new_class_is_told() -> None:
    bench = Bench()
    bench.executor.on("GET", "/groups/", ok(200, id="x", mail="Section_1@contoso.edu"))
    ledger = await bench.apply(small_school(students=1, classes=3))
    mails = [o.extra["mail"] for o in ledger.outcomes.values() if "mail" in o.extra]
    assert mails == ["Section_1@contoso.edu"]


async def test_new_objects_are_left_to_ripen_once_one_was_seen_invisible() -> None:
    bench = Bench()
    bench.executor.ripening = 0.1
    loop = asyncio.get_running_loop()
    sent_at: dict[str, float] = {}
    bench.executor.rules.insert(0, lambda item: sent_at.setdefault(item.kind, loop.time()) and None)
    ledger = await bench.apply(small_school(students=3, classes=1, attach=False))
    assert set(ledger.results()) == {R.DONE}
    assert sent_at["group.add"] - sent_at[K.CREATE_USER] >= 0.1


async def test_a_new_class_is_filled_when_it_can_be_seen() -> None:
    """Everybody is there already: nothing but the class is new."""
    bench = Bench()
    known(bench)
    bench.ledger.ids.pop(section(1))
    bench.executor.ripening = 0.05
    changes = [create_class(section(1)), *taught(section(1), teacher(1))]
    changes += [link(K.ADD_MEMBER, section(1), student(n)) for n in range(1, 19)]
    begin = asyncio.get_running_loop().time()
    task = asyncio.create_task(bench.apply(changes))
    await quiet(bench)
    assert bench.executor.sent("PATCH", "/groups/") == []
    await task
    assert len(bench.executor.sent("PATCH", "/groups/")) == 1
    assert asyncio.get_running_loop().time() - begin >= 0.05


async def test_a_run_that_stops_does_not_wait_for_what_ripens() -> None:
    bench = Bench()
    bench.executor.ripening = 3600.0
    running = asyncio.create_task(bench.apply(small_school(students=3, classes=1, attach=False)))
    await quiet(bench)
    bench.stop = True
    ledger = await asyncio.wait_for(running, 5)
    assert ledger.of(create_class(section(1))).result is R.DEFERRED
    assert ledger.of(create_user(student(1))).result is R.DONE
