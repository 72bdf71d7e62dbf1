"""What the program says of a profile, in the form the scenarios compare: issues by record, sentences by place."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rig import PROFILE, Rig

from process.town import flat, school, section, student, teacher

SCHOOL = 801
SUFFIX = "contoso.edu"


def issues(rig: Rig, profile: str = PROFILE) -> dict[tuple[str, str], str]:
    """(kind, SIS ID) -> code of every open issue; a record with two has the codes joined by "+"."""
    found: dict[tuple[str, str], str] = {}
    for row in issue_rows(rig, profile):
        key = (row["kind"], row["sis_id"])
        found[key] = f"{found[key]}+{row['code']}" if key in found else row["code"]
    return found


def issue_rows(rig: Rig, profile: str = PROFILE) -> list[dict[str, Any]]:
    """Every open issue with code, severity, kind, sis_id, detail, joining_value, rows."""
    answer = rig.run("issues", "list", profile, "--all", "--json").expect(0).json
    causes = answer["profiles"][0]["causes"]
    return [
        {**issue, "code": cause["code"], "severity": cause["severity"]} for cause in causes for issue in cause["issues"]
    ]


def config_faults(rig: Rig) -> str:
    """What a command says of a configuration it refuses (exit code 2)."""
    done = rig.run("sync", PROFILE).expect(2)
    return done.err


def scope(rig: Rig, *schools: int, profile: str = PROFILE) -> None:
    """Let a profile take these schools alone."""
    rig.edit(f"profiles.{profile}", schools=[str(number) for number in schools])


def account(alias: str, **properties: Any) -> dict[str, Any]:
    """An account somebody made by hand."""
    return {"op": "create_user", "userPrincipalName": f"{alias}@{SUFFIX}", **properties}


def kinds(rows: list[dict[str, Any]]) -> Counter[str]:
    """Requests by method and path, ids left out: "POST /education/users" -> 3."""
    return Counter(f"{row['method']} {_without_ids(row['path'])}" for row in rows)


def _without_ids(path: str) -> str:
    return "/".join("*" if len(part) == 36 and part.count("-") == 4 else part for part in path.split("/"))


__all__ = [
    "SCHOOL", "SUFFIX", "account", "config_faults", "flat", "issue_rows", "issues", "kinds", "school", "scope",
    "section", "student", "teacher",
]  # fmt: skip
