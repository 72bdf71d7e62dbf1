"""The clock, the request log and the administration, on their own."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from entra_rig import entra

from sds_daemon.sandbox.clock import SandboxClock
from sds_daemon.sandbox.journal import Journal

START = dt.datetime(2026, 11, 25, 8, tzinfo=dt.UTC)


class Timer:
    """Real seconds under the test's control."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_clock_runs_scaled_and_keeps_its_place_when_the_scale_changes() -> None:
    timer = Timer()
    clock = SandboxClock(10.0, START, timer)
    timer.seconds += 6
    assert clock.now() == START + dt.timedelta(minutes=1)
    clock.scale = 1.0
    timer.seconds += 60
    assert clock.now() == START + dt.timedelta(minutes=2)
    assert clock.monotonic() == 120


def test_moving_the_wall_time_back_does_not_move_durations() -> None:
    timer = Timer()
    clock = SandboxClock(1.0, START, timer)
    clock.set_now(START + dt.timedelta(days=1))
    assert (clock.now(), clock.monotonic(), clock.advanced) == (START + dt.timedelta(days=1), 86_400, 86_400)
    clock.set_now(START)
    assert (clock.now(), clock.monotonic(), clock.advanced) == (START, 86_400, 86_400)
    with pytest.raises(ValueError, match="forwards"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="scale"):
        clock.scale = 0


def test_log_is_read_in_pieces_and_never_skips_what_is_still_being_answered() -> None:
    journal = Journal(SandboxClock(start=START))
    for number in range(3):
        journal.record("graph", "GET", f"/{number}", "", 200)
    first = journal.read(limit=2)
    assert ([row["path"] for row in first["requests"]], first["next"]) == (["/0", "/1"], 2)
    assert [row["path"] for row in journal.read(since=first["next"])["requests"]] == ["/2"]
    outer = journal.reserve()
    journal.record("graph", "GET", "/inner", "", 200, batch=outer, item="1")
    assert journal.read(since=3)["next"] == outer - 1
    journal.record("graph", "POST", "/$batch", "", 200, n=outer)
    assert [row["path"] for row in journal.read(since=3)["requests"]] == ["/$batch", "/inner"]


def test_log_is_bounded_and_says_so() -> None:
    journal = Journal(SandboxClock(start=START), limit=2)
    for number in range(5):
        journal.record("graph", "GET", f"/{number}", "", 200)
    found = journal.read()
    assert ([row["path"] for row in found["requests"]], found["dropped"], found["next"]) == (["/3", "/4"], 3, 5)


def test_log_hides_secrets_at_any_depth_and_keeps_only_harmless_headers() -> None:
    journal = Journal(SandboxClock(start=START))
    headers = {"authorization": "Bearer abc", "client-request-id": "7"}
    body = b'{"a":[{"passwordProfile":{"password":"hush"}}],"passwordPolicies":"None"}'
    journal.record("graph", "POST", "/users", "", 201, headers=headers, body=body)
    journal.record("authority", "POST", "/t", "", 200, body=b"client_secret=hush&client_id=1", form=True)
    first, second = journal.read()["requests"]
    assert first["headers"] == {"client-request-id": "7"}
    assert first["body"] == {"a": [{"passwordProfile": {"password": "[hidden]"}}], "passwordPolicies": "None"}
    assert second["body"] == {"client_secret": "[hidden]", "client_id": "1"}


async def test_changes_act_at_once_and_wrong_ones_say_why(tmp_path: Path) -> None:
    async with entra(tmp_path, lag_seconds=3000.0) as rig:
        made = await rig.change(
            {"op": "create_user", "userPrincipalName": "ada@contoso.edu", "licenses": ["STANDARDWOFFPACK_STUDENT"],
             "education": {"primaryRole": "student", "student": {"externalId": "7"}}},
            {"op": "create_group", "mailNickname": "algebra", "externalId": "1", "owners": ["ada@contoso.edu"]},
        )  # fmt: skip
        ada, group = made[0]["id"], made[1]["id"]
        assert (await rig.ok("GET", f"/users/{ada}?$select=mail"))["mail"] == "ada@contoso.edu"
        assert (await rig.ok("GET", f"/education/classes/{group}"))["externalId"] == "1"
        await rig.change(
            {"op": "add_member", "group": group, "user": ada}, {"op": "remove_owner", "group": group, "user": ada},
            {"op": "update_user", "id": ada, "displayName": "Ada L"}, {"op": "delete_group", "id": group},
            {"op": "restore_group", "id": group}, {"op": "add_domain", "domain": "fabrikam.edu"},
        )  # fmt: skip
        assert (await rig.ok("GET", f"/users/{ada}"))["displayName"] == "Ada L"
        state = await rig.group_state(group)
        assert (state["members"], state["owners"], state["deleted"]) == ([ada], [], False)
        for wrong, words in (
            ({"op": "create_user"}, "userPrincipalName"), ({"op": "dance"}, "unknown op"),
            ({"op": "create_user", "userPrincipalName": "ADA@contoso.edu"}, "already exists"),
            ({"op": "create_user", "userPrincipalName": "b@contoso.edu", "colour": 1}, "colour"),
            ({"op": "delete_user", "upn": "nobody"}, "no user"),
            ({"op": "add_member", "group": group, "user": ada}, "already"),
            ("text", "object"),
        ):  # fmt: skip
            status, body = await rig.sandbox.admin("POST", "change", {}, wrong)
            assert status == 400
            assert isinstance(body, dict)
            assert words in body["error"]
        assert len((await rig.state())["users"]) == 1
