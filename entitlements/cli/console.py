"""Output of the commands: rich's console, and what is written to it in the same way by all."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.text import Text

T = TypeVar("T")

_CONTROL_CHARACTERS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "?")
_PROGRESS_FROM = 1_000
"""Items from which a progress bar is worth its lines."""


class CliConsole(Console):
    """
    Stdout or stderr; a closed pipe is not an error.

    Each line is written as it is: rich interprets no markup and wraps nothing.

    Args:
        stderr: Write to stderr.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(
            stderr=stderr,
            markup=False,
            highlight=False,
            emoji=False,
            soft_wrap=True,
            color_system=None if os.environ.get("NO_COLOR") else "auto",
        )

    @property
    def wrap_width(self) -> int | None:
        """The width to wrap at; None in a pipe, where no line is wrapped."""
        columns = os.environ.get("COLUMNS", "")
        return self.width if self.is_terminal or (columns.isdecimal() and int(columns)) else None

    @property
    def is_ascii(self) -> bool:
        """True if the encoding has ASCII characters only."""
        return self.options.ascii_only

    def write(self, text: str | Text) -> None:
        """Write plain or styled *text*, and end its line."""
        if isinstance(text, Text):
            text.plain = printable(text.plain)
            self.print(text)
        else:
            self.out(printable(text.removesuffix("\n")), highlight=False)

    def write_lines(self, lines: Iterable[str | Text]) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def write_json(self, value: object) -> None:
        """Write a value as JSON, with the characters that the encoding has."""
        self.write(json.dumps(value, indent=2, ensure_ascii=self.is_ascii))

    def write_answer(self, value: Callable[[], object], lines: Iterable[str | Text], *, as_json: bool) -> None:
        """
        Write an answer in the format that `--json` chooses.

        Args:
            value: Returns the answer for JSON.
            lines: The answer for people.
            as_json: The option.
        """
        if as_json:
            self.write_json(value())
        else:
            self.write_lines(lines)

    def on_broken_pipe(self) -> None:
        """Write nothing more; the answer, and so the exit code, stays the same."""
        self.quiet = True
        silence(sys.stderr if self.stderr else sys.stdout)


def warn(*messages: str, style: str = "yellow") -> None:
    """Write messages to stderr, one line each."""
    console = CliConsole(stderr=True)
    for message in messages:
        console.write(Text(message, style))


def printable(text: str) -> str:
    """Replace each control character by `?`: a terminal would execute it."""
    return text.translate(_CONTROL_CHARACTERS)


def silence(stream: Any) -> None:
    """Redirect *stream* to the null device, so that flushing its buffer does not fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def with_progress(items: Iterable[T], total: int, what: str, *, at_least: int = _PROGRESS_FROM) -> Iterator[T]:
    """Yield *items*; a terminal on stderr shows a progress bar meanwhile if there are more than *at_least*."""
    from rich.progress import track

    is_shown = total > at_least and sys.stderr.isatty()
    yield from track(items, what, total, console=Console(stderr=True), transient=True) if is_shown else items
