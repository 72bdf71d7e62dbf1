"""Edits that touch one thing and keep the rest."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from sds_daemon.config import edit
from sds_daemon.config.edit import add_profile, set_enabled
from sds_daemon.config.load import load
from sds_daemon.errors import ConfigurationError, UsageError

Write = Callable[..., Path]

LAYOUT = """\
# how we do it
[profiles.a] # north
source = "x"      # the old server
enabled   =  false    # not before August

# about students
[profiles.a.students]
suffix = "z.org"
[ profiles . "b" ]
source = "x"

# students of b
[profiles.b.students]
suffix = "z.org"

[daemon]
log_level = "INFO"

[profiles.c]
enabled = true
"""


def changed_lines(before: str, after: str) -> list[str]:
    diff = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line.rstrip("\r\n") for line in diff if line[0] in "+-"]


@pytest.fixture(params=["\n", "\r\n"], ids=["lf", "crlf"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_bytes(LAYOUT.replace("\n", request.param).encode())
    return path


@pytest.mark.parametrize(
    ("profile", "enabled", "lines"),
    [
        ("a", True, ["- enabled   =  false    # not before August", "+ enabled   =  true    # not before August"]),
        ("b", True, ["+ enabled = true"]),
        ("c", False, ["- enabled = true", "+ enabled = false"]),
    ],
)
def test_that_line_alone(file: Path, profile: str, enabled: bool, lines: list[str]) -> None:
    before = file.read_bytes().decode()
    assert set_enabled(file, profile, enabled)
    after = file.read_bytes().decode()
    assert changed_lines(before, after) == lines
    assert after.count("\r\n") in (0, after.count("\n"))
    assert tomllib.loads(after)["profiles"][profile]["enabled"] is enabled


def test_there_and_back_is_the_same_bytes(file: Path) -> None:
    before = file.read_bytes()
    set_enabled(file, "a", True)
    set_enabled(file, "a", False)
    assert file.read_bytes() == before


def test_nothing_to_change_writes_nothing(file: Path) -> None:
    before = file.stat()
    assert not set_enabled(file, "a", False)
    assert not set_enabled(file, "b", False)
    assert file.stat().st_ino == before.st_ino


@pytest.mark.parametrize(
    "text",
    [
        'profiles = { a = { source = "x" } }\n',
        'profiles.a.source = "x"\n',
        '[profiles]\na = { source = "x", enabled = false } # why\n',
        "[profiles.a]",
    ],
)
def test_other_ways_to_write_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    assert set_enabled(path, "a", True)
    wanted = tomllib.loads(text)
    wanted["profiles"]["a"]["enabled"] = True
    assert tomllib.loads(path.read_text()) == wanted


def test_a_header_in_a_text_is_not_a_header(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    text = 'note = """\n[profiles.a]\n"""\n[profiles.a]\nsource = "x"\n'
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="by hand"):
        set_enabled(path, "a", True)
    assert path.read_text() == text


def test_works_on_a_file_with_faults(write: Write) -> None:
    path = write({"[profiles.pilot]": "[profiles.pilot]\nenabled = true\nnonsense = 1"})
    assert set_enabled(path, "pilot", False)


def test_mode_and_link_are_kept(file: Path, tmp_path: Path) -> None:
    file.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    set_enabled(link, "a", True)
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert "enabled   =  true" in file.read_text()


def test_an_unknown_profile(file: Path) -> None:
    with pytest.raises(UsageError, match="profiles there are: a, b, c"):
        set_enabled(file, "d", True)


def test_a_failed_write_leaves_the_old_file_and_no_litter(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    before = file.read_bytes()
    monkeypatch.setattr(edit.os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        set_enabled(file, "a", True)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


NEW = {
    "enabled": False,
    "source": "district",
    "tenant": "contoso",
    "schools": ("Oak High", "7"),
    "users": "match",
    "class_domain": None,
    "students": {"suffix": "contoso.edu", "domain": None},
}


class TestAddProfile:
    def test_to_a_file_there_is(self, write: Write) -> None:
        path = write()
        before = path.read_text()
        add_profile(path, "second", NEW)
        assert not [line for line in changed_lines(before, path.read_text()) if line.startswith("-")]
        profile = load(path, {}).profile("second")
        assert (profile.schools, profile.students.suffix, profile.enabled) == (("Oak High", "7"), "contoso.edu", False)

    def test_with_source_and_tenant_to_a_new_file(self, tmp_path: Path) -> None:
        path = tmp_path / "etc" / "config.toml"
        add_profile(
            path,
            "first",
            NEW,
            source={
                "district": {
                    "type": "powerschool",
                    "url": "https://ps.contoso.edu",
                    "client_id": "env:A",
                    "client_secret": "env:B",
                }
            },
            tenant={
                "contoso": {
                    "tenant_id": "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1",
                    "client_id": "42",
                    "client_secret": "env:C",
                }
            },
        )
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert load(path, {}).profile("first").tenant == "contoso"

    def test_a_name_that_is_taken(self, write: Write) -> None:
        with pytest.raises(UsageError, match=r"\[profiles.pilot\] already"):
            add_profile(write(), "pilot", NEW)

    def test_the_same_source_again_is_no_conflict_but_another_is(self, write: Write) -> None:
        path = write()
        same = tomllib.loads(path.read_text())["sources"]
        add_profile(path, "second", NEW, source=same)
        with pytest.raises(UsageError, match=r"\[sources.district\] already"):
            add_profile(path, "third", NEW, source={"district": {"type": "powerschool", "url": "https://other"}})

    def test_comments_survive(self, file: Path) -> None:
        before = file.read_bytes().decode()
        add_profile(file, "d", {"source": "x"})
        assert not [line for line in changed_lines(before, file.read_bytes().decode()) if line.startswith("-")]
