"""
The comparison as one self-contained page of HTML: no script, no font, no image.

The page is ASCII; every other character is a character reference, so that the encoding of
a transfer does not matter. It follows the reader's light or dark scheme, and prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files

from entitlements.presentation.matrix.model import Cell, CellKind, Column, Matrix, MatrixRow, Section


def to_html(matrices: Sequence[Matrix]) -> str:
    """Return the page, with a table for each comparison; all text of the policy is escaped."""
    return "\n".join(_page(matrices)).encode("ascii", "xmlcharrefreplace").decode("ascii") + "\n"


def _page(matrices: Sequence[Matrix]) -> Iterator[str]:
    first = matrices[0]
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(first.title)}</title>\n<style>\n{_style()}</style>\n</head>\n<body>"
    yield f"<header><h1>{escape(first.title)}</h1><p>{_legend(first)}</p></header>"
    sections = [(f"s{at}", each) for at, each in enumerate(each for matrix in matrices for each in matrix.sections)]
    yield "<nav>"
    yield from (f'<a href="#{anchor}">{escape(each.name)}</a>' for anchor, each in sections)
    yield '</nav>\n<main tabindex="0">'
    at = 0
    for matrix in matrices:
        yield from _table(matrix, sections[at : at + len(matrix.sections)], is_first=matrix is first)
        at += len(matrix.sections)
    yield "</main>\n</body>\n</html>"


def _table(matrix: Matrix, sections: Sequence[tuple[str, Section]], *, is_first: bool) -> Iterator[str]:
    if not is_first:
        yield f"<h2>{escape(matrix.title)}</h2>"
    yield "<table>\n<thead><tr><td></td>"
    yield from map(_column, matrix.columns)
    yield "</tr></thead>"
    for anchor, section in sections:
        yield from _section(section, anchor, len(matrix.columns))
    yield "</table>"


def _style() -> str:
    return files("entitlements.cli.matrix").joinpath("page.css").read_text("utf-8")


def _legend(matrix: Matrix) -> str:
    open_ended = " In <i>italics</i>: no commitment." if CellKind.OPEN in matrix.kinds else ""
    return f"Amounts in {escape(matrix.currency)}. — is not included.{open_ended}"


def _column(column: Column) -> str:
    small = [column.id] if column.id != column.name else []
    small += [column.note] if column.note else []
    return f'<th scope="col">{escape(column.name)}{"".join(f"<small>{escape(each)}</small>" for each in small)}</th>'


def _section(section: Section, anchor: str, width: int) -> Iterator[str]:
    heading = f'<th scope="rowgroup" id="{anchor}">{escape(section.name)}</th>'
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
