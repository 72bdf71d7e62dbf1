"""`sds-daemon runs`: the record of every cycle and of each change in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from sds_daemon.cli.context import CommandContext, json_option, pass_context

if TYPE_CHECKING:
    from sds_daemon.store import ChangeRecord, RunRecord, Store

SAMPLE = 20
QUIET_SAMPLE = 5
QUIET = frozenset({"planned", "done", "already", "forgotten"})
COLUMNS = (
    "state",
    "kind",
    "subject_kind",
    "subject_id",
    "member_kind",
    "member_id",
    "reason",
    "withheld",
    "detail",
    "code",
    "status",
    "object_id",
    "values",
    "before",
)
STATES = ("failed", "dependent", "deferred", "held", "skipped", "intended", "planned", "done", "already", "forgotten")


@click.group("runs", invoke_without_command=True)
@click.option("--profile", help="Only runs of this profile.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="So many at most.")
@json_option
@click.pass_context
def command(ctx: click.Context, profile: str | None, limit: int, as_json: bool) -> None:
    """List the last runs, the newest first; `runs show RUN` tells of one."""
    if ctx.invoked_subcommand is not None:
        return
    context = ctx.ensure_object(CommandContext)
    from sds_daemon.cli.output import print_json, print_table

    name = context.settings().profile(profile).name if profile else None
    with context.store() as store:
        runs = store.runs.list(name, limit)
    if as_json:
        print_json({"runs": runs})
        return
    columns = ("run", "profile", "status", "started", "seconds", "applied", "held", "skipped", "issues")
    print_table(columns, map(_line, runs), empty="no run yet")


@command.command("show")
@click.argument("run", type=int)
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only changes in this state.")
@click.option("--all", "everything", is_flag=True, help="List every change, not the first ones.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the changes as CSV.")
@json_option
@pass_context
def show(
    context: CommandContext, run: int, states: tuple[str, ...], everything: bool, as_csv: bool, as_json: bool
) -> None:
    """Show run number RUN: its proof and counts, and what became of each change."""
    from sds_daemon.cli.output import print_json, write_csv

    with context.store() as store:
        record = store.runs.get(run)
        chosen = states or None
        if as_csv:
            write_csv(COLUMNS, map(_row, store.runs.changes(record.decided_by, chosen)))
        elif as_json:
            changes = store.runs.changes(record.decided_by, chosen)
            print_json({"run": record, "changes": [_change(each) for each in changes]})
        else:
            _print_run(record, store.runs.counts(record.decided_by), everything=everything)
            _print_changes(store, record.decided_by, states, everything=everything)


def _line(run: RunRecord) -> tuple[object, ...]:
    from sds_daemon.cli.output import local

    seconds = f"{(run.finished - run.started).total_seconds():.1f}" if run.finished else "-"
    totals = [sum(run.summary.get(key, {}).values()) for key in ("applied", "held", "skipped", "issues")]
    return (run.id, run.profile, run.status, local(run.started), seconds, *totals)


def _print_run(run: RunRecord, counts: dict[str, dict[str, int]], *, everything: bool = False) -> None:
    from sds_daemon.cli.output import clean, local

    click.echo(f"run {run.id} of profile {run.profile}: {run.status}")
    click.echo(f"started {local(run.started)}, finished {local(run.finished)}")
    if run.error:
        click.echo(f"error: {clean(run.error)}")
    if run.decided_by != run.id:
        click.echo(f"nothing had changed since run {run.decided_by}: its proof and changes are this one's")
    proof: dict[str, Any] = run.summary.get("proof", {})
    for resource, row in proof.get("resources", {}).items():
        expected = "not counted" if row["expected"] is None else f"{row['expected']} expected"
        more = f", {row['pages']} pages, digest {row['digest'][:12]}" if row.get("pages") else ""
        click.echo(f"read {resource}: {row['received']} received, {expected}{more}")
    for part in proof.get("parts", []) if everything else []:
        place = f"{part['resource']} of school {part['school']}" if part["school"] else part["resource"]
        said = f"{part['received']} received, {part['before']} expected before, {part['expected']} after"
        click.echo(clean(f"  {place}: {said}, {part['pages']} pages, digest {part['digest'][:12]}"))
    for part in proof.get("unproved", []):
        click.echo(clean(f"unproved: {part['resource']} of school {part['school']}: {part['reason']}"))
    for notice in run.summary.get("notices", []):
        click.echo(f"note: {clean(notice)}")
    for state in (state for state in STATES if state in counts):
        kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(counts[state].items()))
        click.echo(f"{state}: {kinds}")
    for code, number in sorted(run.summary.get("issues", {}).items()):
        click.echo(f"issue {code}: {number}")


def _print_changes(store: Store, run: int, states: tuple[str, ...], *, everything: bool) -> None:
    """The changes with trouble first; a sample of each state unless everything is asked for."""
    from sds_daemon.cli.output import clean

    for state in states or STATES:
        limit = QUIET_SAMPLE if state in QUIET else SAMPLE
        for number, record in enumerate(store.runs.changes(run, (state,))):
            if number >= limit and not everything:
                click.echo("  … and more (--all lists them)")
                break
            click.echo(clean(f"  {state}: {_sentence(record)}"))


def _sentence(record: ChangeRecord) -> str:
    change = record.change
    place = f"{change.member} in {change.subject}" if change.member else str(change.subject)
    why = record.withheld.value if record.withheld else change.reason.value
    detail = f"; {record.detail}" if record.detail else ""
    status = f" (HTTP {record.status})" if record.status >= 400 else ""
    return f"{change.kind.value} {place} ({why}){detail}{status}"


def _change(record: ChangeRecord) -> dict[str, Any]:
    """A change of a run as plain values; `before` and `values` are what stood and what was to stand."""
    change = record.change
    return {
        "state": record.state,
        "kind": change.kind,
        "subject": change.subject,
        "member": change.member,
        "reason": change.reason,
        "withheld": record.withheld,
        "detail": record.detail,
        "code": record.code,
        "status": record.status,
        "object_id": record.object_id,
        "values": change.values,
        "before": change.before,
        "intended_at": record.intended_at,
        "settled_at": record.settled_at,
    }


def _row(record: ChangeRecord) -> Iterator[object]:
    change = record.change
    yield from (record.state, change.kind, change.subject.kind, change.subject.sis_id)
    yield from (change.member.kind, change.member.sis_id) if change.member else ("", "")
    yield from (change.reason.value, record.withheld.value if record.withheld else "", record.detail, record.code)
    yield from (record.status or "", record.object_id or "")
    yield from (json.dumps(each, ensure_ascii=False) if each else "" for each in (change.values, change.before))
