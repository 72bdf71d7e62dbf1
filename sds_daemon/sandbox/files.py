"""What a running sandbox leaves on disk: its CA, the secrets, and a configuration that fits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sds_daemon.sandbox.entra.options import EntraOptions
from sds_daemon.sandbox.options import LAG_HORIZON_SECONDS, SandboxOptions


@dataclass(frozen=True)
class Files:
    """Where everything lies; all in one folder."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The certificate of the sandbox's CA."""
        return self.folder / "sandbox-ca.pem"

    @property
    def server(self) -> Path:
        """The servers' key and certificate in one PEM."""
        return self.folder / "sandbox-server.pem"

    @property
    def powerschool_secret(self) -> Path:
        """The plugin's client secret."""
        return self.folder / "powerschool.secret"

    @property
    def entra_secret(self) -> Path:
        """The application's client secret."""
        return self.folder / "entra.secret"

    @property
    def state(self) -> Path:
        """The daemon's state directory."""
        return self.folder / "state"


def write_private(path: Path, text: str) -> None:
    """Writes a file only its owner may read."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")


def configuration(files: Files, line: Mapping[str, object], options: SandboxOptions, tenant: EntraOptions) -> str:
    """The TOML text of a configuration for this sandbox; `line` is its ready line, `tenant` tells the quota.

    `write_period` and `lag_horizon` (both in real seconds) follow the time scale.
    """
    tables: dict[str, dict[str, object]] = {
        "daemon": {"database": str(files.state / "state.db"), "log_level": "INFO", "state_dir": str(files.state)},
        "sources.powerschool": {
            "type": "powerschool",
            "url": line["powerschool"],
            "client_id": line["powerschool_client_id"],
            "client_secret": f"file:{files.powerschool_secret}",
            "ca_file": str(files.ca),
        },
        "tenants.contoso": {
            "tenant_id": line["tenant_id"],
            "client_id": line["client_id"],
            "client_secret": f"file:{files.entra_secret}",
            "cloud": "custom",
            "authority": line["authority"],
            "graph_url": line["graph"],
            "ca_file": str(files.ca),
            "write_quota": tenant.write_quota,
            "write_period": tenant.write_period / options.time_scale,
            "lag_horizon": LAG_HORIZON_SECONDS / options.time_scale,
        },
        "profiles.district": {
            "enabled": True,
            "source": "powerschool",
            "tenant": "contoso",
            "schools": "all",
            "school_year": "current",
            "users": options.users,
            "policy": "sds",
        },
        "profiles.district.students": _identity(options),
        "profiles.district.teachers": _identity(options),
    }
    return "\n".join(_table(name, values) for name, values in tables.items())


def _identity(options: SandboxOptions) -> dict[str, object]:
    if options.users == "create":
        return {"domain": options.domain, "usage_location": "US"}
    return {"source_property": "username", "suffix": options.domain, "target_property": "userPrincipalName"}


def _table(name: str, values: Mapping[str, object]) -> str:
    # JSON's text, numbers and truth values are TOML's as well.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])
