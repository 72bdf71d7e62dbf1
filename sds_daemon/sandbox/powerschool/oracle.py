"""Oracle's SQL, as far as a PowerQuery uses it, turned into SQLite's: what Oracle refuses is refused here as well.

The other database is kinder in many places (LIMIT, AS before a table's alias, aliases in WHERE, text where a date is
expected, a SELECT without FROM); a query that leans on them would pass here and fail on a real server.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

from sds_daemon.sandbox.powerschool.oracle_functions import FUNCTIONS
from sds_daemon.sandbox.powerschool.oracle_tokens import OracleError, Token, tokens, with_concatenation

_BEFORE_PARENTHESIS: Final = frozenset({
    "in", "and", "or", "not", "exists", "over", "from", "where", "on", "as", "select", "when", "then", "else",
    "by", "union", "all", "using", "distinct", "between", "like", "join", "having", "case", "intersect",
    "minus", "is", "any", "some",
})  # fmt: skip
_NOW: Final = frozenset({"sysdate", "current_date", "systimestamp", "current_timestamp"})
_COMPARISONS: Final = frozenset({"=", "<", ">", "<=", ">=", "<>", "!=", "^="})
_SET_OPERATORS: Final = frozenset({"union", "minus", "intersect"})
_CLAUSES: Final = {
    "select": "select", "from": "from", "join": "from", "on": "on", "using": "on", "where": "where", "group": "group",
    "having": "group", "order": "order", "with": "with", "fetch": "fetch",
}  # fmt: skip
_RESERVED: Final = frozenset(_CLAUSES) | _SET_OPERATORS | frozenset({
    "and", "or", "not", "in", "is", "null", "between", "like", "exists", "case", "when", "then", "else", "end",
    "as", "asc", "desc", "nulls", "first", "last", "by", "all", "distinct", "left", "right", "inner", "outer",
    "full", "cross", "natural", "any", "some", "date", "only", "row", "rows", "next", "over", "partition",
    "connect", "start",
})  # fmt: skip


_NEVER_NAMES: Final = frozenset({
    "access", "add", "alter", "audit", "char", "check", "cluster", "column", "comment", "compress", "create",
    "current", "decimal", "default", "delete", "drop", "exclusive", "file", "float", "for", "grant", "identified",
    "immediate", "increment", "index", "initial", "insert", "integer", "into", "level", "lock", "long", "maxextents",
    "mode", "modify", "noaudit", "nocompress", "nowait", "number", "of", "offline", "online", "option", "pctfree",
    "prior", "public", "raw", "rename", "resource", "revoke", "rowid", "rownum", "session", "set", "share", "size",
    "smallint", "successful", "synonym", "sysdate", "table", "to", "trigger", "uid", "unique", "update", "user",
    "validate", "values", "varchar", "varchar2", "view", "whenever",
})  # fmt: skip
_END_OF_ORDER: Final = "/*order*/"
BY_CHANCE: Final = ", random()"
"""What makes the order of rows that an ORDER BY leaves level a matter of chance."""
_GROUP_FUNCTIONS: Final = frozenset({"count", "max", "min", "sum", "avg"})
_TYPES: Final = frozenset({"varchar2", "number", "char", "integer", "float"})


@dataclass(slots=True)
class _Scope:
    """One pair of parentheses, or the whole statement: the clause it is in, and what its SELECT has named so far.

    `columns` are those of the select list outside of group functions, `grouped` those of GROUP BY; in the parentheses
    of a function, `columns` are the ones in its arguments and `function` is its name.
    """

    clause: str = "args"
    function: str = ""
    has_from: bool = True
    aliases: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    grouped: set[str] = field(default_factory=set)
    aggregated: bool = False
    descending: bool = False
    nulls: bool = False


@dataclass(frozen=True)
class Statement:
    """A query ready for SQLite. `binds` are the names of its bind variables; `now` says that it asks for the time.

    `ordered` says that it ends in an ORDER BY.
    """

    parts: tuple[str, ...]
    binds: frozenset[str]
    now: bool
    ordered: bool

    def text(self, arrays: Mapping[str, int], *, shuffled: bool = False) -> str:
        """SQLite's text; `arrays` gives the number of values of each variable that stands for a list.

        `shuffled` leaves to chance what the ORDER BY leaves open.
        """
        text = " ".join(_expanded(part, arrays) for part in self.parts)
        return text.replace(_END_OF_ORDER, BY_CHANCE if shuffled else "")


def _expanded(part: str, arrays: Mapping[str, int]) -> str:
    name = part[1:]
    if part[:1] != ":" or name not in arrays:
        return part
    return ", ".join(f":{name}__{n}" for n in range(arrays[name])) or "NULL"


def translate(sql: str, columns: Set[str], dates: Set[str]) -> Statement:
    """`sql` for SQLite; `columns` are the names of all columns there are, `dates` of those that hold dates.

    Raises OracleError for what Oracle would not take.
    """
    found = tokens(sql)
    if not found or found[0].word not in ("select", "with"):
        raise OracleError("ORA-00900: invalid SQL statement")
    _refuse_text_as_dates(found, dates)
    binds = frozenset(token.text[1:] for token in found if token.kind == "bind")
    now = any(token.word in _NOW for token in found)
    walk = _Walk(with_concatenation(found), columns)
    parts = walk.run()
    return Statement(tuple(parts), binds, now, walk.ordered)


def _refuse_text_as_dates(tokens: list[Token], dates: Set[str]) -> None:
    """A date beside a text or a variable is compared by the session's own format, which is never the one at hand."""
    for left, sign, right in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if sign.text in _COMPARISONS or sign.word == "between":
            kinds = {left.kind, right.kind}
            if kinds & {"text", "bind"} and (left.word in dates or right.word in dates):
                raise OracleError("ORA-01861: literal does not match format string")


class _Walk:
    """One pass over the tokens: knows in which clause of which SELECT it is, and writes SQLite's text."""

    def __init__(self, tokens: list[Token], columns: Set[str]) -> None:
        self._tokens = tokens
        self._columns = columns
        self._out: list[str] = []
        self._scopes = [_Scope("start")]
        self._place = 0
        self._compound = False
        self.ordered = False

    @property
    def _scope(self) -> _Scope:
        return self._scopes[-1]

    def run(self) -> list[str]:
        """The pieces of the statement; each bind variable is a piece of its own."""
        while self._place < len(self._tokens):
            token = self._tokens[self._place]
            self._place += 1
            self._step(token)
        self._leave(final=True)
        return self._out

    def _near(self, offset: int) -> Token:
        place = self._place - 1 + offset
        return self._tokens[place] if 0 <= place < len(self._tokens) else Token("none", "")

    def _step(self, token: Token) -> None:
        match token.kind:
            case "sign":
                self._sign(token.text)
            case "word":
                self._word(token)
            case "text":
                # The empty text is null.
                self._out.append("NULL" if token.text == "''" else token.text.lstrip("nN"))
            case "quoted":
                self._quoted(token.text[1:-1])
            case _:
                self._out.append(token.text)

    def _sign(self, sign: str) -> None:
        if sign == "(":
            self._scopes.append(_Scope(function=self._near(-1).word))
        elif sign == ")":
            self._leave()
        elif sign == "," and self._scope.clause == "order":
            self._end_of_order()
        self._out.append({"/": "*1.0/", "^=": "<>"}.get(sign, sign))

    def _leave(self, *, final: bool = False) -> None:
        scope = self._scope
        if final != (len(self._scopes) == 1):
            raise OracleError("ORA-00907: missing right parenthesis" if final else "ORA-00933: SQL command not ended")
        self._end_of_select(scope)
        if scope.clause == "args":
            self._hand_on(scope)
        if scope.clause == "order":
            self._end_of_order(final=final)
        self._scopes.pop()

    def _end_of_select(self, scope: _Scope) -> None:
        if not scope.has_from:
            raise OracleError("ORA-00923: FROM keyword not found where expected")
        for name in scope.names & scope.aliases - self._columns:
            raise OracleError(f'ORA-00904: "{name.upper()}": invalid identifier')
        loose = scope.columns - scope.grouped if scope.clause != "args" else set()
        if loose and scope.grouped:
            raise OracleError(f"ORA-00979: not a GROUP BY expression ({', '.join(sorted(loose)).upper()})")
        if loose and scope.aggregated:
            raise OracleError(f"ORA-00937: not a single-group group function ({', '.join(sorted(loose)).upper()})")
        if scope.clause != "args":
            scope.aliases, scope.names, scope.columns, scope.grouped = set(), set(), set(), set()
            scope.aggregated = False

    def _hand_on(self, scope: _Scope) -> None:
        """The columns in the arguments of a function are its SELECT's, unless it takes a whole group of rows."""
        outer = self._scopes[-2]
        if scope.function in _GROUP_FUNCTIONS and self._near(1).word != "over":
            outer.aggregated |= outer.clause in ("select", "args")
        elif outer.clause in ("select", "args"):
            outer.columns |= scope.columns
            outer.aggregated |= scope.aggregated
        elif outer.clause == "group":
            outer.grouped |= scope.columns

    def _end_of_order(self, *, final: bool = False) -> None:
        """Ends one term of an ORDER BY; `final` for the last one of the whole statement's."""
        # Nulls are the greatest values here and the least ones there.
        if not self._scope.nulls:
            self._out.append("NULLS FIRST" if self._scope.descending else "NULLS LAST")
        self._scope.descending = self._scope.nulls = False
        if final:
            self.ordered = True
            if not self._compound:
                self._out.append(_END_OF_ORDER)

    def _word(self, token: Token) -> None:
        word, following = token.word, self._near(1)
        if word in _CLAUSES and self._near(-1).text != ".":
            self._clause(word)
        elif word in _SET_OPERATORS:
            self._end_of_select(self._scope)
            self._compound |= len(self._scopes) == 1
            self._out.append("EXCEPT" if word == "minus" else word)
        elif word in _NOW:
            self._out.append("ora_sysdate()")
        elif word == "date" and following.kind == "text":
            self._place += 1
            self._out.append(str(_ordinal(following.text.strip("'"))))
        elif following.text == "(" and self._near(-1).text != ".":
            self._call(token)
        else:
            self._plain(token)

    def _clause(self, word: str) -> None:
        scope = self._scope
        if word == "from" and scope.clause == "args":
            raise OracleError("ORA-00907: missing right parenthesis")
        if word == "fetch":
            self._fetch()
            return
        if scope.clause == "order" and word != "order":
            raise OracleError("ORA-00933: SQL command not properly ended")
        if word == "select":
            scope.has_from = False
        elif word == "from":
            scope.has_from = True
        scope.clause = _CLAUSES[word]
        self._out.append(word)

    def _fetch(self) -> None:
        """FETCH FIRST n ROWS ONLY."""
        words = [self._near(n).text.lower() for n in range(1, 5)]
        ends = words[0] in ("first", "next") and words[2] in ("row", "rows") and words[3] == "only"
        if not ends or not words[1].isdigit():
            raise OracleError("ORA-00933: SQL command not properly ended")
        if self._scope.clause == "order":
            self._end_of_order(final=len(self._scopes) == 1)
            self._scope.clause = "fetch"
        self._out.append(f"LIMIT {words[1]}")
        self._place += 4

    def _call(self, token: Token) -> None:
        word = token.word
        names_a_query = self._scope.clause == "with" and self._near(-1).word in ("with", "") and word not in _RESERVED
        if word in FUNCTIONS:
            self._out.append(FUNCTIONS[word])
        elif word in _BEFORE_PARENTHESIS or names_a_query or self._is_type(word):
            self._as(token)
            self._out.append(token.text)
        else:
            raise OracleError(f'ORA-00904: "{word.upper()}": invalid identifier')

    def _plain(self, token: Token) -> None:
        word, scope = token.word, self._scope
        self._as(token)
        scope.descending |= word == "desc"
        scope.nulls |= word == "nulls"
        if word in _NEVER_NAMES and not self._is_type(word):
            raise OracleError(f"ORA-00936: missing expression (before {word.upper()})")
        if word not in _RESERVED and self._near(1).text != ".":
            self._named(word)
        # What is a name here may be a keyword there.
        self._out.append(token.text if word in _RESERVED else f"[{token.text}]")

    def _is_type(self, word: str) -> bool:
        return word in _TYPES and self._near(-1).word == "as" and self._scope.clause == "args"

    def _named(self, word: str) -> None:
        """Remembers an alias of the select list, or a name the other clauses use without its table."""
        scope, before = self._scope, self._near(-1)
        if scope.clause == "args" and word in self._columns:
            scope.columns.add(word)
        if scope.clause == "group":
            scope.grouped.add(word)
        if scope.clause == "select":
            ends = before.text == ")" or before.kind in ("number", "text") or before.word not in _RESERVED | {""}
            if before.text != "." and (before.word in ("as", "end") or ends):
                scope.aliases.add(word)
            elif word in self._columns:
                scope.columns.add(word)
        elif scope.clause in ("where", "on", "group") and before.text != ".":
            scope.names.add(word)

    def _as(self, token: Token) -> None:
        if token.word == "as" and self._scope.clause == "from":
            raise OracleError("ORA-00933: SQL command not properly ended")

    def _quoted(self, name: str) -> None:
        """A quoted name keeps its case, and everything in the database is in capitals."""
        before, after = self._near(-1), self._near(1)
        alias = self._scope.clause == "select" and after.text != "." and before.word not in ("select", "distinct")
        alias = alias and before.text not in (".", ",", "(")
        if not alias and name != name.upper():
            raise OracleError(f'ORA-00904: "{name}": invalid identifier')
        if not alias and name.lower() not in self._columns:
            raise OracleError(f'ORA-00904: "{name}": invalid identifier')
        self._out.append(f'"{name}"')


def _ordinal(text: str) -> int:
    try:
        return dt.date.fromisoformat(text).toordinal()
    except ValueError:
        raise OracleError("ORA-01861: literal does not match format string") from None


def result(value: Any) -> str | None:
    """A value of the result as the web service shows it: text, nothing for null and for the empty text."""
    if value is None or value == "":
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)
