"""Oracle's SQL in words: tokens, what no token of Oracle's is, and the operands of `||`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sds_daemon.sandbox.powerschool.oracle_functions import FUNCTIONS

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
      | (?P<text>[nN]?'(?:[^']|'')*')
      | (?P<quoted>"[^"]*")
      | (?P<number>\d+(?:\.\d+)?|\.\d+)
      | (?P<word>[A-Za-z][\w$#]*)
      | (?P<bind>:[A-Za-z]\w*)
      | (?P<sign>\|\||<=|>=|<>|!=|\^=|==|[-+*/=<>(),.;])""",
    re.VERBOSE | re.DOTALL,
)
_FOREIGN: Final[dict[str, str]] = {
    "limit": "ORA-00933: SQL command not properly ended",
    "offset": "ORA-00933: SQL command not properly ended",
    "except": "ORA-00933: SQL command not properly ended",
    "glob": "ORA-00920: invalid relational operator",
    "regexp": "ORA-00920: invalid relational operator",
    "match": "ORA-00920: invalid relational operator",
    "ilike": "ORA-00920: invalid relational operator",
    "isnull": "ORA-00920: invalid relational operator",
    "notnull": "ORA-00920: invalid relational operator",
    "true": 'ORA-00904: "TRUE": invalid identifier',
    "false": 'ORA-00904: "FALSE": invalid identifier',
    "indexed": "ORA-00933: SQL command not properly ended",
    "pragma": "ORA-00900: invalid SQL statement",
}


class OracleError(Exception):
    """The statement is none of Oracle's, or fails when run; the message begins with Oracle's number."""


@dataclass(slots=True)
class Token:
    """A piece of the text; `kind` is text, quoted, number, word, bind or sign."""

    kind: str
    text: str

    @property
    def word(self) -> str:
        """The token as a keyword or name in lower case; empty for anything but a word."""
        return self.text.lower() if self.kind == "word" else ""


def tokens(sql: str) -> list[Token]:
    """The statement's tokens without space and comments. Raises OracleError."""
    found, place = [], 0
    while place < len(sql):
        match = _TOKEN.match(sql, place)
        if match is None:
            raise OracleError(f"ORA-00911: invalid character {sql[place]!r}")
        place = match.end()
        kind = match.lastgroup or ""
        if kind != "space":
            found.append(Token(kind, match.group()))
    for token in found:
        _check(token)
    return found


def _check(token: Token) -> None:
    if token.text == ";":
        raise OracleError("ORA-00911: invalid character ';'")
    if token.text == "==":
        raise OracleError("ORA-00936: missing expression")
    if token.word in _FOREIGN:
        raise OracleError(_FOREIGN[token.word])


def with_concatenation(tokens: list[Token]) -> list[Token]:
    """Every operand of `||` made text that is never null: Oracle takes null for the empty text there."""
    opening: dict[int, int] = {}
    closing: dict[int, int] = {}
    for place, token in enumerate(tokens):
        if token.text != "||":
            continue
        for start, end in (_operand_before(tokens, place), _operand_after(tokens, place)):
            if start not in opening:
                opening[start] = end
                closing[end] = closing.get(end, 0) + 1
    made: list[Token] = []
    for place, token in enumerate(tokens):
        if place in opening:
            made += [Token("raw", "coalesce"), Token("raw", "(")]
        made.append(token)
        made += [Token("raw", ",''"), Token("raw", ")")] * closing.get(place, 0)
    return made


def _operand_before(tokens: list[Token], place: int) -> tuple[int, int]:
    end = start = place - 1
    if start < 0:
        raise OracleError("ORA-00936: missing expression")
    if tokens[start].text == ")":
        start = _partner(tokens, start, -1)
        if start > 0 and tokens[start - 1].word in FUNCTIONS:
            start -= 1
    elif tokens[start].word == "end":
        while start > 0 and tokens[start].word != "case":
            start -= 1
    while start > 1 and tokens[start - 1].text == ".":
        start -= 2
    return start, end


def _operand_after(tokens: list[Token], place: int) -> tuple[int, int]:
    start = end = place + 1
    if end >= len(tokens):
        raise OracleError("ORA-00936: missing expression")
    if tokens[end].word == "case":
        while end < len(tokens) - 1 and tokens[end].word != "end":
            end += 1
    while end + 2 < len(tokens) and tokens[end + 1].text == ".":
        end += 2
    if end + 1 < len(tokens) and tokens[end].word in FUNCTIONS and tokens[end + 1].text == "(":
        end += 1
    if tokens[end].text == "(":
        end = _partner(tokens, end, 1)
    return start, end


def _partner(tokens: list[Token], place: int, step: int) -> int:
    """The parenthesis that belongs to the one at `place`."""
    depth = 0
    while 0 <= place < len(tokens):
        depth += {"(": 1, ")": -1}.get(tokens[place].text, 0)
        if depth == 0:
            return place
        place += step
    raise OracleError("ORA-00907: missing right parenthesis")
