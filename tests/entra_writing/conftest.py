"""Fixtures of the writing half of the Entra target."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from writing_rig import Tenant, tenant


@pytest_asyncio.fixture
async def education(tmp_path: Path) -> AsyncIterator[Tenant]:
    """An education tenant without lag."""
    async with tenant(tmp_path) as made:
        yield made


@pytest_asyncio.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Tenant]:
    """A tenant without education licences."""
    async with tenant(tmp_path, education=False, education_api=False) as made:
        yield made
