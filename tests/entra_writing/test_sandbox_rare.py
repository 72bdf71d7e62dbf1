"""Requests no ordinary first sync sends: changes in a plain tenant, the extension, reading back, the recycle bin."""

from __future__ import annotations

from pathlib import Path

import contracts
import emitted
import pytest
from test_sandbox_faults import known
from writing_rig import (
    SOURCE,
    Tenant,
    create_class,
    link,
    school,
    section,
    small_school,
    student,
    teacher,
    tenant,
    update,
)

from sds_daemon.plan.change import Change, Result
from sds_daemon.plan.change import ChangeKind as K


@pytest.fixture(autouse=True)
def _contract() -> None:
    if contracts.oracle() is None:
        pytest.skip(contracts.ABSENT)


async def test_changes_in_a_plain_tenant(plain: Tenant) -> None:
    ledger = await plain.apply(small_school(students=2, classes=1))
    before = contracts.counts.copy()
    changes = [
        update(K.UPDATE_USER, student(1), surname="Renamed"),
        update(K.UPDATE_SCHOOL, school(), display_name="North"),
        update(K.UPDATE_CLASS, section(1), display_name="Algebra II"),
        link(K.REMOVE_SCHOOL_USER, school(), student(2)),
    ]
    after = await plain.apply(changes, known(ledger, *ledger.ids))
    assert after.failures() == []
    state = await plain.state()
    assert (await plain.user("student1@contoso.edu"))["surname"] == "Renamed"
    unit = state["administrativeUnits"][0]
    assert unit["displayName"] == "North"
    assert ledger.ids[student(2)] not in str(unit["members"])
    assert ledger.ids[student(1)] in str(unit["members"])
    sent = contracts.counts - before
    unit_path = "/directory/administrativeUnits/{administrativeUnit-id}"
    assert sent["PATCH /users/{user-id}"] == sent[f"PATCH {unit_path}"] == sent["PATCH /groups/{group-id}"] == 1
    assert sent[f"DELETE {unit_path}/members/{{directoryObject-id}}/$ref"] == 1


@pytest.mark.parametrize("education", [True, False])
async def test_what_our_objects_hold_is_read_back(tmp_path: Path, education: bool) -> None:
    async with tenant(tmp_path, education=education, education_api=education) as made:
        ledger = await made.apply(small_school(students=1, classes=1))
        before = contracts.counts.copy()
        held = await made.target().held_values(ledger.ids)
        assert held.keys() == ledger.ids.keys()
        assert held[student(1)]["surname"] == "student1"
        assert held[section(1)]["display_name"] == "Algebra 1"
        assert held[school()]["display_name"] == "School 1"
        if education:
            assert held[teacher(1)]["external_source_detail"] == SOURCE
        paths = emitted.READS["held._reads"] | emitted.READS["facts"]
        assert set(contracts.counts - before) <= {"POST /$batch"} | {f"GET {path}" for path in paths}


async def test_what_the_extension_alone_holds_is_written_by_itself(education: Tenant) -> None:
    ledger = await education.apply(small_school(students=1, classes=1))
    before = contracts.counts.copy()
    changes = [
        update(K.UPDATE_USER, student(1), state_id="S-1"),
        update(K.UPDATE_CLASS, section(1), period="3"),
    ]
    after = await education.apply(changes, known(ledger, *ledger.ids))
    assert after.failures() == []
    sent = contracts.counts - before
    assert sent["PATCH /users/{user-id}"] == sent["PATCH /groups/{group-id}"] == 1
    assert "S-1" in str(await education.user("student1@contoso.edu"))


async def test_a_deleted_class_comes_out_of_the_recycle_bin(education: Tenant) -> None:
    ledger = await education.apply([*small_school(students=1, classes=1)])
    group_id = ledger.ids[section(1)]
    await education.change({"op": "delete_group", "id": group_id})
    restore = Change(kind=K.RESTORE_CLASS, subject=section(1), object_id=group_id, values={})
    after = await education.apply([restore], known(ledger, *ledger.ids))
    assert after.of(restore).result is Result.DONE
    assert not (await education.group("Section_1"))["deleted"]
    assert create_class(section(1)).values["mail_nickname"] == (await education.group("Section_1"))["mailNickname"]
