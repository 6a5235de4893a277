"""
Byte-preserving CSV file: cells of a row can be replaced or added, and all other bytes stay.

Rows are held as text in which each character is one byte of the file (Latin-1), whatever
its encoding, so that an unchanged row is written as it was read. Cells are decoded only when
they are used. `csv` splits rows and cells, as it does for sources of accounts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from entitlements.accounts.csv.dialect import SEPARATORS, csv_rows, decode, find_separator, is_separator_line
from entitlements.errors import AccountError

BYTES = "latin-1"
_END = re.compile(r"(?:\r\n|\r|\n)?\Z")


@dataclass(frozen=True, slots=True)
class Record:
    """
    One row of the file.

    Args:
        line: The number of its first physical line, from 1.
        raw: Its bytes, with the line end.
        cells: Its cells, undecoded; none for an empty line.
    """

    line: int
    raw: str
    cells: list[str]

    @property
    def is_blank(self) -> bool:
        """True if all its cells are blank."""
        return not any(cell.strip() for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Layout:
    """
    A CSV file, whose rows are not yet read.

    Args:
        file: Its name, for messages.
        encoding: Python's name of its encoding.
        guessed_at: The line of the first byte that is not UTF-8, where the encoding was guessed; else 0.
        bom: The byte order mark that it begins with.
        separator: The separator of its cells.
        above: The text above the headings, such as blank lines.
        headings: The row of headings.
        names: The headings, decoded.
        quoted: Every heading is in quotes, so that every cell should be.
        body: The text below the headings.
    """

    file: str
    encoding: str
    guessed_at: int
    bom: bytes
    separator: str
    above: str
    headings: Record
    names: tuple[str, ...]
    quoted: bool
    body: str

    @property
    def lines(self) -> int:
        """The number of physical lines below the headings, an estimate of the rows."""
        return self.body.count("\n") or self.body.count("\r")

    def records(self) -> Iterator[Record]:
        """
        Yield the rows below the headings, blank ones too.

        Raises:
            AccountError: For a row that is misquoted, with its line.
        """
        first = self.headings.line + _lines_in(self.headings.raw)
        return _records(self.file, self.body, self.separator, first)

    def cell(self, record: Record, at: int | None) -> str:
        """Return the decoded text of the cell at an index; empty where there is no such cell."""
        return self.text(record.cells[at]) if at is not None and at < len(record.cells) else ""

    def text(self, cell: str) -> str:
        """Return the decoded text of a cell."""
        return cell if cell.isascii() else cell.encode(BYTES).decode(self.encoding)

    def with_cells(self, record: Record, changes: Mapping[int, str]) -> str:
        """
        Return the bytes of a row with some of its cells replaced or added; all others stay.

        Args:
            record: The row.
            changes: The new texts of cells, by their index from 0; a shorter row is extended.

        Raises:
            AccountError: For a text that the file's encoding cannot represent.
        """
        if not changes:
            return record.raw
        body, end = _split_line_end(record.raw)
        width = len(record.cells)
        behind = width > 0 and min(changes) >= width
        cells, first = ([body], width - 1) if behind else (raw_cells(record, self.separator), 0)
        cells += [""] * (max(changes) - first + 1 - len(cells))
        for at, text in changes.items():
            cells[at - first] = self._cell(text)
        return self.separator.join(cells) + end

    def with_insert(self, record: Record, at: int, texts: list[str]) -> str:
        """Return the bytes of a row with new cells inserted before index *at*."""
        cells = raw_cells(record, self.separator)
        cells[at:at] = [self._cell(text) for text in texts]
        return self.separator.join(cells) + _split_line_end(record.raw)[1]

    def with_line_end(self, raw: str) -> str:
        """Return the bytes of a row with a line end; the default is the line end of the headings."""
        return raw if _split_line_end(raw)[1] else raw + (_split_line_end(self.headings.raw)[1] or "\r\n")

    def _cell(self, text: str) -> str:
        try:
            written = text.encode(self.encoding).decode(BYTES)
        except UnicodeEncodeError as error:
            sign = text[error.start]
            raise AccountError(
                f"{self.file}: {text!r} cannot be written, {self.encoding} has no {sign!r}; write tier ids, or UTF-8"
            ) from None
        if self.quoted or _NEEDS_QUOTES.search(text) or self.separator in text:
            return '"' + written.replace('"', '""') + '"'
        return written


_CELLS = {each: re.compile(rf'"(?:[^"]|"")*"|[^{each}\r\n]*') for each in SEPARATORS}
_NEEDS_QUOTES = re.compile(r'["\r\n]|\A\s|\s\Z')


def read_layout(
    file: str,
    data: bytes,
    *,
    encoding: str | None = None,
    separator: str | None = None,
    wanted: Collection[str] = (),
) -> Layout:
    """
    Return the layout of a CSV file.

    Args:
        file: Its name, for messages.
        data: The whole file.
        encoding: Its encoding; None detects it.
        separator: The separator of its cells; None detects it.
        wanted: Names of expected columns, as `normalize_heading` returns them; they decide between separators.

    Raises:
        AccountError: For a file that is no CSV or is empty, with the cure.
        ValueError: For an unknown encoding or separator.
    """
    if separator is not None and separator not in _CELLS:
        raise ValueError(f"separator {separator!r} is not one of comma, semicolon and tab")
    decoded = decode(file, data, encoding)
    separator = separator or find_separator(file, decoded.text, wanted)
    raw = data[len(decoded.bom) :].decode(BYTES)
    above = 0
    for record in _records(file, raw, separator, 1):
        if record.is_blank or (record.line == 1 and is_separator_line(record.raw)):
            above += len(record.raw)
            continue
        layout = Layout(
            file,
            decoded.encoding,
            decoded.guessed_at,
            decoded.bom,
            separator,
            above=raw[:above],
            headings=record,
            names=(),
            quoted=all(cell.startswith('"') for cell in raw_cells(record, separator)),
            body=raw[above + len(record.raw) :],
        )
        return replace(layout, names=tuple(map(layout.text, record.cells)))
    raise AccountError(f"{file}: the file is empty; its first line holds the headings, such as: Account Name,ARR")


def raw_cells(record: Record, separator: str) -> list[str]:
    """Return the cells of a row as they are written, with their quotes."""
    body, _ = _split_line_end(record.raw)
    pattern = _CELLS[separator]
    cells: list[str] = []
    at = 0
    while at <= len(body):
        found = pattern.match(body, at)
        assert found is not None  # the pattern matches an empty cell too
        cells.append(found[0])
        at = found.end() + 1
    return cells


def _records(file: str, text: str, separator: str, first_line: int) -> Iterator[Record]:
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    for line, cells in csv_rows(file, lines(), separator, first_line):
        yield Record(line, "".join(taken), cells)
        taken.clear()


def _split_line_end(raw: str) -> tuple[str, str]:
    """Return a row without its line end, and the line end."""
    found = _END.search(raw)
    assert found is not None
    return raw[: found.start()], found[0]


def _lines_in(raw: str) -> int:
    return sum(1 for _ in io.StringIO(raw, newline=""))
