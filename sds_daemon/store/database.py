"""The engine: pragmas, permissions, one writer, and the errors an operator can act on."""

from __future__ import annotations

import copy
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import (
    BindParameter,
    Connection,
    Dialect,
    Engine,
    Table,
    Text,
    bindparam,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.exc import DBAPIError

from sds_daemon.errors import SdsError, StateError
from sds_daemon.ownership import give_to_folder_owner
from sds_daemon.store.tables import TallyRow, table

CHUNK = 5_000
IN_LIST = 500
BUSY_SECONDS = 5.0

T = TypeVar("T")

TALLY = table(TallyRow)
_COUNTED = insert(TALLY).values(number=1)
_COUNTED = _COUNTED.on_conflict_do_update(index_elements=["name"], set_={"number": TALLY.c.number + 1})

_REMEDIES: dict[str, tuple[str, str]] = {
    "SQLITE_FULL": ("the disk is full", "free space on that file system, then run again; nothing recorded was lost"),
    "SQLITE_READONLY": (
        "it may not be written",
        "let the user that runs sds-daemon own the file and its directory, on a file system mounted for writing",
    ),
    "SQLITE_BUSY": ("another process holds it", "end the other process, or wait until it has finished"),
    "SQLITE_LOCKED": ("another process holds it", "end the other process, or wait until it has finished"),
    "SQLITE_CANTOPEN": ("it cannot be opened", "check that the directory exists and belongs to the user running this"),
    "SQLITE_PERM": ("it cannot be opened", "check that the file belongs to the user running this"),
    "SQLITE_AUTH": ("it cannot be opened", "check that the file belongs to the user running this"),
    "SQLITE_NOTADB": (
        "it is not a database of this program",
        "set daemon.database to another path, or move the file away; a new one is rebuilt from the directory",
    ),
    "SQLITE_CORRUPT": (
        "it is damaged",
        "restore a backup, or move the file away; a new one is rebuilt from the directory",
    ),
    "SQLITE_IOERR": ("reading or writing it failed", "check the disk and the system log"),
}


def explain(error: BaseException, path: Path) -> StateError:
    """Turn a database or file error into a StateError that names the file and what to do."""
    name = str(getattr(error, "sqlite_errorname", "") or "")
    for prefix, (what, remedy) in _REMEDIES.items():
        if name.startswith(prefix):
            return StateError(f"state database {path}: {what}", remedy=remedy)
    if isinstance(error, PermissionError):
        what, remedy = _REMEDIES["SQLITE_READONLY"]
        return StateError(f"state database {path}: {what}", remedy=remedy)
    if isinstance(error, OSError):
        return StateError(f"state database {path}: {error.strerror or error}", remedy="check the path and the disk")
    return StateError(f"state database {path}: {error}", remedy="this is a defect; please report it with this message")


class Database:
    """One SQLite file. Reads may run in any number of threads; writes take turns.

    Every transaction is explicit: `read()` sees one consistent state, `write()` commits on leaving or not at all. Both
    join the transaction of a `write()` that the same thread has open: what is inside is written together.
    """

    def __init__(self, path: Path, engine: Engine, *, patience: float = BUSY_SECONDS) -> None:
        self.path = path
        self.engine = engine
        self._patience = patience
        self._writer = threading.RLock()
        self._open = threading.local()
        self._tally: str | None = None

    def tallied(self, name: str) -> Self:
        """The same file, for a part of the record: a transaction that changes rows of it is counted under the name.

        What is written through this handle is taken to belong to the part, except inside `uncounted`.
        """
        part = copy.copy(self)
        part._tally = name
        return part

    def tally(self, name: str) -> int:
        """How many transactions have changed this part, by any process, since there is a database."""
        with self.read() as connection:
            found: int | None = connection.execute(select(TALLY.c.number).where(TALLY.c.name == name)).scalar()
        return found or 0

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction. Raises StateError."""
        outer: Connection | None = getattr(self._open, "connection", None)
        if outer is not None:
            with translated(self.path):
                yield outer
            return
        with translated(self.path), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, patience: float | None = None) -> Iterator[Connection]:
        """A write transaction, one at a time in this process; other processes are waited for. Raises StateError."""
        outer: Connection | None = getattr(self._open, "connection", None)
        if outer is not None:
            with translated(self.path), self._counting(outer):
                yield outer
            return
        patience = self._patience if patience is None else patience
        with self._writer, translated(self.path), self.engine.connect() as connection:
            writing = connection.execution_options(sds_patience=patience)
            with writing.begin():
                self._open.connection, self._open.changed = writing, set()
                try:
                    with self._counting(writing):
                        yield writing
                    run_many(writing, _COUNTED, [{"name": name} for name in sorted(self._open.changed)])
                finally:
                    self._open.connection = None

    @contextmanager
    def _counting(self, connection: Connection) -> Iterator[None]:
        before = _rows_changed(connection) if self._tally is not None else 0
        yield
        if self._tally is not None and _rows_changed(connection) != before:
            self._open.changed.add(self._tally)

    def close(self) -> None:
        """Give all connections back. May be called twice."""
        self.engine.dispose()


@contextmanager
def uncounted(connection: Connection) -> Iterator[None]:
    """Rows changed in here say nothing of the part of the record: where a reader has got to, for instance."""
    before = _rows_changed(connection)
    try:
        yield
    finally:
        passed_over: int = connection.info.get("uncounted", 0)
        connection.info["uncounted"] = passed_over + _rows_changed(connection) - before


def _rows_changed(connection: Connection) -> int:
    """Rows this connection has inserted, updated or deleted so far, without those passed over."""
    total: int = connection.connection.dbapi_connection.total_changes  # type: ignore[union-attr]
    passed_over: int = connection.info.get("uncounted", 0)
    return total - passed_over


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Let database and file errors leave as StateError."""
    try:
        yield
    except SdsError:
        raise
    except DBAPIError as error:
        raise explain(error.orig or error, path) from error
    except (sqlite3.Error, OSError) as error:
        raise explain(error, path) from error


def open_database(path: Path, *, create: bool = True, patience: float = BUSY_SECONDS) -> Database:
    """Open the file, made private (0600, its directory 0700 when new) before anything is in it.

    `patience`: seconds to wait while another process writes. Raises StateError.
    """
    with translated(path):
        _make_private(path, create=create)
    engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False, "timeout": patience})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    database = Database(path, engine, patience=patience)
    try:
        with database.read() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
    except StateError:
        database.close()
        raise
    return database


def _make_private(path: Path, *, create: bool) -> None:
    if path.is_dir():
        raise StateError(f"state database {path}: this is a directory", remedy="set daemon.database to a file")
    if not path.exists():
        if not create:
            raise StateError(f"state database {path}: there is none yet", remedy="sds-daemon sync or run makes it")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
        give_to_folder_owner(path)
    for file in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        _close_to_others(file)


def _close_to_others(file: Path) -> None:
    """Take group and world rights from a file of ours (SQLite gives new companions the main file's rights)."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return
    if stat.S_IMODE(found.st_mode) & 0o077 and found.st_uid == os.geteuid():
        file.chmod(0o600)


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by _begin, so that DDL takes part in them
    for pragma in ("foreign_keys=ON", "synchronous=NORMAL", "temp_store=MEMORY", "cache_size=-32000"):
        connection.execute(f"PRAGMA {pragma}")
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        _use_wal(connection)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Change to WAL. Another process may do the same at this moment; SQLite then answers busy without waiting."""
    for attempt in range(50):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if attempt == 49 or not str(getattr(error, "sqlite_errorname", "")).startswith("SQLITE_BUSY"):
                raise
            threading.Event().wait(0.05)


def _begin(connection: Connection) -> None:
    patience = connection.get_execution_options().get("sds_patience")
    if patience is None:
        connection.exec_driver_sql("BEGIN")
        return
    if connection.info.get("patience") != patience:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={int(patience * 1000)}")
        connection.info["patience"] = patience
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def upsert(target: Table, *, keep: Sequence[str] = (), key: Sequence[str] | None = None) -> Insert:
    """INSERT that replaces a row of the same key, except for the columns in `keep`. Run it with executemany."""
    return _upsert(target, tuple(keep), tuple(key) if key is not None else None)


@cache
def _upsert(target: Table, keep: tuple[str, ...], key: tuple[str, ...] | None) -> Insert:
    statement = insert(target)
    keys = list(key) if key is not None else [column.name for column in target.primary_key]
    changed = {
        column.name: statement.excluded[column.name]
        for column in target.columns
        if column.name not in keys and column.name not in keep and not (column.primary_key and column.name == "id")
    }
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


@cache
def insert_new(target: Table) -> Insert:
    """INSERT that leaves a row of the same key alone."""
    return insert(target).on_conflict_do_nothing()


def any_of(name: str) -> Any:
    """What a column is compared with by `in_`: the texts of a JSON list, given as the parameter of this name. Unlike a
    list of parameters it makes one statement, whatever their number. (No SIS ID holds the NUL at which SQLite would end
    a text of JSON.)"""
    listed = func.json_each(bindparam(name, type_=Text)).table_valued("value")
    return select(listed.c.value)


def run_many(connection: Connection, statement: Any, rows: Iterable[Mapping[str, Any]]) -> int:
    """executemany in chunks; returns the rows the database reports as inserted, updated or deleted.

    All rows have the keys of the first. A statement made once and kept costs least: it is compiled the first time.
    """
    return sum(_run_chunk(connection, statement, chunk) for chunk in chunks(rows, CHUNK))


def _run_chunk(connection: Connection, statement: Any, rows: list[Mapping[str, Any]]) -> int:
    compiled = _compile(statement, connection.dialect, tuple(rows[0]))
    if compiled is None:
        return connection.execute(statement, rows).rowcount
    return connection.exec_driver_sql(compiled.sql, [compiled.values(row) for row in rows]).rowcount


class _Compiled:
    """A statement as the driver takes it: SQLAlchemy's own way costs ten times as much for each row.

    `fixed` are parameters with values of their own, such as the texts in the statement.
    """

    __slots__ = ("_convert", "_fixed", "_pick", "sql")

    def __init__(
        self, sql: str, names: Sequence[str], fixed: Mapping[str, Any], convert: Mapping[int, Callable[[Any], Any]]
    ) -> None:
        self.sql = sql
        self._fixed = dict(fixed)
        self._pick = itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
        self._convert = tuple(convert.items())

    def values(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """The parameters in their order."""
        picked: tuple[Any, ...] = self._pick({**row, **self._fixed} if self._fixed else row)
        if not self._convert:
            return picked
        values = list(picked)
        for place, convert in self._convert:
            values[place] = convert(values[place])
        return tuple(values)


@lru_cache(maxsize=256)
def _compile(statement: Any, dialect: Dialect, keys: tuple[str, ...]) -> _Compiled | None:
    """None where SQLAlchemy would fill something in for each row."""
    compiled = statement.compile(dialect=dialect, column_keys=list(keys))
    names = compiled.positiontup or ()
    fixed = {name: compiled.params[name] for name in names if name not in keys}
    if not names or compiled.insert_prefetch or compiled.update_prefetch:
        return None
    if any(compiled.binds[name].required or compiled.binds[name].callable is not None for name in fixed):
        return None
    processors = ((place, _processor(compiled.binds[name], dialect)) for place, name in enumerate(names))
    convert = {place: found for place, found in processors if found is not None}
    return _Compiled(compiled.string, names, fixed, convert)


def _processor(parameter: BindParameter[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """What turns a value into the driver's; it remembers the last one, since rows written together share instants."""
    convert: Callable[[Any], Any] | None = parameter.type.dialect_impl(dialect).bind_processor(dialect)
    if convert is None:
        return None
    last: list[Any] = [None, convert(None)]

    def converted(value: Any) -> Any:
        if value is not last[0]:
            last[:] = (value, convert(value))
        return last[1]

    return converted


def chunks(items: Iterable[T], size: int = IN_LIST) -> Iterator[list[T]]:
    """Lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def by_chunks(values: Iterable[str], fetch: Callable[[list[str]], Iterable[T]]) -> Iterator[T]:
    """Rows for many keys, asked for in IN lists that every database takes; each key once."""
    for chunk in chunks(dict.fromkeys(values)):
        yield from fetch(chunk)
