"""Groups brought back from the recycle bin: there already, gone for good, and answers that were lost."""

from __future__ import annotations

import msgspec
import pytest
from fake_executor import Bench, error, ok
from writing_rig import restore_of, section

from sds_daemon.plan.change import Outcome
from sds_daemon.plan.change import Result as R
from sds_daemon.plan.issues import IssueCode
from sds_daemon.targets.entra.batch import Answer

GONE = error(404, "Resource 'g1' does not exist or one of its queried reference-property objects are not present.")
TAKEN = error(
    400,
    "Another object with the same value for property mailNickname already exists.",
    "Request_BadRequest",
    ("ObjectConflict", "mailNickname"),
)


async def restored(*answers: Answer, alive: Answer = GONE) -> tuple[Outcome, Bench]:
    made = Bench()
    made.executor.on("POST", "/restore", *answers)
    made.executor.on("GET", "/groups/g1", alive)
    change = restore_of(section(1), "g1")
    return (await made.apply([change])).of(change), made


async def test_out_of_the_bin() -> None:
    outcome, made = await restored(ok(200, id="g1"))
    assert outcome.result is R.DONE
    assert [item.url for item in made.executor.items] == ["/directory/deletedItems/g1/restore"]


async def test_back_already() -> None:
    outcome, _ = await restored(GONE, alive=ok(200, id="g1"))
    assert outcome.result is R.ALREADY


async def test_gone_for_good_says_so_at_once() -> None:
    """No waiting for replication: the recycle bin is asked about an old object."""
    outcome, made = await restored(GONE)
    assert (outcome.result, outcome.code, outcome.status) == (R.FAILED, IssueCode.OBJECT_DELETED, 404)
    assert len(made.executor.items) == 2


async def test_gone_after_a_lost_answer_is_not_taken_for_gone_for_good() -> None:
    outcome, _ = await restored(msgspec.structs.replace(GONE, attempts=2))
    assert (outcome.result, outcome.status) == (R.DEFERRED, 0)


async def test_alias_taken_meanwhile() -> None:
    outcome, _ = await restored(TAKEN)
    assert (outcome.result, outcome.code) == (R.FAILED, IssueCode.ALIAS_TAKEN)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_faults_put_it_off(status: int) -> None:
    outcome, _ = await restored(error(status))
    assert outcome.result is R.DEFERRED
