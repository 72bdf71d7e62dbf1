"""Never two of anything: lost answers, names that are held, objects that cannot be seen yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from fake_executor import Bench, error, lost, ok, stopped
from writing_rig import SOURCE, create_class, create_school, create_user, school, section, student, teacher

from sds_daemon.clock import FixedClock
from sds_daemon.plan.change import Result as R
from sds_daemon.plan.issues import IssueCode
from sds_daemon.targets.entra.batch import Answer, Item

NOW = datetime(2026, 9, 1, 6, 0, tzinfo=UTC)
TAKEN = error(
    400,
    "Another object with the same value for property userPrincipalName already exists.",
    "Request_BadRequest",
    ("ObjectConflict", "userPrincipalName"),
)
ALIAS = error(
    400,
    "Another object with the same value for property mailNickname already exists.",
    "Request_BadRequest",
    ("ObjectConflict", "mailNickname"),
)
PROXY = error(
    400,
    "Another object with the same value for property proxyAddresses already exists.",
    "Request_BadRequest",
    ("ObjectConflict", "proxyAddresses"),
)


def bench(**options: Any) -> Bench:
    return Bench(clock=FixedClock(NOW), **options)


def user(created: datetime = NOW, object_id: str = "u1") -> Answer:
    return ok(200, value=[{"id": object_id, "createdDateTime": created.isoformat()}])


def marked(sis_id: str = "1", source: str = SOURCE, part: str = "student") -> Answer:
    return ok(200, **{"id": "u1", "externalSourceDetail": source, part: {"externalId": sis_id}})


def posts(made: Bench, url: str) -> list[Item]:
    return [item for item in made.executor.sent("POST") if item.url == url]


async def test_a_lost_account_is_found_and_not_made_again() -> None:
    made = bench()
    made.executor.on("POST", "/education/users", lost())
    made.executor.on("GET", "/users?", user())
    made.executor.on("GET", "/education/users/u1", marked())
    outcome = (await made.apply([create_user(student(1))])).of(create_user(student(1)))
    assert (outcome.result, outcome.object_id) == (R.ALREADY, "u1")
    assert len(posts(made, "/education/users")) == 1


async def test_a_lost_account_that_was_not_made_is_made_with_the_same_password() -> None:
    made = bench()
    made.executor.on("POST", "/education/users", lost(504))
    ledger = await made.apply([create_user(student(1))])
    assert ledger.of(create_user(student(1))).result is R.DONE
    sent = [msgspec.json.decode(item.body or b"")["passwordProfile"] for item in posts(made, "/education/users")]
    assert len(sent) == 2
    assert sent[0] == sent[1]


async def test_a_lost_account_that_is_not_visible_yet_conflicts_and_is_waited_for() -> None:
    made = bench()
    made.executor.on("POST", "/education/users", lost(), TAKEN)
    made.executor.on("GET", "/users?", *[ok(200, value=[])] * 4, user(), user())
    made.executor.on("GET", "/education/users/u1", error(404), marked())
    outcome = (await made.apply([create_user(student(1))])).of(create_user(student(1)))
    assert (outcome.result, outcome.object_id) == (R.ALREADY, "u1")
    assert made.slept[:3] == [2.0, 4.0, 8.0]


async def test_a_lost_account_that_never_shows_is_refused_at_the_horizon() -> None:
    made = bench()
    made.executor.on("POST", "/education/users", lost(), TAKEN)
    outcome = (await made.apply([create_user(student(1))])).of(create_user(student(1)))
    assert (outcome.result, outcome.code) == (R.FAILED, IssueCode.UPN_TAKEN)
    assert 890 <= sum(made.slept) <= 901


async def test_an_account_with_our_mark_is_ours() -> None:
    made = bench()
    made.executor.on("POST", "/education/users", TAKEN)
    made.executor.on("GET", "/users?", user(NOW - timedelta(days=400)))
    made.executor.on("GET", "/education/users/u1", marked())
    ledger = await made.apply([create_user(student(1))])
    assert ledger.of(create_user(student(1))).object_id == "u1"


@pytest.mark.parametrize(
    "held",
    [
        marked("2"),
        marked(source="00000000-0000-0000-0000-000000000000"),
        marked(part="teacher"),
        ok(200, id="u1"),
    ],
    ids=["another record", "another source", "another kind", "no mark"],
)
async def test_an_account_of_somebody_else_is_never_taken(held: Answer) -> None:
    made = bench()
    made.executor.on("POST", "/education/users", TAKEN)
    made.executor.on("GET", "/users?", user())
    made.executor.on("GET", "/education/users/u1", held)
    outcome = (await made.apply([create_user(student(1))])).of(create_user(student(1)))
    assert (outcome.result, outcome.code, outcome.object_id) == (R.FAILED, IssueCode.UPN_TAKEN, None)
    assert "contoso" not in outcome.detail


async def test_an_address_held_by_somebody_else_is_not_waited_for_long() -> None:
    made = bench()
    made.executor.on("POST", "/education/users", PROXY)
    outcome = (await made.apply([create_user(student(1))])).of(create_user(student(1)))
    assert outcome.code == IssueCode.UPN_TAKEN
    assert sum(made.slept) <= 125


async def test_a_plain_tenant_has_no_marks_on_accounts() -> None:
    """Without a mark, only an account made since our own lost request is ours."""
    for created, result in ((NOW + timedelta(seconds=1), R.ALREADY), (NOW - timedelta(hours=1), R.FAILED)):
        made = bench(education=False, class_api="groups")
        made.executor.on("POST", "/users", lost())
        made.executor.on("GET", "/users?", user(created), user(created))
        made.executor.on("POST", "/users", TAKEN)
        outcome = (await made.apply([create_user(student(1))])).of(create_user(student(1)))
        assert outcome.result is result
    made = bench(education=False, class_api="groups")
    made.executor.on("POST", "/users", TAKEN)
    made.executor.on("GET", "/users?", user())
    assert (await made.apply([create_user(student(1))])).of(create_user(student(1))).result is R.FAILED


async def test_an_account_lost_by_an_earlier_run_is_waited_for() -> None:
    made = bench(education=False, class_api="groups")
    made.executor.on("POST", "/users", TAKEN)
    made.executor.on("GET", "/users?", ok(200, value=[]), ok(200, value=[]), user(NOW - timedelta(minutes=2)))
    ledger = await made.apply([create_user(student(1))], unsettled={student(1): NOW - timedelta(minutes=3)})
    assert ledger.of(create_user(student(1))).object_id == "u1"


async def test_an_answer_without_an_id_is_as_good_as_lost() -> None:
    made = bench()
    made.executor.on("POST", "/education/users", Answer(status=201, body=b"<html>"))
    made.executor.on("GET", "/users?", user())
    made.executor.on("GET", "/education/users/u1", marked())
    outcome = (await made.apply([create_user(student(1))])).of(create_user(student(1)))
    assert (outcome.result, outcome.object_id) == (R.ALREADY, "u1")


async def test_an_alias_held_by_another_group_is_an_issue() -> None:
    made = bench()
    made.executor.on("POST", "/education/classes", ALIAS)
    made.executor.on("GET", "/groups?", ok(200, value=[{"id": "g9"}]))
    made.executor.on("GET", "/education/classes/g9", error(404))
    outcome = (await made.apply([create_class(section(1))])).of(create_class(section(1)))
    assert (outcome.result, outcome.code) == (R.FAILED, IssueCode.ALIAS_TAKEN)


async def test_a_class_with_our_mark_is_ours() -> None:
    made = bench()
    made.executor.on("POST", "/education/classes", lost())
    made.executor.on("GET", "/groups?", ok(200, value=[{"id": "g1", "mail": "Section_1@contoso.edu"}]))
    made.executor.on("GET", "/education/classes/g1", ok(200, id="g1", externalId="1", externalSourceDetail=SOURCE))
    outcome = (await made.apply([create_class(section(1))])).of(create_class(section(1)))
    assert (outcome.object_id, outcome.extra["mail"]) == ("g1", "Section_1@contoso.edu")
    grouped = bench(class_api="groups")
    grouped.executor.on("POST", "/groups", lost())
    name = f"sds-daemon.{SOURCE.replace('-', '')}.section.1"
    grouped.executor.on("GET", "/groups?", ok(200, value=[{"id": "g1", "uniqueName": name}]))
    assert (await grouped.apply([create_class(section(1))])).of(create_class(section(1))).object_id == "g1"


async def test_a_lost_school_is_made_again_only_after_the_lag_horizon() -> None:
    """Schools have no unique name: a second one would not be refused."""
    made = bench()
    made.executor.on("POST", "/education/schools", lost())
    outcome = (await made.apply([create_school(school())])).of(create_school(school()))
    assert outcome.result is R.DONE
    assert 890 <= sum(made.slept) <= 901
    assert len(posts(made, "/education/schools")) == 2


async def test_a_lost_school_that_shows_in_time_is_not_made_again() -> None:
    made = bench()
    made.executor.on("POST", "/education/schools", lost())
    shown = ok(200, value=[{"id": "s1", "externalId": "1", "externalSourceDetail": SOURCE}])
    other = ok(200, value=[{"id": "s0", "externalId": "1", "externalSourceDetail": "another"}])
    made.executor.on("GET", "/education/schools", other, other, shown)
    ledger = await made.apply([create_school(school())])
    assert ledger.of(create_school(school())).object_id == "s1"
    assert len(posts(made, "/education/schools")) == 1


async def test_a_lost_administrative_unit_is_known_by_its_description() -> None:
    made = bench(education=False, class_api="groups")
    made.executor.on("POST", "/directory/administrativeUnits", lost())
    text = f"School kept in step [sds-daemon {SOURCE} school 1]"
    shown = ok(200, value=[{"id": "a0", "description": "another"}, {"id": "a1", "description": text}])
    made.executor.on("GET", "/directory/administrativeUnits", shown)
    assert (await made.apply([create_school(school())])).of(create_school(school())).object_id == "a1"


async def test_a_lookup_that_fails_makes_nothing_and_leaves_it_to_the_next_run() -> None:
    made = bench()
    made.executor.on("POST", "/education/users", lost())
    made.executor.on("GET", "/users?", error(503, "", "Service_Unavailable"))
    outcome = (await made.apply([create_user(student(1))])).of(create_user(student(1)))
    assert outcome.result is R.DEFERRED
    assert len(posts(made, "/education/users")) == 1


async def test_stopping_while_waiting_leaves_it_to_the_next_run() -> None:
    made = bench()
    made.executor.on("POST", "/education/schools", lost())
    made.executor.rules.append(lambda item: _stop(made) if item.method == "GET" else None)
    outcome = (await made.apply([create_school(school())])).of(create_school(school()))
    assert outcome.result is R.DEFERRED
    assert len(posts(made, "/education/schools")) == 1


def _stop(made: Bench) -> Answer:
    made.stop = True
    return stopped()


async def test_answers_lost_again_and_again_are_put_off() -> None:
    made = bench()
    made.executor.rules.append(lambda item: lost() if item.create else None)
    outcome = (await made.apply([create_user(teacher(1))])).of(create_user(teacher(1)))
    assert outcome.result is R.DEFERRED
    assert len(posts(made, "/education/users")) == 10


async def test_quotes_in_names_are_escaped_in_lookups() -> None:
    made = bench()
    made.executor.on("POST", "/education/users", TAKEN)
    change = create_user(student(1), user_principal_name="o'neil#1@contoso.edu")
    await made.apply([change])
    first = made.executor.sent("GET", "/users?")[0].url
    assert "o''neil%231@contoso.edu" in first
    assert " " not in first
