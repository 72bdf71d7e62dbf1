"""What the wizard knows so far: the file as it stands, and the answers that may become part of it."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sds_daemon.config.load import findings_of, load, read_tables, settings_of
from sds_daemon.errors import ConfigurationError
from sds_daemon.ownership import give_to_folder_owner

if TYPE_CHECKING:
    from sds_daemon.clock import Clock
    from sds_daemon.config.settings import Settings
    from sds_daemon.sources.base import SchoolChoice
    from sds_daemon.targets.base import TenantFacts

SECRET_MODE = 0o600


class Place(NamedTuple):
    """A file for a secret, named from config.toml's folder, and the reference to it."""

    file: str
    reference: str


@dataclass
class Draft:
    """Answers are keys of config.toml. `source` and `tenant` are None when tables of the file are used.

    Secrets typed in stay in `source` and `tenant` as they are; `keep` says, by group ("sources", "tenants") and key,
    which file beside config.toml each goes into when the draft is written.
    """

    path: Path
    clock: Clock
    written: dict[str, Any]
    name: str = ""
    source_name: str = ""
    tenant_name: str = ""
    source: dict[str, Any] | None = None
    tenant: dict[str, Any] | None = None
    profile: dict[str, Any] = field(default_factory=dict)
    keep: dict[tuple[str, str], Place] = field(default_factory=dict)
    schools: list[SchoolChoice] = field(default_factory=list)
    tenant_facts: TenantFacts | None = None

    @property
    def facts(self) -> TenantFacts:
        """What the tenant's test found out."""
        assert self.tenant_facts is not None
        return self.tenant_facts

    def role(self, role: str) -> dict[str, Any]:
        """The answers for `students` or `teachers`."""
        table: dict[str, Any] = self.profile.setdefault(role, {})
        return table

    def tables(self, *, profile: bool = True) -> dict[str, Any]:
        """The file's tables with the draft's laid over them, secrets in the clear: for trying, never for writing."""
        tables = copy.deepcopy(self.written)
        if self.source is not None:
            tables.setdefault("sources", {})[self.source_name] = dict(self.source)
        if self.tenant is not None:
            tables.setdefault("tenants", {})[self.tenant_name] = dict(self.tenant)
        if profile:
            tables.setdefault("profiles", {})[self.name] = self._profile()
        return tables

    def settings(self, *, profile: bool = True) -> Settings:
        """The configuration the draft would make, overrides of the environment included; without its profile while
        that is incomplete. Raises ConfigurationError."""
        return settings_of(self.tables(profile=profile), self.path)

    def fault(self, path: tuple[str, ...], key: str, value: Any, beside: Mapping[str, Any] | None = None) -> str | None:
        """What is wrong with a key of a table, like ("profiles", NAME, "students"), were it set to this value.

        `beside`: other keys of that table which the judgement needs.
        """
        tables = self.tables()
        place: dict[str, Any] = tables
        for step in path:
            place[step] = dict(place.get(step, {}))
            place = place[step]
        place.update({**(beside or {}), key: value})
        for finding in findings_of(tables, self.path):
            if (finding.table, finding.key) == (".".join(path), key):
                return f"{key}: {finding.what} — {finding.remedy}"
        return None

    def fault_of_name(self, group: str, name: str) -> str | None:
        """What is wrong with the name of a new table."""
        if name in self.written.get(group, {}):
            return f"{self.path} has a [{group}.{name}] already; choose another name"
        names: dict[str, Any] = {**{key: {} for key in self.written.get(group, {})}, name: {}}
        for finding in findings_of({group: names}, self.path):
            if finding.table == f"{group}.{name}" and not finding.key:
                return f"{finding.what} — {finding.remedy}"
        return None

    def write(self) -> None:
        """Secrets into files of their own, then the tables into config.toml; all or nothing.

        Raises UsageError or ConfigurationError when the file cannot be changed.
        """
        from sds_daemon.config.edit import add_profile

        made: list[Path] = []
        new = not self.path.exists()
        try:
            source, tenant = (self._keep(group, made) for group in ("sources", "tenants"))
            add_profile(self.path, self.name, self._profile(), source=source, tenant=tenant)
        except BaseException:
            for path in made:
                path.unlink(missing_ok=True)
            raise
        if new:
            _let_group_read(self.path)

    def _keep(self, group: str, made: list[Path]) -> dict[str, dict[str, Any]] | None:
        """The new table of a group by its name, its secrets replaced by references to the files they were put into."""
        table, name = (self.source, self.source_name) if group == "sources" else (self.tenant, self.tenant_name)
        if table is None:
            return None
        table = dict(table)
        for (kept_group, key), place in self.keep.items():
            if kept_group == group:
                path = self.path.absolute().parent / place.file
                _write_secret(path, table[key])
                made.append(path)
                table[key] = place.reference
        return {name: table}

    def _profile(self) -> dict[str, Any]:
        head = {"enabled": False, "source": self.source_name, "tenant": self.tenant_name}
        return {**head, **{key: value for key, value in self.profile.items() if value not in (None, {}, ())}}


def _let_group_read(path: Path) -> None:
    """Root's new file in a folder that is shared with a service's group: the service has to read it."""
    folder = path.absolute().parent.stat()
    if os.geteuid() == 0 and folder.st_uid == 0 and folder.st_gid != 0:
        os.chown(path, 0, folder.st_gid)
        path.chmod(0o640)


def _write_secret(path: Path, secret: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_MODE)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(secret + "\n")
    give_to_folder_owner(path)


def open_draft(path: Path, clock: Clock) -> Draft:
    """A draft on the file, or on none.

    Raises ConfigurationError when the file has faults, which are mended first, or could not be written at the end.
    """
    folder = next(each for each in path.absolute().parents if each.exists())
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(
            f"{path}: {folder} cannot be written to", remedy="run this as a user that may, or name another file"
        )
    if not path.exists():
        return Draft(path, clock, {})
    load(path)
    return Draft(path, clock, read_tables(path))
