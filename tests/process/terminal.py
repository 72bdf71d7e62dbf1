"""A program on a pseudo-terminal, driven as a person would: wait for words, type a line."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import termios
import time
from pathlib import Path


class Terminal:
    """`screen`: everything the program has shown so far."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (50, 200))
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "TERM": "dumb"},
            cwd=folder,
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        os.close(slave)
        self.screen = ""
        self._seen = 0

    def expect(self, words: str, seconds: float = 40) -> None:
        """Wait until the words are shown after what was expected before."""
        end = time.monotonic() + seconds
        while (place := self.screen.find(words, self._seen)) < 0:
            assert time.monotonic() < end, f"waited in vain for {words!r}\n{self.screen[-3000:]}"
            assert self._read() or self._process.poll() is None, f"ended before {words!r}\n{self.screen[-3000:]}"
        self._seen = place + len(words)

    def type(self, line: str) -> None:
        """A line and Enter."""
        os.write(self._master, line.encode() + b"\n")

    def answer(self, question: str, line: str) -> None:
        """Wait for a question, then answer it."""
        self.expect(question)
        self.expect(": ")
        self.type(line)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left running, whatever failed."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)

    def press_control_c(self) -> None:
        """Once the program waits for its answer, as a person would.

        CPython and readline lose a signal that comes after the prompt is shown and before the wait for input begins.
        """
        for _ in range(3):
            while self._process.poll() is None and not self._waits():
                self._read()
            time.sleep(0.05)
        os.write(self._master, b"\x03")

    def _waits(self) -> bool:
        """Whether the kernel has put the program's main thread to sleep (proc(5), stat)."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "S"

    def end(self, seconds: float = 40) -> int:
        """Wait for the program's end; its exit code."""
        end = time.monotonic() + seconds
        while self._process.poll() is None or self._read():
            assert time.monotonic() < end, f"it does not end\n{self.screen[-3000:]}"
            self._read()
        return self._process.wait()

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 0.1)
        if not ready:
            return False
        with contextlib.suppress(OSError):  # Linux: EIO once the program has closed its side
            text = os.read(self._master, 65536).decode(errors="replace")
            self.screen += text
            return bool(text)
        return False


def _own_terminal() -> None:
    """Make the slave the controlling terminal, so that Ctrl-C becomes a signal and getpass finds /dev/tty."""
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # jobs in the background of a shell inherit it ignored
