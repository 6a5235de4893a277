"""A CSV file of accounts, read in chunks of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from entitlements.accounts.csv.dialect import (
    UTF_8,
    CsvRows,
    csv_rows,
    decode,
    find_separator,
    is_separator_line,
    normalize_heading,
)
from entitlements.accounts.csv.table import Table, distinct_names
from entitlements.errors import AccountError

CHUNK = 5_000
"""Rows of a chunk."""

_SAMPLE = 65_536


@dataclass(frozen=True, slots=True)
class AccountChunk:
    """
    Some rows of the file.

    Args:
        number: From 0.
        rows: The rows with their line numbers.
        first_lines: The line of the first row of each id that an earlier chunk has too.
    """

    number: int
    rows: list[tuple[int, list[str]]]
    first_lines: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccountFile:
    """
    A file of accounts, whose rows are not yet read.

    Args:
        path: The file.
        key: The name of the column of the ids.
        encoding: Python's name of its encoding.
        separator: The separator of its cells.
        table: Its headings.
        lines: Its number of lines, an estimate of its rows.
    """

    path: str
    key: str
    encoding: str
    separator: str
    table: Table
    lines: int

    def chunks(self) -> Iterator[AccountChunk]:
        """
        Yield the rows in chunks.

        Raises:
            AccountError: For a row that is misquoted, with its line.
        """
        at = self.table.names.index(self.key)
        seen: dict[str, int] = {}
        rows = self._rows()
        number = 0
        while chunk := list(islice(rows, CHUNK)):
            first_lines = {}
            for line, cells in chunk:
                id = cells[at] if at < len(cells) else ""
                if seen.setdefault(id, line) != line:
                    first_lines[id] = seen[id]
            yield AccountChunk(number, chunk, first_lines)
            number += 1

    def ids(self) -> Iterator[tuple[str, int]]:
        """Yield the id of each row that is the first of its id, with the number of its chunk."""
        at = self.table.names.index(self.key)
        for chunk in self.chunks():
            for _, cells in chunk.rows:
                id = cells[at] if at < len(cells) else ""
                if id.strip() and id not in chunk.first_lines:
                    yield id, chunk.number

    def _rows(self) -> CsvRows:
        with Path(self.path).open(
            encoding=f"{UTF_8}-sig" if self.encoding == UTF_8 else self.encoding, newline=""
        ) as lines:
            rows = csv_rows(self.path, lines, self.separator)
            above = True
            for line, cells in rows:
                if above:
                    above = not _is_heading(line, cells)
                elif any(map(str.strip, cells)):
                    yield line, cells


def open_account_file(path: str, id: str) -> AccountFile:
    """
    Return the file of accounts.

    Args:
        path: The file.
        id: The heading of the column with the accounts' ids.

    Raises:
        AccountError: For a file that cannot be read at all, or without ids or tiers.
    """
    key = normalize_heading(id)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise AccountError(f"{path}: the file cannot be read ({error.strerror}); name a CSV file") from None
    lines = data.count(b"\n") or data.count(b"\r")
    found = decode(path, data)
    del data
    head = found.text[:_SAMPLE]
    sample = head if len(head) < _SAMPLE else head[: head.rfind("\n") + 1] or head
    separator = find_separator(path, sample, (key, "tier"))
    rows = csv_rows(path, sample.splitlines(keepends=True), separator)
    line, headings = next(((line, cells) for line, cells in rows if _is_heading(line, cells)), (1, []))
    if not headings:
        raise AccountError(f"{path}: the file is empty; its first line holds the headings, such as: id,tier")
    names = distinct_names(f"{path}:{line}", headings, (key, "tier"), ())
    table = Table(tuple(headings), names, (), found.guessed_at)
    return AccountFile(path, key, found.encoding, separator, table, lines)


def _is_heading(line: int, cells: list[str]) -> bool:
    """Return True for the first row that is neither blank nor a line such as `sep=;`."""
    return any(map(str.strip, cells)) and not (line == 1 and is_separator_line(f"{cells[0]}\n"))
