"""`sds-daemon approve RUN`: let exactly the held changes of a run go out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sds_daemon.cli.frame import Office


@click.command("approve")
@click.argument("run", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print the run as one JSON object.")
@click.pass_obj
def command(context: object, run: int, as_json: bool) -> None:
    """Approve the changes held by RUN and apply them now: exactly that set, or nothing.

    When the set has changed since, nothing of it is applied and the difference is shown. Where RUN was stopped because
    the source had shrunk, exactly what it read is accepted, or nothing when the source has shrunk further. While the
    daemon works on the profile, its next cycle applies them.
    """
    from sds_daemon.cli.frame import opened
    from sds_daemon.sync.approval import approve_run
    from sds_daemon.sync.undo import undone_run

    with opened(context) as office:
        name = approve_run(office.store, run)
        undone = undone_run(office.store, run)
        code = _sync(office, name, as_json=as_json) if undone is None else _undo(office, name, undone, as_json=as_json)
    raise SystemExit(code)


def _sync(office: Office, name: str, *, as_json: bool) -> int:
    from sds_daemon.assembly import sync_profile
    from sds_daemon.cli.frame import carried_out
    from sds_daemon.cli.report import print_summary
    from sds_daemon.errors import AtRest, LeaseHeld

    settings, store, clock = office
    profile = settings.profile(name)
    try:
        summary, decision = carried_out(
            lambda stop, progress: sync_profile(
                settings, profile, store, clock, priority="interactive", stop=stop, progress=progress
            ),
            quiet=as_json,
        )
    except LeaseHeld:
        click.echo(f"approved; profile {name} is being worked on, its next cycle applies the changes")
        return 0
    except AtRest as rest:
        raise AtRest(f"approved, and not yet applied: {rest.message}", remedy=rest.remedy) from rest
    print_summary(summary, decision, as_json=as_json)
    _say_what_changed(summary.held, summary.notices, as_json=as_json)
    return summary.exit_code


def _undo(office: Office, name: str, undone: int, *, as_json: bool) -> int:
    """Raises LeaseHeld where the profile is being worked on: no cycle takes a run back, the command has to be given
    again."""
    from sds_daemon.assembly import undo_profile
    from sds_daemon.cli.frame import carried_out
    from sds_daemon.cli.undo import print_undo

    settings, store, clock = office
    profile = settings.profile(name)
    summary, undoing = carried_out(
        lambda stop, progress: undo_profile(settings, profile, store, clock, undone, stop=stop, progress=progress),
        quiet=as_json,
    )
    print_undo(summary, undoing, as_json=as_json)
    _say_what_changed(summary.held, [], as_json=as_json)
    return summary.exit_code


def _say_what_changed(held: dict[str, int], notices: list[str], *, as_json: bool) -> None:
    if held and not as_json:
        for sentence in ("the approved set had changed in the meantime; what is held now is a new set", *notices):
            click.echo(sentence, err=True)
