"""
The comparison as lines of text, for a terminal or a pipe.

On a terminal the columns share its width: a text that is too long is wrapped inside its
column, and tiers that do not fit side by side follow below. In a pipe every row is one
line of any length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from rich.cells import cell_len
from rich.text import Text

from entitlements.cli.wrap import wrap_text
from entitlements.presentation.matrix.model import Cell, CellKind, Column, Matrix, MatrixRow, Section

GAP = 2
NARROWEST = 9
"""The least width of a tier's column."""

ROOMY = 20
"""A column of at least this width shows a list item by item, and never shortens it."""

TALLEST = 6
"""In a narrower column, a list of more lines than this is shortened to the number of its items."""

STYLES = {CellKind.YES: "green", CellKind.NO: "dim", CellKind.ABSENT: "dim", CellKind.OPEN: "italic"}


@dataclass(frozen=True, slots=True)
class MatrixSymbols:
    """The symbols of the table."""

    absent: str = "—"
    item: str = "• "
    rule: str = "─"
    more: str = "…"


ASCII = MatrixSymbols("-", "- ", "-", "...")


def to_text(matrix: Matrix, width: int | None, *, is_ascii: bool) -> list[Text]:
    """
    Return the comparison, with its legend.

    Args:
        matrix: The comparison.
        width: The width to fit; None for lines of any length.
        is_ascii: Use ASCII symbols.
    """
    symbols = ASCII if is_ascii else MatrixSymbols()
    lines = [line for block in _blocks(matrix, width) for line in (*_lines(block, width, symbols), Text())]
    legend = [f"{symbols.absent} not included"] if CellKind.ABSENT in matrix.kinds else []
    legend += ["* no commitment"] if CellKind.OPEN in matrix.kinds else []
    if any(f" items{symbols.more}" in line.plain for line in lines):
        legend.append(f"items{symbols.more} a list, whole in a wider window")
    one_line = "    ".join(legend)
    if legend and (width is None or cell_len(one_line) <= width):
        legend = [one_line]
    legend.append(f"policy {matrix.version}, amounts in {matrix.currency}")
    heading = [Text(f"line {matrix.line}", "bold"), Text()] if matrix.line else []
    return [*heading, *lines, *(Text(line, "dim") for line in legend)]


def _blocks(matrix: Matrix, width: int | None) -> Iterator[Matrix]:
    """Yield the comparison in blocks of as many tiers as fit side by side."""
    fitting = len(matrix.columns)
    if width is not None:
        fitting = max(1, (width - _label_width(matrix.sections, width)) // (NARROWEST + GAP))
    for first in range(0, len(matrix.columns), fitting):
        part = slice(first, first + fitting)
        sections = (
            replace(section, rows=tuple(replace(row, cells=row.cells[part]) for row in section.rows))
            for section in matrix.sections
        )
        yield replace(matrix, columns=matrix.columns[part], sections=tuple(sections))


def _lines(matrix: Matrix, width: int | None, symbols: MatrixSymbols) -> Iterator[Text]:
    if width is None:
        for at, section in enumerate(matrix.sections):
            yield from [Text()] if at else []
            yield from _section(section, matrix.columns, _widths([section], matrix.columns, None, symbols), symbols)
        return
    widths = _widths(matrix.sections, matrix.columns, width, symbols)
    names = [wrap_text(column.name, width) for column, width in zip(matrix.columns, widths[1:], strict=True)]
    notes = [wrap_text(column.note, width) for column, width in zip(matrix.columns, widths[1:], strict=True)]
    yield from _side_by_side([[""], *names], widths, ["bold"] * len(widths))
    if any(column.note for column in matrix.columns):
        yield from _side_by_side([[""], *notes], widths, ["dim"] * len(widths))
    for section in matrix.sections:
        yield Text(symbols.rule * (sum(widths) + GAP * (len(widths) - 1)), "dim")
        yield from _section(section, matrix.columns, widths, symbols)


def _section(section: Section, columns: Sequence[Column], widths: list[int], symbols: MatrixSymbols) -> Iterator[Text]:
    ids = [wrap_text(column.id, width) for column, width in zip(columns, widths[1:], strict=True)]
    yield from _side_by_side([wrap_text(section.name, widths[0]), *ids], widths, ["bold cyan"] * len(widths))
    for row in section.rows:
        label = _label_lines(row, widths[0])
        cells = [_cell_lines(cell, width, symbols) for cell, width in zip(row.cells, widths[1:], strict=False)]
        styles = ["" if row.cells else "bold", *(STYLES.get(cell.kind, "") for cell in row.cells)]
        yield from _side_by_side([label, *cells], widths, styles)


def _widths(
    sections: Sequence[Section], columns: Sequence[Column], width: int | None, symbols: MatrixSymbols
) -> list[int]:
    """Return the width of the labels and of each tier's column; the widest columns shrink to one width that fits."""
    label = _label_width(sections, width)
    rows = [row for section in sections for row in section.rows if row.cells]
    wanted = [
        max([cell_len(column.id), *(_preferred_width(row.cells[at], width, symbols) for row in rows)])
        for at, column in enumerate(columns)
    ]
    if width is None:
        return [label, *wanted]
    wanted = [max(width, min(cell_len(column.name), 20)) for width, column in zip(wanted, columns, strict=True)]
    room = width - label - GAP * len(columns)
    most = max(wanted)
    while sum(min(width, most) for width in wanted) > room and most > NARROWEST:
        most -= 1
    return [label, *(min(width, most) for width in wanted)]


def _preferred_width(cell: Cell, width: int | None, symbols: MatrixSymbols) -> int:
    """Return the preferred width of a cell; a list that may be wrapped prefers that of its longest item."""
    if width is None or len(cell.items) == 1:
        return cell_len(_text(cell, symbols))
    return max(cell_len(symbols.item + item) for item in cell.items)


def _label_width(sections: Sequence[Section], width: int | None) -> int:
    labels = [len(_label(row)) for section in sections for row in section.rows]
    wanted = max([*labels, *(len(section.name) for section in sections)], default=0)
    return wanted if width is None else min(wanted, max(12, width // 4))


def _label(row: MatrixRow) -> str:
    return "  " * (row.depth + 1) + row.label


def _label_lines(row: MatrixRow, width: int) -> list[str]:
    """Return the lines of a label in its column; wrapped lines are indented by one more space."""
    indent = "  " * (row.depth + 1)
    return [indent + line for line in wrap_text(row.label, width - len(indent), " ")]


def _text(cell: Cell, symbols: MatrixSymbols) -> str:
    """Return the text of a cell on one line."""
    if cell.kind is CellKind.ABSENT:
        return symbols.absent
    return f"{cell.items[0]} *" if cell.kind is CellKind.OPEN else "; ".join(cell.items)


def _cell_lines(cell: Cell, width: int, symbols: MatrixSymbols) -> list[str]:
    """Return the lines of a cell in a column of *width*: a long list item by item, or shortened."""
    lines = wrap_text(_text(cell, symbols), width)
    if len(lines) == 1 or len(cell.items) == 1:
        return lines
    if width < ROOMY:
        return [f"{len(cell.items)} items{symbols.more}"] if len(lines) > TALLEST else lines
    return [line for item in cell.items for line in wrap_text(symbols.item + item, width, " " * len(symbols.item))]


def _side_by_side(cells: list[list[str]], widths: list[int], styles: list[str]) -> Iterator[Text]:
    """Yield the lines of a row: each cell in its column, aligned at the top."""
    for line in zip_longest(*cells, fillvalue=""):
        text = Text()
        for part, width, style in zip(line, widths, styles, strict=False):
            text.append(part, style)
            text.append(" " * (width - cell_len(part) + GAP))
        text.rstrip()
        yield text
