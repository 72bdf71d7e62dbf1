"""The SQL of PowerQueries: Oracle's own runs, what only the database behind the sandbox would take does not."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from powerschool_rig import TODAY

from sds_daemon.sandbox.district.generate import generate
from sds_daemon.sandbox.powerschool.database import Database, bound, translate
from sds_daemon.sandbox.powerschool.oracle_tokens import OracleError


@pytest.fixture(scope="module")
def tables() -> Database:
    district = generate(students=60, seed=3, today=TODAY)
    return Database(district, lambda: dt.datetime.combine(TODAY, dt.time(9, 30)))


def rows(tables: Database, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    statement = translate(sql)
    binds, arrays = bound(statement, values)
    tables.refresh(tables.describe(statement))
    return list(tables.rows(statement.text(arrays), binds))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("TO_CHAR(TO_DATE('2026-02-03', 'YYYY-MM-DD'), 'YYYY-MM-DD')", "2026-02-03"),
        ("TO_CHAR(DATE '2026-02-03', 'DD-MON-YYYY')", "03-FEB-2026"),
        ("TO_CHAR(SYSDATE, 'YYYY-MM-DD HH24:MI:SS')", "2026-11-25 09:30:00"),
        ("TO_CHAR(TRUNC(SYSDATE) - 1, 'YYYY-MM-DD')", "2026-11-24"),
        ("TO_CHAR(TRUNC(SYSDATE, 'MM'), 'YYYYMMDD')", "20261101"),
        ("TO_CHAR(ADD_MONTHS(DATE '2026-01-31', 1), 'YYYY-MM-DD')", "2026-02-28"),
        ("TO_CHAR(LAST_DAY(DATE '2028-02-01'), 'YYYY-MM-DD')", "2028-02-29"),
        ("TO_CHAR(12)", "12"),
        ("TO_NUMBER('12') + 1", 13),
        ("NVL(NULL, 'x')", "x"),
        ("NVL2(NULL, 1, 2)", 2),
        ("DECODE(2, 1, 'one', 2, 'two', 'many')", "two"),
        ("DECODE(NULL, NULL, 'none')", "none"),
        ("DECODE(9, 1, 'one')", None),
        ("CASE WHEN 1 = 1 THEN 'yes' ELSE 'no' END", "yes"),
        ("7 / 2", 3.5),
        ("TRUNC(3650 / 100)", 36),
        ("MOD(3650, 100)", 50),
        ("'a' || NULL || 'b'", "ab"),
        ("'a' || NVL(NULL, 'x') || CASE WHEN 1 = 1 THEN 'y' END", "axy"),
        ("('a' || 'b') || TO_CHAR(1)", "ab1"),
        ("NVL('', 'empty is null')", "empty is null"),
        ("UPPER('a') || LOWER('B')", "Ab"),
        ("COALESCE(NULL, NULL, 3)", 3),
        ("LPAD('7', 3, '0')", "007"),
        ("GREATEST(1, 5, 3)", 5),
        ("ROUND(2.5)", 3),
        ("CAST('7' AS NUMBER)", 7),
    ],
)
def test_expressions_mean_what_they_mean_in_oracle(tables: Database, expression: str, value: Any) -> None:
    assert rows(tables, f"SELECT {expression} FROM dual") == [(value,)]


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("SELECT id FROM students LIMIT 5", "00933"),
        ("SELECT id FROM students OFFSET 5", "00933"),
        ("SELECT id FROM students AS s", "00933"),
        ("SELECT s.id FROM cc JOIN students AS s ON s.id = cc.studentid", "00933"),
        ("SELECT x.id FROM (SELECT id FROM students) AS x", "00933"),
        ("SELECT id FROM students EXCEPT SELECT id FROM cc", "00933"),
        ("SELECT id FROM students ORDER BY id WHERE id = 1", "00933"),
        ("SELECT 1", "00923"),
        ("SELECT (SELECT 1) FROM dual", "00923"),
        ("SELECT id FROM students;", "00911"),
        ("SELECT `id` FROM students", "00911"),
        ("SELECT [id] FROM students", "00911"),
        ("SELECT id FROM students WHERE id == 1", "00936"),
        ("SELECT id FROM students WHERE id IS true", "00904"),
        ('SELECT id FROM students WHERE last_name = "Smith"', "00904"),
        ('SELECT "id" FROM students', "00904"),
        ("SELECT IFNULL(id, 1) FROM students", "00904"),
        ("SELECT strftime('%Y', entrydate) FROM students", "00904"),
        ("SELECT group_concat(id) FROM students", "00904"),
        ("SELECT dcid AS pupil FROM students WHERE pupil = 1", "00904"),
        ("SELECT dcid pupil FROM students GROUP BY pupil", "00904"),
        ("SELECT nothing FROM students", "00904"),
        ("SELECT id FROM students WHERE last_name GLOB 'A*'", "00920"),
        ("SELECT id FROM students WHERE entrydate > '2026-01-01'", "01861"),
        ("SELECT id FROM students WHERE entrydate <= :day", "01861"),
        ("SELECT id FROM students WHERE TO_DATE('x', 'YYYY-MM-DD') = entrydate", "01861"),
        ("SELECT TO_DATE('2026-01-01') FROM dual", "01861"),
        ("SELECT TO_CHAR(SYSDATE, 'YYYY-Q') FROM dual", "01821"),
        ("SELECT TO_CHAR(12, 'text') FROM dual", "01481"),
        ("SELECT TO_NUMBER('twelve') FROM dual", "01722"),
        ("SELECT id FROM students, terms", "00918"),
        ("SELECT id AS number FROM students", "00936"),
        ("SELECT last_name, COUNT(*) FROM students", "00937"),
        ("SELECT NVL(last_name, 'x'), MAX(id) FROM students", "00937"),
        ("SELECT s.last_name, s.first_name, COUNT(*) FROM students s GROUP BY s.last_name", "00979"),
        ("SELECT id FROM (SELECT id, MAX(dcid) m FROM students) WHERE m = 1", "00937"),
        ("SELECT id FROM zebras", "00942"),
        ("SELECT id FROM (students", "00907"),
        ("UPDATE students SET id = 1", "00900"),
        ("", "00900"),
    ],
)
def test_what_oracle_refuses_is_refused(tables: Database, sql: str, number: str) -> None:
    with pytest.raises(OracleError, match=f"ORA-{number}"):
        rows(tables, sql, day="2026-01-01")


def test_a_list_stands_for_its_values_and_may_be_empty(tables: Database) -> None:
    sql = "SELECT school_number FROM schools WHERE school_number IN (:numbers) ORDER BY school_number"
    assert rows(tables, sql, numbers=[0, 101, 7]) == [(0,), (101,)]
    assert rows(tables, sql, numbers=[]) == []
    with pytest.raises(OracleError, match="ORA-01795"):
        rows(tables, sql, numbers=list(range(1001)))


def test_nulls_are_the_greatest_values(tables: Database) -> None:
    sql = "SELECT DISTINCT teacher FROM sections ORDER BY teacher"
    assert rows(tables, sql)[-1] == (None,) and rows(tables, f"{sql} DESC")[0] == (None,)
    assert rows(tables, f"{sql} NULLS FIRST")[0] == (None,)


def test_like_heeds_case(tables: Database) -> None:
    assert rows(tables, "SELECT name FROM schools WHERE name LIKE 'district%'") == []
    assert rows(tables, "SELECT name FROM schools WHERE name LIKE 'District%'") == [("District Office",)]


def test_a_date_nobody_made_text_of_comes_in_the_sessions_format(tables: Database) -> None:
    sql = "SELECT DISTINCT firstday FROM terms WHERE yearid = 36 AND portion = 1"
    assert rows(tables, sql) == [("01-JUL-26",)]


def test_set_operators_subqueries_and_windows_run(tables: Database) -> None:
    minus = "SELECT school_number FROM schools MINUS SELECT schoolid FROM students ORDER BY 1"
    assert (0,) in rows(tables, minus)
    window = """
        WITH ranked AS (
            SELECT t.schoolid, ROW_NUMBER() OVER (PARTITION BY t.schoolid ORDER BY t.id DESC) AS place FROM terms t
        )
        SELECT COUNT(*) FROM ranked r WHERE r.place = 1"""
    assert rows(tables, window) == [(3,)]
    first = "SELECT id FROM terms WHERE schoolid = 0 ORDER BY id FETCH FIRST 2 ROWS ONLY"
    assert rows(tables, first) == [(3500,), (3501,)]


def test_groups_are_those_of_their_columns(tables: Database) -> None:
    sql = """SELECT UPPER(t.name) AS word, COUNT(*), MAX(NVL(t.portion, 0)), (SELECT COUNT(*) FROM schools) FROM terms t
        WHERE t.yearid = 36 GROUP BY t.name HAVING COUNT(*) > 1 ORDER BY COUNT(*), t.name"""
    assert [row[:3] for row in rows(tables, sql)] == [("2026-2027", 3, 1), ("SEMESTER 1", 3, 2), ("SEMESTER 2", 3, 2)]
    window = "SELECT t.id, COUNT(*) OVER (PARTITION BY t.schoolid) FROM terms t WHERE t.yearid = 36 AND t.schoolid = 0"
    assert {count for _, count in rows(tables, window)} == {3}


def test_the_columns_a_statement_reads_are_known(tables: Database) -> None:
    plan = tables.describe(
        translate("SELECT s.dcid FROM sections s JOIN terms t ON t.id = s.termid WHERE t.yearid = 1")
    )
    named = {f"{table}.{column}" for table, column in plan.reads if column}
    assert named == {"sections.dcid", "sections.termid", "terms.id", "terms.yearid"}
    assert plan.width == 1
