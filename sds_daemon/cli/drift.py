"""`sds-daemon drift`: where the directory is not what was written, and nothing at the source explains it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sds_daemon.cli.context import CommandContext, json_option, pass_context

if TYPE_CHECKING:
    from sds_daemon.store import DriftRecord, RunRecord, Store

SAMPLE = 10
COLUMNS = ("profile", "code", "subject", "member", "name", "written", "found", "first_seen", "last_seen", "resolved_at")
RECENT = 50


@click.group("drift")
def command() -> None:
    """Show where the directory is not what was written: hand edits, and what a lost record cannot explain.

    Every cycle sees deleted groups and accounts, and memberships that were removed; the nightly reconciliation
    (sds-daemon reconcile) compares everything else. Drift goes away by itself once the directory is as it was.
    """


@command.command("list")
@click.argument("profile", required=False)
@click.option("--all", "everything", is_flag=True, help="List every drift, not the first of each kind.")
@json_option
@pass_context
def list_drift(context: CommandContext, profile: str | None, everything: bool, as_json: bool) -> None:
    """Open drift by kind; of PROFILE, or of all profiles."""
    from sds_daemon.cli.output import print_json

    names = _names(context, profile)
    with context.store() as store:
        records = [record for name in names for record in store.drift.open(name)]
    if as_json:
        print_json({"drift": [_row(record) for record in records]})
        return
    for name in names:
        _print_profile(name, [record for record in records if record.profile == name], everything=everything)


@command.command("export")
@click.argument("profile", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file (mode 0600) instead of the terminal.")
@click.option("--resolved", is_flag=True, help="Drift that is gone as well.")
@json_option
@pass_context
def export(context: CommandContext, profile: str | None, output: Path | None, resolved: bool, as_json: bool) -> None:
    """Drift as CSV; of PROFILE, or of all profiles."""
    from sds_daemon.cli.output import print_json, write_csv, write_private_csv

    with context.store() as store:
        found = [record for name in _names(context, profile) for record in store.drift.export(name)]
    rows = [_row(record) for record in found if resolved or record.resolved_at is None]
    if as_json:
        print_json({"drift": rows})
    elif output is None:
        write_csv(COLUMNS, (row.values() for row in rows))
    else:
        write_private_csv(output, COLUMNS, (row.values() for row in rows))
        click.echo(f"wrote {len(rows)} differences to {output}", err=True)


@command.command("owners")
@click.argument("profile")
@json_option
@pass_context
def owners(context: CommandContext, profile: str, as_json: bool) -> None:
    """Owners of PROFILE's classes whom the source no longer names: kept by the rules, for you to look at.

    As the last whole sync found them. Policy "mirror" removes them, except a class's last owner.
    """
    from sds_daemon.cli.output import print_json, print_table

    name = context.settings().profile(profile).name
    with context.store() as store:
        run = _last_whole_run(store, name)
        found = _kept_owners(store, run) if run is not None else []
    if as_json:
        print_json({"profile": name, "run": run.id if run else None, "owners": found})
        return
    print_table(
        ("class", "owner", "sign-in name", "kept because"),
        ((each["section"], each["teacher"], each["user_principal_name"] or "-", each["reason"]) for each in found),
        empty="every owner is on the roster of the class",
    )
    if run is not None:
        click.echo(f"as run {run.id} found them")


def _names(context: CommandContext, profile: str | None) -> list[str]:
    settings = context.settings()
    return [settings.profile(profile).name] if profile else list(settings.profiles)


def _row(record: DriftRecord) -> dict[str, Any]:
    drift = record.drift
    return {
        "profile": record.profile,
        "code": drift.code,
        "subject": str(drift.subject),
        "member": str(drift.member) if drift.member else "",
        "name": drift.name,
        "written": drift.written,
        "found": drift.found,
        "first_seen": record.first_seen,
        "last_seen": record.last_seen,
        "resolved_at": record.resolved_at,
    }


def _print_profile(profile: str, records: list[DriftRecord], *, everything: bool) -> None:
    from sds_daemon.cli.output import clean, local
    from sds_daemon.plan.drift import MEANINGS

    click.echo(f"{profile}: {len(records)} differences" if records else f"{profile}: no drift")
    for code in dict.fromkeys(record.drift.code for record in records):
        found = [record for record in records if record.drift.code is code]
        click.echo(f"  {len(found):>6}  {code.value} — {MEANINGS[code]}")
        shown = found if everything else found[:SAMPLE]
        for record in shown:
            click.echo(f"          - {clean(_sentence(record))}, since {local(record.first_seen)}")
        if len(shown) < len(found):
            click.echo(f"          … and {len(found) - len(shown)} more (--all lists them)")


def _sentence(record: DriftRecord) -> str:
    drift = record.drift
    if drift.member is not None:
        return f"{drift.subject}: {drift.name} {drift.member}"
    if drift.name:
        return f"{drift.subject}: {drift.name} was written as {drift.written!r} and is {drift.found!r}"
    return str(drift.subject)


def _last_whole_run(store: Store, profile: str) -> RunRecord | None:
    """The last sync that decided over everything."""
    runs: Iterable[RunRecord] = store.runs.list(profile, RECENT)
    told = {"success", "success_with_issues", "nothing_to_do", "held"}
    return next((run for run in runs if run.kind == "sync" and run.status in told and not run.error), None)


def _kept_owners(store: Store, run: RunRecord) -> list[dict[str, Any]]:
    """Owner removals the run planned and kept back."""
    from sds_daemon.plan.change import ChangeKind

    kept = [
        record
        for record in store.runs.changes(run.decided_by, ("skipped", "held"))
        if record.change.kind is ChangeKind.REMOVE_OWNER and record.change.member is not None
    ]
    links = store.links(run.source_uuid or "", run.tenant_id or "")
    objects = {record.change.member: links.get(record.change.member) for record in kept if record.change.member}
    users = store.directory(run.tenant_id or "").users(link.object_id for link in objects.values() if link)
    rows = []
    for record in kept:
        link = objects.get(record.change.member) if record.change.member else None
        user = users.get(link.object_id) if link else None
        rows.append(
            {
                "section": record.change.subject.sis_id,
                "teacher": record.change.member.sis_id if record.change.member else "",
                "user_principal_name": user.upn if user else None,
                "reason": record.withheld.value if record.withheld else "",
            }
        )
    return rows
