"""
A comparison as lines of text, for a terminal or a pipe.

On a terminal the columns share its width, and what is too long is wrapped inside its
column; tiers that do not fit beside each other follow below. In a pipe every row is one
line, as long as it must be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from entitlements.cli.matrix.comparison import Cell, CellKind, Column, Matrix, MatrixRow, Section
from entitlements.cli.wrap import folded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from entitlements.cli.console import CliConsole

GAP = 2
NARROWEST = 9
"""A tier's column never gets narrower than this."""

ROOMY = 20
"""From this width on, a list stands in its column item by item, and is never shortened."""

TALLEST = 6
"""In less room than that, a list of more lines is shortened to the number of its items."""

STYLES = {CellKind.YES: "green", CellKind.NO: "dim", CellKind.ABSENT: "dim", CellKind.OPEN: "italic"}


@dataclass(frozen=True, slots=True)
class MatrixSymbols:
    """The signs that are not words."""

    absent: str = "—"
    item: str = "• "
    rule: str = "─"
    more: str = "…"


ASCII = MatrixSymbols("-", "- ", "-", "...")


def show(screen: CliConsole, matrix: Matrix) -> None:
    """Write the comparison."""
    signs = ASCII if screen.is_ascii else MatrixSymbols()
    lines = [line for block in _blocks(matrix, screen.fold) for line in (*_lines(block, screen.fold, signs), Text())]
    for line in lines:
        screen.show(line)
    legend = [f"{signs.absent} not included"] if CellKind.ABSENT in matrix.kinds else []
    legend += ["* no commitment"] if CellKind.OPEN in matrix.kinds else []
    legend += [f"items{signs.more} a list, whole in a wider window"] if _shortened(lines, signs) else []
    beside = "    ".join(legend)
    legend = [beside] if legend and (screen.fold is None or cell_len(beside) <= screen.fold) else legend
    for words in (*legend, f"policy {matrix.version}, amounts in {matrix.currency}"):
        screen.show(Text(words, "dim"))


def _shortened(lines: Sequence[Text], signs: MatrixSymbols) -> bool:
    return any(f" items{signs.more}" in line.plain for line in lines)


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


def _lines(matrix: Matrix, fold: int | None, signs: MatrixSymbols) -> Iterator[Text]:
    if fold is None:
        for at, section in enumerate(matrix.sections):
            yield from [Text()] if at else []
            yield from _section(section, matrix.columns, _widths([section], matrix.columns, None, signs), signs)
        return
    widths = _widths(matrix.sections, matrix.columns, fold, signs)
    names = [folded(column.name, width) for column, width in zip(matrix.columns, widths[1:], strict=True)]
    notes = [folded(column.note, width) for column, width in zip(matrix.columns, widths[1:], strict=True)]
    yield from _beside([[""], *names], widths, ["bold"] * len(widths))
    if any(column.note for column in matrix.columns):
        yield from _beside([[""], *notes], widths, ["dim"] * len(widths))
    for section in matrix.sections:
        yield Text(signs.rule * (sum(widths) + GAP * (len(widths) - 1)), "dim")
        yield from _section(section, matrix.columns, widths, signs)


def _section(section: Section, columns: Sequence[Column], widths: list[int], signs: MatrixSymbols) -> Iterator[Text]:
    ids = [folded(column.id, width) for column, width in zip(columns, widths[1:], strict=True)]
    yield from _beside([folded(section.name, widths[0]), *ids], widths, ["bold cyan"] * len(widths))
    for row in section.rows:
        label = _indented(row, widths[0])
        cells = [_filled(cell, width, signs) for cell, width in zip(row.cells, widths[1:], strict=False)]
        styles = ["" if row.cells else "bold", *(STYLES.get(cell.kind, "") for cell in row.cells)]
        yield from _beside([label, *cells], widths, styles)


def _widths(
    sections: Sequence[Section], columns: Sequence[Column], fold: int | None, signs: MatrixSymbols
) -> list[int]:
    """Return the width of the labels and of each tier's column: the widest are cut to fit, all to the same."""
    label = _label_width(sections, fold)
    rows = [row for section in sections for row in section.rows if row.cells]
    wanted = [
        max([cell_len(column.id), *(_wide(row.cells[at], fold, signs) for row in rows)])
        for at, column in enumerate(columns)
    ]
    if fold is None:
        return [label, *wanted]
    wanted = [max(width, min(cell_len(column.name), 20)) for width, column in zip(wanted, columns, strict=True)]
    room = fold - label - GAP * len(columns)
    most = max(wanted)
    while sum(min(width, most) for width in wanted) > room and most > NARROWEST:
        most -= 1
    return [label, *(min(width, most) for width in wanted)]


def _wide(cell: Cell, fold: int | None, signs: MatrixSymbols) -> int:
    """Return how wide a cell wants to be: a list as wide as its longest item, where it can be folded."""
    if fold is None or len(cell.items) == 1:
        return cell_len(_text(cell, signs))
    return max(cell_len(signs.item + item) for item in cell.items)


def _label_width(sections: Sequence[Section], fold: int | None) -> int:
    labels = [len(_label(row)) for section in sections for row in section.rows]
    wanted = max([*labels, *(len(section.name) for section in sections)], default=0)
    return wanted if fold is None else min(wanted, max(12, fold // 4))


def _label(row: MatrixRow) -> str:
    return "  " * (row.depth + 1) + row.label


def _indented(row: MatrixRow, width: int) -> list[str]:
    """Return a label inside its column; what is broken off stands a little further in."""
    indent = "  " * (row.depth + 1)
    return [indent + line for line in folded(row.label, width - len(indent), " ")]


def _text(cell: Cell, signs: MatrixSymbols) -> str:
    """Return a cell as one line."""
    if cell.kind is CellKind.ABSENT:
        return signs.absent
    return f"{cell.items[0]} *" if cell.kind is CellKind.OPEN else "; ".join(cell.items)


def _filled(cell: Cell, width: int, signs: MatrixSymbols) -> list[str]:
    """Return the lines of a cell in a column of *width*: a long list item by item, or shortened."""
    lines = folded(_text(cell, signs), width)
    if len(lines) == 1 or len(cell.items) == 1:
        return lines
    if width < ROOMY:
        return [f"{len(cell.items)} items{signs.more}"] if len(lines) > TALLEST else lines
    return [line for item in cell.items for line in folded(signs.item + item, width, " " * len(signs.item))]


def _beside(cells: list[list[str]], widths: list[int], styles: list[str]) -> Iterator[Text]:
    """Return the lines of a row: each cell in its column, all from the same line on."""
    for line in zip_longest(*cells, fillvalue=""):
        text = Text()
        for part, width, style in zip(line, widths, styles, strict=False):
            text.append(part, style)
            text.append(" " * (width - cell_len(part) + GAP))
        text.rstrip()
        yield text
