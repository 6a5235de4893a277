"""
A comparison as lines of text, for a terminal or a pipe.

On a terminal the columns share its width, and what is too long is wrapped inside its
column; tiers that do not fit beside each other follow below. In a pipe every row is one
line, as long as it must be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from entitlements.cli.matrix import Cell, Column, Kind, Matrix, Row, Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from entitlements.cli.screen import Screen

GAP = 2
NARROWEST = 9
"""A tier's column never gets narrower than this."""

STYLES = {Kind.YES: "green", Kind.NO: "dim", Kind.ABSENT: "dim", Kind.OPEN: "italic"}


@dataclass(frozen=True, slots=True)
class Signs:
    """The signs that are not words."""

    absent: str = "—"
    item: str = "• "
    rule: str = "─"


ASCII = Signs("-", "- ", "-")


def show(screen: Screen, matrix: Matrix) -> None:
    """Write the comparison."""
    signs = ASCII if screen.is_ascii else Signs()
    blocks = list(_blocks(matrix, screen.fold))
    for block in blocks:
        for line in _lines(block, screen.fold, signs):
            screen.show(line)
        screen.print()
    legend = [f"{signs.absent} not included"] if Kind.ABSENT in matrix.kinds else []
    legend += ["* no commitment"] if Kind.OPEN in matrix.kinds else []
    screen.show(Text("    ".join([*legend, f"policy {matrix.version}, amounts in {matrix.currency}"]), "dim"))


def _blocks(matrix: Matrix, fold: int | None) -> Iterator[Matrix]:
    """Return the comparison, in parts of as many tiers as fit beside each other."""
    fitting = len(matrix.columns)
    if fold is not None:
        fitting = max(1, (fold - _label_width(matrix.sections, fold)) // (NARROWEST + GAP))
    for first in range(0, len(matrix.columns), fitting):
        part = slice(first, first + fitting)
        sections = (
            replace(section, rows=tuple(replace(row, cells=row.cells[part]) for row in section.rows))
            for section in matrix.sections
        )
        yield replace(matrix, columns=matrix.columns[part], sections=tuple(sections))


def _lines(matrix: Matrix, fold: int | None, signs: Signs) -> Iterator[Text]:
    if fold is None:
        for at, section in enumerate(matrix.sections):
            yield from [Text()] if at else []
            yield from _section(section, matrix.columns, _widths([section], matrix.columns, None, signs), signs)
        return
    widths = _widths(matrix.sections, matrix.columns, fold, signs)
    names = [_wrapped(column.name, width) for column, width in zip(matrix.columns, widths[1:], strict=True)]
    notes = [_wrapped(column.note, width) for column, width in zip(matrix.columns, widths[1:], strict=True)]
    yield from _beside([[""], *names], widths, ["bold"] * len(widths))
    if any(column.note for column in matrix.columns):
        yield from _beside([[""], *notes], widths, ["dim"] * len(widths))
    for section in matrix.sections:
        yield Text(signs.rule * (sum(widths) + GAP * (len(widths) - 1)), "dim")
        yield from _section(section, matrix.columns, widths, signs)


def _section(section: Section, columns: Sequence[Column], widths: list[int], signs: Signs) -> Iterator[Text]:
    ids = [_wrapped(column.id, width) for column, width in zip(columns, widths[1:], strict=True)]
    yield from _beside([_wrapped(section.name, widths[0]), *ids], widths, ["bold cyan"] * len(widths))
    for row in section.rows:
        label = _indented(row, widths[0])
        cells = [_filled(cell, width, signs) for cell, width in zip(row.cells, widths[1:], strict=False)]
        styles = ["" if row.cells else "bold", *(STYLES.get(cell.kind, "") for cell in row.cells)]
        yield from _beside([label, *cells], widths, styles)


def _widths(sections: Sequence[Section], columns: Sequence[Column], fold: int | None, signs: Signs) -> list[int]:
    """Return the width of the labels and of each tier's column: the widest are cut to fit, all to the same."""
    label = _label_width(sections, fold)
    wanted = [
        max(
            cell_len(column.id),
            *(cell_len(line) for section in sections for row in section.rows if row.cells
              for line in _texts(row.cells[at], signs, listed=fold is not None)),
        )
        for at, column in enumerate(columns)
    ]  # fmt: skip
    if fold is None:
        return [label, *wanted]
    wanted = [max(width, min(cell_len(column.name), 20)) for width, column in zip(wanted, columns, strict=True)]
    room = fold - label - GAP * len(columns)
    most = max(wanted)
    while sum(min(width, most) for width in wanted) > room and most > 1:
        most -= 1
    return [label, *(min(width, most) for width in wanted)]


def _label_width(sections: Sequence[Section], fold: int | None) -> int:
    labels = [len(_label(row)) for section in sections for row in section.rows]
    wanted = max([*labels, *(len(section.name) for section in sections)])
    return wanted if fold is None else min(wanted, max(12, fold * 3 // 10))


def _label(row: Row) -> str:
    return "  " * (row.depth + 1) + row.label


def _indented(row: Row, width: int) -> list[str]:
    """Return a label inside its column, broken at its dots too; what is broken off stands a little further in."""
    indent = "  " * (row.depth + 1)
    if len(indent) + len(row.label) <= width:
        return [indent + row.label]
    lines = wrap(row.label.replace(".", ". "), max(4, width - len(indent) - 1)) or [""]
    return [indent + lines[0], *(f"{indent} {line}" for line in lines[1:])]


def _texts(cell: Cell, signs: Signs, *, listed: bool) -> list[str]:
    """Return the lines of a cell; a list is one line, unless it is *listed* item by item."""
    if cell.kind is Kind.ABSENT:
        return [signs.absent]
    if cell.kind is Kind.OPEN:
        return [f"{cell.items[0]} *"]
    if len(cell.items) == 1 or not listed:
        return ["; ".join(cell.items)]
    return [f"{signs.item}{item}" for item in cell.items]


def _filled(cell: Cell, width: int, signs: Signs) -> list[str]:
    """Return the lines of a cell in a column of *width*."""
    whole = "; ".join(cell.items)
    lines = _texts(cell, signs, listed=cell_len(whole) > width)
    hanging = " " * len(signs.item) if lines[0].startswith(signs.item) and len(cell.items) > 1 else ""
    return [part for line in lines for part in _wrapped(line, width, hanging)]


def _wrapped(text: str, width: int, hanging: str = "") -> list[str]:
    return [text] if cell_len(text) <= width else wrap(text, width, subsequent_indent=hanging)


def _beside(cells: list[list[str]], widths: list[int], styles: list[str]) -> Iterator[Text]:
    """Return the lines of a row: each cell in its column, all from the same line on."""
    for line in zip_longest(*cells, fillvalue=""):
        text = Text()
        for part, width, style in zip(line, widths, styles, strict=False):
            text.append(part, style)
            text.append(" " * (width - cell_len(part) + GAP))
        text.rstrip()
        yield text
