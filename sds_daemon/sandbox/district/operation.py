"""What every operation on a district shares: its arguments, checked as they are read, and the list of operations."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.model import District

_MISSING: Final = object()
Result = dict[str, Any]


class ChangeError(ValueError):
    """The operation cannot be done; the message says why. Nothing has been changed."""


class Args:
    """The arguments of one operation; each is taken once, and what is left over at the end was not understood."""

    def __init__(self, district: District, values: Mapping[str, Any], today: dt.date) -> None:
        self.district = district
        self.today = today
        self.op = str(values.get("op", ""))
        self._left = {key: value for key, value in values.items() if key not in ("op", "note")}

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def text(self, name: str, default: Any = _MISSING) -> str:
        """Text, or a whole number taken as its digits."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ChangeError(f"{self.op}: {name} must be text")
        return str(value)

    def integer(self, name: str, default: Any = _MISSING) -> int:
        """A whole number, or text that spells one."""
        value = self._take(name, default)
        try:
            if isinstance(value, str | int) and not isinstance(value, bool):
                return int(value)
        except ValueError:
            pass
        raise ChangeError(f"{self.op}: {name} must be a whole number")

    def date(self, name: str, default: Any = _MISSING) -> dt.date:
        """A date as YYYY-MM-DD."""
        value = self._take(name, default)
        if isinstance(value, dt.date):
            return value
        try:
            return dt.date.fromisoformat(str(value))
        except ValueError:
            raise ChangeError(f"{self.op}: {name} must be a date as YYYY-MM-DD") from None

    def flag(self, name: str, default: bool) -> bool:
        """A truth value."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise ChangeError(f"{self.op}: {name} must be true or false")
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of these words, the first by default."""
        value = self.text(name, allowed[0])
        if value not in allowed:
            raise ChangeError(f"{self.op}: {name} must be one of {', '.join(allowed)}")
        return value

    def row(self, table: str, name: str, default: Any = _MISSING) -> Any:
        """The row of `table` whose DCID the argument gives."""
        dcid = self.integer(name, default)
        row = self.district.table(table).get(dcid)
        if row is None:
            raise ChangeError(f"{self.op}: there is no {name} {dcid}")
        return row

    def rows(self, table: str, name: str) -> list[Any]:
        """The rows whose DCIDs the argument lists; none if it is missing."""
        value = self._take(name, [])
        if not isinstance(value, list):
            raise ChangeError(f"{self.op}: {name} must be a list of ids")
        return [Args(self.district, {"op": self.op, name: item}, self.today).row(table, name) for item in value]

    def new_dcid(self, table: str) -> int:
        """The argument `id` if given and free, else the next free number."""
        dcid = self.integer("id", self.district.next_dcid(table))
        if dcid in self.district.table(table):
            raise ChangeError(f"{self.op}: id {dcid} is taken")
        return dcid

    def columns(self, kinds: Mapping[str, str]) -> dict[str, Any]:
        """All arguments that name a column; `kinds` gives text, integer or date for each."""
        return {name: getattr(self, kind)(name) for name, kind in kinds.items() if name in self}

    def update(self, row: Any, kinds: Mapping[str, str], more: Mapping[str, Any] | None = None) -> None:
        """Sets the named columns of the row, and `more`; at least one must be given."""
        values = {**self.columns(kinds), **(more or {})}
        self.finish()
        if not values:
            raise ChangeError(f"{self.op}: nothing to change; it can set {', '.join(kinds)}")
        for name, value in values.items():
            self.district.assign(row, name, value)

    def finish(self) -> None:
        """Raises ChangeError if an argument was not used."""
        if self._left:
            raise ChangeError(f"{self.op}: unknown argument {', '.join(sorted(self._left))}")

    def _take(self, name: str, default: Any) -> Any:
        value = self._left.pop(name, default)
        if value is _MISSING:
            raise ChangeError(f"{self.op}: {name} is missing")
        return value


Operation = Callable[[Args], Result]
OPERATIONS: Final[dict[str, Operation]] = {}


def operation(function: Operation) -> Operation:
    """Registers a function under its name as an operation."""
    OPERATIONS[function.__name__] = function
    return function


def current_term(args: Args, school: model.School) -> model.Term:
    """The school's full-year term of today; ChangeError if today lies in none."""
    year = args.district.current_year(school.dcid, args.today)
    for term in args.district.terms.values():
        if term.school == school.dcid and term.portion == 1 and term.start_year == year:
            return term
    raise ChangeError(f"{args.op}: school {school.dcid} has no full-year term that contains {args.today}; name a term")
