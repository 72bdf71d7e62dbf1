"""Dependencies are pinned with hashes, and `make audit` tells a vulnerability from an audit that could not be made."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"([A-Za-z0-9._-]+)==([0-9][^ ;\\]*)")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def requirements(name: str) -> list[str]:
    """Each requirement of a file with its hashes as one line."""
    return (ROOT / name).read_text().replace("\\\n", " ").strip().splitlines()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_dependency_is_one_version_with_its_hashes(name: str) -> None:
    lines = requirements(name)
    assert len(lines) > 20
    for line in lines:
        assert PIN.match(line), line[:80]
        assert HASH.search(line), line[:80]
        assert "://" not in line, line[:80]
        assert "--index" not in line, line[:80]


def test_every_dependency_of_the_package_is_among_the_pins() -> None:
    pinned = {normal(found[1]) for line in requirements("requirements.txt") if (found := PIN.match(line))}
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {normal(re.split(r"[\[<>=;]", each)[0]) for each in wanted} <= pinned


def test_the_audited_file_holds_the_pins_of_the_installed_one() -> None:
    installed, audited = ({PIN.match(line)[0] for line in requirements(name)} for name in FILES)  # type: ignore[index]
    assert installed <= audited


FILES = ("requirements.txt", "requirements-dev.txt")


def test_make_installs_nothing_without_its_hash() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line in makefile.splitlines():
        if "pip install" in line and " -r " in line:
            assert "--require-hashes" in line


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("script", "code", "says"),
    [
        ("echo 'No known vulnerabilities found' >&2", 0, "No known vulnerabilities found"),
        ("echo 'Found 1 known vulnerability in 1 package' >&2; echo 'httpx 0.1 CVE' > \"$out\"; exit 1", 2, "CVE"),
        ("echo 'Traceback ...' >&2; echo 'ConnectionError: no route' >&2; exit 1", 2, "could not be made"),
    ],
)
def test_make_audit_tells_its_three_ends_apart(tmp_path: Path, script: str, code: int, says: str) -> None:
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "pip-audit"
    find = 'while [ $# -gt 0 ]; do [ "$1" = -o ] && out="$2"; shift; done\n'
    tool.write_text(f"#!/bin/sh\n{find}{script}\n")
    tool.chmod(0o755)
    done = subprocess.run(
        ["make", "-C", str(ROOT), "audit", f"VENV={tmp_path}", "-o", f"{tmp_path}/.dev"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == code, done
    assert says in done.stdout
    assert ("could not be made" in done.stdout) == ("Traceback" in script)
    assert ("Error 1" in done.stderr) == ("CVE" in script)
