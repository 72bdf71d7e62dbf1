"""`limits`: shown, relaxed for a time, restored."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sds_daemon.clock import Clock
from sds_daemon.store import Store

Program = Callable[..., Any]
SOON = (Clock().now() + timedelta(days=10)).date().isoformat()


def limits_of(program: Program) -> Any:
    shown = program("limits", "show", "pilot", "--json")
    assert shown.code == 0, shown.err
    return json.loads(shown.out)


def test_limits_are_shown_as_configured(program: Program) -> None:
    found = limits_of(program)
    assert found["configured"] == found["now"]
    assert (found["now"]["removal_percent"], found["now"]["max_issues"], found["until"]) == (10, 15000, None)
    lines = program("limits", "show", "pilot").out
    assert all(name in lines for name in found["now"]), "every limit has its line"


def test_a_relaxation_shows_in_limits_and_status_and_ends_by_hand(program: Program, store: Store) -> None:
    ended = program("limits", "relax", "pilot", "--until", SOON)
    assert ended.code == 0, ended.err
    found = limits_of(program)
    assert {name for name in found["now"] if found["now"][name] != found["configured"][name]} == {
        "removal_percent",
        "section_removal_percent",
        "update_percent",
    }
    assert "limits are relaxed until" in program("status").out
    (pilot,) = json.loads(program("status", "pilot", "--json").out)["profiles"]
    assert pilot["limits_relaxed_until"] == found["until"] is not None
    assert "hold again" in program("limits", "restore", "pilot").out
    assert "no relaxed limits" in program("limits", "restore", "pilot").out
    assert limits_of(program)["until"] is None


def test_only_what_is_named_is_relaxed_and_nothing_is_narrowed(program: Program) -> None:
    asked = ("--removals", "40%", "--updates", "5", "--shrink", "60", "--adds", "3")
    assert program("limits", "relax", "pilot", "--until", SOON, *asked).code == 0
    now = limits_of(program)["now"]
    assert (now["removal_percent"], now["shrink_percent"]) == (40, 60)
    assert now["update_percent"] == 20, "five would be narrower than what is configured"
    assert now["max_adds"] is None, "and so would three"
    assert now["section_removal_percent"] == 50


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pilot", "--until", "2020-01-01"), "is over"),
        (("pilot", "--until", "2099-01-01"), "days away"),
        (("pilot", "--until", "soon"), "is not a day"),
        (("pilot",), "--until"),
        (("pilot", "--until", SOON, "--removals", "many"), "percentage"),
        (("pilot", "--until", SOON, "--removals", "101%"), "percentage"),
        (("nobody", "--until", SOON), "nobody"),
    ],
)
def test_what_is_refused(program: Program, store: Store, arguments: tuple[str, ...], words: str) -> None:
    ended = program("limits", "relax", *arguments)
    assert ended.code == 2
    assert words in ended.err
    assert store.relaxations.active("pilot") is None


def test_resume_ends_a_quarantine(program: Program, store: Store) -> None:
    store.profiles.quarantine("pilot", "too many issues")
    assert "is resumed" in program("profiles", "resume", "pilot").out
    assert store.profiles.state("pilot").state == "healthy"
    assert "was not paused" in program("profiles", "resume", "pilot").out
