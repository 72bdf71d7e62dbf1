"""Files with secrets or pupils' data that other users of this machine could read or change."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sds_daemon.config.secrets import Secret, credential_path
from sds_daemon.config.settings import Profile, Settings

MOST_FILES = 1000
"""Files of the state directory that are looked at."""


@dataclass(frozen=True)
class Exposure:
    """One file or folder, what others could do with it, and the command that ends it."""

    path: Path
    what: str
    remedy: str


def exposures(settings: Settings, profile: Profile) -> list[Exposure]:
    """What stands open of the configuration, the secrets a profile uses, and the state. Files out of reach are skipped.

    Secrets may be readable for their group, as config.toml is for the service's; state may not.
    """
    secrets = dict(_secret_files(settings, profile))
    return [
        *_of_configuration(settings, profile),
        *(found for path, what in secrets.items() for found in _of_secret(path, what)),
        *_of_state(settings),
    ]


def _secret_files(settings: Settings, profile: Profile) -> Iterator[tuple[Path, str]]:
    source, tenant = settings.sources[profile.source], settings.tenants[profile.tenant]
    named = (
        (f"[sources.{source.name}] client_id", source.client_id),
        (f"[sources.{source.name}] client_secret", source.client_secret),
        (f"[tenants.{tenant.name}] client_secret", tenant.client_secret),
    )
    for what, secret in named:
        if secret is not None and secret.scheme in ("file", "credential"):
            yield Path(secret.name) if secret.scheme == "file" else credential_path(secret.name), what
    if tenant.certificate is not None:
        yield tenant.certificate, f"[tenants.{tenant.name}] certificate, with its private key,"


def _of_configuration(settings: Settings, profile: Profile) -> Iterator[Exposure]:
    path = settings.path
    mode = _mode(path) if path is not None else None
    if path is None or mode is None:
        return
    tenant, source = settings.tenants[profile.tenant], settings.sources[profile.source]
    literal = any(_is_literal(secret) for secret in (source.client_secret, tenant.client_secret))
    if literal and mode & stat.S_IROTH:
        yield Exposure(path, "holds a secret and may be read by every user of this machine", f"chmod o-r {path}")
    if mode & stat.S_IWOTH:
        what = "may be changed by every user of this machine, who could send your data elsewhere"
        yield Exposure(path, what, f"chmod o-w {path}")
    yield from _of_folder(path)


def _is_literal(secret: Secret | None) -> bool:
    return secret is not None and secret.scheme == "literal"


def _of_secret(path: Path, what: str) -> Iterator[Exposure]:
    mode = _mode(path)
    if mode is None:
        return
    if mode & stat.S_IRWXO:
        yield Exposure(path, f"({what}) may be read by every user of this machine", f"chmod o-rwx {path}")
    yield from _of_folder(path)


def _of_folder(path: Path) -> Iterator[Exposure]:
    """A folder where anybody may put another file in the place of this one."""
    folder = path.absolute().parent
    mode = _mode(folder)
    if mode is not None and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        what = f"may be written to by every user of this machine, who could replace {path.name}"
        yield Exposure(folder, what, f"chmod o-w {folder}")


def _of_state(settings: Settings) -> Iterator[Exposure]:
    """The state directory, and files of the state that stand open in a folder others can enter."""
    folder, database = settings.daemon.state_dir, settings.daemon.database_path
    mode = _mode(folder)
    if mode is not None and mode & 0o077:
        yield Exposure(folder, "(state_dir) is open to other users of this machine", f"chmod 0700 {folder}")
    for file in dict.fromkeys([database, *_files(folder)]):
        found, around = _mode(file), _mode(file.parent)
        if found is not None and around is not None and found & 0o077 and around & 0o011:
            what = "holds pupils' data and is open to other users of this machine"
            yield Exposure(file, what, f"chmod 0600 {file}")


def _files(folder: Path) -> list[Path]:
    """The state's own files: they are named here, since a state directory may be any folder."""
    patterns = ("*.db", "*.db-wal", "*.db-shm", "passwords-*.csv", "defects/*.txt")
    found = (path for pattern in patterns for path in folder.glob(pattern))
    try:
        return sorted(islice(found, MOST_FILES))
    except OSError:
        return []


def _mode(path: Path) -> int | None:
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - follows links, as opening would
    except OSError:
        return None
