"""`sds-daemon links`: which directory object a SIS record is linked to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from sds_daemon.cli.context import CommandContext, json_option, pass_context

if TYPE_CHECKING:
    from sds_daemon.store import Link, Store

KINDS = ("student", "teacher", "section", "school")


@click.group("links")
def command() -> None:
    """Show or drop the link between a SIS record and its directory object.

    PERSON is a SIS ID, a directory object id, or an account's user principal name. Sections and schools go as well.
    """


@command.command("show")
@click.argument("person")
@click.option("--kind", type=click.Choice(KINDS), help="Only records of this kind.")
@json_option
@pass_context
def show(context: CommandContext, person: str, kind: str | None, as_json: bool) -> None:
    """Show the links of PERSON, how each was made, and the memberships that rest on it."""
    from sds_daemon.cli.output import print_json

    with context.store() as store:
        found = [_describe(store, scope, link) for scope, link in _find(store, person, kind)]
    if as_json:
        print_json({"links": found})
    elif not found:
        click.echo(f"nothing is linked to {person}")
    else:
        for each in found:
            _print_link(each)


@command.command("drop")
@click.argument("person")
@click.option("--kind", type=click.Choice(KINDS), help="The kind of record, where PERSON fits several.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_context
def drop(context: CommandContext, person: str, kind: str | None, yes: bool) -> None:
    """Forget the link of PERSON. The next sync matches the record anew; the directory is not touched."""
    from sds_daemon.errors import UsageError

    with context.store() as store:
        found = list(_find(store, person, kind))
        if not found:
            raise UsageError(f"nothing is linked to {person}", remedy="give a SIS ID, an object id or a user name")
        if len(found) > 1:
            fits = ", ".join(sorted({str(link.ref) for _, link in found}))
            raise UsageError(f"{person} fits several records: {fits}", remedy="say --kind, or give the object id")
        scope, link = found[0]
        if not yes:
            click.confirm(f"Forget that {link.ref} is {link.object_id}?", abort=True)
        with store.lease(link.profile):
            store.links(*scope).drop(link.ref)
    click.echo(f"{link.ref} is no longer linked; the next sync of {link.profile} matches it anew")


def _scopes(store: Store) -> list[tuple[str, str]]:
    """Every pair of source and tenant that runs have worked on, the latest first."""
    pairs = ((run.source_uuid, run.tenant_id) for run in store.runs.list(None, 1000))
    return list(dict.fromkeys((source, tenant) for source, tenant in pairs if source and tenant))


def _find(store: Store, text: str, kind: str | None) -> Iterator[tuple[tuple[str, str], Link]]:
    for scope in _scopes(store):
        links = store.links(*scope)
        found = links.find(text)
        if not found and "@" in text:
            users = store.directory(scope[1]).users_by("userPrincipalName", [text])
            found = [link for user in users.get(text.lower(), []) for link in links.find(user.id)]
        yield from ((scope, link) for link in found if kind is None or link.ref.kind.value == kind)


def _describe(store: Store, scope: tuple[str, str], link: Link) -> dict[str, Any]:
    memberships = store.memberships(*scope).of_member(link.ref)
    user = store.directory(scope[1]).users([link.object_id]).get(link.object_id)
    return {
        "kind": link.ref.kind,
        "sis_id": link.ref.sis_id,
        "object_id": link.object_id,
        "user_principal_name": user.upn if user else None,
        "profile": link.profile,
        "rule": link.rule,
        "created": link.created,
        "deleted": link.deleted,
        "licenses_due": link.licenses_due,
        "linked_at": link.linked_at,
        "written": link.written,
        "memberships": [{"container": each.container, "role": each.role} for each in memberships],
        "source_uuid": scope[0],
        "tenant_id": scope[1],
    }


def _print_link(each: dict[str, Any]) -> None:
    from sds_daemon.cli.output import clean, local

    name = f" ({clean(each['user_principal_name'])})" if each["user_principal_name"] else ""
    click.echo(f"{each['kind'].value} {each['sis_id']} is {each['object_id']}{name}")
    how = "made by the daemon" if each["created"] else "found"
    click.echo(f"  {how} by rule {each['rule']}, profile {each['profile']}, {local(each['linked_at'])}")
    if each["deleted"]:
        click.echo("  the object is deleted in the directory")
    if each["licenses_due"]:
        click.echo("  licences are still to be assigned")
    for key, value in sorted(each["written"].items()):
        click.echo(f"  written {key}: {clean(value)}")
    for membership in each["memberships"]:
        click.echo(f"  {membership['role'].value} of {membership['container']}")
