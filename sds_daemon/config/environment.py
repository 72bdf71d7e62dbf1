"""Overrides from the environment: SDS_DAEMON_<TABLE>__<NAME>__<KEY>, such as SDS_DAEMON_TENANTS__CONTOSO__WRITE_QUOTA.

Table, name and key are compared without regard to case, with "_" for every character a variable's name cannot hold.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from sds_daemon.config.findings import Finding, did_you_mean, fields, subtable
from sds_daemon.config.settings import DaemonSettings, Profile, SourceSettings, TenantSettings

PREFIX = "SDS_DAEMON_"
TABLES: dict[str, type[BaseModel]] = {
    "daemon": DaemonSettings,
    "sources": SourceSettings,
    "tenants": TenantSettings,
    "profiles": Profile,
}


@dataclass(frozen=True)
class Override:
    """One value from the environment: where it goes, and the variable it came from."""

    path: tuple[str, ...]
    value: Any
    variable: str


def overrides(
    environment: Mapping[str, str], written: Mapping[str, Any]
) -> tuple[list[Override], list[tuple[str, Finding]]]:
    """The overrides, and findings paired with their variable's name. `written` is what the file holds, for its names.

    Variables without "__" after the prefix are not overrides (SDS_DAEMON_CONFIG, SDS_DAEMON_CLOCK); empty ones count as
    unset.
    """
    found: list[Override] = []
    wrong: list[tuple[str, Finding]] = []
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX) or "__" not in variable or not text:
            continue
        placed = _place(variable, text, written)
        if isinstance(placed, Finding):
            wrong.append((variable, placed))
        else:
            found.append(placed)
    return found, wrong


def merge(written: Mapping[str, Any], given: Iterable[Override]) -> dict[str, Any]:
    """The file's tables with the overrides laid over them. The input is left as it is."""
    merged = {key: dict(value) if isinstance(value, dict) else value for key, value in written.items()}
    for override in given:
        table = merged
        for step in override.path[:-1]:
            inner = table.get(step)
            table[step] = dict(inner) if isinstance(inner, dict) else {}
            table = table[step]
        table[override.path[-1]] = override.value
    return merged


def _place(variable: str, text: str, written: Mapping[str, Any]) -> Override | Finding:
    table, *rest = variable.removeprefix(PREFIX).split("__")
    table = table.lower()
    if table not in TABLES:
        return Finding("", table, "is not a table of the configuration", did_you_mean(table, TABLES))
    model, path = TABLES[table], [table]
    if table != "daemon":
        path.append(_name(rest.pop(0) if rest else "", written.get(table)))
    while len(rest) > 1 and (inner := subtable(model, rest[0].lower())):
        path.append(rest.pop(0).lower())
        model = inner
    key = "__".join(rest).lower()
    if key not in fields(model):
        return Finding(".".join(path), key, "is not a key of this table", did_you_mean(key, fields(model)))
    return Override((*path, key), _value(text, model, key), variable)


def _name(part: str, entries: Any) -> str:
    """The file's own spelling of a table's name, or the part in lower case: a table of its own."""
    for name in entries if isinstance(entries, dict) else ():
        if re.sub(r"\W|-", "_", name).lower() == part.lower():
            return str(name)
    return part.lower()


def _value(text: str, model: type[BaseModel], key: str) -> Any:
    """The text, or the number, switch or list it spells in TOML where the key takes one."""
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    parsed = table["value"]
    if isinstance(parsed, str) or len(table) > 1:
        return text
    kind: TypeAdapter[Any] = TypeAdapter(model.model_fields[key].rebuild_annotation())
    try:
        kind.validate_python(parsed, strict=True)
    except ValidationError:
        return text
    return parsed


def enabled_variable(profile: str, environment: Mapping[str, str] | None = None) -> str | None:
    """The variable that overrides `enabled` of a profile, if it is set."""
    given, _ = overrides(os.environ if environment is None else environment, {"profiles": {profile: {}}})
    return next((each.variable for each in given if each.path == ("profiles", profile, "enabled")), None)
