"""People who edit the directory by hand: helpers shared by the scenarios about that."""

from __future__ import annotations

from typing import Any

from rig import PROFILE, Rig

from process.town import DAY, DOMAIN

SCHOOL, LED_BY = 821, 9821
CLASS = 7821
PUPILS = (8821, 8822, 8823)


def set_time(rig: Rig, time: str, day: str = DAY) -> None:
    """Both sides live at this time of the day (UTC): replication lag is over between two steps."""
    rig.environment["SDS_DAEMON_CLOCK"] = f"{day}T{time}:00Z"
    rig.post("clock", {"now": f"{day}T{time}:00+00:00"})


def drift(rig: Rig, *options: str) -> list[dict[str, Any]]:
    """What `drift list` says, one dictionary a drift."""
    found: list[dict[str, Any]] = rig.run("drift", "list", PROFILE, "--json", *options).expect(0).json["drift"]
    return found


def places(rig: Rig) -> set[tuple[str, str, str, str]]:
    """(code, subject, member, name) of every open drift."""
    return {(row["code"], row["subject"], row["member"], row["name"]) for row in drift(rig)}


def class_id(rig: Rig, section: int = CLASS) -> str:
    """The object id of a section's group, deleted ones too."""
    groups = rig.directory().groups.values()
    return str(next(group["id"] for group in groups if group.get("externalId") == str(section)))


def members(rig: Rig, section: int = CLASS) -> set[str]:
    """Sign-in names of a class's members without their domain."""
    state = rig.directory()
    group = state.class_of(str(section))
    assert group is not None
    return {state.users[member]["userPrincipalName"].partition("@")[0] for member in group["members"]}


def upn(alias: str) -> str:
    """The sign-in name."""
    return f"{alias}@{DOMAIN}"
