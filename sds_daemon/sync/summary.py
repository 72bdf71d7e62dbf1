"""What a run says of itself: one value for the journal, the database, the terminal and --json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from sds_daemon.plan.change import Change, Withheld
from sds_daemon.roster.proof import Part, Proof, digest_of, joined_digest
from sds_daemon.roster.records import Snapshot
from sds_daemon.sync.seats import SeatForecast
from sds_daemon.targets.base import RequestCounts

SUCCESS = "success"
SUCCESS_WITH_ISSUES = "success_with_issues"
NOTHING_TO_DO = "nothing_to_do"
HELD = "held"
FAILED = "failed"
INTERRUPTED = "interrupted"
PREVIEW = "preview"

MOST_PARTS = 60
"""Parts of a proof kept with a run: those of some ten schools. Runs are many; a district of hundreds keeps totals."""

EXIT_CODES = {SUCCESS: 0, NOTHING_TO_DO: 0, PREVIEW: 0, SUCCESS_WITH_ISSUES: 1, HELD: 4, FAILED: 3, INTERRUPTED: 3}


class RunSummary(msgspec.Struct, kw_only=True):
    """Counts are keyed by kind of change, `issues` by code (open errors). `snapshot`: records in scope.

    `only`: the one record the run was about; `elsewhere`: changes it left alone. `seats`: licences the plan needs.
    `repeats`: the run this one is like in all it decided, where neither source nor directory had changed since.
    """

    run: int
    profile: str
    status: str
    snapshot: dict[str, int] = {}
    proof: dict[str, Any] = {}
    planned: dict[str, int] = {}
    applied: dict[str, int] = {}
    skipped: dict[str, int] = {}
    held: dict[str, int] = {}
    issues: dict[str, int] = {}
    requests: RequestCounts = msgspec.field(default_factory=RequestCounts)
    seconds: float = 0.0
    deferred: int = 0
    failed: int = 0
    notices: list[str] = []
    source_calls: int = 0
    held_number: int | None = None
    only: str | None = None
    elsewhere: dict[str, int] = {}
    seats: list[SeatForecast] = []
    repeats: int | None = None

    @property
    def exit_code(self) -> int:
        """The exit code `sync` ends with; issues beside nothing to do still count as issues."""
        if self.status == NOTHING_TO_DO and self.issues:
            return EXIT_CODES[SUCCESS_WITH_ISSUES]
        return EXIT_CODES[self.status]

    def as_json(self) -> dict[str, Any]:
        """Plain values for --json and for the database."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


def count_changes(changes: Iterable[Change]) -> dict[str, int]:
    """Changes per kind, by name of the kind."""
    counts = Counter(change.kind.value for change in changes)
    return dict(sorted(counts.items()))


def count_withheld(withheld: Iterable[Withheld]) -> dict[str, int]:
    """Withheld changes per kind."""
    return count_changes(item.change for item in withheld)


def snapshot_counts(snapshot: Snapshot) -> dict[str, int]:
    """Records in scope."""
    return {
        "schools": len(snapshot.schools),
        "sections": len(snapshot.sections),
        "students": len(snapshot.students),
        "teachers": len(snapshot.teachers),
        "enrollments": sum(len(section.students) for section in snapshot.sections.values()),
    }


def proof_summary(proof: Proof) -> dict[str, Any]:
    """Expected, received, pages and digest per resource over all schools; the parts that are unproved, with the reason.

    Each part is listed as well, unless there are more than MOST_PARTS.
    """
    totals: dict[str, dict[str, Any]] = {}
    for part in proof.parts:
        row = totals.setdefault(part.resource.value, {"expected": 0, "received": 0, "pages": 0, "digest": ""})
        row["received"] += part.received
        row["pages"] += part.pages
        row["expected"] = None if part.expected is None or row["expected"] is None else row["expected"] + part.expected
        row["digest"] = joined_digest(row["digest"], digest_of([part.digest], within=part.school_id or ""))
    unproved = [
        {
            "resource": part.resource.value,
            "school": part.school_id,
            "reason": part.reason or f"{len(part.gaps)} parts could not be read whole",
            "parts": sorted(part.gaps),
        }
        for part in proof.unproved()
    ]
    parts = [_part_row(part) for part in proof.parts] if len(proof.parts) <= MOST_PARTS else []
    return {"proved": not unproved, "resources": totals, "unproved": unproved, "parts": parts}


def _part_row(part: Part) -> dict[str, Any]:
    return {
        "resource": part.resource.value,
        "school": part.school_id,
        "before": part.expected_before,
        "expected": part.expected,
        "received": part.received,
        "pages": part.pages,
        "digest": part.digest,
        "proved": part.proved and not part.gaps,
    }
