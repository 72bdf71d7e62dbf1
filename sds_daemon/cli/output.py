"""Printing: JSON, CSV and tables. Rich is used on a terminal alone; elsewhere tables are plain text."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, TextIO

import click

NO_PROFILE = "no profile yet; write one with sds-daemon init"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def plain(value: Any) -> Any:
    """The value made of JSON's own types: instants as ISO text in UTC, records as objects."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, Path):
        return str(value)
    if names := getattr(value, "__struct_fields__", None):
        return {name: plain(getattr(value, name)) for name in names}
    return str(value)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def instant(value: datetime | None) -> str:
    """ISO 8601 in UTC to the second, like 2026-08-15T06:00:00Z; empty for None."""
    if value is None:
        return ""
    return value.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def local(value: datetime | None) -> str:
    """The machine's local time for people to read; "-" for None."""
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S") if value else "-"


def clean(text: object) -> str:
    """Text from other systems without line breaks or control characters, which a terminal would obey."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(text))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "nothing to show") -> None:
    """A table on standard output, or the sentence `empty`."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if not cells:
        click.echo(empty)
    elif sys.stdout.isatty():
        _print_rich(columns, cells)
    else:
        _print_plain(columns, cells)


def _print_rich(columns: Sequence[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _print_plain(columns: Sequence[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[index]) for row in [list(columns), *rows]) for index in range(len(columns))]
    for row in [list(columns), *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def write_csv(columns: Sequence[str], rows: Iterable[Iterable[object]], out: TextIO | None = None) -> None:
    """CSV as spreadsheets take it (RFC 4180, header first); to standard output by default.

    A text that a spreadsheet would run as a formula gets an apostrophe in front (OWASP: CSV injection).
    """
    writer = csv.writer(out or sys.stdout)
    writer.writerow(columns)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)


def write_private_csv(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """The same into a file that only its owner can read, one that is there already included.

    Raises UsageError where the file cannot be written, or is another user's.
    """
    from sds_daemon.errors import UsageError

    with contextlib.ExitStack() as ending:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            file = ending.enter_context(os.fdopen(handle, "w", encoding="utf-8", newline=""))
            if stat.S_ISREG(os.fstat(handle).st_mode):
                os.fchmod(handle, 0o600)
                file.truncate()
        except OSError as error:
            raise UsageError(f"{path} cannot be written ({error.strerror})", remedy="name another file") from error
        write_csv(columns, rows, file)


def _harmless(cell: object) -> str:
    text = "" if cell is None else str(plain(cell))
    number = text.removeprefix("-").isdecimal()
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and not number else text
