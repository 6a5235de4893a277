"""From the bytes of a CSV file to its headings and rows, each with its line number."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from entitlements.errors import AccountError
from entitlements.model.names import nearest
from entitlements.policy.misread import any_of

_SEPARATORS = ",;\t"
_CURE = "save it as CSV in UTF-8"
_FOREIGN = {
    b"\xff\xfe": "is encoded in UTF-16 or UTF-32",
    b"\xfe\xff": "is encoded in UTF-16",
    b"PK\x03\x04": "is a workbook or a zip file",
    b"\xd0\xcf\x11\xe0": "is a workbook",
    b"\x1f\x8b": "is compressed",
}

Rows = Iterator[tuple[int, list[str]]]
"""Rows, each with the number of its first physical line, from 1."""


@dataclass(frozen=True, slots=True)
class Table:
    """
    A CSV file as read.

    Args:
        headings: As written.
        names: The headings in one spelling: `Trial-Ends` is `trial_ends`.
        rows: The cells below, blank rows left out.
    """

    headings: tuple[str, ...]
    names: tuple[str, ...]
    rows: tuple[tuple[int, list[str]], ...]


def read_table(file: str, data: bytes, needed: Collection[str]) -> Table:
    """
    Return the table that *data* holds; its separator is found out from the headings.

    Args:
        file: The file's name, for messages.
        data: The whole file.
        needed: Names of columns that must be there, which tell the separators apart.

    Raises:
        AccountError: For a file that is empty, no text, no UTF-8, cut off inside a quoted
            cell, or has no such columns, naming the file, the line and the cure.
    """
    text = _decoded(file, data)
    separator = max(_SEPARATORS, key=lambda each: _likeness(file, text, each, needed))
    rows = _rows(file, text, separator)
    line, headings = next(rows, (1, []))
    if not headings or not text.strip(f" \t\r\n{_SEPARATORS}"):
        raise AccountError(f"{file}: the file is empty; its first line holds the headings, such as: id,tier")
    names = tuple(spelt(heading) for heading in headings)
    _check_names(f"{file}:{line}", headings, names, needed)
    return Table(tuple(headings), names, tuple(rows))


def spelt(heading: str) -> str:
    """Return a heading in the one spelling: lower case, words joined by `_`."""
    return re.sub(r"[\s_-]+", "_", heading.strip().lower())


def _decoded(file: str, data: bytes) -> str:
    for start, problem in _FOREIGN.items():
        if data.startswith(start):
            raise AccountError(f"{file}: {problem}; {_CURE}")
    if (at := data.find(b"\0")) >= 0:
        raise AccountError(f"{file}:{_line(data, at)}: a NUL byte; this is no text, or UTF-16: {_CURE}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = data[error.start]
        raise AccountError(
            f"{file}:{_line(data, error.start)}: byte 0x{byte:02x} is not UTF-8, it may be Windows-1252; {_CURE}"
        ) from None


def _line(data: bytes, at: int) -> int:
    return data.count(b"\n", 0, at) + 1


def _likeness(file: str, text: str, separator: str, needed: Collection[str]) -> tuple[int, int]:
    """Return how much like headings the first row is: how many are needed ones, and how many there are."""
    try:
        _, headings = next(_rows(file, text, separator), (1, []))
    except AccountError:
        return 0, 2  # its error says more than one heading that is not needed
    return len({spelt(heading) for heading in headings} & set(needed)), len(headings)


def _rows(file: str, text: str, separator: str) -> Rows:
    """Return the rows that are not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise AccountError(f"{file}:{line}: {_misquoted(error)}") from None
        if row is None:
            return
        if any(map(str.strip, row)):
            yield line, row


def _misquoted(error: csv.Error) -> str:
    if "expected after" in str(error):
        return 'a quoted cell goes on behind its quote; close it before the separator, double (") the quotes inside'
    if "field limit" in str(error):
        return 'a cell that begins here is longer than a cell may be; a quote (") may not be closed'
    return f"a quoted cell that begins here is never closed ({error}); close it, unless the file was cut off"


def _check_names(where: str, headings: list[str], names: tuple[str, ...], needed: Collection[str]) -> None:
    seen: dict[str, str] = {}
    for heading, name in zip(headings, names, strict=True):
        if name and name in seen:
            raise AccountError(f"{where}: the headings {seen[name]!r} and {heading!r} are the same; rename one")
        seen[name] = heading
    for name in needed:
        if name not in seen:
            has = any_of([repr(heading) for heading in headings if heading.strip()]).replace(" or ", " and ")
            raise AccountError(f"{where}: no column {name!r}{nearest(name, names)}; the headings are {has}")
