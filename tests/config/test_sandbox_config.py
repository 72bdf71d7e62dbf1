"""The configuration a sandbox writes is one this program takes as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from sds_daemon.config.load import load
from sds_daemon.sandbox.entra.options import EntraOptions
from sds_daemon.sandbox.files import Files, configuration, write_private
from sds_daemon.sandbox.options import SandboxOptions

READY = {
    "powerschool": "https://127.0.0.1:8001",
    "powerschool_client_id": "b3d1f7ce-0000-4000-8000-000000000000",
    "tenant_id": "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1",
    "client_id": "0f6c3b1e-52a7-4f0b-8d1a-6f0d2c9a7e44",
    "authority": "https://localhost:8002",
    "graph": "https://127.0.0.1:8003",
}


@pytest.mark.parametrize("users", ["create", "match"])
def test_loads_without_a_warning(tmp_path: Path, users: str) -> None:
    files = Files(tmp_path)
    files.ca.touch()
    options, quota = SandboxOptions(users=users, time_scale=60), EntraOptions(write_quota=30)
    write_private(tmp_path / "config.toml", configuration(files, READY, options, quota))
    settings = load(tmp_path / "config.toml", {})
    profile = settings.profile("district")
    tenant = settings.tenants["contoso"]
    assert settings.warnings == ()
    assert (profile.enabled, profile.schools, profile.users) == (True, "all", users)
    assert (tenant.cloud, tenant.write_quota, tenant.write_period, tenant.lag_horizon) == ("custom", 30, 2.5, 15)
    assert settings.sources["powerschool"].client_secret.scheme == "file"
