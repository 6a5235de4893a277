"""
The comparison as one self-contained page of HTML: no script, no font, no image.

The page is ASCII; every other character is a character reference, so that the encoding of
a transfer does not matter. It follows the reader's light or dark scheme, and prints.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from entitlements.cli.matrix.comparison import Cell, CellKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.cli.matrix.comparison import Column, Matrix, MatrixRow, Section

STYLE = """\
:root { color-scheme: light dark;
  --page: #fff; --ink: #1c2330; --soft: #5b6577; --line: #dde2ea; --head: #f3f5f9; --stripe: #fafbfd;
  --yes: #1a7f4b; --mark: #1f5fbf; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14181f; --ink: #e3e7ee; --soft: #98a2b3; --line: #2c3442; --head: #1d232d; --stripe: #181d25;
  --yes: #58c98b; --mark: #84b4ff; } }
* { box-sizing: border-box; }
body { margin: 0; height: 100vh; display: flex; flex-direction: column; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
header, nav { padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin: 1.5rem 0 .25rem; }
p, nav { color: var(--soft); margin: .25rem 0 1rem; }
nav a { color: var(--mark); text-decoration: none; margin-right: .9rem; white-space: nowrap; }
nav a:hover { text-decoration: underline; }
main { flex: 1; min-height: 60vh; overflow: auto; border-top: 1px solid var(--line); }
table { border-collapse: separate; border-spacing: 0; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .9rem; border-bottom: 1px solid var(--line); }
td, thead th { min-width: 8.5rem; max-width: 22rem; }
thead th { position: sticky; top: 0; z-index: 2; background: var(--head); }
thead td, tbody th[scope=row] { position: sticky; left: 0; z-index: 1; background: var(--page); }
thead td { top: 0; z-index: 3; background: var(--head); }
thead small { display: block; font-weight: normal; color: var(--soft); }
tbody th[scope=row] { font-weight: 500; min-width: 11rem; max-width: 20rem; overflow-wrap: anywhere; }
tbody th[scope=row] small { display: block; font-weight: normal; color: var(--soft); }
tbody th[scope=rowgroup] { position: sticky; left: 0; padding-top: 1.4rem; font-size: 1.05rem; color: var(--mark);
  scroll-margin-top: 5rem; }
tbody tr:hover > * { background: var(--stripe); }
.d1 { padding-left: 2rem; } .d2 { padding-left: 3rem; } .d3 { padding-left: 4rem; } .d4 { padding-left: 5rem; }
.yes { color: var(--yes); } .yes::before { content: "\\2713\\00a0"; }
.no, .absent { color: var(--soft); }
.open { font-style: italic; }
td ul { margin: 0; padding-left: 1.1rem; }
@media print { body { display: block; height: auto; } main { overflow: visible; } thead th, thead td { position: static; } nav { display: none; } }
@media (max-width: 40rem) { body { font-size: 14px; } th, td { padding: .35rem .6rem; } header, nav { padding: 0 .8rem; }
  tbody th[scope=row] { min-width: 8rem; max-width: 9rem; } td, thead th { min-width: 7.5rem; } }
"""


def to_html(matrix: Matrix) -> str:
    """Return the page; all text of the policy is escaped."""
    return "\n".join(_page(matrix)).encode("ascii", "xmlcharrefreplace").decode("ascii") + "\n"


def _page(matrix: Matrix) -> Iterator[str]:
    title = f"Tiers, policy {escape(matrix.version)}"
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>"
    yield f"<header><h1>{title}</h1><p>{_legend(matrix)}</p></header>"
    yield "<nav>"
    yield from (f'<a href="#s{at}">{escape(each.name)}</a>' for at, each in enumerate(matrix.sections))
    yield '</nav>\n<main tabindex="0">\n<table>\n<thead><tr><td></td>'
    yield from map(_column, matrix.columns)
    yield "</tr></thead>"
    for at, section in enumerate(matrix.sections):
        yield from _section(section, at, len(matrix.columns))
    yield "</table>\n</main>\n</body>\n</html>"


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
