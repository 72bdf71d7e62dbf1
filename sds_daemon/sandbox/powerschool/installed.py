"""The plugin installed on the server: whether it could be enabled, what it may read, which queries it brought."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from sds_daemon.sandbox.powerschool import database
from sds_daemon.sandbox.powerschool.database import Database, Plan
from sds_daemon.sandbox.powerschool.oracle import Statement
from sds_daemon.sandbox.powerschool.oracle_tokens import OracleError
from sds_daemon.sandbox.powerschool.package import Package, Query
from sds_daemon.sandbox.powerschool.tables import TABLES

VIEWS = frozenset({"teachers"})


@dataclass(frozen=True)
class InstalledQuery:
    """A query with its statement and the fields a caller must have been granted, as "table.field" in lower case.

    `dead` is a query with a bind variable nobody declared: it is installed and can never be called.
    """

    query: Query
    statement: Statement
    plan: Plan
    fields: tuple[str, ...]
    dead: bool

    def missing(self, columns: Set[str]) -> list[str]:
        """The fields of the statement that are among `columns`."""
        return sorted(columns & {f"{table}.{column}" for table, column in self.plan.reads})


@dataclass(frozen=True)
class Installed:
    """A package after an attempt to enable it; with `problems` it is not enabled, and none of its queries is there."""

    package: Package
    queries: dict[str, InstalledQuery]
    problems: tuple[str, ...]

    def described(self) -> dict[str, Any]:
        """As the administration shows it."""
        found = self.package
        return {
            "name": found.name, "version": found.version, "v1_access": found.v1_access, "grants": sorted(found.grants),
            "queries": sorted(self.queries), "problems": list(self.problems),
        }  # fmt: skip


NOTHING = Installed(Package(name="bare", version="1", v1_access="READ"), {}, ())
"""A plugin that asks for nothing but `/ws/v1`."""


def install(found: Package, tables: Database, absent: Set[str]) -> Installed:
    """Does what enabling does: every field and every query is held against the database.

    `absent` are columns ("table.field") this server does not have.
    """
    problems = list(found.problems)
    problems += [
        f"plugin.xml: the field {grant} does not exist" for grant in sorted(found.grants) if _is_no(grant, absent)
    ]
    queries: dict[str, InstalledQuery] = {}
    for name, query in found.queries.items():
        try:
            queries[name] = _installed(query, tables, absent, problems)
        except OracleError as problem:
            problems.append(f"{name}: {problem}")
    return Installed(found, {} if problems else queries, tuple(problems))


def _is_no(grant: str, absent: Set[str]) -> bool:
    table, _, column = grant.partition(".")
    return table not in TABLES or column not in TABLES[table].columns or grant in absent


def _installed(query: Query, tables: Database, absent: Set[str], problems: list[str]) -> InstalledQuery:
    if query.core_table and (query.core_table not in TABLES or query.core_table in VIEWS):
        problems.append(f"{query.name}: the coreTable {query.core_table} is no table")
    for column in query.columns:
        if _is_no(f"{column.table}.{column.field}", absent):
            problems.append(f"{query.name}: the field {column.table}.{column.field} does not exist")
    statement = database.translate(query.sql)
    plan = tables.describe(statement)
    if plan.width != len(query.columns):
        problems.append(f"{query.name}: the SQL gives {plan.width} columns, {len(query.columns)} are declared")
    gone = sorted(absent & {f"{table}.{column}" for table, column in plan.reads})
    if gone:
        raise OracleError(f'ORA-00904: "{gone[0].upper()}": invalid identifier')
    declared = {argument.name for argument in query.arguments}
    named = {f"{column.table}.{column.field}" for column in query.columns}
    used = {f"{table}.{column}" for table, column in plan.reads if column}
    return InstalledQuery(query, statement, plan, tuple(sorted(named | used)), bool(statement.binds - declared))
