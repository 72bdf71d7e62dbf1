"""Oracle's functions over SQLite values: dates are day numbers (proleptic ordinals), the time of day their fraction."""

from __future__ import annotations

import datetime as dt
import functools
import re
import sqlite3
from collections.abc import Callable
from typing import Any, Final

_OWN: Final = (
    "to_char", "to_date", "to_number", "nvl2", "decode", "trunc", "mod", "initcap", "lpad", "rpad", "greatest", "least",
    "add_months", "last_day",
)  # fmt: skip
_SAME: Final = (
    "upper", "lower", "coalesce", "nullif", "count", "max", "min", "sum", "avg", "abs", "length", "substr", "instr",
    "replace", "trim", "ltrim", "rtrim", "row_number", "rank", "dense_rank", "lag", "lead", "sign",
)  # fmt: skip
FUNCTIONS: Final[dict[str, str]] = {
    **{name: name for name in _SAME},
    **{name: f"ora_{name}" for name in _OWN},
    "nvl": "ifnull",
    "round": "ora_round",
    "floor": "ora_floor",
    "ceil": "ora_ceil",
    "cast": "cast",
}
"""Every function a query may call, and what it is called in SQLite."""

_PARTS: Final[dict[str, str]] = {
    "YYYY": "%Y", "RRRR": "%Y", "YY": "%y", "RR": "%y", "MM": "%m", "DD": "%d", "HH24": "%H", "HH": "%I", "MI": "%M",
    "SS": "%S", "MON": "%b", "MONTH": "%B", "DAY": "%A", "DY": "%a", "DDD": "%j", "AM": "%p", "PM": "%p",
}  # fmt: skip
_PART: Final = re.compile("|".join(sorted(_PARTS, key=len, reverse=True)), re.IGNORECASE)


class _Refused(Exception):
    """Carries Oracle's words out of a function; SQLite itself keeps only that it failed."""


class Functions:
    """Registers the functions on a connection; `failure` holds what Oracle would have said of the last failed call."""

    def __init__(self, connection: sqlite3.Connection, now: Callable[[], dt.datetime]) -> None:
        self.failure = ""
        self._now = now
        connection.create_function("ora_sysdate", 0, self._sysdate)
        table: dict[str, tuple[int, Callable[..., Any]]] = {
            "ora_to_char": (-1, _to_char), "ora_to_date": (-1, _to_date), "ora_to_number": (1, _to_number),
            "ora_nvl2": (3, lambda value, some, none: none if value is None else some), "ora_decode": (-1, _decode),
            "ora_trunc": (-1, _trunc), "ora_mod": (2, _mod), "ora_round": (-1, _round), "ora_floor": (1, _floor),
            "ora_ceil": (1, _ceil), "ora_initcap": (1, _initcap), "ora_lpad": (-1, _lpad), "ora_rpad": (-1, _rpad),
            "ora_greatest": (-1, _greatest), "ora_least": (-1, _least), "ora_add_months": (2, _add_months),
            "ora_last_day": (1, _last_day),
        }  # fmt: skip
        for name, (count, function) in table.items():
            connection.create_function(name, count, self._guarded(function), deterministic=True)

    def _sysdate(self) -> float:
        now = self._now()
        return now.toordinal() + (now.hour * 3600 + now.minute * 60 + now.second) / 86400

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            try:
                return function(*values)
            except _Refused as problem:
                self.failure = str(problem)
                raise
            except (TypeError, ValueError, OverflowError):
                self.failure = "ORA-01722: invalid number"
                raise

        return call


@functools.lru_cache(maxsize=50_000)
def _to_char(value: Any, form: str | None = None) -> str | None:
    if value is None:
        return None
    if form is None:
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if form.upper().startswith("FM"):
        form = form[2:]
    if not _PART.search(form):
        return _number_as(value, form)
    if isinstance(value, str):
        raise _Refused("ORA-01722: invalid number")
    seconds = round((value % 1) * 86400)
    moment = dt.datetime.fromordinal(int(value)) + dt.timedelta(seconds=seconds)
    return moment.strftime(_strftime(form)).upper() if "MON" in form.upper() else moment.strftime(_strftime(form))


def _number_as(value: Any, form: str) -> str:
    if not re.fullmatch("[09.]+", form):
        raise _Refused("ORA-01481: invalid number format model")
    zeros = len(form) - form.index("0") if "0" in form else 0
    # A place is kept for the sign.
    return " " + str(int(value)).rjust(zeros, "0")


def _strftime(form: str) -> str:
    parts = re.split(r'"([^"]*)"', form)
    made = [
        _PART.sub(lambda m: _PARTS[m.group().upper()], part) if n % 2 == 0 else part for n, part in enumerate(parts)
    ]
    rest = re.sub("%[A-Za-z]", "", "".join(part for n, part in enumerate(made) if n % 2 == 0))
    if re.search("[A-Za-z]", rest):
        raise _Refused("ORA-01821: date format not recognized")
    return "".join(made)


@functools.lru_cache(maxsize=5_000)
def _to_date(value: Any, form: str | None = None) -> float | int | None:
    if value is None:
        return None
    if form is None or not isinstance(value, str):
        raise _Refused("ORA-01861: literal does not match format string")
    try:
        moment = dt.datetime.strptime(value.strip(), _strftime(form))  # noqa: DTZ007 - a date has no zone
    except ValueError:
        raise _Refused("ORA-01861: literal does not match format string") from None
    fraction = (moment.hour * 3600 + moment.minute * 60 + moment.second) / 86400
    return moment.toordinal() + fraction if fraction else moment.toordinal()


def _to_number(value: Any) -> int | float | None:
    if value is None:
        return None
    number = float(value)
    return int(number) if number.is_integer() else number


def _decode(value: Any, *rest: Any) -> Any:
    for wanted, answer in zip(rest[0::2], rest[1::2], strict=False):
        if wanted == value:
            return answer
    return rest[-1] if len(rest) % 2 else None


def _trunc(value: Any, digits: Any = 0) -> Any:
    if value is None:
        return None
    if isinstance(digits, str):
        return _start_of(int(value), digits.upper())
    scale = 10 ** int(digits)
    return int(float(value) * scale) / scale if digits else int(float(value))


def _start_of(day: int, unit: str) -> int:
    date = dt.date.fromordinal(day)
    if unit in ("YYYY", "YEAR", "YY"):
        return date.replace(month=1, day=1).toordinal()
    if unit in ("MM", "MONTH", "MON"):
        return date.replace(day=1).toordinal()
    if unit in ("DD", "DDD"):
        return day
    raise _Refused("ORA-01898: too many precision specifiers")


def _mod(value: Any, by: Any) -> Any:
    if value is None or by is None:
        return None
    quotient = int(float(value) / float(by)) if by else 0
    return value - by * quotient


def _round(value: Any, digits: Any = 0) -> Any:
    if value is None:
        return None
    scale = 10 ** int(digits)
    rounded = int(abs(float(value)) * scale + 0.5) / scale
    signed = rounded if value >= 0 else -rounded
    return int(signed) if signed.is_integer() else signed


def _floor(value: Any) -> int | None:
    return None if value is None else int(float(value) // 1)


def _ceil(value: Any) -> int | None:
    return None if value is None else -int(-float(value) // 1)


def _initcap(value: Any) -> str | None:
    return None if value is None else str(value).title()


def _lpad(value: Any, width: Any, fill: str = " ") -> str | None:
    if value is None:
        return None
    text, size = str(value), int(width)
    missing = size - len(text)
    return ((fill * size)[: max(0, missing)] + text)[:size]


def _rpad(value: Any, width: Any, fill: str = " ") -> str | None:
    return None if value is None else (str(value) + fill * int(width))[: int(width)]


def _greatest(*values: Any) -> Any:
    return None if None in values else max(values)


def _least(*values: Any) -> Any:
    return None if None in values else min(values)


def _add_months(value: Any, months: Any) -> int | None:
    if value is None or months is None:
        return None
    date = dt.date.fromordinal(int(value))
    year, month = divmod(date.year * 12 + date.month - 1 + int(months), 12)
    last = (dt.date(year + month // 11, (month + 1) % 12 + 1, 1) - dt.timedelta(days=1)).day
    return dt.date(year, month + 1, min(date.day, last)).toordinal()


def _last_day(value: Any) -> int | None:
    if value is None:
        return None
    first = dt.date.fromordinal(int(value)).replace(day=1)
    return ((first + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)).toordinal()
