"""Who writes to a tenant first, with real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

from sds_daemon.clock import Clock
from sds_daemon.store import Store
from sds_daemon.store.lease import LEASE, real_time

HOLDER = """
import sys
from pathlib import Path
from sds_daemon.clock import Clock
from sds_daemon.store import Store
with Store.open(Path(sys.argv[1]), Clock()) as store, store.right_of_way("Tenant_1", "app").taken():
    print("taken", flush=True)
    sys.stdin.readline()
print("given back", flush=True)
"""


@contextmanager
def other_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        assert process.stdout.readline() == "taken\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def rows(store: Store) -> int:
    with store._database.read() as connection:
        return len(connection.execute(LEASE.select()).all())


def expire(store: Store, ago: timedelta) -> None:
    with store._database.write() as connection:
        connection.execute(LEASE.update().values(expires=real_time() - ago))


def test_another_process_goes_first_until_it_gives_back(store: Store, path: Path) -> None:
    way, elsewhere = store.right_of_way("tenant_1", "app"), store.right_of_way("tenantX1", "app")
    assert not way.given()
    with other_process(path) as process:
        assert way.given()
        assert not elsewhere.given(), "another tenant, though its name matches the pattern"
        assert not store.right_of_way("tenant_1", "other app").given()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "given back\n"
        assert not way.given()


def test_two_may_go_first_at_once_and_none_stands_in_its_own_way(store: Store, path: Path) -> None:
    way = store.right_of_way("tenant_1", "app")
    with other_process(path), way.taken(), store.right_of_way("tenant_1", "app").taken():
        assert rows(store) == 3
        assert way.given()
    with way.taken():
        assert not way.given()


def test_who_is_killed_keeps_nobody_waiting_and_leaves_nothing(store: Store, path: Path) -> None:
    way = store.right_of_way("tenant_1", "app")
    with other_process(path) as process:
        process.kill()
        process.wait(20)
        assert not way.given()
        assert rows(store) == 1
    expire(store, timedelta(days=1, seconds=1))
    with way.taken():
        assert rows(store) == 1


def test_who_was_stopped_for_a_while_goes_on_first(store: Store, path: Path) -> None:
    stopped, other = store.right_of_way("tenant_1", "app"), store.right_of_way("tenant_1", "app")
    with stopped.taken():
        expire(store, timedelta(minutes=10))
        with other.taken():
            assert rows(store) == 2, "its heartbeat finds its lease and extends it"


def test_a_record_that_cannot_be_read_gives_no_way(tmp_path: Path) -> None:
    path = tmp_path / "state" / "state.db"
    with closing(Store.open(path, Clock())) as store:
        way = store.right_of_way("tenant", "app")
        store.close()
        path.write_bytes(b"no database" * 1000)
        for companion in path.parent.glob("state.db-*"):
            companion.unlink()
        assert not way.given()
