"""The database file: its permissions, and everything that can be wrong with it."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event
from store_samples import NOBODY, SOURCE, TENANT, create, in_child, link, student

from sds_daemon.clock import FixedClock
from sds_daemon.errors import StateError
from sds_daemon.roster.records import RecordKind
from sds_daemon.store import Store


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder nobody can reach (pytest's own are closed to others)."""
    folder = Path(tempfile.mkdtemp(prefix="sds-store-"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


def own(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def files_of(path: Path) -> list[Path]:
    return sorted(path.parent.iterdir())


def test_all_files_are_private_whatever_the_umask(path: Path, clock: FixedClock) -> None:
    with umask(0), Store.open(path, clock) as store:
        store.runs.begin("north")
        assert [file.name for file in files_of(path)] == ["state.db", "state.db-shm", "state.db-wal"]
        assert {mode(file) for file in files_of(path)} == {0o600}
        assert mode(path.parent) == 0o700


def test_files_that_are_open_to_others_are_closed(path: Path, clock: FixedClock) -> None:
    first = Store.open(path, clock)
    first.runs.begin("north")
    for file in files_of(path):
        file.chmod(0o644)
    with Store.open(path, clock):
        assert {mode(file) for file in files_of(path)} == {0o600}
    first.close()


def test_an_existing_folder_is_left_as_it_is(tmp_path: Path, clock: FixedClock) -> None:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o755)
    Store.open(folder / "state.db", clock).close()
    assert mode(folder) == 0o755


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path, clock: FixedClock) -> None:
    with pytest.raises(StateError, match="this is a directory"):
        Store.open(tmp_path, clock)


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path, clock: FixedClock) -> None:
    (tmp_path / "state").write_text("not a folder")
    with pytest.raises(StateError, match=r"state/state\.db"):
        Store.open(tmp_path / "state" / "state.db", clock)


@pytest.mark.parametrize("size", [100, 40_000])
def test_garbage_is_not_taken_for_a_database(path: Path, clock: FixedClock, size: int) -> None:
    path.parent.mkdir()
    garbage = random.Random(size).randbytes(size)
    path.write_bytes(garbage)
    with pytest.raises(StateError, match=r"not a database of this program.*another path"):
        Store.open(path, clock)
    assert path.read_bytes() == garbage, "left for the operator to look at"


def test_damage_is_found_and_named(store: Store, path: Path, clock: FixedClock) -> None:
    store.links(SOURCE, TENANT).put(link(student(n)) for n in range(2000))
    store.close()
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        stream.write(random.Random(1).randbytes(40_000))
    with Store.open(path, clock) as damaged, pytest.raises(StateError, match="damaged"):
        damaged.check()
        damaged.links(SOURCE, TENANT).all(RecordKind.STUDENT)


def test_a_file_of_somebody_else_is_refused_with_a_remedy(shared: Path, empty: Path, clock: FixedClock) -> None:
    path = shared / "state.db"
    shutil.copy(empty, path)
    path.chmod(0o600 if os.geteuid() == 0 else 0)
    answer = in_child(lambda: str(Store.open(path, clock)), unprivileged=True)
    assert answer.startswith(f"StateError: state database {path}: it cannot be opened")
    assert "belongs to the user" in answer


def test_a_read_only_file_can_be_read_and_says_so_when_written(shared: Path, empty: Path, clock: FixedClock) -> None:
    path = shared / "state.db"
    shutil.copy(empty, path)
    own(path)
    path.chmod(0o400)

    def work() -> str:
        with Store.open(path, clock) as store:
            assert store.runs.list() == []
            store.runs.begin("north")
        return "written"

    assert in_child(work, unprivileged=True).startswith(f"StateError: state database {path}: it may not be written")


def test_a_read_only_folder_is_refused(shared: Path, clock: FixedClock) -> None:
    shared.chmod(0o500)
    answer = in_child(lambda: str(Store.open(shared / "state.db", clock)), unprivileged=True)
    assert answer.startswith("StateError: state database")
    assert "may not be written" in answer


def test_another_writer_is_waited_for_and_then_named(path: Path, empty: Path, clock: FixedClock) -> None:
    path.parent.mkdir()
    shutil.copy(empty, path)
    with Store.open(path, clock, patience=0.2) as store, closing(sqlite3.connect(path)) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        assert store.runs.list() == [], "reading goes on"
        with pytest.raises(StateError, match=r"another process holds it.*end the other process"):
            store.runs.begin("north")
        other.execute("COMMIT")
        assert store.runs.begin("north") == 1


def limit_pages(store: Store, pages: int) -> None:
    """A disk of so many pages (4 kB each)."""

    def small(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    store._database.engine.dispose()
    event.listen(store._database.engine, "connect", small)


def test_a_full_disk_loses_nothing_recorded_and_is_named(store: Store, path: Path, clock: FixedClock) -> None:
    book = store.links(SOURCE, TENANT)
    book.put([link(student(1))])
    limit_pages(store, 80)
    with pytest.raises(StateError, match=r"the disk is full.*free space"):
        book.put(link(student(n)) for n in range(20_000))
    assert set(book.all(RecordKind.STUDENT)) == {"1"}, "a batch is stored whole or not at all"
    store.close()
    with Store.open(path, clock) as roomy:
        roomy.links(SOURCE, TENANT).put(link(student(n)) for n in range(2_000))
        assert roomy.links(SOURCE, TENANT).count(RecordKind.STUDENT) == 2_000
        roomy.check()


def test_a_file_that_cannot_grow_is_named(path: Path, empty: Path, clock: FixedClock) -> None:
    path.parent.mkdir()
    shutil.copy(empty, path)

    def work() -> str:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with Store.open(path, clock) as store:
            resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
            run = store.runs.begin("north")
            try:
                store.runs.record_plan(run, (create(student(n), grade="05") for n in range(50_000)))
            except StateError as error:
                return f"{store.runs.counts(run)} {error}"
        return "it fitted"

    answer = in_child(work)
    assert answer.startswith(f"{{}} state database {path}: reading or writing it failed")


def test_many_threads_may_read_and_write(store: Store) -> None:
    failures: list[BaseException] = []

    def work(profile: str) -> None:
        try:
            for _ in range(20):
                run = store.runs.begin(profile)
                store.runs.intend(run, [create(student(run))])
                assert len(store.runs.unsettled(profile)) >= 1
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"p{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.runs.list(limit=1000)) == 120


def test_a_backup_is_whole_private_and_made_while_others_write(store: Store, tmp_path: Path, clock: FixedClock) -> None:
    store.links(SOURCE, TENANT).put([link(student(1))])
    goal = tmp_path / "backup.db"
    goal.write_text("an older backup")
    with store._database.write() as writing:
        writing.exec_driver_sql("DELETE FROM link")
        with umask(0):
            store.backup(goal)
    assert mode(goal) == 0o600
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("backup")] == ["backup.db"]
    with Store.open(goal, clock) as copy:
        assert copy.links(SOURCE, TENANT).count(RecordKind.STUDENT) == 1
    assert store.links(SOURCE, TENANT).count(RecordKind.STUDENT) == 0


def test_a_backup_that_fails_keeps_the_older_one(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="nowhere"):
        store.backup(tmp_path / "nowhere" / "backup.db")
    goal = tmp_path / "backup.db"
    goal.mkdir()
    with pytest.raises(StateError):
        store.backup(goal)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("backup")] == ["backup.db"]


def test_closing_twice_is_harmless(store: Store) -> None:
    store.close()
    store.close()
