"""Text in a narrow column: broken between words, behind hyphens, dots and slashes, and inside a word only if it must be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.cells import cell_len, chop_cells

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEHIND = re.compile(r"(?<=[A-Za-z][./-])(?=[A-Za-z])")
"""Where a word may be broken: not inside of numbers and dates."""


def folded(text: str, width: int, indent: str = "") -> list[str]:
    """
    Return *text* as lines of at most *width*.

    Args:
        text: One paragraph.
        width: Cells of a terminal.
        indent: Stands before every line but the first.
    """
    if cell_len(text) <= width:
        return [text]
    lines = [""]
    for piece, blank in _pieces(text, max(2, width - len(indent))):
        between = " " if blank and lines[-1].strip() else ""
        if cell_len(lines[-1] + between + piece) <= width or not lines[-1].strip():
            lines[-1] += between + piece
        else:
            lines.append(indent + piece)
    return lines


def _pieces(text: str, width: int) -> Iterator[tuple[str, bool]]:
    """Return what is not to be broken any more, and whether a blank stands before it."""
    for word in text.split():
        blank = True
        for part in _BEHIND.split(word):
            for piece in _chopped(part, width):
                yield piece, blank
                blank = False


def _chopped(part: str, width: int) -> list[str]:
    """Return a part of a word in pieces that fit, about as long as each other, hyphens between; a number has none."""
    if cell_len(part) <= width:
        return [part]
    if not part.isascii() or part[0].isdigit():
        return chop_cells(part, width)
    least = len(chop_cells(part, width - 1))
    *first, last = chop_cells(part, -(-len(part) // least))
    return [*(f"{piece}-" for piece in first), last]
