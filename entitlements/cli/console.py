"""Where answers are written: rich's console, quiet about a reader that goes away."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.text import Text

T = TypeVar("T")

_OBEYED = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "?")


class CliConsole(Console):
    """
    Stdout, or stderr.

    A line is written as it is: nothing is interpreted as markup, nothing is folded but
    by who knows the meaning of it.

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
    def fold(self) -> int | None:
        """The width to fit; None in a pipe, where a line may be as long as it is."""
        told = os.environ.get("COLUMNS", "")
        return self.width if self.is_terminal or (told.isdecimal() and int(told)) else None

    @property
    def is_ascii(self) -> bool:
        """Whether signs beyond ASCII would not arrive."""
        return self.options.ascii_only

    def put(self, text: str) -> None:
        """Write plain *text*, and end its line."""
        self.out(visible(text.removesuffix("\n")), highlight=False)

    def show(self, text: Text) -> None:
        """Write styled *text*, and end its line."""
        text.plain = visible(text.plain)
        self.print(text)

    def put_json(self, value: object) -> None:
        """Write a value as JSON, legible where the signs arrive."""
        self.put(json.dumps(value, indent=2, ensure_ascii=self.is_ascii))

    def on_broken_pipe(self) -> None:
        """Write nothing more; the answer, and so the exit code, stays what it is."""
        self.quiet = True
        silence(sys.stderr if self.stderr else sys.stdout)


def visible(text: str) -> str:
    """Return *text* without control characters, as long as before: a terminal would obey them."""
    return text.translate(_OBEYED)


def silence(stream: Any) -> None:
    """Point *stream* nowhere, so that what is still buffered does no harm."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def tracked(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield *items*; on a terminal with a bar on stderr that goes when it is done."""
    from rich.progress import track

    shown = total > _WORTH_A_BAR and sys.stderr.isatty()
    yield from track(items, what, total, console=Console(stderr=True), transient=True) if shown else items


_WORTH_A_BAR = 1_000
