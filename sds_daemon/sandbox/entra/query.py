"""OData query options as Graph documents them for directory objects: $select, $top, $count, $orderby, $filter."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from sds_daemon.sandbox.entra.errors import GraphError, odata, unsupported
from sds_daemon.sandbox.entra.schema import COMPLEX, EDUCATION_PREFIX, Resource

MAX_TERMS = 15
Getter = Callable[[str], Any]
Predicate = Callable[[Getter], bool]

_KNOWN = frozenset(
    {"$select", "$filter", "$top", "$count", "$orderby", "$expand", "$skiptoken", "$deltatoken", "$format", "$search",
     "$skip"}
)  # fmt: skip
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<mark>[(),:])|(?P<word>[^\s(),:']+(?::\d\d(?::\d\d(?:\.\d+)?)?Z?)?))"
)
_NUMBER = re.compile(r"-?\d+(\.\d+)?$")
_ADVANCED_CALLS = frozenset({"endswith", "contains"})


@dataclass
class Filter:
    """A compiled $filter. `equals` is (property, values) when an index can narrow the search; `advanced` says that it
    needs ConsistencyLevel: eventual and $count=true."""

    matches: Predicate
    equals: tuple[str, list[str]] | None = None
    advanced: str | None = None


@dataclass
class Query:
    """The query options of one request, syntax checked, names not yet held against a resource."""

    options: dict[str, str] = field(default_factory=dict)
    select: list[str] | None = None
    top: int | None = None

    @classmethod
    def parse(cls, raw: str) -> Query:
        """Split `raw` (the text after `?`); raises 400 for unknown options and a $top outside 1..999."""
        if not raw:
            return cls()
        options = {}
        for name, value in parse_qsl(raw, keep_blank_values=True):
            key = "$" + name if "$" + name in _KNOWN else name
            if key.startswith("$") and key not in _KNOWN:
                raise odata(f"The query parameter '{key}' is not supported.")
            options[key] = value
        if "$skip" in options:
            raise unsupported("'$skip' is not supported by the service.")
        query = cls(options)
        if options.get("$select"):
            query.select = [name.strip() for name in options["$select"].split(",") if name.strip()]
        if "$top" in options:
            query.top = _top(options["$top"])
        return query

    def get(self, name: str) -> str | None:
        """One option's text."""
        return self.options.get(name)

    def eventual(self, headers: dict[str, str]) -> bool:
        """Whether the request asked for advanced queries in the way Graph wants it."""
        return headers.get("consistencylevel", "").lower() == "eventual"

    def counted(self) -> bool:
        """Whether $count=true was asked for."""
        return self.options.get("$count", "").lower() == "true"


def _top(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 999:
        raise odata(f"Invalid page size specified: '{text}'. Must be between 1 and 999 inclusive.")
    return int(text)


def check_select(query: Query, resource: Resource, extensions: bool) -> None:
    """400 if $select names what the resource does not have; `extensions`: the tenant knows the education ones."""
    for name in query.select or ():
        if name in resource.props or name in resource.links or name == "*":
            continue
        if name.startswith("extension_") and resource.extensions:
            if extensions and name.removeprefix(EDUCATION_PREFIX) in resource.extensions:
                continue
            raise unknown_extension(name)
        raise odata(f"Parsing OData Select and Expand failed: Could not find a property named '{name}' on type "
                    f"'{resource.type}'.")  # fmt: skip


def unknown_extension(name: str) -> GraphError:
    """400 for a directory extension that is not registered in this tenant."""
    message = f"Property '{name}' does not exist as a declared property or extension property."
    return GraphError(400, "Request_BadRequest", message)


def compile_filter(text: str, resource: Resource, extensions: bool) -> Filter:
    """Parse a $filter for a resource; raises 400 with Graph's texts for syntax, unknown names and too many terms."""
    parser = _Parser(text, resource, extensions)
    matches = parser.disjunction()
    parser.finish()
    if parser.terms > MAX_TERMS:
        raise unsupported(
            "Too many child clauses specified in search filter expression containing 'OR' operators: "
            f"{parser.terms}. Max allowed: {MAX_TERMS}."
        )
    return Filter(matches, parser.equals if parser.narrow else None, parser.advanced)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return left.lower() == right.lower()
    if isinstance(left, list):
        return False
    return bool(left == right)


def _ordered(operator: str, left: Any, right: Any) -> bool:
    if left is None or right is None or type(left) is not type(right):
        return False
    if operator == "ge":
        return bool(left >= right)
    if operator == "gt":
        return bool(left > right)
    return bool(left <= right) if operator == "le" else bool(left < right)


def _call(name: str, value: Any, wanted: str) -> bool:
    if not isinstance(value, str):
        return False
    text, wanted = str(value).lower(), wanted.lower()
    return text.startswith(wanted) if name == "startswith" else text.endswith(wanted)


class _Parser:
    """Recursive descent over the documented grammar; builds predicates on a property getter."""

    def __init__(self, text: str, resource: Resource, extensions: bool) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._at = 0
        self._resource = resource
        self._extensions = extensions
        self._variables: dict[str, str] = {}
        self.terms = 1
        self.narrow = True
        self.equals: tuple[str, list[str]] | None = None
        self.advanced: str | None = None

    def _split(self, text: str) -> list[str]:
        tokens, position = [], 0
        text = text.rstrip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise odata(f"Invalid filter clause: Syntax error at position {position} in '{text}'.")
            tokens.append(found.group(found.lastgroup or 0))
            position = found.end()
        return tokens

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if self._next() != token:
            raise self._syntax()

    def _syntax(self) -> GraphError:
        return odata(
            f"Invalid filter clause: Syntax error: '{token_at(self._tokens, self._at - 1)}' in '{self._text}'."
        )

    def finish(self) -> None:
        """400 if something is left over."""
        if self._at < len(self._tokens) or not self._tokens:
            self._at += 1
            raise self._syntax()

    def disjunction(self) -> Predicate:
        parts = [self._conjunction()]
        while self._peek().lower() == "or":
            self._next()
            self.narrow = False
            self.terms += 1
            parts.append(self._conjunction())
        if len(parts) == 1:
            return parts[0]
        return lambda get: any(part(get) for part in parts)

    def _conjunction(self) -> Predicate:
        parts = [self._unary()]
        while self._peek().lower() == "and":
            self._next()
            parts.append(self._unary())
        if len(parts) == 1:
            return parts[0]
        return lambda get: all(part(get) for part in parts)

    def _unary(self) -> Predicate:
        word = self._peek().lower()
        if word == "not":
            self._next()
            self.advanced, self.narrow = "not", False
            inner = self._unary()
            return lambda get: not inner(get)
        if word == "(":
            self._next()
            inner = self.disjunction()
            self._expect(")")
            return inner
        if word in ("startswith", "endswith", "contains"):
            return self._function()
        return self._comparison()

    def _function(self) -> Predicate:
        name = self._next().lower()
        self._expect("(")
        prop = self._property(self._next())
        self._expect(",")
        wanted = str(self._literal(self._next()))
        self._expect(")")
        if name == "contains":
            raise unsupported("Unsupported Query.")
        if name in _ADVANCED_CALLS:
            self.advanced = prop
        return lambda get: _call(name, get(prop), wanted)

    def _comparison(self) -> Predicate:
        word = self._next()
        if word.lower().endswith("/any") and self._peek() == "(":
            return self._any(word[: -len("/any")])
        prop = self._property(word)
        operator = self._next().lower()
        if operator == "in":
            return self._within(prop)
        if operator not in ("eq", "ne", "ge", "gt", "le", "lt"):
            raise self._syntax()
        value = self._literal(self._next())
        if operator == "eq":
            if isinstance(value, str) and not self._variables and self.equals is None:
                self.equals = (prop, [value])
            return lambda get: _same(get(prop), value)
        if operator == "ne":
            self.advanced = prop
            return lambda get: not _same(get(prop), value)
        return lambda get: _ordered(operator, get(prop), value)

    def _within(self, prop: str) -> Predicate:
        self._expect("(")
        values = [self._literal(self._next())]
        while self._peek() == ",":
            self._next()
            values.append(self._literal(self._next()))
        self._expect(")")
        self.terms += len(values) - 1
        if all(isinstance(value, str) for value in values) and self.equals is None and not self._variables:
            self.equals = (prop, values)
        wanted = {value.lower() if isinstance(value, str) else value for value in values}

        def matches(get: Getter) -> bool:
            value = get(prop)
            return (value.lower() if isinstance(value, str) else value) in wanted

        return matches

    def _any(self, collection: str) -> Predicate:
        prop = self._property(collection)
        self._expect("(")
        variable = self._next()
        self._expect(":")
        self._variables[variable] = prop
        inner = self.disjunction()
        del self._variables[variable]
        self._expect(")")

        def matches(get: Getter) -> bool:
            return any(inner(_item_getter(get, variable, item)) for item in get(prop) or ())

        return matches

    def _property(self, path: str) -> str:
        head = path.partition("/")[0]
        if head in self._variables:
            return path
        resource = self._resource
        if head.startswith("extension_") and resource.extensions:
            if not self._extensions or head.removeprefix(EDUCATION_PREFIX) not in resource.extensions:
                raise unknown_extension(head)
            return path
        declared = resource.props.get(head)
        if declared is None or (path != head and declared.type not in COMPLEX and declared.type != "any"):
            raise odata(f"Invalid filter clause: Could not find a property named '{head}' on type '{resource.type}'.")
        if resource.filterable is not None and head not in resource.filterable:
            raise unsupported(
                f"Unsupported or invalid query filter clause specified for property '{head}' of resource "
                f"'{resource.label}'."
            )
        return path

    def _literal(self, token: str) -> Any:
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        lowered = token.lower()
        if lowered in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[lowered]
        if _NUMBER.match(token):
            return float(token) if "." in token else int(token)
        if re.match(r"\d{4}-\d\d-\d\d|[0-9a-fA-F]{8}-", token):
            return token
        raise self._syntax()


def token_at(tokens: list[str], position: int) -> str:
    """The token at a position, or a word for the end."""
    return tokens[position] if 0 <= position < len(tokens) else "end of text"


def _item_getter(outer: Getter, variable: str, item: Any) -> Getter:
    def get(path: str) -> Any:
        head, _, rest = path.partition("/")
        if head != variable:
            return outer(path)
        if not rest:
            return item
        return item.get(rest) if isinstance(item, dict) else None

    return get
