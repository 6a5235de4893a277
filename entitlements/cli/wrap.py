"""Wrapping of text in a narrow column: between words, then after hyphens, dots and slashes, then inside a word."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len, chop_cells

_BREAK = re.compile(r"(?<=[A-Za-z][./-])(?=[A-Za-z])")
"""A place where a word may break: not inside numbers and dates."""


def wrap_text(text: str, width: int | None, indent: str = "") -> list[str]:
    """
    Return *text* as lines of at most *width*.

    Args:
        text: One paragraph.
        width: In cells of a terminal; None for one line of any length.
        indent: Precedes every line but the first.
    """
    if width is None or cell_len(text) <= width:
        return [text]
    lines = [""]
    for piece, is_spaced in _pieces(text, max(2, width - len(indent))):
        space = " " if is_spaced and lines[-1].strip() else ""
        if cell_len(lines[-1] + space + piece) <= width or not lines[-1].strip():
            lines[-1] += space + piece
        else:
            lines.append(indent + piece)
    return lines


def _pieces(text: str, width: int) -> Iterator[tuple[str, bool]]:
    """Yield the pieces that stay whole, and True with each that a space precedes."""
    for word in text.split():
        is_spaced = True
        for part in _BREAK.split(word):
            for piece in _chop(part, width):
                yield piece, is_spaced
                is_spaced = False


def _chop(part: str, width: int) -> list[str]:
    """Return a part of a word in pieces of about equal length with hyphens between; a number gets no hyphens."""
    if cell_len(part) <= width:
        return [part]
    if not part.isascii() or part[0].isdigit():
        return chop_cells(part, width)
    least = len(chop_cells(part, width - 1))
    *first, last = chop_cells(part, -(-len(part) // least))
    return [*(f"{piece}-" for piece in first), last]
