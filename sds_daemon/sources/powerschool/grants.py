"""Which columns the plugin's PowerQueries need, and which of them this server does not have or does not let us read."""

from __future__ import annotations

import re

import msgspec

from sds_daemon.errors import SourceError, SourceInvalid, SourceRefused
from sds_daemon.sources.powerschool.client import Session
from sds_daemon.sources.powerschool.lanes import each
from sds_daemon.sources.powerschool.plugin import MANIFEST, plugin_folder

# Our own file, so what it looks like is known: an XML parser in this program would be one that can be misled.
_FIELD = re.compile(r'<field table="(\w+)" field="(\w+)"')

Columns = dict[str, tuple[str, ...]]


class Missing(msgspec.Struct, frozen=True):
    """Columns as TABLE.COLUMN, sorted. `absent` ones keep the plugin from being enabled at all."""

    absent: list[str]
    refused: list[str]


def columns_needed() -> Columns:
    """The columns plugin.xml asks for, by table. Raises ConfigurationError for a damaged installation."""
    manifest = (plugin_folder() / MANIFEST).read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for table, column in _FIELD.findall(manifest):
        found.setdefault(table, []).append(column)
    return {table: tuple(columns) for table, columns in found.items()}


async def find_missing(session: Session) -> Missing:
    """Asks for one row of every table, and for single columns where a table refuses. Raises SourceError.

    The server says 400 for a column it does not have and 403 for one that is not granted.
    """
    absent: list[str] = []
    refused: list[str] = []

    async def probe(table: str, columns: tuple[str, ...]) -> None:
        verdict = await _ask(session, table, columns)
        if verdict is None:
            return
        if len(columns) == 1:
            (absent if verdict == "absent" else refused).append(f"{table}.{columns[0]}")
            return
        for column in columns:
            await probe(table, (column,))

    await each(session.lanes, list(columns_needed().items()), lambda item: probe(*item))
    return Missing(sorted(absent), sorted(refused))


async def _ask(session: Session, table: str, columns: tuple[str, ...]) -> str | None:
    """None where all may be read, else "absent" or "refused"."""
    path = f"/ws/schema/table/{table.lower()}"
    try:
        answer = await session.find(path, {"projection": ",".join(columns).lower(), "pagesize": 1})
    except SourceRefused:
        return "refused"
    except SourceInvalid:
        return "absent"
    return "absent" if answer is None else None


def told(missing: Missing) -> str:
    """The sentence for an operator; empty where nothing is missing."""
    parts = []
    if missing.absent:
        parts.append(f"this server has no {', '.join(missing.absent)}, so the plugin cannot be enabled there")
    if missing.refused:
        parts.append(f"the plugin may not read {', '.join(missing.refused)}")
    return "; ".join(parts)


async def explain_refusal(session: Session, refusal: SourceError) -> str:
    """Why PowerQueries are refused: the columns that are missing, else what the server said."""
    try:
        return told(await find_missing(session)) or refusal.message
    except SourceError:
        return refusal.message
