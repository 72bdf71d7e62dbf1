"""`sds-daemon issues`: what could not be synced, grouped by cause, and as CSV."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sds_daemon.cli.context import CommandContext, json_option, pass_context

if TYPE_CHECKING:
    from sds_daemon.store import IssueRecord

SAMPLE = 3
COLUMNS = (
    "entryType",
    "errorCode",
    "errorMessage",
    "joiningValue",
    "recordedDateTime",
    "reportableIdentifier",
    "id",
)
_NAMESPACE = uuid.UUID("6d4f0a0e-5d0f-4b3c-9a53-3c1f9a6a7d10")


@click.group("issues")
def command() -> None:
    """List or export the records that could not be synced. An issue goes away by itself once its cause is cured."""


@command.command("list")
@click.argument("profile", required=False)
@click.option("--code", help="Only issues of this code.")
@click.option("--all", "everything", is_flag=True, help="List every record, not the first of each cause.")
@json_option
@pass_context
def list_issues(
    context: CommandContext, profile: str | None, code: str | None, everything: bool, as_json: bool
) -> None:
    """Open issues by cause, the most frequent first; of PROFILE, or of all profiles."""
    from sds_daemon.cli.output import NO_PROFILE, print_json

    groups = {name: _causes(records) for name, records in _open(context, profile, code).items()}
    if as_json:
        print_json({"profiles": [{"profile": name, "causes": causes} for name, causes in groups.items()]})
        return
    for name, causes in groups.items():
        _print_causes(name, causes, everything=everything)
    if not groups:
        click.echo(NO_PROFILE)


@command.command("export")
@click.argument("profile", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file (mode 0600) instead of the terminal.")
@click.option("--notes", is_flag=True, help="Notes as well, which are said once and are no errors.")
@json_option
@pass_context
def export(context: CommandContext, profile: str | None, output: Path | None, notes: bool, as_json: bool) -> None:
    """Open issues as CSV in School Data Sync's columns; of PROFILE, or of all profiles."""
    from sds_daemon.cli.output import print_json, write_csv, write_private_csv

    records = [each for found in _open(context, profile, None).values() for each in found]
    rows = [_row(each) for each in records if notes or each.issue.severity.value == "error"]
    if as_json:
        print_json({"issues": [dict(zip(COLUMNS, row, strict=True)) for row in rows]})
        return
    if output is None:
        write_csv(COLUMNS, rows)
        return
    write_private_csv(output, COLUMNS, rows)
    click.echo(f"wrote {len(rows)} issues to {output}", err=True)


def _open(context: CommandContext, profile: str | None, code: str | None) -> dict[str, list[IssueRecord]]:
    settings = context.settings()
    names = [settings.profile(profile).name] if profile else list(settings.profiles)
    with context.store() as store:
        found = {name: store.issues.open(name) for name in names}
    if code is None:
        return found
    return {
        name: [each for each in records if each.issue.code.lower() == code.lower()] for name, records in found.items()
    }


def _causes(records: Iterable[IssueRecord]) -> list[dict[str, Any]]:
    """One dictionary a code, errors before notes, the most frequent first."""
    from sds_daemon.plan.issues import REMEDIES

    grouped: dict[Any, list[IssueRecord]] = {}
    for record in records:
        grouped.setdefault((record.issue.severity, record.issue.code), []).append(record)
    causes = [
        {
            "code": code,
            "severity": severity,
            "count": len(found),
            "rows": sum(each.issue.count for each in found),
            "remedy": REMEDIES.get(code, ""),
            "first_seen": min(each.first_seen for each in found),
            "last_seen": max(each.last_seen for each in found),
            "issues": [_record(each) for each in found],
        }
        for (severity, code), found in grouped.items()
    ]
    return sorted(causes, key=lambda cause: (cause["severity"].value != "error", -cause["count"], cause["code"].value))


def _record(record: IssueRecord) -> dict[str, Any]:
    return {
        "kind": record.issue.ref.kind,
        "sis_id": record.issue.ref.sis_id,
        "detail": record.issue.detail,
        "joining_value": record.issue.joining_value,
        "rows": record.issue.count,
        "first_seen": record.first_seen,
        "last_seen": record.last_seen,
        "run": record.run_id,
    }


def _print_causes(profile: str, causes: list[dict[str, Any]], *, everything: bool) -> None:
    from sds_daemon.cli.output import clean, local

    errors = sum(cause["count"] for cause in causes if cause["severity"].value == "error")
    click.echo(f"{profile}: {errors} issues" if errors else f"{profile}: no issues")
    for cause in causes:
        note = "" if cause["severity"].value == "error" else " (note)"
        click.echo(f"  {cause['count']:>6}  {cause['code'].value}{note} — {cause['remedy']}")
        shown = cause["issues"] if everything else cause["issues"][:SAMPLE]
        for issue in shown:
            value = f" [{issue['joining_value']}]" if issue["joining_value"] else ""
            text = (
                f"{issue['kind'].value} {issue['sis_id']}: {issue['detail']}{value}, since {local(issue['first_seen'])}"
            )
            click.echo(f"          - {clean(text)}")
        if len(shown) < cause["count"]:
            click.echo(f"          … and {cause['count'] - len(shown)} more (--all lists them)")


def _row(record: IssueRecord) -> tuple[str, ...]:
    """The record in SDS's columns (Graph docs: educationSynchronizationError). The id stays the same across runs."""
    from sds_daemon.cli.output import instant

    issue = record.issue
    identity = f"{record.profile}/{issue.ref.kind.value}/{issue.ref.sis_id}/{issue.code.value}"
    return (
        issue.ref.kind.value.capitalize(),
        issue.code.value,
        issue.detail,
        issue.joining_value,
        instant(record.first_seen),
        issue.ref.sis_id,
        str(uuid.uuid5(_NAMESPACE, identity)),
    )
