"""Logging: one sentence and the bound fields profile, run and action; for the journal without time and with a level.

No secret is ever meant to reach a message. What does all the same is struck out here, as the last defence.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from loguru import logger

from sds_daemon.redaction import redact

if TYPE_CHECKING:
    from loguru import Message, Record

FIELDS = ("profile", "run", "action")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SYSLOG = ((50, 2), (40, 3), (30, 4), (20, 6))


def configure(
    level: str = "INFO", stream: TextIO | None = None, journal: bool | None = None, *, errors_shown: bool = False
) -> None:
    """Send everything at `level` or above to `stream` (standard error), replacing what was set up before.

    `journal`: lines as systemd reads them, `<N>` for the level and no time; None: where the stream is the journal.
    Messages of libraries come through from WARNING on. `errors_shown`: what a failed run ends with is left out, since
    the command prints it itself.
    """
    out = sys.stderr if stream is None else stream
    to_journal = is_journal(out) if journal is None else journal
    logger.remove()
    logger.add(
        _journal_sink(out) if to_journal else _plain_sink(out),
        level=level,
        format=_format(timed=not to_journal),
        filter=_not_shown if errors_shown else None,
        backtrace=False,
        diagnose=False,
    )
    logging.basicConfig(handlers=[Intercept()], level=logging.WARNING, force=True)


def _not_shown(record: Record) -> bool:
    return record["extra"].get("action") != "run_end" or record["level"].name != "ERROR"


def is_journal(stream: TextIO) -> bool:
    """Whether the stream is the journal (systemd.exec: JOURNAL_STREAM holds its device and inode)."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


class Intercept(logging.Handler):
    """Hands records of the standard library's logging to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record over, with its exception."""
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        bound = logger.bind(action=record.name.partition(".")[0])
        bound.opt(depth=6, exception=record.exc_info).log(level, "{}", record.getMessage())


def _format(*, timed: bool) -> Callable[[Record], str]:
    head = "{time:YYYY-MM-DD HH:mm:ss} {level: <7} " if timed else ""

    def line(record: Record) -> str:
        # Built here rather than from {message}: a line feed in foreign text must not start a line of its own.
        record["extra"]["_line"] = redact(_CONTROL.sub(_escaped, record["message"])) + _fields(record)
        return head + "{extra[_line]}\n{exception}"

    return line


def _fields(record: Record) -> str:
    extra = record["extra"]
    names = [name for name in FIELDS if name in extra]
    names += sorted(name for name in extra if name not in FIELDS and not name.startswith("_"))
    return "".join(f" {name}={_CONTROL.sub(_escaped, redact(str(extra[name])))}" for name in names)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _plain_sink(stream: TextIO) -> Callable[[Message], None]:
    def write(message: Message) -> None:
        stream.write(redact(str(message)))
        stream.flush()

    return write


def _journal_sink(stream: TextIO) -> Callable[[Message], None]:
    def write(message: Message) -> None:
        number = message.record["level"].no
        prefix = f"<{next((syslog for least, syslog in _SYSLOG if number >= least), 7)}>"
        stream.write("".join(f"{prefix}{line}\n" for line in redact(str(message)).splitlines()))
        stream.flush()

    return write
