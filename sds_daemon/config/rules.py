"""What several keys must agree upon. Each rule looks only at keys that are sound by themselves."""

from __future__ import annotations

import ipaddress
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel

from sds_daemon.config.findings import Finding, did_you_mean
from sds_daemon.config.settings import DaemonSettings, PersonRules, Profile, SourceSettings, TenantSettings
from sds_daemon.plan.attributes import SCHOOL_CHOICES, SECTION_CHOICES, STUDENT_CHOICES, TEACHER_CHOICES

Model = TypeVar("Model", bound=BaseModel)

ALIAS_PLACEHOLDERS = (
    "sis_id",
    "course_name",
    "course_number",
    "section_number",
    "term_name",
    "school_number",
    "school_name",
    "period",
    "year",
)
NAME_PLACEHOLDERS = (*ALIAS_PLACEHOLDERS, "teacher_last_name")

_BRACED = re.compile(r"\{[^{}]*\}")
_API_PATHS = ("ws", "oauth", "admin", "teachers", "public", "guardian")
_CHOICES = {
    "students": STUDENT_CHOICES,
    "teachers": TEACHER_CHOICES,
    "sections": SECTION_CHOICES,
    "school_records": SCHOOL_CHOICES,
}


@dataclass(frozen=True)
class Entry(Generic[Model]):
    """A table as a value. `bad`: keys ("students.domain" for nested ones) whose values are stand-ins."""

    table: str
    value: Model
    bad: frozenset[str] = frozenset()

    def sound(self, *keys: str) -> bool:
        """None of these keys, nor the tables they stand in, is at fault."""
        return not any(key in self.bad or key.partition(".")[0] in self.bad for key in keys)


Sources = Mapping[str, Entry[SourceSettings]]
Tenants = Mapping[str, Entry[TenantSettings]]
Profiles = Mapping[str, Entry[Profile]]


def check_all(
    daemon: Entry[DaemonSettings], sources: Sources, tenants: Tenants, profiles: Profiles
) -> Iterator[Finding]:
    """Every finding of every rule, in the order daemon, sources, tenants, profiles, pairs of profiles."""
    yield from _state(daemon)
    for source in sources.values():
        yield from _source(source)
    for tenant in tenants.values():
        yield from _tenant(tenant)
    for profile in profiles.values():
        yield from _references(profile, sources, tenants)
        yield from _templates(profile)
        for role, rules in (("students", profile.value.students), ("teachers", profile.value.teachers)):
            yield from _identity(profile, role, rules)
            yield from _creation(profile, role, rules)
        yield from _attributes(profile)
    for one, two in combinations(profiles.values(), 2):
        yield from _same_school(one, two, sources, tenants)
        yield from _same_alias(one, two, sources, tenants)


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _source(entry: Entry[SourceSettings]) -> Iterator[Finding]:
    if entry.sound("url"):
        url = urlsplit(entry.value.url) if _parses(entry.value.url) else None
        first = url.path.strip("/").partition("/")[0].lower() if url else ""
        if first in _API_PATHS:
            remedy = f"leave out /{first} and what follows"
            yield Finding(entry.table, "url", "is a page of the server, not its root", remedy)
        else:
            yield from _url(entry.table, "url", entry.value.url, url)
    yield from _file(entry, "ca_file", entry.value.ca_file)


def _tenant(entry: Entry[TenantSettings]) -> Iterator[Finding]:
    tenant, table = entry.value, entry.table
    if entry.sound("client_secret", "certificate"):
        if tenant.client_secret and tenant.certificate:
            yield Finding(table, "certificate", "stands beside client_secret", "keep one of the two")
        elif not tenant.client_secret and not tenant.certificate:
            remedy = "add one of the two; a certificate is the safer"
            yield Finding(table, "client_secret", "neither client_secret nor certificate is given", remedy)
    for key, url, like in (
        ("authority", tenant.authority, "https://login.example.org"),
        ("graph_url", tenant.graph_url, "https://graph.example.org"),
    ):
        if not entry.sound("cloud", key):
            continue
        if tenant.cloud == "custom":
            yield from _custom_url(table, key, url, like)
        elif url:
            remedy = 'leave it out, or set cloud = "custom"'
            yield Finding(table, key, f'is for cloud = "custom" alone, not "{tenant.cloud}"', remedy)
    yield from _file(entry, "ca_file", tenant.ca_file)
    yield from _file(entry, "certificate", tenant.certificate)


def _custom_url(table: str, key: str, text: str | None, like: str) -> Iterator[Finding]:
    if not text:
        yield Finding(table, key, 'is missing, and cloud is "custom"', f'add it, like "{like}"')
        return
    url = urlsplit(text) if _parses(text) else None
    if url and url.path.strip("/"):
        yield Finding(table, key, f"has a path or version ({url.path})", f'write the root alone, like "{like}"')
    else:
        yield from _url(table, key, text, url)


def _parses(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return False


def _url(table: str, key: str, text: str, url: SplitResult | None) -> Iterator[Finding]:
    if url is None or any(char.isspace() for char in text):
        yield Finding(
            table, key, f"{text!r} is not a web address", 'write it like "https://host" or "https://host:port"'
        )
    elif url.username is not None or url.password is not None:
        yield Finding(table, key, "holds a user name or password", "leave out what stands before the @")
    elif url.query or url.fragment or "?" in text or "#" in text:
        yield Finding(table, key, "holds a query or fragment", "leave out what stands from ? or # on")
    elif url.scheme == "http" and not is_loopback(url.hostname or ""):
        yield Finding(
            table,
            key,
            "is plain http, and secrets would cross the network",
            "write https://; set ca_file for a private CA",
        )


def _state(entry: Entry[DaemonSettings]) -> Iterator[Finding]:
    """Places that are taken by something else. They need not be there yet; one that may not be looked at is left to
    the command that needs it."""
    folder, database = entry.value.state_dir, entry.value.database
    if entry.sound("state_dir") and _is_directory(folder) is False:
        yield Finding(entry.table, "state_dir", f"{folder} is a file", "name a directory, which is made if need be")
    if database is not None and entry.sound("database") and _is_directory(database):
        yield Finding(entry.table, "database", f"{database} is a directory", "name a file in it, like state.db")


def _is_directory(path: Path) -> bool | None:
    """None where nothing is there, or it may not be looked at."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return None


def _file(entry: Entry[SourceSettings] | Entry[TenantSettings], key: str, path: Path | None) -> Iterator[Finding]:
    """A named file that is not there. One that may not be looked at is left to the command that needs it."""
    if path is None or not entry.sound(key) or str(path).startswith("/run/credentials/"):
        return
    try:
        path.stat()
    except FileNotFoundError:
        yield Finding(entry.table, key, f"there is no file {path}", "correct the path, or put the PEM file there")
    except OSError:
        return
    else:
        if path.is_dir():
            yield Finding(entry.table, key, f"{path} is a directory", "name one PEM file")


def _references(entry: Entry[Profile], sources: Sources, tenants: Tenants) -> Iterator[Finding]:
    profile = entry.value
    for key, name, known in (("source", profile.source, sources), ("tenant", profile.tenant, tenants)):
        if entry.sound(key) and name not in known:
            yield Finding(entry.table, key, f"there is no [{key}s.{name}]", did_you_mean(name, known))


def _identity(entry: Entry[Profile], role: str, rules: PersonRules) -> Iterator[Finding]:
    """Rules that cannot match anybody (SDS's identity matrix)."""
    table = f"{entry.table}.{role}"
    if not entry.sound(*(f"{role}.{key}" for key in ("source_property", "suffix", "target_property"))):
        return
    source, target = rules.source_property, rules.target_property
    if source == "secondary_email" and target == "mailNickname":
        what = "a secondary e-mail never equals a mailNickname, which holds no @"
        yield Finding(table, "target_property", what, 'match it with "mail" or "userPrincipalName"')
    if source == "secondary_email" and rules.suffix:
        what = "a secondary e-mail holds its domain already; with a suffix it would have two"
        yield Finding(table, "suffix", what, "leave suffix out")
    elif target == "mailNickname" and rules.suffix:
        what = "a mailNickname never holds @, so nothing with a suffix can equal it"
        yield Finding(table, "suffix", what, 'leave suffix out, or match with "userPrincipalName" or "mail"')
    if source == "number" and target != "mailNickname" and not rules.suffix:
        what = f"a number without a suffix never equals a {target}, which holds a domain"
        yield Finding(table, "suffix", what, 'add suffix, or match with "mailNickname"')


def _creation(entry: Entry[Profile], role: str, rules: PersonRules) -> Iterator[Finding]:
    table = f"{entry.table}.{role}"
    if not entry.sound("users"):
        return
    if not entry.value.creates:
        for key in ("licenses", "license_group"):
            if getattr(rules, key) and entry.sound(f"{role}.{key}"):
                what = 'licences are for accounts this profile makes, and users = "match" makes none'
                yield Finding(table, key, what, f'leave {key} out, or set users = "match_or_create"')
        return
    if rules.domain is None and entry.sound(f"{role}.domain"):
        what = f'is missing, and users = "{entry.value.users}" makes accounts named Username@domain'
        yield Finding(table, "domain", what, "add a verified domain of the tenant")
    given = entry.sound(f"{role}.licenses", f"{role}.license_group")
    if given and rules.licenses and rules.license_group:
        what = "stands beside licenses, and a new account gets its licences one way"
        yield Finding(table, "license_group", what, "keep one of the two")
    if given and rules.gives_licenses and rules.usage_location is None and entry.sound(f"{role}.usage_location"):
        what = "is missing, and an account without it cannot hold a licence"
        yield Finding(table, "usage_location", what, 'add the country code, like "US"')


def _templates(entry: Entry[Profile]) -> Iterator[Finding]:
    profile = entry.value
    if entry.sound("class_name"):
        yield from _template(entry.table, "class_name", profile.class_name, NAME_PLACEHOLDERS)
    if entry.sound("class_alias"):
        faults = list(_template(entry.table, "class_alias", profile.class_alias, ALIAS_PLACEHOLDERS))
        yield from faults
        if not faults and "{sis_id}" not in profile.class_alias:
            what = "does not hold {sis_id}, so two sections could get one alias"
            yield Finding(entry.table, "class_alias", what, 'add it, like "Section_{sis_id}"')
        if not faults:
            yield from _alias_characters(entry.table, profile.class_alias)


def _template(table: str, key: str, text: str, known: tuple[str, ...]) -> Iterator[Finding]:
    for shown in _BRACED.findall(text):
        if shown[1:-1] not in known:
            yield Finding(table, key, f"{shown} is not a placeholder", did_you_mean(shown[1:-1], known))
    if re.search(r"[{}]", _BRACED.sub("", text)):
        yield Finding(table, key, "has a brace without its partner", "write placeholders like {section_number}")


def _alias_characters(table: str, text: str) -> Iterator[Finding]:
    """Graph docs, group resource: mailNickname holds no @ ( ) \\ [ ] " ; : < > , or space, and ASCII alone."""
    wrong = sorted(set(re.findall(r'[^\x21-\x7e]|[@()\\\[\]";:.<>,]', _BRACED.sub("", text))))
    if wrong:
        shown = " ".join("space" if char == " " else char for char in wrong)
        yield Finding(table, "class_alias", f"holds what an alias may not: {shown}", 'use letters, digits, "_" and "-"')


def _attributes(entry: Entry[Profile]) -> Iterator[Finding]:
    for table, known in _CHOICES.items():
        if not entry.sound(f"{table}.attributes"):
            continue
        for name in getattr(entry.value, table).attributes:
            if name not in known:
                what = f"{name!r} is not an attribute that can be chosen"
                yield Finding(f"{entry.table}.{table}", "attributes", what, did_you_mean(name, known))


def _server(entry: Entry[Profile], sources: Sources) -> str:
    """What makes two profiles read the same server: its address, where known."""
    source = sources.get(entry.value.source)
    if source is None or not source.sound("url") or not _parses(source.value.url):
        return f"name {entry.value.source}"
    url = urlsplit(source.value.url)
    return f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"


def _directory(entry: Entry[Profile], tenants: Tenants) -> str:
    tenant = tenants.get(entry.value.tenant)
    if tenant is None or not tenant.sound("tenant_id"):
        return f"name {entry.value.tenant}"
    return tenant.value.tenant_id.lower()


def _same_school(one: Entry[Profile], two: Entry[Profile], sources: Sources, tenants: Tenants) -> Iterator[Finding]:
    if not all(entry.sound("source", "tenant", "schools") for entry in (one, two)):
        return
    if _server(one, sources) != _server(two, sources) or _directory(one, tenants) != _directory(two, tenants):
        return
    here, there = one.value.schools, two.value.schools
    if here == "all" or there == "all":
        shared = '"all" covers every school'
    else:
        both = {name.strip().casefold() for name in here} & {name.strip().casefold() for name in there}
        shared = ", ".join(repr(name) for name in there if name.strip().casefold() in both)
    if shared:
        what = f"shares schools with [{one.table}], of the same source and tenant: {shared}"
        yield Finding(two.table, "schools", what, "give each school to one profile")


def _same_alias(one: Entry[Profile], two: Entry[Profile], sources: Sources, tenants: Tenants) -> Iterator[Finding]:
    if not all(entry.sound("source", "tenant", "class_alias") for entry in (one, two)):
        return
    if _directory(one, tenants) != _directory(two, tenants) or _server(one, sources) == _server(two, sources):
        return
    if one.value.class_alias.casefold() == two.value.class_alias.casefold():
        what = f"is that of [{one.table}], which fills the same tenant from another source; section ids may coincide"
        yield Finding(two.table, "class_alias", what, 'make them differ, like "North_{sis_id}"')
