"""The comparison as Markdown: a table for each section."""

from __future__ import annotations

import re
from collections.abc import Iterator

from entitlements.presentation.matrix.model import Cell, CellKind, Matrix, Section

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>&|~#])")


def to_markdown(matrix: Matrix) -> str:
    """Return the page; all text of the policy is escaped."""
    lines = [f"# {_escape(matrix.title)}", "", f"Amounts in {matrix.currency}. — is not included."]
    if CellKind.OPEN in matrix.kinds:
        lines[-1] += " A text in italics is no commitment."
    for section in matrix.sections:
        lines += ["", f"## {_escape(section.name)}", "", *_table(section, matrix)]
    return "\n".join(lines) + "\n"


def _table(section: Section, matrix: Matrix) -> Iterator[str]:
    yield _line(["", *(_escape(f"{each.name} ({each.note})" if each.note else each.name) for each in matrix.columns)])
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
    text = "; ".join(map(_escape, cell.items))
    return f"*{text}*" if cell.kind is CellKind.OPEN else text


def _escape(text: str) -> str:
    """Return *text* on one line, with the special characters of Markdown escaped."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
