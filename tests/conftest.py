"""Holds every request to Graph against the contract and prints at the end, over all workers, which ones there were."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import contracts
import emitted
import pytest
from chaos import report
from hypothesis import settings

# The same examples in every run: what a run finds, the next one finds too. HYPOTHESIS_PROFILE=long draws new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def _listening() -> Iterator[None]:
    stop = contracts.listen()
    yield
    stop()


@pytest.fixture(autouse=True)
def _keeps_the_contract(_listening: None) -> Iterator[None]:
    """Fail the test whose requests break the contract."""
    before = len(contracts.violations)
    yield
    assert contracts.violations[before:] == []


def pytest_sessionfinish(session: Any) -> None:
    """Hand a worker's findings to the controller; fail a whole run that breaks the contract or leaves requests out."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["contract"] = (dict(contracts.counts), contracts.violations)
    elif session.exitstatus == 0 and (contracts.violations or (_is_whole(session.config) and emitted.missing())):
        session.exitstatus = 1


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """Add what a worker validated."""
    counts, violations = getattr(node, "workeroutput", {}).get("contract", ({}, []))
    contracts.counts.update(counts)
    contracts.violations.extend(violations)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The counts of chaos, and the table of validated requests."""
    report.conclude(terminalreporter)
    if not contracts.counts and contracts.oracle() is not None:
        return
    terminalreporter.section("requests held against the Graph contract")
    lines = contracts.report()
    if _is_whole(terminalreporter.config):
        lines += [f"NEVER SENT {request}" for request in emitted.missing()]
    for line in lines:
        terminalreporter.write_line(line)


def _is_whole(config: pytest.Config) -> bool:
    """Whether this run was asked for all tests."""
    chosen = ("keyword", "markexpr", "deselect", "lf", "last_failed", "maxfail", "collectonly")
    return config.args_source is config.ArgsSource.TESTPATHS and not any(
        config.getoption(name, None) for name in chosen
    )
