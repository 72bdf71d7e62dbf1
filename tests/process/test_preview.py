"""preview --config other.toml: a proposed configuration tried on live data, with nothing recorded and nothing sent."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from rig import PROFILE, Rig

from process.answers import SCHOOL, scope
from process.town import flat, school, section, start, student, teacher

pytestmark = pytest.mark.process

CLASS = 7601
OLD_SCHEMA = Path(__file__).parents[1] / "store" / "data" / "schema_0001.sql"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A synced class whose teacher was replaced since: kept by the policy sds, taken out by mirror."""
    rig = start(tmp_path_factory.mktemp("preview"))
    try:
        people = [teacher(9601, SCHOOL), teacher(9602, SCHOOL), student(8601, SCHOOL)]
        rig.change_school(*flat(school(SCHOOL), people, section(CLASS, SCHOOL, 9601, 8601)))
        scope(rig, SCHOOL)
        rig.sync(codes=(0,))
        rig.change_school({"op": "assign_teacher", "section": CLASS, "teacher": 9602})
        rig.sync(codes=(0, 1))
        yield rig
    finally:
        rig.stop()


def database(rig: Rig) -> Path:
    """The state database of the configuration."""
    return Path(tomlkit.parse(rig.config.read_text()).unwrap()["daemon"]["database"])


def content(path: Path) -> list[str]:
    """Everything in a database."""
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def propose(rig: Rig, folder: Path, **values: Any) -> Path:
    """Another configuration beside the running one, on the same state."""
    folder.mkdir(exist_ok=True)
    other = folder / "other.toml"
    document = tomlkit.parse(rig.config.read_text())
    profile: Any = document["profiles"]
    for key, value in values.items():
        profile[PROFILE][key] = value
    other.write_text(tomlkit.dumps(document))
    other.chmod(0o600)
    return other


def test_a_proposed_configuration_on_live_data(town: Rig, tmp_path: Path) -> None:
    """The plan of the proposal; the running one's record is untouched to the last row."""
    other = propose(town, tmp_path / "proposal", policy="mirror", enabled=False)
    before, mark = content(database(town)), town.request_mark()
    assert town.preview()["changes"] == []
    done = town.run("--config", str(other), "preview", PROFILE, "--json").expect(0).json
    assert [(row["kind"], row["member"]["sis_id"]) for row in done["changes"]] == [
        ("member.remove", "9601"),
        ("owner.remove", "9601"),
    ]
    assert done["status"] == "preview"
    assert content(database(town)) == before, "nothing is recorded as history"
    assert town.leaks_since(mark) == []
    assert sorted(path.name for path in (tmp_path / "proposal").iterdir()) == ["other.toml"]


def test_a_proposal_with_a_database_of_its_own(town: Rig, tmp_path: Path) -> None:
    """Without a record the marks in the directory say what is there; no database is made."""
    other = propose(town, tmp_path / "fresh")
    document = tomlkit.parse(other.read_text())
    daemon: Any = document["daemon"]
    daemon["database"] = str(tmp_path / "fresh" / "none.db")
    other.write_text(tomlkit.dumps(document))
    done = town.run("--config", str(other), "preview", PROFILE, "--json").expect(0).json
    assert done["changes"] == [], "accounts and classes are found by their marks"
    assert not (tmp_path / "fresh" / "none.db").exists()


def test_a_preview_leaves_an_older_database_as_it_is(town: Rig, tmp_path: Path) -> None:
    """A newer program is tried out on a copy: the running daemon's schema stays."""
    own, kept = database(town), tmp_path / "kept.db"
    shutil.copy2(own, kept)
    try:
        own.unlink()
        with closing(sqlite3.connect(own)) as connection:
            connection.executescript(OLD_SCHEMA.read_text())
        before = content(own)
        town.run("preview", PROFILE, "--json").expect(0)
        assert content(own) == before
    finally:
        shutil.copy2(kept, own)


def test_a_file_that_is_no_database_is_named(town: Rig, tmp_path: Path) -> None:
    """Not the copy's name, which nobody knows."""
    other = propose(town, tmp_path)
    document = tomlkit.parse(other.read_text())
    daemon: Any = document["daemon"]
    strange = tmp_path / "strange.db"
    strange.write_text("This is no database, but it is long enough to be looked at as if it were one." * 20)
    daemon["database"] = str(strange)
    other.write_text(tomlkit.dumps(document))
    assert "strange.db: it is not a database" in town.run("--config", str(other), "preview", PROFILE).expect(3).err


def test_a_preview_that_fails_says_so_once_and_names_no_run(town: Rig, tmp_path: Path) -> None:
    """It has no run: the number it used was that of a copy thrown away."""
    other = propose(town, tmp_path / "proposed", schools=["Nowhere"])
    ended = town.run("--config", str(other), "preview", PROFILE).expect(2)
    assert ended.err.count("Nowhere") == 1
    assert "run " not in ended.err
