"""The raw answer of a PowerQuery, kept in an anonymous file until it is needed, and hashed on the way there."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from sds_daemon.errors import StateError

ROW_MARK = b'"id":'
"""Once in every row, since each query names its row's id so. No text can hold it: a quote in a text is escaped."""


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        folder = tempfile.tempdir or "the temporary folder"
        raise StateError(
            f"what PowerSchool answers cannot be kept in {folder}: {error.strerror or error}",
            remedy="make room there, or name another folder in the environment variable TMPDIR",
        ) from error


class Spool:
    """One or more JSON documents. The file has no name and is gone with its last holder, whatever ends the process.

    `rows` counts the rows seen in passing; 0 where the server spaces its JSON, which says nothing then.
    """

    def __init__(self) -> None:
        with _room():
            self._file: IO[bytes] = tempfile.TemporaryFile(buffering=1 << 20)  # noqa: SIM115 - its life is the spool's
        self._hash = hashlib.blake2b(digest_size=32)
        self._ends: list[int] = []
        self._tail = b""
        self._last = b""
        self.size = 0
        self.rows = 0

    def write(self, piece: bytes) -> None:
        """Adds to the current document. Raises StateError where there is no room."""
        with _room():
            self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)
        seen = self._tail + piece
        self.rows += seen.count(ROW_MARK)
        self._tail = seen[1 - len(ROW_MARK) :]

    def end_document(self) -> None:
        """What follows is another document."""
        self._ends.append(self.size)
        self._last, self._tail = self._tail, b""

    @property
    def digest(self) -> str:
        """64 hexadecimal digits for everything written."""
        return self._hash.hexdigest()

    @property
    def ended(self) -> bool:
        """Whether the last document's last character is one a JSON object ends with."""
        return self._last.rstrip().endswith(b"}")

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self._ends)

    def document(self, number: int, step: int) -> Iterator[bytes]:
        """The bytes of one document from its beginning, `step` at a time."""
        start = self._ends[number - 1] if number else 0
        left = self._ends[number] - start
        with _room():
            self._file.seek(start)
        while left > 0:
            piece = self._file.read(min(step, left))
            if not piece:
                return
            left -= len(piece)
            yield piece

    def take(self, other: Spool) -> None:
        """Adds the documents of another spool."""
        for number in range(other.documents):
            for piece in other.document(number, 1 << 20):
                self.write(piece)
            self.end_document()

    def close(self) -> None:
        """Give the space back. May be called twice."""
        with suppress(OSError):  # what is buffered is not wanted any more
            self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()
