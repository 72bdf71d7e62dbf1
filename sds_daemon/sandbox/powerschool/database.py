"""The district's tables in a database of their own, so that the SQL of PowerQueries is really run.

Tables are filled when a query first needs them; afterwards only rows that changed are written again.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.model import District
from sds_daemon.sandbox.powerschool import oracle
from sds_daemon.sandbox.powerschool.oracle import Statement
from sds_daemon.sandbox.powerschool.oracle_functions import Functions
from sds_daemon.sandbox.powerschool.oracle_tokens import OracleError
from sds_daemon.sandbox.powerschool.tables import COLUMNS, DATES, TABLES, TEXTS, Table

_T = TypeVar("_T")
_INDEXES: Final[dict[str, tuple[str, ...]]] = {
    "schools": ("school_number",),
    "terms": ("id, schoolid", "schoolid"),
    "courses": ("course_number, schoolid",),
    "sections": ("id", "schoolid", "termid", "teacher"),
    "students": ("id", "schoolid", "person_id"),
    "person": ("id",),
    "personemailaddressassoc": ("personid", "emailaddressid"),
    "schoolstaff": ("id", "users_dcid", "schoolid"),
    "sectionteacher": ("sectionid", "teacherid"),
    "cc": ("sectionid", "studentid"),
}
_LONGEST_LIST: Final = 1000
_ROWS: Final = ""
_NLS_DATE: Final = "%d-%b-%y"


@dataclass(frozen=True)
class Plan:
    """What running a statement takes: the columns it reads, as (table, column), and how many it gives back.

    A table stands there once more with "" for the column: that it has these rows and no other ones.
    """

    reads: frozenset[tuple[str, str]]
    width: int

    @property
    def tables(self) -> frozenset[str]:
        """The tables it reads."""
        return frozenset(table for table, _ in self.reads)


class Database:
    """The tables of one district; `now` is the server's local time, SYSDATE.

    May be used from any thread, by one at a time and while the district does not change.
    """

    def __init__(self, district: District, now: Callable[[], dt.datetime]) -> None:
        sqlite3.register_converter("ORADATE", _shown_date)
        self._district = district
        self._connection = sqlite3.connect(
            ":memory:", detect_types=sqlite3.PARSE_DECLTYPES, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA case_sensitive_like=ON")
        self._connection.execute("PRAGMA analysis_limit=400")
        self._connection.execute("CREATE TABLE dual (dummy TEXT)")
        self._connection.execute("INSERT INTO dual VALUES ('X')")
        self._functions = Functions(self._connection, now)
        self._stopped = False
        self._filled: set[str] = set()
        self._changed: dict[str, set[int]] = {}
        self._generations: Counter[tuple[str, str]] = Counter()
        for name, table in TABLES.items():
            self._connection.execute(_definition(name, table))
        district.watchers.append(self._note)

    def describe(self, statement: Statement, sql_arrays: Mapping[str, int] | None = None) -> Plan:
        """What the statement reads and gives, without running it. Raises OracleError."""
        reads: set[tuple[str, str]] = set()

        def authorize(action: int, first: str | None, second: str | None, *_rest: str | None) -> int:
            if action == sqlite3.SQLITE_READ and first in TABLES:
                reads.add((first, second or ""))
            return sqlite3.SQLITE_OK

        self._connection.set_authorizer(authorize)
        try:
            text = statement.text(sql_arrays or {})
            binds = dict.fromkeys(_binds_in(statement, sql_arrays or {}))
            cursor = self._run(f"SELECT * FROM ({text}) LIMIT 0", binds)  # noqa: S608
            width = len(cursor.description)
        finally:
            self._connection.set_authorizer(None)
        return Plan(frozenset(reads | {(table, _ROWS) for table, _ in reads}), width)

    def rows(self, text: str, binds: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        """The rows of an SQLite statement, of the tables as `refresh` left them. Raises OracleError, even half-way."""
        cursor = self._run(text, binds)
        try:
            yield from self._unless_stopped(cursor)
        except sqlite3.Error as problem:
            raise self._error(problem) from None

    def refresh(self, plan: Plan) -> tuple[int, ...]:
        """Brings the tables of the plan up to the district's present state.

        The answer is another one as soon as anything has changed that the plan reads.
        """
        self._spread()
        for name in sorted(plan.tables - self._filled):
            self._fill(name)
        for origin in sorted(self._changed):
            self._rewrite(origin)
        return tuple(self._generations[read] for read in sorted(plan.reads))

    def stop(self) -> None:
        """Lets whatever another thread is doing here fail, now and from now on."""
        self._stopped = True
        self._connection.interrupt()

    def _unless_stopped(self, rows: Iterable[_T]) -> Iterator[_T]:
        for row in rows:
            if self._stopped:
                raise OracleError("ORA-01089: immediate shutdown in progress")
            yield row

    # Filling

    def _note(self, table: str, key: int) -> None:
        self._changed.setdefault(table, set()).add(key)

    def _fill(self, name: str) -> None:
        table = TABLES[name]
        self._connection.execute("BEGIN")
        self._connection.execute(f"DELETE FROM {name}")  # noqa: S608
        rows: Iterable[Any] = _enrollment_rows(self._district) if name == "cc" else _rows(table, self._district)
        self._connection.executemany(_insert(table, name), self._unless_stopped(rows))
        for number, columns in enumerate(_INDEXES.get(name, ())):
            self._connection.execute(f"CREATE INDEX IF NOT EXISTS {name}_{number} ON {name} ({columns})")
        self._connection.execute("COMMIT")
        self._connection.execute(f"ANALYZE {name}")
        self._filled.add(name)
        self._generations.update((name, column) for column in (_ROWS, *table.columns))

    def _spread(self) -> None:
        """Adds the rows whose columns come from rows that changed; a school or term changes too many to be followed."""
        if self._changed.keys() & {"schools", "terms"}:
            self._changed.clear()
            self._filled.clear()
            return
        courses = self._changed.get("courses", set())
        if courses:
            taught = (section.dcid for section in self._district.sections.values() if section.course in courses)
            self._changed.setdefault("sections", set()).update(taught)
        for section in self._changed.get("sections", set()):
            rows = self._district.enrollments.by_section.get(section, ())
            self._changed.setdefault(model.ENROLLMENTS, set()).update(rows)

    def _rewrite(self, origin: str) -> None:
        keys = sorted(self._changed.pop(origin))
        for name in sorted(self._filled):
            if TABLES[name].origin == origin:
                self._rewrite_table(name, TABLES[name], keys)

    def _rewrite_table(self, name: str, table: Table, keys: list[int]) -> None:
        """Writes the rows of these keys again; columns that come out as they were count as unchanged."""
        getters = list(table.getters(self._district).values())
        place = list(table.columns).index(table.key)
        made = [[_stored(getter(row)) for getter in getters] for key in keys for row in table.of(self._district, key)]
        new = {row[place]: tuple(row) for row in made}
        numbers = [number for key in keys for number in table.numbers(key)]
        old = {row[place]: row for number in numbers for row in self._row(name, table, number)}
        changed = {
            column for number in old.keys() & new.keys() for column in _different(table, old[number], new[number])
        }
        if old.keys() != new.keys():
            changed.add(_ROWS)
        if changed:
            self._connection.execute("BEGIN")
            delete = f"DELETE FROM {name} WHERE {table.key} = ?"  # noqa: S608
            self._connection.executemany(delete, [(number,) for number in old])
            self._connection.executemany(_insert(table, name), new.values())
            self._connection.execute("COMMIT")
        self._generations.update((name, column) for column in changed)

    def _row(self, name: str, table: Table, number: int) -> list[tuple[Any, ...]]:
        # The sign keeps dates the numbers they are.
        columns = ", ".join(f"+{column}" for column in table.columns)
        return self._connection.execute(f"SELECT {columns} FROM {name} WHERE {table.key} = ?", (number,)).fetchall()  # noqa: S608

    # Running

    def _run(self, text: str, binds: Mapping[str, Any]) -> sqlite3.Cursor:
        self._functions.failure = ""
        try:
            return self._connection.execute(text, dict(binds))
        except sqlite3.Error as problem:
            raise self._error(problem) from None

    def _error(self, problem: sqlite3.Error) -> OracleError:
        if self._functions.failure:
            return OracleError(self._functions.failure)
        return OracleError(_in_oracles_words(str(problem)))


def translate(sql: str) -> Statement:
    """The statement for these tables. Raises OracleError."""
    return oracle.translate(sql, COLUMNS, DATES)


def bound(statement: Statement, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """The variables as SQLite takes them, and the length of each list. Raises OracleError for a list too long."""
    binds: dict[str, Any] = {}
    arrays: dict[str, int] = {}
    for name in statement.binds:
        value = values.get(name)
        if not isinstance(value, list):
            binds[name] = None if value == "" else value
            continue
        if len(value) > _LONGEST_LIST:
            raise OracleError("ORA-01795: maximum number of expressions in a list is 1000")
        arrays[name] = len(value)
        binds |= {f"{name}__{n}": item for n, item in enumerate(value)}
    return binds, arrays


def _binds_in(statement: Statement, arrays: Mapping[str, int]) -> list[str]:
    names = [name for name in statement.binds if name not in arrays]
    return names + [f"{name}__{n}" for name, count in arrays.items() for n in range(count)]


def _definition(name: str, table: Table) -> str:
    columns = ", ".join(f"{column} {_type(column, table)}" for column in table.columns)
    return f"CREATE TABLE {name} ({columns})"


def _insert(table: Table, name: str) -> str:
    return f"INSERT INTO {name} VALUES ({', '.join('?' * len(table.columns))})"  # noqa: S608


def _different(table: Table, old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[str]:
    return (column for column, before, now in zip(table.columns, old, new, strict=True) if before != now)


def _type(column: str, table: Table) -> str:
    if column == table.key:
        return "INTEGER PRIMARY KEY"
    return "ORADATE" if column in DATES else "TEXT" if column in TEXTS else "INTEGER"


def _rows(table: Table, district: District) -> Iterator[list[Any]]:
    getters = list(table.getters(district).values())
    for row in table.rows(district):
        yield [_stored(getter(row)) for getter in getters]


def _stored(value: Any) -> Any:
    """Dates as day numbers; the empty text is null."""
    if isinstance(value, dt.date):
        return value.toordinal()
    return None if value == "" else value


def _enrollment_rows(district: District) -> Iterator[tuple[Any, ...]]:
    """The rows of CC in the order of its columns, without a value for each on the way: there are over a million."""
    columns = TABLES["cc"].columns
    sections = {
        section.dcid: tuple(_stored(columns[name](_InSection(section.dcid), district)) for name in _OF_SECTION)
        for section in district.sections.values()
    }
    numbers = {section.dcid: section.id for section in district.sections.values()}
    students = {student.dcid: student.id for student in district.students.values()}
    table, first = district.enrollments, model.Enrollments.FIRST_DCID
    offset, nothing = model.Enrollments.ID_OFFSET, (None,) * len(_OF_SECTION)
    stored = zip(table.section, table.student, table.entry, table.exit, table.state, strict=True)
    for dcid, (section, student, entry, end, state) in enumerate(stored, first):
        if state != model.DELETED:
            number = numbers.get(section)
            signed = -number if number is not None and state == model.DROPPED else number
            shared = sections.get(section, nothing)
            yield (dcid, entry, end, dcid + offset, students.get(student), signed, *shared)


@dataclass(frozen=True, slots=True)
class _InSection:
    """As much of an enrollment as the columns need that come from its section."""

    section: int


_OF_SECTION: Final = ("schoolid", "termid", "course_number", "teacherid")


def _shown_date(stored: bytes) -> str:
    """A date nobody made text of, in the session's own format."""
    return dt.date.fromordinal(int(float(stored))).strftime(_NLS_DATE).upper()


def _in_oracles_words(text: str) -> str:
    what = text.rpartition(": ")[2]
    if "no such table" in text:
        return f"ORA-00942: table or view does not exist ({what})"
    if "no such column" in text:
        return f'ORA-00904: "{what.upper()}": invalid identifier'
    if "ambiguous" in text:
        return f"ORA-00918: column ambiguously defined ({what})"
    if "wrong number of arguments" in text:
        return f"ORA-00909: invalid number of arguments ({text})"
    if "misuse of aggregate" in text:
        return f"ORA-00934: group function is not allowed here ({text})"
    return f"ORA-00900: invalid SQL statement ({text})"
