"""The wizard's steps in their order, and its end: what would happen, and the writing of the profile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click

from sds_daemon.cli.wizard.ask import Asker
from sds_daemon.cli.wizard.connections import ask_source, ask_tenant
from sds_daemon.cli.wizard.people import ask_role, ask_users
from sds_daemon.cli.wizard.scope import ask_attributes, ask_rules, ask_schools
from sds_daemon.config.load import SYSTEM_FILE
from sds_daemon.errors import SdsError

if TYPE_CHECKING:
    from sds_daemon.cli.wizard.draft import Draft

WRITE = "write"
STOP = "stop"


def ask_name(asker: Asker, draft: Draft) -> None:
    """The profile's name."""
    default = draft.name or ("pilot" if draft.fault_of_name("profiles", "pilot") is None else "")
    draft.name = asker.text(
        "Name of the profile", default=default, check=lambda text: draft.fault_of_name("profiles", text)
    )


Step = tuple[str, Callable[[Asker, "Draft"], None]]
STEPS: tuple[Step, ...] = (
    ("Name", ask_name),
    ("PowerSchool", ask_source),
    ("Microsoft 365", ask_tenant),
    ("Accounts", ask_users),
    ("Students", partial(ask_role, role="students")),
    ("Teachers", partial(ask_role, role="teachers")),
    ("Schools", ask_schools),
    ("Attributes", ask_attributes),
    ("Classes", ask_rules),
)


def run_wizard(asker: Asker, draft: Draft) -> bool:
    """Ask everything, show what would happen, and write. False: the operator decided not to.

    Raises UsageError when the answers end early; nothing is written then.
    """
    start = 0
    while True:
        for number, (title, ask) in enumerate(STEPS[start:], start + 1):
            asker.title(f"{number} of {len(STEPS) + 1}: {title}")
            ask(asker, draft)
        asker.title(f"{len(STEPS) + 1} of {len(STEPS) + 1}: Check, preview and summary")
        decision = _decide(asker, draft, sound=_rehearse(asker, draft))
        if decision == STOP:
            return False
        if decision == WRITE:
            draft.write()
            return True
        start = int(decision) - 1


def _decide(asker: Asker, draft: Draft, *, sound: bool) -> str:
    """WRITE, STOP, or the number of the step to go back to."""
    _summarise(asker, draft)
    choices = {WRITE: f"write the profile to {draft.path}, disabled", STOP: "leave the file as it is"}
    choices |= {str(number): f"go back to “{title}”" for number, (title, _) in enumerate(STEPS, 1)}
    for answer, meaning in choices.items():
        asker.say(f"  {answer:>5}  {meaning}")
    refusal = f"answer {WRITE}, {STOP}, or a number from 1 to {len(STEPS)}"
    return asker.text(
        "What now?",
        default=WRITE if sound else "",
        check=lambda text: None if text.lower() in choices else refusal,
    ).lower()


def _rehearse(asker: Asker, draft: Draft) -> bool:
    """Show `check` and the preview's counts. Whether nothing stands in the way of a sync."""
    from sds_daemon.assembly import check_profile, failed, preview_profile
    from sds_daemon.cli.check import print_findings
    from sds_daemon.cli.progress import progress_bar
    from sds_daemon.cli.report import print_plan_counts

    try:
        settings = draft.settings()
        profile = settings.profile(draft.name)
        with progress_bar(quiet=False) as progress:
            findings = asyncio.run(check_profile(settings, profile, draft.clock, progress=progress))
        print_findings(findings)
        if failed(findings):
            asker.refuse("a sync would fail on the errors above; mend them, or go back to the step they belong to")
            return False
        with progress_bar(quiet=False) as progress:
            summary, _ = asyncio.run(preview_profile(settings, profile, draft.clock, progress=progress))
        print_plan_counts(summary)
    except SdsError as error:
        asker.refuse(f"this could not be tried: {error}")
        return False
    return True


def _summarise(asker: Asker, draft: Draft) -> None:
    profile = draft.profile
    asker.say()
    asker.say(f"Profile {draft.name}: {draft.source_name} to {draft.tenant_name} ({draft.facts.display_name})")
    schools = profile["schools"]
    asker.say(f"  schools: {schools if isinstance(schools, str) else ', '.join(schools)}")
    for role in ("students", "teachers"):
        asker.say(f"  {role}: {_role_sentence(profile['users'], profile.get(role, {}))}")
    asker.say(f"  policy: {profile['policy']}")


def _role_sentence(users: str, rules: dict[str, object]) -> str:
    parts = []
    if users != "create":
        suffix = f"@{rules['suffix']}" if rules.get("suffix") else ""
        parts.append(f"matched where {rules['source_property']}{suffix} is the {rules['target_property']}")
    if users != "match":
        licenses = rules.get("licenses")
        named = " and ".join(map(str, licenses)) if isinstance(licenses, list) and licenses else "no licence"
        parts.append(f"made as Username@{rules['domain']} with {named}")
    return "; else ".join(parts)


def say_next_steps(draft: Draft, given: str) -> None:
    """The commands that follow. `given`: the options before the command that lead to this file."""
    click.secho(f"\nWrote [profiles.{draft.name}] to {draft.path}, disabled.", fg="green")
    for (group, key), place in draft.keep.items():
        name = draft.source_name if group == "sources" else draft.tenant_name
        click.echo(f"{key} of [{group}.{name}] is in {draft.path.absolute().parent / place.file}.")
    commands = {
        f"preview {draft.name}": "every change by kind; --all lists each one",
        f"profiles enable {draft.name}": "",
        f"sync {draft.name}": "the first sync, while you watch",
    }
    if draft.path != SYSTEM_FILE:
        commands["run"] = "and from then on, cycle after cycle"
    width = max(map(len, commands))
    click.echo("Next:")
    for command, comment in commands.items():
        click.echo(f"  sds-daemon{given} {command:<{width}}  {comment}".rstrip())
    if draft.path == SYSTEM_FILE:
        click.echo("  systemctl enable --now sds-daemon; systemctl reload sds-daemon where it runs already")
    if draft.profile["users"] != "match":
        click.echo("The first sync puts the new accounts' passwords into a file of the state directory: docs/graph.md.")
