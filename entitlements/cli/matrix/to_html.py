"""
The comparison as one self-contained page of HTML: no script, no font, no image.

The page is ASCII; every other character is a character reference, so that the encoding of
a transfer does not matter. It follows the reader's light or dark scheme, and prints.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib.resources import files

from entitlements.cli.matrix.model import Cell, CellKind, Column, Matrix, MatrixRow, Section


def to_html(matrix: Matrix) -> str:
    """Return the page; all text of the policy is escaped."""
    return "\n".join(_page(matrix)).encode("ascii", "xmlcharrefreplace").decode("ascii") + "\n"


def _page(matrix: Matrix) -> Iterator[str]:
    title = f"Tiers, policy {escape(matrix.version)}"
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{title}</title>\n<style>\n{_style()}</style>\n</head>\n<body>"
    yield f"<header><h1>{title}</h1><p>{_legend(matrix)}</p></header>"
    yield "<nav>"
    yield from (f'<a href="#s{at}">{escape(each.name)}</a>' for at, each in enumerate(matrix.sections))
    yield '</nav>\n<main tabindex="0">\n<table>\n<thead><tr><td></td>'
    yield from map(_column, matrix.columns)
    yield "</tr></thead>"
    for at, section in enumerate(matrix.sections):
        yield from _section(section, at, len(matrix.columns))
    yield "</table>\n</main>\n</body>\n</html>"


def _style() -> str:
    return files("entitlements.cli.matrix").joinpath("page.css").read_text("utf-8")


def _legend(matrix: Matrix) -> str:
    open_ended = " In <i>italics</i>: no commitment." if CellKind.OPEN in matrix.kinds else ""
    return f"Amounts in {escape(matrix.currency)}. — is not included.{open_ended}"


def _column(column: Column) -> str:
    small = [column.id] if column.id != column.name else []
    small += [column.note] if column.note else []
    return f'<th scope="col">{escape(column.name)}{"".join(f"<small>{escape(each)}</small>" for each in small)}</th>'


def _section(section: Section, at: int, width: int) -> Iterator[str]:
    heading = f'<th scope="rowgroup" id="s{at}">{escape(section.name)}</th>'
    yield f'<tbody>\n<tr>{heading}<td colspan="{width}"></td></tr>'
    for row in section.rows:
        yield _row(row, width)
    yield "</tbody>"


def _row(row: MatrixRow, width: int) -> str:
    about = f"<small>{escape(row.about)}</small>" if row.about else ""
    depth = f' class="d{min(row.depth, 4)}"' if row.depth else ""
    heading = f'<th scope="row"{depth}>{escape(row.label)}{about}</th>'
    cells = "".join(map(_cell, row.cells)) if row.cells else f'<td colspan="{width}"></td>'
    return f"<tr>{heading}{cells}</tr>"


def _cell(cell: Cell) -> str:
    if cell.kind is CellKind.ABSENT:
        return '<td class="absent" title="not included">—</td>'
    kind = "" if cell.kind in {CellKind.HAS, CellKind.BLANK} else f' class="{cell.kind.value}"'
    if len(cell.items) > 1:
        return f"<td{kind}><ul>{''.join(f'<li>{escape(item)}</li>' for item in cell.items)}</ul></td>"
    return f"<td{kind}>{escape(cell.items[0])}</td>"
