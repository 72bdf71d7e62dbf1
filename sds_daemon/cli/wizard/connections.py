"""The two connections: chosen among those of the file or asked for, and tried until they work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sds_daemon.cli.wizard.ask import Asker, Check, Option
from sds_daemon.cli.wizard.draft import Place

if TYPE_CHECKING:
    from sds_daemon.cli.wizard.draft import Draft
    from sds_daemon.sources.base import Finding

NEW = "another"
CREDENTIALS = "credentials"
_SCHEMES = ("credential:", "env:", "file:")


def ask_source(asker: Asker, draft: Draft) -> None:
    """A PowerSchool server that answers. Fills `schools`."""
    _choose(asker, draft, "sources", "PowerSchool server", _new_source, _try_source)


def ask_tenant(asker: Asker, draft: Draft) -> None:
    """An Entra tenant that lets the app in. Fills `tenant_facts`."""
    _choose(asker, draft, "tenants", "tenant", _new_tenant, _try_tenant)


Questions = Callable[[Asker, "Draft"], None]
Test = Callable[["Draft"], "list[Finding]"]


def _choose(asker: Asker, draft: Draft, group: str, word: str, questions: Questions, test: Test) -> None:
    while True:
        if not _take_known(asker, draft, group, word):
            questions(asker, draft)
        while not _passes(asker, draft, test):
            asker.say(f"The connection must work before the next step. Mend it on the {word}'s side, or here.")
            again = [Option("test", "test again"), Option("answer", "answer the questions about it again")]
            if asker.choose("What now?", again, default="answer") == "answer":
                break
        else:
            return


def _take_known(asker: Asker, draft: Draft, group: str, word: str) -> bool:
    """Whether a table of the file was chosen."""
    known = draft.written.get(group, {})
    if not known:
        return False
    before = draft.source_name if group == "sources" else draft.tenant_name
    options = [Option(name, f"in {draft.path.name}: {_where(known[name])}") for name in known]
    options.append(Option(NEW, f"a {word} that is not in the file yet"))
    chosen = asker.choose(f"Which {word}?", options, default=before if before in known else next(iter(known)))
    if chosen == NEW and NEW not in known:
        return False
    if group == "sources":
        draft.source_name, draft.source = chosen, None
    else:
        draft.tenant_name, draft.tenant = chosen, None
    _forget(draft, group)
    return True


def _where(table: dict[str, Any]) -> str:
    return str(table.get("url") or table.get("tenant_id") or "")


def _passes(asker: Asker, draft: Draft, test: Test) -> bool:
    from sds_daemon.assembly import failed
    from sds_daemon.cli.check import print_findings

    asker.say("testing the connection ...")
    findings = test(draft)
    print_findings(findings)
    if failed(findings):
        click.secho("The test failed.", fg="red")
        return False
    click.secho("The connection works.", fg="green")
    return True


# PowerSchool


def _new_source(asker: Asker, draft: Draft) -> None:
    before = draft.source or {}
    name = draft.source_name if draft.source else "powerschool"
    draft.source_name = asker.text(
        "A name for this server in config.toml", default=name, check=lambda text: draft.fault_of_name("sources", text)
    )
    path = ("sources", draft.source_name)
    url = asker.text(
        "Address of the server, like https://powerschool.contoso.edu",
        default=before.get("url", ""),
        check=_checking(draft, path, "url"),
    ).rstrip("/")
    table = {"type": "powerschool", "url": url}
    asker.say("PowerSchool shows id and secret under System > System Settings > Plugin Management Configuration >")
    asker.say("sds-daemon > Data Provider Configuration, once the plugin is enabled (sds-daemon plugin build).")
    table["client_id"] = asker.text("Client ID", default=before.get("client_id", ""))
    draft.source = table
    table["client_secret"] = _secret(asker, draft, "sources", before)
    if ("sources", "client_secret") in draft.keep and not table["client_id"].startswith(_SCHEMES):
        _keep_id(draft)
    if url.startswith("https:"):
        _ask_ca(asker, draft, path, table, before)


def _try_source(draft: Draft) -> list[Finding]:
    from sds_daemon.assembly import try_source

    findings, draft.schools = asyncio.run(
        try_source(draft.settings(profile=False).sources[draft.source_name], draft.clock)
    )
    return findings


# Entra


def _new_tenant(asker: Asker, draft: Draft) -> None:
    before = draft.tenant or {}
    name = draft.tenant_name if draft.tenant else "entra"
    draft.tenant_name = asker.text(
        "A name for this tenant in config.toml", default=name, check=lambda text: draft.fault_of_name("tenants", text)
    )
    path = ("tenants", draft.tenant_name)
    table: dict[str, Any] = {"cloud": _ask_cloud(asker, before)}
    if table["cloud"] == "custom":
        for key, words in (("authority", "Address of the token authority"), ("graph_url", "Address of Graph")):
            check = _checking(draft, path, key, {"cloud": "custom"})
            answer = asker.text(f"{words}, without a path", default=before.get(key, ""), check=check)
            table[key] = answer.rstrip("/")
    asker.say("The overview of the app registration in the Entra admin centre shows both ids.")
    for key, words in (("tenant_id", "Directory (tenant) ID"), ("client_id", "Application (client) ID")):
        table[key] = asker.text(words, default=before.get(key, ""), check=_checking(draft, path, key))
    draft.tenant = table
    _ask_credential(asker, draft, path, table, before)
    if table["cloud"] == "custom":
        _ask_ca(asker, draft, path, table, before)


def _ask_cloud(asker: Asker, before: dict[str, Any]) -> str:
    clouds = [
        Option("global", "Microsoft's public cloud"),
        Option("gcc-high", "US government, L4"),
        Option("dod", "US government, L5"),
        Option("china", "operated by 21Vianet"),
        Option("custom", "another authority and Graph, such as the sandbox's"),
    ]
    return asker.choose("Which cloud is the tenant in?", clouds, default=before.get("cloud", "global"))


def _ask_credential(
    asker: Asker, draft: Draft, path: tuple[str, ...], table: dict[str, Any], before: dict[str, Any]
) -> None:
    ways = [
        Option("secret", "a client secret: its value, not its id"),
        Option("certificate", "one PEM file with private key and certificate (the safer)"),
    ]
    way = asker.choose(
        "How does the daemon prove itself?", ways, default="certificate" if "certificate" in before else "secret"
    )
    if way == "secret":
        table["client_secret"] = _secret(asker, draft, "tenants", before)
        return
    _forget(draft, "tenants")
    table["certificate"] = _ask_file(
        asker, draft, path, "certificate", "Path of the PEM file, or credential:NAME", before
    )


def _try_tenant(draft: Draft) -> list[Finding]:
    from sds_daemon.assembly import try_tenant

    findings, draft.tenant_facts = asyncio.run(
        try_tenant(draft.settings(profile=False).tenants[draft.tenant_name], draft.clock)
    )
    return findings


# Both


def _checking(draft: Draft, path: tuple[str, ...], key: str, beside: dict[str, Any] | None = None) -> Check:
    """The check of a key of a table, as the whole configuration would judge it."""
    return lambda text: draft.fault(path, key, text, beside)


def _secret(asker: Asker, draft: Draft, group: str, before: dict[str, Any]) -> str:
    """The secret, or a reference to it. A secret that is typed in can go into a file of its own."""
    answer = asker.secret(
        "Client secret (or where it is: file:PATH, env:NAME, credential:NAME)",
        kept=before.get("client_secret", ""),
        check=_readable(draft),
    )
    _forget(draft, group)
    if answer.startswith("file:"):
        return f"file:{_whole_path(answer.removeprefix('file:'))}"
    if not answer.startswith(_SCHEMES):
        place = _place(draft, group, "secret")
        if asker.yes(f"Keep it in {place.file}, which only its owner can read, instead of in {draft.path.name}?"):
            draft.keep[group, "client_secret"] = place
    return answer


def _keep_id(draft: Draft) -> None:
    """The service's unit loads the plugin's id as a credential too, and does not start without the file."""
    place = _place(draft, "sources", "id")
    if place.reference.startswith("credential:"):
        draft.keep["sources", "client_id"] = place


def _forget(draft: Draft, group: str) -> None:
    draft.keep = {key: place for key, place in draft.keep.items() if key[0] != group}


def _place(draft: Draft, group: str, what: str) -> Place:
    """A file that is not there yet: among the service's credentials where those have a folder, else beside config.toml.

    The first names are those which deploy/systemd/sds-daemon.service loads.
    """
    folder = draft.path.absolute().parent
    kind, name = ("powerschool", draft.source_name) if group == "sources" else ("entra", draft.tenant_name)
    if (folder / CREDENTIALS).is_dir():
        names = [f"{kind}-{what}", f"{name}-{what}", *(f"{name}-{number}-{what}" for number in range(2, 100))]
        free = next(each for each in names if not (folder / CREDENTIALS / each).exists())
        return Place(f"{CREDENTIALS}/{free}", f"credential:{free}")
    names = [f"{name}.{kind}.{what}", *(f"{name}.{kind}-{number}.{what}" for number in range(2, 100))]
    free = next(each for each in names if not (folder / each).exists())
    return Place(free, f"file:{free}")


def _readable(draft: Draft) -> Check:
    """The check that a reference can be read now; a secret itself always can."""
    from sds_daemon.config.secrets import Secret
    from sds_daemon.errors import ConfigurationError

    def check(text: str) -> str | None:
        if text.startswith("file:"):
            text = f"file:{draft.path.absolute().parent / _whole_path(text.removeprefix('file:'))}"
        try:
            Secret(text).reveal()
        except ConfigurationError as error:
            return str(error)
        return None

    return check


def _ask_ca(asker: Asker, draft: Draft, path: tuple[str, ...], table: dict[str, Any], before: dict[str, Any]) -> None:
    question = "PEM file of the authority that signed its certificate, if that is a private one"
    file = _ask_file(asker, draft, path, "ca_file", question, before, optional=True)
    if file:
        table["ca_file"] = file


def _ask_file(
    asker: Asker,
    draft: Draft,
    path: tuple[str, ...],
    key: str,
    question: str,
    before: dict[str, Any],
    *,
    optional: bool = False,
) -> str:
    """A file that is there. One named from the working folder is written with its whole path."""
    check = _checking(draft, path, key)
    answer = asker.text(
        question, default=before.get(key, ""), optional=optional, check=lambda text: check(_whole_path(text))
    )
    return _whole_path(answer)


def _whole_path(text: str) -> str:
    """config.toml's relative paths start at its own folder; what a person types starts where the person is."""
    path = Path(text).expanduser()
    return str(path.absolute()) if text and not text.startswith(_SCHEMES) and path.is_file() else text
