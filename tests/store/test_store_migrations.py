"""The schema's history: every old database comes up to date with its data, or stays as it was."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel
from store_samples import SOURCE, TENANT, create, managed, school, section, student, teacher

from sds_daemon.clock import FixedClock
from sds_daemon.errors import StateError
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.proof import Resource
from sds_daemon.roster.records import RecordKind
from sds_daemon.store import Membership, Role, Store, migrations
from sds_daemon.store.database import open_database

OLD = sorted((Path(__file__).parent / "data").glob("schema_*.sql"))
ABSENT = Membership(section(9), student("007"), Role.MEMBER)
MOMENT = datetime(2026, 9, 1, 7, 30, tzinfo=UTC)


def build(path: Path, script: Path) -> None:
    """A database as an earlier version left it."""
    path.parent.mkdir(mode=0o700)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script.read_text())


def stored_revision(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_every_revision_has_a_sample() -> None:
    known = {script.revision for script in ScriptDirectory(str(migrations.SCRIPTS)).walk_revisions()}
    assert {script.stem.removeprefix("schema_") for script in OLD} == known, "keep a dump of each schema, with data"


@pytest.mark.parametrize("script", OLD, ids=lambda script: script.stem)
def test_an_old_database_is_upgraded_with_its_data(path: Path, clock: FixedClock, script: Path) -> None:
    build(path, script)
    with Store.open(path, clock) as store:
        assert stored_revision(path) == migrations.HEAD
        book, rows = store.links(SOURCE, TENANT), store.memberships(SOURCE, TENANT)
        pupil = book.get(student("007"))
        assert pupil is not None
        assert (pupil.written, pupil.licenses_due, pupil.profile) == ({"grade": "05"}, True, "north")
        assert dict(managed(store, "north")) == {
            section(9): {(Role.MEMBER, student("007")), (Role.OWNER, teacher(3))},
            school(4): {(Role.SCHOOL_CLASS, section(9))},
        }
        assert store.runs.unsettled("north") == [(create(student(8), grade="01"), MOMENT)]
        assert store.runs.counts(1) == {"intended": {"user.create": 1}, "done": {"member.add": 1}}
        last = store.runs.last("north")
        assert last is not None and (last.status, last.started) == ("held", MOMENT)
        held = store.held.current("north")
        assert held is not None and store.held.put("north", 2, held.changes).number == held.number
        assert store.issues.counts("north") == {IssueCode.UNMATCHED: 1}
        assert store.profiles.state("north").failures == 1
        baseline = store.baselines.get("north")
        assert baseline is not None and baseline.rows == {(Resource.STUDENTS, "4"): 2}
        cache = store.directory(TENANT)
        assert cache.cursor("users") == "https://graph.example/delta?token=1"
        assert cache.users_by_anchor(SOURCE)[RecordKind.STUDENT, "007"][0].upn == "Ada@example.org"
        known_of_hand_edits = script.stem.removeprefix("schema_") >= "0002"
        assert store.profiles.state("north").paused is known_of_hand_edits
        assert set(rows.absent("north", MOMENT)) == ({ABSENT} if known_of_hand_edits else set())
        assert [record.drift.member for record in store.drift.open("north")] == [student("007")] * known_of_hand_edits
        saw = store.sightings.get("north", student(8))
        assert (saw is not None and saw[1].schools == ("4",)) is (script.stem.removeprefix("schema_") >= "0003")
        assert not pupil.unread
        knows_safety = script.stem.removeprefix("schema_") >= "0004"
        relaxed, stop = store.relaxations.active("north"), store.source_stops.current("north")
        assert (relaxed is not None and relaxed.limits == {"removal_percent": 100}) is knows_safety
        assert (stop is not None and stop.counts == {"students": 2} and stop.schools == ["4"]) is knows_safety
        assert (store.announcements.last("north") is not None) is knows_safety
        knows_settled = script.stem.removeprefix("schema_") >= "0005"
        assert (store.baselines.settled("north"), store.tallies(SOURCE, TENANT)[1]) == (
            ('{"run":1}', 7) if knows_settled else ("", 0)
        )
        assert baseline.named == ({"North High": "4"} if script.stem.removeprefix("schema_") >= "0006" else {})
        store.check()


def test_groups_are_read_anew_once_members_are_asked_for(path: Path, clock: FixedClock) -> None:
    """A delta link issued before carries on without members: it must not be followed."""
    build(path, OLD[0])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO directory_cursor VALUES (1, 'groups', '[\"https://graph.example/old\"]', 1, 0)")
    with Store.open(path, clock) as store:
        assert store.directory(TENANT).cursor("groups") is None


def test_the_migrations_make_the_tables_the_code_uses(path: Path, clock: FixedClock) -> None:
    Store.open(path, clock).close()
    database = open_database(path)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    database.close()


def test_the_head_named_in_the_code_is_the_head_of_the_scripts() -> None:
    assert ScriptDirectory(str(migrations.SCRIPTS)).get_current_head() == migrations.HEAD


def test_a_current_database_is_opened_without_alembic(path: Path, clock: FixedClock) -> None:
    Store.open(path, clock).close()
    code = (
        "import sys; from pathlib import Path; from sds_daemon.clock import Clock; from sds_daemon.store import Store; "
        f"Store.open(Path({str(path)!r}), Clock()).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_reading_commands_neither_make_nor_change_a_database(path: Path, clock: FixedClock) -> None:
    with pytest.raises(StateError, match="there is none yet"):
        Store.open(path, clock, migrate=False)
    assert not path.parent.exists()
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StateError, match="brings it up to date"):
        Store.open(path, clock, migrate=False)
    assert path.stat().st_size == 0 or stored_tables(path) == []


def stored_tables(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]


def test_a_newer_schema_is_refused_and_left_alone(path: Path, clock: FixedClock) -> None:
    Store.open(path, clock).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StateError, match=r"9999.*newer than this program.*later one"):
        Store.open(path, clock)
    assert stored_revision(path) == "9999"


def test_a_database_of_another_program_is_refused(path: Path, clock: FixedClock) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StateError, match="another program"):
        Store.open(path, clock)
    assert stored_tables(path) == ["recipes"]


NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9002"
down_revision = "{down}"


def upgrade():
    op.add_column("run", sa.Column("extra", sa.String(), nullable=False, server_default="kept"))
    op.create_table("later", sa.Column("id", sa.Integer(), primary_key=True))
    {last}
"""


def scripts_with_a_next(folder: Path, last: str) -> Path:
    """The migrations, and one more."""
    copy = folder / "migrations"
    shutil.copytree(migrations.SCRIPTS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = NEXT.format(down=migrations.HEAD, last=last)
    (copy / "versions" / "9002_next.py").write_text(text)
    return copy


def test_a_later_migration_runs_on_a_database_in_use(store: Store, path: Path, tmp_path: Path) -> None:
    run = store.runs.begin("north")
    other = open_database(path)
    migrations.upgrade(other, scripts=scripts_with_a_next(tmp_path, "pass"))
    other.close()
    assert stored_revision(path) == "9002"
    assert store.runs.get(run).profile == "north"


def test_a_migration_that_fails_leaves_the_database_as_it_was(store: Store, path: Path, tmp_path: Path) -> None:
    run = store.runs.begin("north")
    other = open_database(path)
    before = stored_tables(path)
    with pytest.raises(StateError):
        migrations.upgrade(other, scripts=scripts_with_a_next(tmp_path, 'op.execute("SELECT * FROM nowhere")'))
    other.close()
    assert stored_revision(path) == migrations.HEAD
    assert stored_tables(path) == before
    assert store.runs.get(run).status == "running"


def test_two_processes_may_make_the_database_at_once(path: Path) -> None:
    code = (
        "from pathlib import Path; from sds_daemon.clock import Clock; from sds_daemon.store import Store; "
        f"s = Store.open(Path({str(path)!r}), Clock()); print(s.runs.begin('north')); s.close()"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    results = [process.communicate(timeout=60) for process in started]
    assert [error for _, error in results] == [""] * 3
    assert sorted(int(out) for out, _ in results) == [1, 2, 3]
