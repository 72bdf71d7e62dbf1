"""Edits to config.toml that keep everything else in it: comments, order, mode and owner."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from sds_daemon.config.load import read_tables
from sds_daemon.errors import ConfigurationError, UsageError


def set_enabled(path: Path, profile: str, enabled: bool) -> bool:
    """Write `enabled` of one profile, touching that line alone (added where it is missing). False: it stood so already.

    Needs a file that is TOML, not one that is free of faults: a profile can always be disabled. Raises UsageError for a
    profile that is not in the file, ConfigurationError for a file that cannot be read or replaced.
    """
    tables = read_tables(path)
    profiles = tables.get("profiles")
    entry = profiles.get(profile) if isinstance(profiles, dict) else None
    if not isinstance(profiles, dict) or not isinstance(entry, dict):
        known = ", ".join(sorted(profiles)) if isinstance(profiles, dict) and profiles else "none"
        raise UsageError(f"{path} has no [profiles.{profile}]", remedy=f"profiles there are: {known}")
    if entry.get("enabled", False) is enabled:
        return False
    text = None if "enabled" in entry else _below_header(path, profile, f"enabled = {str(enabled).lower()}")
    if text is None:
        document = _document(path)
        table: Any = document["profiles"]
        table[profile]["enabled"] = enabled
        text = document.as_string()
    _replace(path, text, {**tables, "profiles": {**profiles, profile: {**entry, "enabled": enabled}}})
    return True


def _below_header(path: Path, profile: str, line: str) -> str | None:
    """The file's text with a line put right below `[profiles.NAME]`, or None where there is no such header."""
    text = path.read_bytes().decode()
    name = re.escape(profile)
    header = re.search(rf"""^[ \t]*\[\s*profiles\s*\.\s*(["']?){name}\1\s*\][^\r\n]*(\r?\n|$)""", text, re.MULTILINE)
    if header is None:
        return None
    end = header[2] or "\n"
    return text[: header.end()] + ("" if header[2] else "\n") + line + end + text[header.end() :]


def add_profile(
    path: Path,
    name: str,
    values: Mapping[str, Any],
    *,
    source: Mapping[str, Mapping[str, Any]] | None = None,
    tenant: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Append `[profiles.NAME]` (nested mappings become sub-tables), and new `{name: keys}` of a source and a tenant.

    The file is made (mode 0600, its folder 0700) where there is none. None values are left out. Raises UsageError when
    a table of that name is there already, with other content for a source or tenant.
    """
    tables = read_tables(path) if path.exists() else {}
    document = _document(path) if path.exists() else tomlkit.document()
    wanted: dict[str, dict[str, Any]] = {key: dict(tables.get(key, {})) for key in tables}
    for group, entries in (("sources", source or {}), ("tenants", tenant or {}), ("profiles", {name: values})):
        for key, content in entries.items():
            clean = _clean(content)
            there = wanted.setdefault(group, {}).get(key)
            if there is not None and (group == "profiles" or there != clean):
                raise UsageError(f"{path} has a [{group}.{key}] already", remedy="choose another name")
            if there is None:
                _append(document, group, key, clean)
                wanted[group][key] = clean
    _replace(path, document.as_string(), wanted)


def _clean(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _clean(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value is not None
    }


def _append(document: tomlkit.TOMLDocument, group: str, key: str, values: Mapping[str, Any]) -> None:
    if group not in document:
        document[group] = tomlkit.table(is_super_table=True)
    parent: Any = document[group]
    if not isinstance(parent, MutableMapping):
        raise ConfigurationError(f"{group} is not a table", remedy=f"write it as headers like [{group}.NAME]")
    parent[key] = tomlkit.item(dict(values))


def _document(path: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(path.read_bytes())
    except (TOMLKitError, OSError) as error:
        raise ConfigurationError(f"{path}: cannot be edited ({error})", remedy="edit it by hand") from error


def _replace(path: Path, text: str, wanted: Mapping[str, Any]) -> None:
    """Put the new text in place of the file in one step, once it is sure to say what is wanted and nothing else."""
    if tomllib.loads(text) != wanted:
        raise ConfigurationError(f"{path}: its layout is too unusual to be edited safely", remedy="edit it by hand")
    real = path.resolve()
    try:
        _write(real, text.encode())
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be replaced ({error.strerror})",
            remedy=f"run this as a user that may write {real.parent}, or edit the file by hand",
        ) from error


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = path.stat() if path.exists() else None
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if before is not None:
                _keep_owner(file.fileno(), before)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _keep_owner(handle: int, before: os.stat_result) -> None:
    """Owner first: changing it would clear bits of the mode."""
    if (os.getuid(), os.getgid()) != (before.st_uid, before.st_gid):
        os.fchown(handle, before.st_uid, before.st_gid)
    os.fchmod(handle, before.st_mode & 0o7777)
