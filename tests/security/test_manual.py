"""docs/security.md says what the program does: permissions, codes, bounds."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

from sds_daemon import bounded
from sds_daemon.sources.powerschool import client
from sds_daemon.targets.entra import auth, authority, transport
from sds_daemon.targets.entra.facts import needed_permissions

MANUAL = (Path(__file__).parents[2] / "docs" / "security.md").read_text()


def test_exactly_the_permissions_the_program_needs_are_listed() -> None:
    needed: set[str] = set()
    for education, creating, licenses, plain in product((True, False), repeat=4):
        needed |= set(needed_permissions(education=education, creating=creating, licenses=licenses, plain_groups=plain))
    guid = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
    listed = dict(re.findall(rf"^\| `([\w.]+)` \| ({guid}) \|", MANUAL, re.MULTILINE))
    assert set(listed) == needed
    assert len(set(listed.values())) == len(needed)


def test_every_code_that_is_explained_is_listed_and_no_other() -> None:
    section = MANUAL.partition("What the authority's codes mean")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| AADSTS")]
    assert set(re.findall(r"\d+", " ".join(rows))) == set(auth._EXPLAINED) | auth._TEMPORARY


def test_the_bounds_are_the_real_ones() -> None:
    (row,) = (line for line in MANUAL.splitlines() if line.startswith("| bytes, unpacked"))
    sizes = (
        f"{client.LARGEST_ANSWER >> 20} MB",
        f"{transport.MAX_BODY >> 20} MB",
        f"{authority.LARGEST_ANSWER >> 10} kB",
    )
    assert row.split("|")[2:5] == [f" {size} " for size in sizes]
    assert f"{bounded.MOST_VALUES:,}, about" in MANUAL
    (row,) = (line for line in MANUAL.splitlines() if line.startswith("| seconds for one answer"))
    assert [int(re.findall(r"\d+", cell)[0]) for cell in row.split("|")[2:5]] == [
        client.LONGEST_ANSWER,
        transport.LONGEST_ANSWER,
        authority.LONGEST_ANSWER,
    ]
