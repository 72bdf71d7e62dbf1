"""Questions on a terminal or through a pipe: one line is one answer, an unfit one is refused and asked for again."""

from __future__ import annotations

import contextlib
import getpass
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from sds_daemon.cli.output import clean
from sds_daemon.errors import UsageError

Check = Callable[[str], str | None]
"""What is wrong with an answer, in words, or None."""


@dataclass(frozen=True)
class Option:
    """One choice: the value it stands for, and what is shown beside it."""

    value: str
    label: str = ""


def fits(answer: str) -> str | None:
    """The check that has no objection."""
    del answer
    return None


class Asker:
    """Asks and waits. Raises UsageError when the answers end before the questions do."""

    def say(self, text: str = "") -> None:
        """A line."""
        click.echo(text)

    def title(self, text: str) -> None:
        """The head of a step."""
        click.secho(f"\n{text}", bold=True)

    def text(self, question: str, *, default: str = "", check: Check = fits, optional: bool = False) -> str:
        """A line of text. An empty answer is the default; without one it is refused unless `optional`.

        With a default and `optional`, "-" means nothing.
        """
        hint = f" [{default}{'; - for none' if optional else ''}]" if default else " [none]" if optional else ""
        while True:
            answer = self._line(f"{question}{hint}: ") or default
            if optional and answer in ("", "-"):
                return ""
            fault = check(answer) if answer else "an answer is needed"
            if fault is None:
                return answer
            self.refuse(fault)

    def secret(self, question: str, *, kept: str = "", check: Check = fits) -> str:
        """A line that is not shown on a terminal. An empty answer is `kept`, the one given before."""
        hint = " [Enter keeps the one given before]" if kept else ""
        while True:
            answer = self._line(f"{question}{hint}: ", hidden=True) or kept
            fault = check(answer) if answer else "an answer is needed"
            if fault is None:
                return answer
            self.refuse(fault)

    def yes(self, question: str, *, default: bool = True) -> bool:
        """Yes or no."""
        while True:
            answer = self._line(f"{question} [{'Y/n' if default else 'y/N'}]: ").lower()
            if answer in ("", "y", "yes", "n", "no"):
                return default if not answer else answer.startswith("y")
            self.refuse("answer y or n")

    def choose(self, question: str, options: Sequence[Option], *, default: str = "") -> str:
        """One of the options, by its number in the list or by its value. Returns the value."""
        self._list(options)
        values = [option.value for option in options]
        place = f" [{values.index(default) + 1}]" if default in values else ""
        while True:
            answer = self._line(f"{question}{place}: ") or (default if default in values else "")
            found = _named(answer, values)
            if found is not None:
                return found
            self.refuse(f"answer with a number from 1 to {len(values)}" if len(values) > 1 else "answer 1")

    def choose_many(
        self, question: str, options: Sequence[Option], *, default: Sequence[str] = (), check: Check = fits
    ) -> tuple[str, ...]:
        """Any of the options, by numbers ("1,3-5"), values, "all" or "none"; in the order of the list."""
        self._list(options)
        values = [option.value for option in options]
        shown = ",".join(str(values.index(value) + 1) for value in default if value in values) or "none"
        while True:
            answer = self._line(f'{question} (numbers like 1,3-5; "all"; "none") [{shown}]: ')
            chosen, unknown = (tuple(default), "") if not answer else _picked(answer, values)
            fault = f"{unknown!r} is not in the list" if unknown else check(",".join(chosen))
            if fault is None:
                return chosen
            self.refuse(fault)

    def refuse(self, fault: str) -> None:
        """Say what is wrong with an answer."""
        click.secho(f"  {fault}", fg="yellow")

    def _list(self, options: Sequence[Option]) -> None:
        width = max((len(option.value) for option in options), default=0)
        for number, option in enumerate(options, 1):
            click.echo(f"  {number:>3}  {clean(option.value):<{width}}  {clean(option.label)}".rstrip())

    def _line(self, prompt: str, *, hidden: bool = False) -> str:
        terminal = sys.stdin.isatty()
        try:
            if hidden and terminal:
                return getpass.getpass(prompt).strip()
            if terminal:
                with contextlib.suppress(ImportError):
                    import readline  # noqa: F401 - gives input() its line editing
                return input(prompt).strip()
            click.echo(prompt, nl=False)
            answer = _read_line()
        except EOFError:
            click.echo()
            raise UsageError(
                f"the answers ended at the question “{prompt.strip(' :')}”; nothing was written",
                remedy="run it again, and answer to the end",
            ) from None
        # Nobody saw these lines being typed: repeat them, so that what is printed can be read.
        click.echo("(not shown)" if hidden and answer else answer)
        return answer


def _read_line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()


def _named(answer: str, values: Sequence[str]) -> str | None:
    if answer.isdecimal() and 1 <= int(answer) <= len(values):
        return values[int(answer) - 1]
    return next((value for value in values if value.casefold() == answer.casefold()), None)


def _picked(answer: str, values: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The values an answer picks, and its first part that picks none."""
    if answer.casefold() in ("all", "none", "-"):
        return (tuple(values) if answer.casefold() == "all" else ()), ""
    picked: set[str] = set()
    for part in filter(None, (piece.strip() for piece in answer.split(","))):
        span = re.fullmatch(r"(\d+)\s*-\s*(\d+)", part)
        numbers = range(int(span[1]), int(span[2]) + 1) if span else ()
        if numbers and numbers[0] >= 1 and numbers[-1] <= len(values):
            picked.update(values[number - 1] for number in numbers)
        elif (found := _named(part, values)) is not None:
            picked.add(found)
        else:
            return (), part
    return tuple(value for value in values if value in picked), ""
