"""`/ws/schema`: tables and queries, as far as a plugin's grants reach, and the answers that tell what it may read."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from sds_daemon.sandbox.asgi import Request, Response, json_response
from sds_daemon.sandbox.district.model import District
from sds_daemon.sandbox.powerschool import query
from sds_daemon.sandbox.powerschool.database import Database
from sds_daemon.sandbox.powerschool.installed import NOTHING, VIEWS, Installed, install
from sds_daemon.sandbox.powerschool.package import Package
from sds_daemon.sandbox.powerschool.powerquery import PowerQueries
from sds_daemon.sandbox.powerschool.settings import Settings
from sds_daemon.sandbox.powerschool.tables import TABLES, Table
from sds_daemon.sandbox.sis_calendar import Calendar

_TABLE_PATH: Final = re.compile(r"table/(?P<table>\w+)(?P<part>/count|/metadata|/\d+)?")
_QUERY_PATH: Final = re.compile(r"query/(?P<name>[\w.]+?)(?P<count>/count)?")
_VALIDATE_PATH: Final = re.compile(r"plugin/(?P<id>\d+)/validate")


class Schema:
    """Everything below `/ws/schema/`, and the plugin that opens it.

    `quiet` is held while the district must not change.
    """

    def __init__(self, district: District, calendar: Calendar) -> None:
        self.installed = NOTHING
        self.quiet = asyncio.Lock()
        self._district = district
        self._database: Database | None = None
        self._calendar = calendar
        self._queries: PowerQueries | None = None

    @property
    def _tables(self) -> Database:
        if self._database is None:
            self._database = Database(self._district, self._local_time)
        return self._database

    @property
    def queries(self) -> PowerQueries:
        """The queries' answers."""
        if self._queries is None:
            self._queries = PowerQueries(self._tables, self._calendar.today, self.quiet)
        return self._queries

    def stop(self) -> None:
        """Ends what is being worked out for a query."""
        if self._database is not None:
            self._database.stop()

    def _local_time(self) -> dt.datetime:
        return self._calendar.now().astimezone(self._calendar.zone)

    def install(self, package: Package, absent: frozenset[str]) -> Installed:
        """Puts this plugin in the place of the one before; its `problems` say why it is not enabled, if it is not."""
        before = self.installed.package
        if package.name and (package.name, package.version) == (before.name, before.version):
            package.problems.append(f"plugin.xml: version {package.version} of {package.name} is installed already")
        self.installed = install(package, self._tables, absent)
        self.queries.forget()
        return self.installed

    async def write_ahead(self, body: object) -> int:
        """Writes the answers asked for before, and those of `body`, a mapping from queries to their arguments.

        How many there are. Raises ValueError for a query or arguments that make no sense.
        """
        calls = dict(body) if isinstance(body, Mapping) else {}
        unknown = sorted(set(calls) - set(self.installed.queries))
        if unknown or not all(isinstance(values, Mapping) for values in calls.values()):
            raise ValueError(f"prerender takes installed queries and their arguments, not {unknown or calls}")
        found = [(self.installed.queries[name], values) for name, values in calls.items()]
        return await self.queries.write_ahead(found)

    async def answer(self, request: Request, path: str, settings: Settings) -> Response:
        """The answer to an authorized request for `/ws/schema/` + `path`."""
        if path == "query/api" and request.method == "GET":
            return json_response(_catalogue(self.installed))
        if match := _QUERY_PATH.fullmatch(path):
            found = self.installed.queries.get(match["name"])
            granted = settings.granted(self.installed.package.grants)
            drift = settings.count_drift if match["count"] else None
            return await self.queries.answer(request, found, drift, granted, settings.absent())
        if _VALIDATE_PATH.fullmatch(path) and request.method == "GET":
            return json_response(_validation(self.installed))
        if path == "table" and request.method == "GET":
            return json_response({"tables": [{"name": table.name} for table in TABLES.values()]})
        return self._table(request, path, settings)

    def _table(self, request: Request, path: str, settings: Settings) -> Response:
        match = _TABLE_PATH.fullmatch(path)
        name = match["table"].lower() if match else ""
        if name in VIEWS:
            return _message(405, f"GET, POST and PUT are not allowed on table {name}")
        if match is None or name not in TABLES:
            return _message(404, "Resource not found")
        if request.method != "GET":
            return _message(405, f"{request.method} is not allowed on table {name}")
        granted = settings.granted(self.installed.package.grants)
        try:
            if match["part"] == "/metadata":
                return json_response(_metadata(name, settings.absent()))
            return _read(request, name, match["part"] or "", self._district, granted, settings)
        except query.QueryError as problem:
            return _message(400, str(problem))


def _catalogue(installed: Installed) -> dict[str, Any]:
    """The installed queries in the manner of Swagger."""
    paths = {
        f"/ws/schema/query/{name}": {
            "post": {
                "summary": found.query.description,
                "parameters": [
                    {"name": argument.name, "in": "body", "required": argument.required}
                    for argument in found.query.arguments
                ],
            }
        }
        for name, found in sorted(installed.queries.items())
    }
    return {"swagger": "2.0", "info": {"title": "PowerQueries"}, "paths": paths}


def _validation(installed: Installed) -> dict[str, Any]:
    results = [
        {
            "level": "ERROR",
            "file": text.partition(":")[0],
            "code": "INVALID",
            "message": text,
            "categoryShortName": "plugin",
        }
        for text in installed.problems
    ]
    return {"results": results, "maxLevel": "ERROR" if results else "NONE"}


def _metadata(name: str, absent: frozenset[str]) -> dict[str, Any]:
    table = TABLES[name]
    columns = [{"name": column} for column in table.columns if f"{name}.{column}" not in absent]
    return {"name": table.name, "primaryKey": table.key, "columns": columns, "queries": []}


def _read(
    request: Request, name: str, part: str, district: District, granted: frozenset[str], settings: Settings
) -> Response:
    """A page of the table, its count (unfiltered ones need no grant), or the row of one key."""
    table, params = TABLES[name], request.params()
    columns = [_bare(part) for part in params.get("projection", "").split(",") if part.strip()]
    conditions = [query.Condition(_bare(c.key).lower(), c.operator, c.values) for c in query.parse(params.get("q", ""))]
    refusal = _refusal(name, [*columns, *(_bare(c.key) for c in conditions)], granted, settings.absent())
    if refusal is not None:
        return refusal
    test = query.predicate(conditions, table.getters(district))
    rows = filter(test, table.rows(district))
    if part == "/count":
        return json_response({"count": sum(1 for _ in rows)})
    everything = [column for column in table.columns if f"{name}.{column}" not in settings.absent()]
    wanted = [column.lower() for column in (everything if "*" in columns else columns)]
    if part:
        key = table.columns[table.key]
        row = next((row for row in rows if key(row, district) == int(part[1:])), None)
        return (
            _message(404, "Resource not found") if row is None else json_response(_record(table, row, district, wanted))
        )
    size = min(_number(params, "pagesize", settings.table_page_size), settings.table_page_size)
    start = (_number(params, "page", 1) - 1) * size
    records = [_record(table, row, district, wanted) for row in islice(rows, start, start + size)]
    return json_response({"name": table.name, **({"record": records} if records else {}), "@extensions": ""})


def _record(table: Table, row: Any, district: District, wanted: list[str]) -> dict[str, Any]:
    key = table.columns[table.key]
    values = table.record(row, district, wanted)
    return {"id": key(row, district), "name": table.name.lower(), "tables": {table.name.lower(): values}}


def _bare(column: str) -> str:
    """The column's name without its table's."""
    return column.strip().rsplit(".", 1)[-1]


def _refusal(name: str, columns: list[str], granted: frozenset[str], absent: frozenset[str]) -> Response | None:
    """400 for a column the table has not (checked first), 403 for one that was not granted."""
    table = TABLES[name]
    present = [column for column in table.columns if f"{name}.{column}" not in absent]
    for column in columns:
        if column != "*" and column.lower() not in present:
            return _message(400, f"Invalid field specified: {column} is not valid column for table: {table.name}")
    wanted = present if "*" in columns else columns
    errors = [
        {"code": "NoAccess", "field": column, "resource": table.name}
        for column in wanted
        if f"{name}.{column.lower()}" not in granted
    ]
    if not errors:
        return None
    return json_response({"message": "At least one column lacks sufficient permission", "errors": errors}, 403)


def _number(params: dict[str, str], name: str, default: int) -> int:
    text = params.get(name, "")
    if not text:
        return default
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise query.QueryError(f"Invalid value '{text}' for parameter {name}")
    return int(text)


def _message(status: int, text: str) -> Response:
    return json_response({"message": text}, status)
