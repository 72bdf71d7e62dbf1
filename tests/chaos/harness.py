"""What every scenario of chaos uses: the same district, an undisturbed run to compare with, kills, counts."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from process.town import State
from rig import PROFILE, Finished, Rig

LONG = os.environ.get("CHAOS") == "long"
SEED = int(os.environ.get("CHAOS_SEED", "20261014"))
TODAY = "2026-10-14"
LICENSES = {"students": "STANDARDWOFFPACK_STUDENT", "teachers": "STANDARDWOFFPACK_FACULTY"}
TESTS = Path(__file__).parent.parent
CASSETTES = sorted((TESTS.parent / "cassettes").rglob("*.yaml"))


@dataclass
class Tally:
    """What was done to the program, and what came of it."""

    runs: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    harm: Counter[str] = field(default_factory=lambda: Counter(duplicates=0, losses=0, wrong=0, secrets=0, names=0))

    def as_json(self) -> dict[str, dict[str, int]]:
        """Plain values, sorted."""
        return {name: dict(sorted(getattr(self, name).items())) for name in ("runs", "kills", "faults", "harm")}


@contextmanager
def begin(folder: Path, *options: str) -> Iterator[Rig]:
    """A sandbox like all others of chaos: the same district, an empty directory, licences to give."""
    rig = Rig(folder, "--students", "24", "--time-scale", "50", "--today", TODAY, *options)
    rig.environment["SDS_DAEMON_CLOCK"] = f"{TODAY}T16:00:00Z"
    with rig:
        for role, sku in LICENSES.items():
            rig.edit(f"profiles.district.{role}", licenses=[sku])
        yield rig


def school_day(rig: Rig) -> None:
    """What a day brings: leavers, newcomers, a new section, a new name, a new teacher."""
    rig.change_school(*rig.get("powerschool/school-day")["operations"])


@dataclass
class Undisturbed:
    """The directory after a first sync and after a day in the school, and how often each moment came then."""

    first: State
    day: State
    hits: dict[str, Counter[str]]


def undisturbed(folder: Path) -> Undisturbed:
    """What becomes of the district when nobody interferes."""
    with begin(folder) as rig:
        hits = {}
        states = []
        for phase in ("first", "day"):
            if phase == "day":
                school_day(rig)
            tally = folder / f"{phase}.json"
            trapped(rig, {"tally": str(tally)}).expect(0, 1)
            hits[phase] = Counter(json.loads(tally.read_text()))
            states.append(State.of(rig))
        return Undisturbed(*states, hits)


class Nursery:
    """The process that forks a process for each command: see chaos.trap."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, job: dict[str, Any]) -> int:
        """The exit code of one command."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chaos.trap"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
            )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.communicate(timeout=20)
            self._process = None


nursery = Nursery()


def trapped(rig: Rig, trap: dict[str, Any], *arguments: str) -> Finished:
    """A command (a sync unless named) with a trap; the code is -9 when it was killed. What it says is kept."""
    out, err = rig.folder / "said.out", rig.folder / "said.err"
    code = nursery.run(
        {
            "arguments": ["--config", str(rig.config), *(arguments or ("sync", PROFILE, "--json"))],
            "environment": rig.environment,
            "folder": str(rig.folder),
            "out": str(out),
            "err": str(err),
            "trap": trap,
        }
    )
    done = Finished(code, out.read_text(), err.read_text())
    with (rig.folder / "said.log").open("a") as log:
        log.write(done.out + done.err)
    return done


def sync(rig: Rig, *codes: int) -> dict[str, Any]:
    """An undisturbed cycle; its --json object."""
    result: dict[str, Any] = trapped(rig, {}).expect(*(codes or (0, 1))).json
    return result


def settle(rig: Rig, wanted: State, tally: Tally) -> None:
    """Two undisturbed cycles; then the directory is the wanted one, whole, and a third has nothing to write."""
    rig.delete("faults")
    for _ in range(2):
        sync(rig)
        tally.runs["undisturbed"] += 1
    judge(rig, wanted, tally)


def judge(rig: Rig, wanted: State, tally: Tally) -> None:
    """Count every difference from the wanted directory, and what is there twice; fail if there is any."""
    found = wanted.differences(State.of(rig))
    twice = duplicates(rig)
    tally.harm["duplicates"] += len(twice)
    tally.harm["losses"] += sum("is gone" in line for line in found)
    tally.harm["wrong"] += sum("is gone" not in line for line in found)
    said = leaks(rig)
    tally.harm["names"] += sum("names" in line for line in said)
    tally.harm["secrets"] += sum("secret" in line for line in said)
    assert not (twice or said or found), f"twice: {twice}\nsaid: {said}\ndifferent: {found[:20]}"


def leaks(rig: Rig) -> list[str]:
    """Files in which a secret, a token or a password stands that was handed out, and log lines that name a pupil.

    The files meant to hold them are left out: the secrets' own, the hand-out list. Logs are at the level INFO. The
    recorded exchanges of the other tests are looked through as well.
    """
    words = [word for side in ("powerschool", "entra") for kind in rig.get(f"{side}/secrets").values() for word in kind]
    words += [row["password"] for row in passwords(rig)]
    found = []
    assert CASSETTES, "they are where they were"
    for path in (*sorted(rig.folder.rglob("*")), *CASSETTES):
        if not path.is_file() or path.name == "passwords-district.csv" or path.suffix in (".pem",):
            continue
        content = path.read_bytes()
        if content.strip().decode(errors="replace") in _own_secrets(rig):
            continue  # a file that is the secret itself
        found += [f"{path.name} holds a secret" for word in words if word.encode() in content]
    names = {f"{row['first_name']} {row['last_name']}" for row in rig.district()["students"]}
    for log in rig.folder.glob("*.log"):
        found += [f"{log.name} names a pupil" for line in log.read_text().splitlines() if any(n in line for n in names)]
    return found


def _own_secrets(rig: Rig) -> list[str]:
    return [secret for side in ("powerschool", "entra") for secret in rig.get(f"{side}/secrets")["secrets"]]


def duplicates(rig: Rig) -> list[Any]:
    """Records with more than one object, deleted ones included, and accounts nobody has the password of."""
    directory = rig.directory()
    marks: Counter[tuple[Any, ...]] = Counter()
    for user in directory.users.values():
        role = user["education"]["primaryRole"]
        marks[role, (user["education"].get(role) or {}).get("externalId")] += 1
    marks.update(("class", group["externalId"]) for group in directory.groups.values())
    marks.update(("school", school["externalId"]) for school in directory.schools.values())
    listed = {row["user_principal_name"] for row in passwords(rig)}
    lost = [user["userPrincipalName"] for user in directory.users.values() if user["userPrincipalName"] not in listed]
    return [mark for mark, count in marks.items() if count > 1] + lost


def passwords(rig: Rig) -> list[dict[str, str]]:
    """The hand-out list."""
    with (rig.folder / "state" / "passwords-district.csv").open(newline="") as file:
        return list(csv.DictReader(file))
