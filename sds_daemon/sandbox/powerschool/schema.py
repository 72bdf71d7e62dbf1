"""`/ws/schema`: tables, as far as a plugin's grants reach, and the answers that tell which columns it may read."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, Final

from sds_daemon.sandbox.asgi import Request, Response, json_response
from sds_daemon.sandbox.district.model import District
from sds_daemon.sandbox.powerschool import query
from sds_daemon.sandbox.powerschool.settings import Settings
from sds_daemon.sandbox.powerschool.tables import TABLES, Table

_TABLE_PATH: Final = re.compile(r"table/(?P<table>\w+)(?P<count>/count)?")


def answer(request: Request, path: str, district: District, settings: Settings) -> Response:
    """The answer to a request below `/ws/schema/`. Unfiltered counts need no grant."""
    match = _TABLE_PATH.fullmatch(path)
    name = match["table"].lower() if match else ""
    if name == "teachers":
        return _message(405, "GET, POST and PUT are not allowed on table teachers")
    if match is None or name not in TABLES:
        return _message(404, "Resource not found")
    if request.method != "GET":
        return _message(405, f"{request.method} is not allowed on table {name}")
    try:
        return _read(request, name, bool(match["count"]), district, settings)
    except query.QueryError as problem:
        return _message(400, str(problem))


def _read(request: Request, name: str, count: bool, district: District, settings: Settings) -> Response:
    table, params = TABLES[name], request.params()
    columns = [_bare(part) for part in params.get("projection", "").split(",") if part.strip()]
    conditions = [query.Condition(_bare(c.key).lower(), c.operator, c.values) for c in query.parse(params.get("q", ""))]
    refusal = _refusal(name, [*columns, *(_bare(c.key) for c in conditions)], settings)
    if refusal is not None:
        return refusal
    test = query.predicate(conditions, table.getters(district))
    rows = filter(test, table.rows(district))
    if count:
        return json_response({"count": sum(1 for _ in rows)})
    wanted = [column.lower() for column in (table.columns if "*" in columns else columns)]
    size = min(_number(params, "pagesize", settings.table_page_size), settings.table_page_size)
    start = (_number(params, "page", 1) - 1) * size
    records = [_record(table, row, district, wanted) for row in islice(rows, start, start + size)]
    return json_response({"name": table.name, **({"record": records} if records else {}), "@extensions": ""})


def _record(table: Table, row: Any, district: District, wanted: list[str]) -> dict[str, Any]:
    key = table.columns["dcid" if "dcid" in table.columns else "id"]
    values = table.record(row, district, wanted)
    return {"id": key(row, district), "name": table.name.lower(), "tables": {table.name.lower(): values}}


def _bare(column: str) -> str:
    """The column's name without its table's."""
    return column.strip().rsplit(".", 1)[-1]


def _refusal(name: str, columns: list[str], settings: Settings) -> Response | None:
    """400 for a column the table has not (checked first), 403 for one that was not granted."""
    table = TABLES[name]
    for column in columns:
        if column != "*" and column.lower() not in table.columns:
            return _message(400, f"Invalid field specified: {column} is not valid column for table: {table.name}")
    granted = {grant.lower() for grant in settings.grants}
    wanted = list(table.columns) if "*" in columns else columns
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
