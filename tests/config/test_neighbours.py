"""Which profiles read the same server into the same tenant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sds_daemon.config.load import load
from sds_daemon.config.neighbours import neighbours

TENANT = "11111111-2222-3333-4444-555555555555"
OTHER_TENANT = "11111111-2222-3333-4444-555555555556"


def config(url: str, tenant: str) -> str:
    sources = {"one": "https://ps.example.org", "two": url}
    tenants = {"here": TENANT, "there": tenant}
    lines = []
    for name, address in sources.items():
        lines += [f"[sources.{name}]", 'type = "powerschool"', f'url = "{address}"', 'client_id = "x"']
        lines += ['client_secret = "env:X"']
    for name, number in tenants.items():
        lines += [f"[tenants.{name}]", f'tenant_id = "{number}"', 'client_id = "x"', 'client_secret = "env:X"']
    for name, source, where, school in (("a", "one", "here", "North"), ("b", "two", "there", "101")):
        lines += [f"[profiles.{name}]", f'source = "{source}"', f'tenant = "{where}"', f'schools = ["{school}"]']
        lines += ['users = "match"', f'class_alias = "{name}_{{sis_id}}"']
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("url", "tenant", "together"),
    [
        ("https://PS.example.org:443/", TENANT.upper(), True),
        ("https://ps.example.org:8443", TENANT, False),
        ("https://ps.example.com", TENANT, False),
        ("https://ps.example.org", OTHER_TENANT, False),
    ],
)
def test_same_server_and_tenant_whatever_their_names(
    write: Callable[..., Path], url: str, tenant: str, together: bool
) -> None:
    settings = load(write(text=config(url, tenant)), {"X": "secret"})
    found = neighbours(settings, settings.profiles["a"])
    assert found == ({"b": ("101",)} if together else {})
