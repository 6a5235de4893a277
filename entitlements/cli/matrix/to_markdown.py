"""A comparison as Markdown: a table for each section."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from entitlements.cli.matrix.comparison import Cell, CellKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.cli.matrix.comparison import Matrix, Section

_MEANT = re.compile(r"([\\`*_{}\[\]<>&|~#])")


def markdown(matrix: Matrix) -> str:
    """Return the page; a tier's note and what stands in cells are texts, never marks."""
    lines = [f"# Tiers, policy {_escaped(matrix.version)}", "", f"Amounts in {matrix.currency}. — is not included."]
    if CellKind.OPEN in matrix.kinds:
        lines[-1] += " A text in italics is no commitment."
    for section in matrix.sections:
        lines += ["", f"## {_escaped(section.name)}", "", *_table(section, matrix)]
    return "\n".join(lines) + "\n"


def _table(section: Section, matrix: Matrix) -> Iterator[str]:
    yield _line(["", *(_escaped(f"{each.name} ({each.note})" if each.note else each.name) for each in matrix.columns)])
    yield _line(["---"] * (1 + len(matrix.columns)))
    for row in section.rows:
        if row.cells:
            label = f"`{row.name}`" + row.label.removeprefix(row.name) * row.label.startswith(f"{row.name} ")
            yield _line([label, *map(_cell, row.cells)])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    if cell.kind is CellKind.ABSENT:
        return "—"
    text = "; ".join(map(_escaped, cell.items))
    return f"*{text}*" if cell.kind is CellKind.OPEN else text


def _escaped(text: str) -> str:
    """Return *text* on one line, with everything escaped that Markdown would take for a mark."""
    return _MEANT.sub(r"\\\1", " ".join(text.split()))
