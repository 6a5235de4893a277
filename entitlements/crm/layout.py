"""
A CSV file as it lies: rows that can be given a cell, and are otherwise the bytes that they were.

Rows are held as text in which each character is one byte of the file (Latin-1), whatever
its encoding, so that writing gives back what was read. Only cells that somebody looks at
are decoded. `csv` finds the rows and cells, as it does for the directories of accounts.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from entitlements.accounts.csv.dialect import SEPARATORS, decoded, misquoted, separator_of
from entitlements.errors import AccountError

BYTES = "latin-1"
_END = re.compile(r"(?:\r\n|\r|\n)?\Z")


@dataclass(frozen=True, slots=True)
class Record:
    """
    One row of the file.

    Args:
        line: The number of its first physical line, from 1.
        raw: Its bytes, line end included.
        cells: Its cells, as bytes; none for an empty line.
    """

    line: int
    raw: str
    cells: list[str]

    @property
    def is_blank(self) -> bool:
        """Whether nothing stands in it."""
        return not any(cell.strip() for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Layout:
    """
    A CSV file, its rows yet to be read.

    Args:
        file: Its name, for messages.
        encoding: Python's name of its encoding.
        guessed_at: The line of the first byte that is not UTF-8, where the encoding was guessed; else 0.
        bom: The byte order mark that it begins with.
        separator: What stands between cells.
        above: What stands above the headings, such as blank lines.
        headings: The row of headings.
        names: The headings, decoded.
        quoted: Every heading is in quotes, so that every cell should be.
        body: What stands below them.
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
        """About how many rows there are: the physical lines below the headings."""
        return self.body.count("\n") or self.body.count("\r")

    def records(self) -> Iterator[Record]:
        """
        Yield the rows below the headings, blank ones too.

        Raises:
            AccountError: For a row that is misquoted, with its line.
        """
        first = self.headings.line + _lines_in(self.headings.raw)
        return _records(self.file, self.body, self.separator, first)

    def text(self, cell: str) -> str:
        """Return what a cell says."""
        return cell if cell.isascii() else cell.encode(BYTES).decode(self.encoding)

    def with_cells(self, record: Record, changes: Mapping[int, str]) -> str:
        """
        Return the bytes of a row with some of its cells replaced, or added behind; all others are as they were.

        Args:
            record: The row.
            changes: What the cells are to say, by their place from 0; where the row ends before, it is prolonged.

        Raises:
            AccountError: For a text that the file's encoding cannot write.
        """
        if not changes:
            return record.raw
        body, end = _parted(record.raw)
        width = len(record.cells)
        behind = width > 0 and min(changes) >= width
        pieces, first = ([body], width - 1) if behind else (self.pieces(record), 0)
        pieces += [""] * (max(changes) - first + 1 - len(pieces))
        for at, text in changes.items():
            pieces[at - first] = self._cell(text)
        return self.separator.join(pieces) + end

    def with_insert(self, record: Record, at: int, texts: list[str]) -> str:
        """Return the bytes of a row with new cells before place *at*: it has cells where no heading is."""
        pieces = self.pieces(record)
        pieces[at:at] = [self._cell(text) for text in texts]
        return self.separator.join(pieces) + _parted(record.raw)[1]

    def ended(self, raw: str) -> str:
        """Return the bytes of a row with a line end, as the headings have it, if it has none."""
        return raw if _parted(raw)[1] else raw + (_parted(self.headings.raw)[1] or "\r\n")

    def pieces(self, record: Record) -> list[str]:
        """Return the cells of a row as they are written, quotes included."""
        body, _ = _parted(record.raw)
        pattern = _CELLS[self.separator]
        pieces: list[str] = []
        at = 0
        while True:
            found = pattern.match(body, at)
            assert found is not None  # an empty cell is one too
            pieces.append(found[0])
            at = found.end() + 1
            if at > len(body):
                return pieces

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
        encoding: What it is encoded in; None finds out.
        separator: What stands between its cells; None finds out.
        wanted: Names of columns that are probably there, as `spelt`; they tell the separators apart.

    Raises:
        AccountError: For what is no CSV file, or holds nothing, with the cure.
        ValueError: For an encoding or a separator that there is not.
    """
    if separator is not None and separator not in _CELLS:
        raise ValueError(f"separator {separator!r} is not one of comma, semicolon and tab")
    known = decoded(file, data, encoding)
    between = separator or separator_of(file, known.text, wanted)
    raw = data[len(known.bom) :].decode(BYTES)
    above = 0
    for record in _records(file, raw, between, 1):
        if record.is_blank:
            above += len(record.raw)
            continue
        plain = Layout(
            file,
            known.encoding,
            known.guessed_at,
            known.bom,
            between,
            above=raw[:above],
            headings=record,
            names=(),
            quoted=False,
            body=raw[above + len(record.raw) :],
        )
        quoted = all(piece.startswith('"') for piece in plain.pieces(record))
        return replace(plain, names=tuple(map(plain.text, record.cells)), quoted=quoted)
    raise AccountError(f"{file}: the file is empty; its first line holds the headings, such as: Account Name,ARR")


class _Lines:
    """The physical lines of a text, with those that were taken since the last row."""

    def __init__(self, text: str) -> None:
        self.taken: list[str] = []
        self._lines = io.StringIO(text, newline="")

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken.append(line)
        return line


def _records(file: str, text: str, separator: str, first: int) -> Iterator[Record]:
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        line = first + reader.line_num
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise AccountError(f"{file}:{line}: {misquoted(error)}") from None
        if cells is None:
            return
        yield Record(line, "".join(lines.taken), cells)
        lines.taken.clear()


def _parted(raw: str) -> tuple[str, str]:
    """Return a row without its line end, and the line end."""
    found = _END.search(raw)
    assert found is not None
    return raw[: found.start()], found[0]


def _lines_in(raw: str) -> int:
    return sum(1 for _ in io.StringIO(raw, newline=""))
