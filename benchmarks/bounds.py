"""The fewest writes that make a directory what it is, and the shortest time a quota allows for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.rig import QUOTA, Setting

MULTI_ADD = 20
"""References one request may add (Graph docs: group-post-members)."""


@dataclass(frozen=True)
class Bound:
    """Writes, as requests and as what they cost of the quota."""

    requests: int
    cost: int
    free: int

    def seconds(self, setting: Setting) -> float:
        """The shortest time from the first write to the last, in real seconds."""
        return max(0.0, (self.cost - QUOTA) / setting.rate)


def fewest(sizes: Mapping[str, Any], setting: Setting) -> Bound:
    """The minimum of a first sync through the education API.

    A school, a class, an account or its update, and a membership of a school is one request each; members and owners
    of a class go 20 to a request, costing 1 write or, where members cost a third each, ceil(k/3) for all k.
    """
    education = sizes["schools"] + sizes["users"] + sizes["school_users"] + sizes["school_classes"]
    adds, cost = 0, 0
    for owners, members, groups in sizes["groups"]:
        chunks = -(-(owners + members) // MULTI_ADD)
        education += groups
        adds += groups * chunks
        cost += groups * (chunks if setting.cost_model == "one" else -(-(owners + members) // 3))
    counted = education if setting.counted else 0
    return Bound(adds + education, cost + counted, education - counted)


def guessed_scale(students: int, setting: Setting, items_per_second: float) -> float:
    """The time scale at which the quota lets about so many batch items through in a real second."""
    sections, users = 0.24 * students, 1.04 * students
    education = sections * 2 + users * 2
    adds = sections * 2
    cost = (adds if setting.cost_model == "one" else sections * 9) + (education if setting.counted else 0)
    seconds = (adds + education) / items_per_second
    return round(max(1.0, (cost - QUOTA) / seconds / 20), 1)
