"""Prints at the end which requests to Graph were held against the contract, over all workers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import contracts
import pytest


def pytest_sessionfinish(session: Any) -> None:
    """Hand a worker's counts to the controller."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["contract"] = dict(contracts.counts)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """Add what a worker validated."""
    contracts.counts.update(getattr(node, "workeroutput", {}).get("contract", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of validated requests."""
    if contracts.counts or contracts.oracle() is None:
        terminalreporter.section("requests held against the Graph contract")
        for line in contracts.report():
            terminalreporter.write_line(line)
