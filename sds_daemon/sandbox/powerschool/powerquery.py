"""`POST /ws/schema/query/NAME`: one installed query with its arguments, filters, order and pages."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from sds_daemon.sandbox.asgi import Request, Response, json_response
from sds_daemon.sandbox.powerschool import database, query
from sds_daemon.sandbox.powerschool.database import Database
from sds_daemon.sandbox.powerschool.installed import InstalledQuery
from sds_daemon.sandbox.powerschool.oracle import BY_CHANCE
from sds_daemon.sandbox.powerschool.oracle_tokens import OracleError
from sds_daemon.sandbox.powerschool.package import OutputColumn
from sds_daemon.sandbox.powerschool.rendered import Form, Rendered, Shelf, render
from sds_daemon.sandbox.powerschool.tables import DATES, TABLES, TEXTS

_PAGE_SIZE: Final = 100
_COMPARED: Final = 20_000
_OPTIONS: Final = frozenset({"$q", "projection"})
_OPERATORS: Final = {"==": "=", "!=": "<>", "=gt=": ">", "=ge=": ">=", "=lt=": "<", "=le=": "<="}


class Refused(Exception):
    """Ends a request with this answer."""

    def __init__(self, status: int, message: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.response = json_response({"message": message, **({"errors": errors} if errors else {})}, status)


@dataclass(frozen=True)
class _Call:
    """What the caller asked for, apart from the page."""

    installed: InstalledQuery
    values: Mapping[str, Any]
    q: str
    projection: str
    order: str


class PowerQueries:
    """Answers calls of queries; keeps what it has written for the next caller.

    `quiet` is held while the tables are read: nobody may change the district meanwhile.
    """

    def __init__(self, tables: Database, today: Callable[[], object], quiet: asyncio.Lock) -> None:
        self._quiet = quiet
        self._tables = tables
        self._today = today
        self._shelf = Shelf()
        self._asked: dict[object, _Call] = {}
        self._random = random.Random(1)

    async def answer(
        self, request: Request, found: InstalledQuery | None, drift: int | None, granted: Set[str], absent: Set[str]
    ) -> Response:
        """The answer to a call of `found` (None for an unknown name).

        `drift` is None but for the path that ends in `/count`; there it is added to the number of rows.
        """
        try:
            if request.method != "POST":
                raise Refused(405, f"{request.method} is not allowed on this resource")
            if found is None or found.dead:
                raise Refused(404, "Resource not found")
            _check_grants(found, granted)
            call = _call(request, found)
            rendered = await self._rendered(call, absent)
            if drift is not None:
                return json_response({"count": max(0, rendered.count + drift)})
            return self._page(request.params(), found, rendered)
        except Refused as problem:
            return problem.response
        except query.QueryError as problem:
            return json_response({"message": str(problem)}, 400)
        except OracleError as problem:
            return json_response({"message": f"Unable to execute query: {problem}"}, 500)

    async def write_ahead(self, calls: Iterable[tuple[InstalledQuery, Mapping[str, Any]]] = ()) -> int:
        """Writes every answer asked for so far, and those of `calls`, as the tables are now; how many they are.

        A call is a query and the body of its request; raises ValueError for a body that would be refused.
        """
        for found, body in calls:
            try:
                await self._rendered(_read_call(found, body, ""), frozenset())
            except (Refused, OracleError) as problem:
                raise ValueError(f"{found.query.name}: {problem}") from None
        for call in list(self._asked.values()):
            await self._rendered(call, frozenset())
        return len(self._asked)

    def forget(self) -> None:
        """Forgets which answers were asked for: the queries are other ones now."""
        self._asked.clear()

    async def _rendered(self, call: _Call, absent: Set[str]) -> Rendered:
        """The answer, from the shelf or made anew; making one may take long, and other requests go on meanwhile."""
        async with self._quiet:
            return await asyncio.to_thread(self._found_or_made, call, absent)

    def _found_or_made(self, call: _Call, absent: Set[str]) -> Rendered:
        found = call.installed
        missing = found.missing(absent)
        if missing:
            raise OracleError(f'ORA-00904: "{missing[0].upper()}": invalid identifier')
        key = (found.query.name, msgspec.json.encode(call.values, order="sorted"), call.q, call.projection, call.order)
        day = self._today() if found.statement.now else None
        version = (id(found), day, self._tables.refresh(found.plan))
        kept = self._shelf.get(key, version)
        if kept is None:
            kept = self._render(call, version)
            self._shelf.put(key, kept)
            self._asked[key] = call
        return kept

    def _render(self, call: _Call, version: object) -> Rendered:
        found = call.installed
        form = _form(found, _projected(found, call.projection))
        ordered = bool(call.order) or found.statement.ordered
        answer = render(self._tables.rows(*_sql(call)), form, ordered, version)
        if not ordered or answer.count > _COMPARED:
            return answer
        other = render(self._tables.rows(*_sql(call, shuffled=True)), form, ordered, version)
        return answer if other.text == answer.text else replace(answer, other=other)

    def _page(self, params: Mapping[str, str], found: InstalledQuery, rendered: Rendered) -> Response:
        size, page = _number(params, "pagesize", _PAGE_SIZE, 0), _number(params, "page", 1, 1)
        start, stop = (0, rendered.count) if size == 0 else ((page - 1) * size, page * size)
        # Without an order, or with rows level in it, every call may give the rows in another one.
        if rendered.other is not None and self._random.random() < 0.5:
            rendered = rendered.other
        turn = 0 if rendered.ordered or not rendered.count else self._random.randrange(rendered.count)
        rows = rendered.rows(start, stop, turn)
        head = {"count": rendered.count} if params.get("count") == "true" else {}
        if not rows:
            return json_response(head if size == 0 else {**head, "@extensions": ""})
        core = found.query.core_table
        name = core.upper() if found.query.flattened else TABLES[core].name if core in TABLES else core
        opening = msgspec.json.encode({"name": name, **head})[:-1] + b',"record":['
        parts: list[bytes | memoryview] = [opening, *rows, b'],"@extensions":""}']
        headers = {"content-type": "application/json;charset=UTF-8"}
        return Response(200, headers, parts=parts) if size == 0 else Response(200, headers, b"".join(parts))


def _check_grants(found: InstalledQuery, granted: Set[str]) -> None:
    name = found.query.name
    errors = [
        {"resource": name, "field": field, "code": "No access to the field"}
        for field in found.fields
        if field not in granted
    ]
    if errors:
        raise Refused(403, "Validation Failed", errors)


def _call(request: Request, found: InstalledQuery) -> _Call:
    if "application/json" not in request.headers.get("content-type", "").lower():
        raise Refused(415, "Unsupported Media Type")
    try:
        body = request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "The body must be a JSON object")
    return _read_call(found, body, request.params().get("order", ""))


def _read_call(found: InstalledQuery, body: Mapping[str, Any], order: str) -> _Call:
    return _Call(found, _arguments(found, body), _text(body, "$q"), _text(body, "projection"), order)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise Refused(400, f"{name} must be text")
    return value


def _arguments(found: InstalledQuery, body: Mapping[str, Any]) -> dict[str, Any]:
    declared = {argument.name: argument for argument in found.query.arguments}
    unknown = sorted(set(body) - set(declared) - _OPTIONS)
    if unknown:
        raise Refused(400, f"Unknown argument: {unknown[0]}")
    values: dict[str, Any] = {}
    for name, argument in declared.items():
        value = body.get(name, argument.default)
        if value is None and argument.required:
            raise Refused(400, f"Missing required argument: {name}")
        if value is not None and (isinstance(value, dict) or isinstance(value, list) is not argument.array):
            raise Refused(400, f"The argument {name} must be {'an array' if argument.array else 'a single value'}")
        values[name] = _cased(value, argument.casing)
    return values


def _cased(value: Any, casing: str) -> Any:
    if isinstance(value, list):
        return [_cased(item, casing) for item in value]
    if isinstance(value, str) and casing in ("upper", "lower"):
        return value.upper() if casing == "upper" else value.lower()
    return value


def _number(params: Mapping[str, str], name: str, default: int, least: int) -> int:
    text = params.get(name, "")
    if not text:
        return default
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:
        raise Refused(400, f"Invalid value '{text}' for parameter {name}")
    return int(text)


def _place(found: InstalledQuery, name: str) -> int:
    """The column of the result with this alias, or made of this field."""
    wanted = name.strip().lower()
    for key in (_alias, _field):
        for place, column in enumerate(found.query.columns):
            if key(column) == wanted:
                return place
    raise Refused(400, f"Invalid field specified: {name.strip()}")


def _alias(column: OutputColumn) -> str:
    return column.alias


def _field(column: OutputColumn) -> str:
    return f"{column.table}.{column.field}"


def _sql(call: _Call, *, shuffled: bool = False) -> tuple[str, dict[str, Any]]:
    """SQLite's text for the call and its variables; `shuffled` leaves to chance what the order leaves open."""
    found = call.installed
    binds, arrays = database.bound(found.statement, call.values)
    text = found.statement.text(arrays, shuffled=shuffled)
    if not (call.q or call.order or call.projection):
        return text, binds
    conditions, more = _conditions(found, call.q)
    order = _order(found, call.order)
    names = ", ".join(f"c{n}" for n in range(len(found.query.columns)))
    wanted = ", ".join(f"c{n}" for n in _projected(found, call.projection))
    chance = BY_CHANCE if order and shuffled else ""
    text = f"WITH result ({names}) AS ({text}) SELECT {wanted} FROM result{conditions}{order}{chance}"  # noqa: S608
    return text, {**binds, **more}


def _projected(found: InstalledQuery, projection: str) -> list[int]:
    if not projection.strip():
        return list(range(len(found.query.columns)))
    return sorted({_place(found, name) for name in projection.split(";") if name.strip()})


def _order(found: InstalledQuery, order: str) -> str:
    terms = []
    for part in filter(None, (part.strip() for part in order.split(","))):
        name, _, direction = part.partition(";")
        if direction.lower() not in ("", "asc", "desc"):
            raise Refused(400, f"Invalid order: {part}")
        nulls = "DESC NULLS FIRST" if direction.lower() == "desc" else "ASC NULLS LAST"
        terms.append(f"c{_place(found, name)} {nulls}")
    return f" ORDER BY {', '.join(terms)}" if terms else ""


def _conditions(found: InstalledQuery, text: str) -> tuple[str, dict[str, Any]]:
    if re.search(r"[(),]", text):
        raise Refused(400, f"Only conditions joined by ; are supported: {text}")
    tests, binds = [], {}
    for n, condition in enumerate(query.parse(text)):
        place, value = _place(found, condition.key), unquote(condition.values[0])
        operator, name = _OPERATORS[condition.operator], f"q__{n}"
        if value == "\0" and condition.operator in ("==", "!="):
            tests.append(f"c{place} IS {'NOT ' if operator == '<>' else ''}NULL")
        elif "*" in value and condition.operator in ("==", "!="):
            tests.append(f"c{place} {'NOT ' if operator == '<>' else ''}LIKE :{name} ESCAPE '\\'")
            binds[name] = re.sub(r"([%_\\])", r"\\\1", value).replace("*", "%")
        else:
            tests.append(f"c{place} {operator} :{name}")
            binds[name] = _typed(found.query.columns[place], value)
    return (f" WHERE {' AND '.join(tests)}" if tests else ""), binds


def _typed(column: OutputColumn, value: str) -> Any:
    if column.field in DATES or column.field in TEXTS:
        return value
    if not re.fullmatch(r"-?\d+(\.\d+)?", value):
        raise Refused(400, f"Invalid number '{value}' passed for comparison to number field {column.field.upper()}")
    return float(value) if "." in value else int(value)


def _form(found: InstalledQuery, columns: list[int]) -> Form:
    core = found.query.core_table
    chosen = [found.query.columns[place] for place in columns]
    keys = [n for n, c in enumerate(chosen) if core in TABLES and (c.table, c.field) == (core, TABLES[core].key)]
    return Form(tuple(column.alias for column in chosen), core, keys[0] if keys else None, found.query.flattened)
