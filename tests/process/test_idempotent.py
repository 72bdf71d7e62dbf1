"""A sync with nothing to do writes nothing, whatever the program has forgotten or has to read anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import PROFILE, Rig

from process.town import State

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

DAY = "2026-10-14"
EVERYTHING: dict[str, dict[str, Any]] = {
    "profiles.district.students": {
        "attributes": [
            "student_number", "grade", "school", "state_id", "secondary_email", "middle_name", "birth_date",
            "graduation_year", "department", "office_location",
        ],
        "licenses": ["STANDARDWOFFPACK_STUDENT"],
    },
    "profiles.district.teachers": {
        "attributes": [
            "teacher_number", "school", "secondary_email", "middle_name", "department", "office_location",
        ],
        "licenses": ["STANDARDWOFFPACK_FACULTY"],
    },
    "profiles.district.sections": {
        "attributes": [
            "course_id", "course_name", "course_number", "term_id", "term_name", "term_start", "term_end",
            "section_number", "period", "class_code", "description",
        ]
    },
    "profiles.district.school_records": {
        "attributes": [
            "school_number", "low_grade", "high_grade", "principal_name", "principal_email", "phone", "street", "city",
            "state", "postal_code", "country",
        ]
    },
}  # fmt: skip


def begin(folder: Path, *options: str) -> Rig:
    """A district of two schools or more, every attribute chosen that there is."""
    rig = Rig(folder, "--students", "60", "--time-scale", "50", "--today", DAY, *options)
    rig.environment["SDS_DAEMON_CLOCK"] = f"{DAY}T16:00:00Z"
    rig.start()
    for table, values in EVERYTHING.items():
        known = {key: value for key, value in values.items() if key != "licenses" or "match" not in options}
        rig.edit(table, **known)
    return rig


def assert_nothing_happens(rig: Rig) -> dict[str, Any]:
    """A sync that plans nothing, writes nothing, and leaves the directory as it was."""
    before, mark = State.of(rig), rig.request_mark()
    run = rig.sync()
    assert rig.writes_since(mark) == []
    assert (run["status"], run["planned"], run["applied"]) == ("nothing_to_do", {}, {})
    assert before.differences(State.of(rig)) == []
    return run


def reads_since(rig: Rig, mark: int, path: str) -> list[dict[str, Any]]:
    """GETs of a path of Graph."""
    rows = rig.get("requests", side="graph", since=mark)["requests"]
    return [row for row in rows if row["method"] == "GET" and row["path"] == path]


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """After a first sync."""
    rig = begin(tmp_path_factory.mktemp("idempotent"))
    try:
        first = rig.sync()
        assert first["applied"] == first["planned"]
        yield rig
    finally:
        rig.stop()


def test_a_second_sync(synced: Rig) -> None:
    run = assert_nothing_happens(synced)
    assert run["requests"]["writes"] == 0
    assert run["requests"]["reads"] < 20, "asking what changed costs a few requests, not one per object"


def test_after_expired_delta_tokens(synced: Rig) -> None:
    """410 Gone: the directory is read from the start, and is what it was."""
    synced.change_directory({"op": "expire_delta"})
    mark = synced.request_mark()
    assert_nothing_happens(synced)
    asked = reads_since(synced, mark, "/users/delta")
    assert 410 in {row["status"] for row in asked}
    assert [row for row in asked if row["status"] == 200]


def test_after_expired_access_tokens(synced: Rig) -> None:
    synced.change_directory({"op": "expire_tokens"})
    synced.post("powerschool/settings", {"revoke_tokens": True})
    assert_nothing_happens(synced)


def test_while_pages_expire(synced: Rig) -> None:
    """A page link that is refused in the middle of reading makes the reading begin anew."""
    synced.change_directory({"op": "expire_delta"})
    synced.post("entra/settings", {"delta_page_size": 20})
    gone = {"error": {"code": "Directory_ExpiredPageToken", "message": "The specified page token has expired."}}
    delta = {"side": "graph", "path": "^/users/delta$", "kind": "status", "status": 400, "body": gone}
    synced.post("faults", {**delta, "times": 1, "after": 3})
    try:
        assert_nothing_happens(synced)
        assert synced.get("faults")["faults"][0]["hits"] == 1
    finally:
        synced.delete("faults")
        synced.post("entra/settings", {"delta_page_size": 200})


def test_while_everything_is_throttled(synced: Rig) -> None:
    """Each reading is refused now and then, with Retry-After and without."""
    refused = {"side": "graph", "method": "GET", "kind": "status", "status": 429}
    synced.post("faults", {**refused, "headers": {"Retry-After": "0.2"}, "probability": 0.3})
    synced.post("faults", {"side": "powerschool", "method": "GET", "kind": "status", "status": 503, "times": 3})
    try:
        assert_nothing_happens(synced)
    finally:
        synced.delete("faults")


def test_after_the_state_was_lost(synced: Rig) -> None:
    """What carries our mark is found again and read back: no account, class, membership or attribute is written."""
    synced.forget_state()
    assert_nothing_happens(synced)
    assert_nothing_happens(synced)


def test_after_the_state_was_lost_in_mirror(synced: Rig) -> None:
    """A policy that removes removes nothing of what it does not know."""
    synced.edit("profiles.district", policy="mirror")
    try:
        synced.forget_state()
        assert_nothing_happens(synced)
    finally:
        synced.edit("profiles.district", policy="sds")


def test_after_an_old_backup_came_back(synced: Rig, tmp_path: Path) -> None:
    """The state of yesterday with the directory of today."""
    copy = tmp_path / "yesterday.db"
    synced.run("backup", str(copy)).expect(0)
    operations = synced.get("powerschool/school-day")["operations"]
    synced.change_school(*operations)
    assert synced.sync()["planned"]
    synced.forget_state()
    (synced.folder / "state" / "state.db").write_bytes(copy.read_bytes())
    before = State.of(synced)
    synced.sync()
    assert before.differences(State.of(synced)) == []
    assert_nothing_happens(synced)


@pytest.mark.parametrize(
    "options",
    [("--no-education",), ("--users", "match"), ("--write-quota", "60"), ("--cost-model", "thirds", "--http2")],
    ids=["no education tenant", "matching", "a tiny quota", "the other cost model"],
)
def test_other_tenants(options: tuple[str, ...], tmp_path: Path) -> None:
    """The second sync of other tenants, and the one after the loss of the state."""
    rig = begin(tmp_path, *options)
    try:
        first = rig.sync()
        assert first["applied"] == first["planned"]
        assert_nothing_happens(rig)
        users = len(rig.directory().users)
        rig.forget_state()
        if "--no-education" in options:  # accounts carry no mark there: they are left alone and reported
            rig.sync()
        else:
            assert_nothing_happens(rig)
        assert len(rig.directory().users) == users
    finally:
        rig.stop()


def test_groups_instead_of_classes(tmp_path: Path) -> None:
    rig = begin(tmp_path)
    try:
        rig.edit("profiles.district", class_api="groups")
        rig.sync()
        assert_nothing_happens(rig)
        rig.forget_state()
        assert_nothing_happens(rig)
    finally:
        rig.stop()


def test_a_disabled_profile(tmp_path: Path) -> None:
    """A disabled profile touches nothing at all."""
    rig = begin(tmp_path)
    try:
        rig.edit("profiles.district", enabled=False)
        mark = rig.request_mark()
        done = rig.run("sync", PROFILE).expect(2)
        assert "profiles enable district" in done.err
        assert rig.get("requests", since=mark)["requests"] == []
    finally:
        rig.stop()
