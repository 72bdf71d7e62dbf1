"""How runs and plans are shown to a person, and as JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sds_daemon.plan.change import Change, Withheld
    from sds_daemon.sync.job import Decision
    from sds_daemon.sync.summary import RunSummary

KIND_WORDS = {
    "school.create": "schools to make",
    "school.update": "schools to update",
    "user.create": "accounts to make",
    "user.update": "accounts to update",
    "user.license": "accounts to license",
    "user.license_group": "accounts to put into their licence group",
    "user.adopt": "accounts to adopt",
    "class.create": "classes to make",
    "class.update": "classes to update",
    "class.adopt": "classes to adopt",
    "class.restore": "deleted classes to restore",
    "school_class.add": "classes to attach to their school",
    "school_user.add": "people to attach to their school",
    "school_user.remove": "people to detach from a former school",
    "member.add": "members to add to classes",
    "member.remove": "members to remove from classes",
    "owner.add": "owners to add to classes",
    "owner.remove": "owners to remove from classes",
}
SAMPLE = 3


def print_summary(summary: RunSummary, decision: Decision | None, *, as_json: bool) -> None:
    """The closing words of `sync`."""
    if as_json:
        click.echo(json.dumps(summary.as_json()))
        return
    click.echo(f"run {summary.run} of profile {summary.profile}: {summary.status} in {summary.seconds:.1f} s")
    _print_proof(summary)
    _print_focus(summary)
    _print_counts("applied", summary.applied)
    _print_counts("kept back", summary.skipped)
    _print_counts("waiting for approval", summary.held)
    _print_issues(summary)
    if summary.held:
        them = "them, and at what is held with them" if summary.only else "them"
        click.echo(f"look at {them}: sds-daemon runs show {summary.run}; then sds-daemon approve {summary.run}")
    counts = summary.requests
    click.echo(
        f"requests: {summary.source_calls} to the source; to Graph {counts.reads} reads and {counts.writes} writes "
        f"in {counts.batches} batches, {counts.refused} refused for quota"
    )
    for notice in summary.notices:
        click.echo(f"note: {notice}")


def print_preview(summary: RunSummary, decision: Decision | None, *, as_json: bool, everything: bool) -> None:
    """The plan of `preview`."""
    plan = decision.plan if decision is not None else None
    if as_json:
        data = summary.as_json()
        data["changes"] = [change_row(change) for change in plan.changes] if plan else []
        data["skipped_changes"] = [withheld_row(item) for item in plan.skipped] if plan else []
        data["held_changes"] = [withheld_row(item) for item in plan.held] if plan else []
        click.echo(json.dumps(data))
        return
    click.echo(f"preview of profile {summary.profile}: nothing was written")
    _print_proof(summary)
    _print_focus(summary)
    if plan is None or not (plan.changes or plan.skipped or plan.held):
        click.echo("nothing to do for it" if summary.only else "nothing to do: the directory is what the source says")
    else:
        print_changes("would be applied", plan.changes, everything=everything)
        print_withheld("kept back", plan.skipped)
        print_withheld("would wait for approval", plan.held)
    _print_seats(summary)
    _print_issues(summary)
    for notice in summary.notices:
        click.echo(f"note: {notice}")


def print_plan_counts(summary: RunSummary) -> None:
    """What a preview found, in numbers alone."""
    _print_proof(summary)
    if not (summary.planned or summary.skipped or summary.held):
        click.echo("a sync would have nothing to do: the directory is what the source says")
    _print_counts("a first sync would apply", summary.planned)
    _print_counts("would keep back", summary.skipped)
    _print_counts("would hold for approval", summary.held)
    _print_seats(summary)
    if summary.issues:
        click.echo("could not sync:")
    for code, count in sorted(summary.issues.items()):
        click.echo(f"  {count:>7}  {code}")
    for notice in summary.notices:
        click.echo(f"note: {notice}")


def change_row(change: Change) -> dict[str, Any]:
    """A change as plain values."""
    row: dict[str, Any] = {
        "kind": change.kind.value,
        "subject": {"kind": change.subject.kind.value, "sis_id": change.subject.sis_id},
        "member": {"kind": change.member.kind.value, "sis_id": change.member.sis_id} if change.member else None,
        "values": change.values,
        "before": change.before,
        "reason": change.reason.value,
    }
    return row


def withheld_row(item: Withheld) -> dict[str, Any]:
    """A withheld change as plain values."""
    return {**change_row(item.change), "withheld": item.reason.value, "detail": item.detail}


def sentence(change: Change) -> str:
    """One change in words; ids, not names."""
    if change.member is not None:
        return f"{change.member} in {change.subject} ({change.reason.value})"
    shown = {k: v for k, v in change.values.items() if k in ("display_name", "user_principal_name", "mail_nickname")}
    named = next(iter(shown.values()), "")
    listed = ", ".join(sorted(change.values)) if not change.kind.value.endswith("create") else ""
    fields = f": {listed}" if listed else ""
    return f"{change.subject}{f' “{named}”' if named else ''}{fields} ({change.reason.value})"


def print_changes(title: str, changes: Iterable[Change], *, everything: bool) -> None:
    """Changes by kind, a few of each unless all are asked for."""
    grouped: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        grouped[change.kind.value].append(change)
    if grouped:
        click.echo(f"{title}:")
    for kind, words in KIND_WORDS.items():
        found = grouped.get(kind, [])
        if not found:
            continue
        click.echo(f"  {len(found):>7}  {words}")
        for change in found if everything else found[:SAMPLE]:
            click.echo(f"           - {sentence(change)}")
        if not everything and len(found) > SAMPLE:
            click.echo(f"           … and {len(found) - SAMPLE} more (--all lists them)")


def print_withheld(title: str, withheld: Iterable[Withheld]) -> None:
    """Counts of withheld changes by kind and reason."""
    grouped: dict[tuple[str, str], int] = defaultdict(int)
    for item in withheld:
        grouped[
            item.change.kind.value, f"{item.reason.value}: {item.detail}" if item.detail else item.reason.value
        ] += 1
    if grouped:
        click.echo(f"{title}:")
    for (kind, reason), count in sorted(grouped.items()):
        click.echo(f"  {count:>7}  {KIND_WORDS[kind]} — {reason}")


def _print_counts(title: str, counts: dict[str, int]) -> None:
    if counts:
        click.echo(f"{title}:")
    for kind, count in counts.items():
        click.echo(f"  {count:>7}  {KIND_WORDS.get(kind, kind)}")


def _print_focus(summary: RunSummary) -> None:
    if summary.only is None:
        return
    rest = sum(summary.elsewhere.values())
    click.echo(f"{summary.only} alone; {rest} other changes are left for a whole sync" + (":" if rest else ""))
    for kind, count in summary.elsewhere.items():
        click.echo(f"  {count:>7}  {KIND_WORDS.get(kind, kind)}")


def _print_seats(summary: RunSummary) -> None:
    if summary.seats:
        click.echo("licence seats:")
    for seat in summary.seats:
        short = f": {seat.short} too few" if seat.short else ""
        click.echo(f"  {seat.needed:>7}  of {seat.free} free seats of {seat.part_number}{short}")


def _print_issues(summary: RunSummary) -> None:
    if summary.issues:
        total = sum(summary.issues.values())
        click.echo(f"{total} issues (sds-daemon issues list {summary.profile}):")
        for code, count in sorted(summary.issues.items()):
            click.echo(f"  {count:>7}  {code}")


def _print_proof(summary: RunSummary) -> None:
    proof = summary.proof
    if not proof:
        return
    click.echo("read: " + ", ".join(f"{count} {name}" for name, count in summary.snapshot.items()))
    if proof["proved"]:
        click.echo("proof: every part was counted and received whole")
    for part in proof["unproved"]:
        click.echo(
            f"unproved: {part['resource']} of school {part['school']}: {part['reason']} — nothing is removed there"
        )
