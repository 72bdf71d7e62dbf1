"""Reading the configuration: one file, then the environment over it; every fault reported at once."""

from __future__ import annotations

import codecs
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import TomlConfigSettingsSource

from sds_daemon.config.environment import TABLES, merge, overrides
from sds_daemon.config.findings import SECRET_KEYS, Finding, did_you_mean, subtable, translate
from sds_daemon.config.rules import Entry, check_all
from sds_daemon.config.secrets import credential_path
from sds_daemon.config.settings import DaemonSettings, Profile, Settings, SourceSettings, TenantSettings
from sds_daemon.errors import ConfigurationError

VARIABLE = "SDS_DAEMON_CONFIG"
SYSTEM_FILE = Path("/etc/sds-daemon/config.toml")
SYSTEM_STATE = Path("/var/lib/sds-daemon")
LOCAL_FILE = Path("config.toml")

_PATH_KEYS = frozenset({"state_dir", "database", "ca_file", "certificate"})
_STAND_INS: dict[str, Any] = {
    "type": "powerschool",
    "url": "https://localhost",
    "client_id": "-",
    "client_secret": "-",
    "tenant_id": "00000000-0000-0000-0000-000000000000",
    "source": "-",
    "tenant": "-",
    "schools": "all",
    "users": "match",
}


def find_config(given: Path | None = None, environment: Mapping[str, str] | None = None) -> Path:
    """The configuration file: the one given, $SDS_DAEMON_CONFIG, /etc/sds-daemon/config.toml, ./config.toml.

    Raises ConfigurationError when none is named and neither of the last two exists.
    """
    named = given or (os.environ if environment is None else environment).get(VARIABLE)
    if named:
        return Path(named)
    for path in (SYSTEM_FILE, LOCAL_FILE):
        if path.exists():
            return path
    raise ConfigurationError(
        f"there is no configuration: neither {SYSTEM_FILE} nor {LOCAL_FILE.resolve()} exists",
        remedy="name it with --config or $SDS_DAEMON_CONFIG, or write one with sds-daemon init",
    )


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The configuration in a file (found as find_config does), overridden by the environment.

    Relative paths are taken from the file's folder. Raises one ConfigurationError that lists every fault, a line each.
    """
    env = dict(os.environ) if environment is None else dict(environment)
    path = find_config(path, env)
    return settings_of(read_tables(path), path, env)


def settings_of(tables: Mapping[str, Any], path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """The configuration these tables would make as the content of `path`, which need not exist. Raises as load does."""
    env = dict(os.environ) if environment is None else dict(environment)
    reading = _Reading(path, env, tables)
    settings = reading.settings()
    if reading.lines:
        count = len(reading.lines)
        head = f"{count} problems in the configuration:\n  " if count > 1 else ""
        raise ConfigurationError(head + "\n  ".join(reading.lines))
    return settings


def findings_of(tables: Mapping[str, Any], path: Path) -> list[Finding]:
    """What is wrong with these tables as the content of `path`, one by one; the environment is left out."""
    reading = _Reading(path, {}, tables)
    reading.settings()
    return reading.findings


def read_tables(path: Path) -> dict[str, Any]:
    """The file's tables as they stand. Raises ConfigurationError: not there, not readable, not TOML (with the line)."""
    try:
        real = path.resolve(strict=True)
        if not real.is_file():  # which pydantic-settings would take for an empty one
            what = "a directory" if real.is_dir() else "no regular file"
            raise ConfigurationError(f"{path}: is {what}", remedy="name a file")
        if real.read_bytes().startswith(codecs.BOM_UTF8):
            raise ConfigurationError(f"{path}: begins with a byte order mark", remedy="save it as UTF-8 without BOM")
        return TomlConfigSettingsSource(Settings, real)()
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path}: there is no such file", remedy="name it with --config, or write one with sds-daemon init"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"{path}: is not TOML: {error}", remedy="correct that line; texts need quotes, tables square brackets"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 (byte {error.start})", remedy="save it as UTF-8") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read ({error.strerror})",
            remedy=f"make it readable for the user that runs this command (uid {os.getuid()})",
        ) from None


@dataclass
class _Reading:
    """The state of one load(): the findings so far, and which variable overrode which key."""

    path: Path
    environment: Mapping[str, str]
    written: Mapping[str, Any]
    lines: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    variables: dict[tuple[str, str], str] = field(default_factory=dict)

    def settings(self) -> Settings:
        tables = self._tables()
        daemon = self._entry("daemon", DaemonSettings, tables.get("daemon", {}))
        sources = self._entries("sources", SourceSettings, tables)
        tenants = self._entries("tenants", TenantSettings, tables)
        profiles = self._entries("profiles", Profile, tables)
        for finding in check_all(daemon, sources, tenants, profiles):
            self._add(finding)
        return Settings(
            daemon=daemon.value,
            sources={name: entry.value for name, entry in sources.items()},
            tenants={name: entry.value for name, entry in tenants.items()},
            profiles={name: entry.value for name, entry in profiles.items()},
            warnings=tuple(self._warnings(sources, tenants)),
            path=self.path,
        )

    def _tables(self) -> dict[str, Any]:
        """File and environment as one, paths made absolute, what is no table of ours reported and left out."""
        given, wrong = overrides(self.environment, self.written)
        self.lines += [finding.line(f"${variable}") for variable, finding in wrong]
        self.variables = {(".".join(each.path[:-1]), each.path[-1]): each.variable for each in given}
        merged = merge(self.written, given)
        for key in [key for key in merged if key not in TABLES]:
            what = "is not a table of the configuration" if isinstance(merged[key], dict) else "stands outside a table"
            self._add(Finding("", key, what, did_you_mean(key, TABLES)))
            del merged[key]
        merged.setdefault("daemon", {})
        if isinstance(merged["daemon"], dict):
            merged["daemon"] = {"state_dir": str(self._default_state()), **merged["daemon"]}
        return merged

    def _default_state(self) -> Path:
        service = self.environment.get("STATE_DIRECTORY", "").split(":")[0]
        if service:
            return Path(service)
        return SYSTEM_STATE if self.path.absolute().parent == SYSTEM_FILE.parent else Path("state")

    def _entries(self, table: str, model: type[BaseModel], tables: Mapping[str, Any]) -> dict[str, Entry[Any]]:
        entries: dict[str, Entry[Any]] = {}
        named = tables.get(table, {})
        if not isinstance(named, dict):
            self._add(Finding("", table, "must hold tables", f"write a header like [{table}.NAME]"))
            return {}
        for name, content in named.items():
            if isinstance(content, dict):
                self._check_name(table, name, entries)
                entries[name] = self._entry(f"{table}.{name}", model, content, name=name)
            else:
                self._add(Finding(table, name, "stands in no named table", f"write it under a header [{table}.NAME]"))
        return entries

    def _check_name(self, table: str, name: str, taken: Mapping[str, Entry[Any]]) -> None:
        if not all(char.isalnum() or char in "-_." for char in name) or not name[:1].isalnum() or len(name) > 64:
            self._add(
                Finding(f"{table}.{name}", "", "is not a fit name", 'use letters, digits, "-", "_" and ".", at most 64')
            )
        elif any(name.lower() == other.lower() for other in taken):
            self._add(Finding(f"{table}.{name}", "", "differs from another name in case alone", "rename one of them"))

    def _entry(self, table: str, model: type[BaseModel], content: Any, **named: str) -> Entry[Any]:
        """The table as a value. Keys at fault are reported and replaced, so that the rest can still be checked."""
        if not isinstance(content, dict):
            self._add(Finding("", table, "must be a table", f"write a header [{table}]"))
            content = {}
        data = self._anchored(content, model)
        bad: set[str] = set()
        if "name" in data and named:
            self._add(Finding(table, "name", "is not a key of this table", "the name is the one in the header"))
        for _ in range(3):
            try:
                return Entry(table, model.model_validate({**data, **named}), frozenset(bad))
            except ValidationError as error:
                for path, finding in translate(error, table, model):
                    if ".".join(path) not in bad:
                        self._add(finding)
                        bad.add(".".join(path))
                    _replace(data, path, model)
        raise AssertionError(f"[{table}] cannot be repaired: {sorted(bad)}")

    def _anchored(self, table: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
        """A deep copy with relative paths, also those of file: references, taken from the file's folder."""
        copy: dict[str, Any] = {}
        for key, value in table.items():
            inner = subtable(model, key)
            if inner is not None and isinstance(value, dict):
                copy[key] = self._anchored(value, inner)
            elif isinstance(value, str) and key in _PATH_KEYS:
                copy[key] = self._absolute(value)
            elif isinstance(value, str) and key in SECRET_KEYS and value.startswith("file:"):
                copy[key] = f"file:{self._absolute(value.removeprefix('file:'))}"
            else:
                copy[key] = value
        return copy

    def _absolute(self, text: str) -> str:
        if not text:
            return text
        if text.startswith("credential:"):
            return str(credential_path(text.removeprefix("credential:"), self.environment))
        return str(self.path.absolute().parent / Path(text).expanduser())

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        variable = self.variables.get((finding.table, finding.key))
        self.lines.append(finding.line(f"${variable}" if variable else str(self.path)))

    def _warnings(self, *groups: Mapping[str, Entry[Any]]) -> Iterator[str]:
        if not self.path.exists() or not self.path.stat().st_mode & stat.S_IROTH:
            return
        for entry in (entry for group in groups for entry in group.values()):
            secret = entry.value.client_secret
            if secret and secret.scheme == "literal" and (entry.table, "client_secret") not in self.variables:
                yield Finding(
                    entry.table,
                    "client_secret",
                    "the secret itself stands in a file that every user of this machine can read",
                    'refer to it ("credential:NAME", "file:PATH", "env:NAME"), or chmod o-r the file',
                ).line(str(self.path))


def _replace(data: dict[str, Any], path: tuple[str, ...], model: type[BaseModel]) -> None:
    """Take out a key at fault; a required one gets a stand-in, never used since the load has failed."""
    for step in path[:-1]:
        data = data[step]
    data.pop(path[-1], None)
    info = model.model_fields.get(path[0])
    if len(path) == 1 and info is not None and info.is_required():
        data[path[0]] = _STAND_INS[path[0]]
