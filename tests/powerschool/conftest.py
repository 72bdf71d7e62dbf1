"""A sandbox process for the tests that want real sockets, and one TLS context instead of one per test."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from ps_sandbox_rig import Sandbox

from sds_daemon.sources.powerschool import client


@pytest.fixture(scope="session", autouse=True)
def _one_tls_context() -> Iterator[None]:
    """Reading the machine's certificate store takes a tenth of a second each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "tls_context", functools.cache(client.tls_context))
        yield


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    running = Sandbox(tmp_path, "--students", "120")
    try:
        yield running
    finally:
        running.stop()
