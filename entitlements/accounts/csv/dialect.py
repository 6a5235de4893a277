"""
How a CSV file is written: its encoding, found out from its bytes, and its separator, from its first rows.

UTF-8 is known by itself: hardly any other text is. What is not UTF-8 is read as
Windows-1252, what spreadsheets write where nobody chose, unless an encoding is named.
All encodings that are read agree with ASCII, so separators, quotes and line ends are the
same bytes in each, and none of them is ever a part of another sign.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from entitlements.errors import AccountError

SEPARATORS = ",;\t"
UTF_8 = "utf-8"
FALLBACK = "cp1252"

_BOM = codecs.BOM_UTF8
_CURE = "save it as CSV in UTF-8"
_LOOKED_AT = 20  # rows that have to agree on a separator
_ASCII = bytes(range(128))
_KNOWN = re.compile(
    r"ascii|utf-8(-sig)?|(cp|iso8859-|mac-|koi8-|euc_|big5|shift_jis|gb)\w*|tis-620|kz1048|ptcp154|hp-roman8"
)
_FOREIGN = {
    b"\xff\xfe": "is encoded in UTF-16 or UTF-32",
    b"\xfe\xff": "is encoded in UTF-16",
    b"PK\x03\x04": "is a workbook or a zip file",
    b"\xd0\xcf\x11\xe0": "is a workbook",
    b"\x1f\x8b": "is compressed",
}
_SEVERAL_BYTES = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")

Rows = Iterator[tuple[int, list[str]]]
"""Rows, each with the number of its first physical line, from 1."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """
    A text, and how its bytes say it.

    Args:
        text: The text, without a byte order mark.
        encoding: Python's name of the encoding.
        bom: The byte order mark that it begins with, if any.
        guessed_at: The line of the first byte that is not UTF-8, where the encoding was guessed; else 0.
    """

    text: str
    encoding: str
    bom: bytes
    guessed_at: int = 0


def decoded(file: str, data: bytes, encoding: str | None = None) -> Encoded:
    """
    Return the text of a file.

    Args:
        file: Its name, for messages.
        data: The whole file.
        encoding: What it is encoded in; None finds out.

    Raises:
        AccountError: For what is no text, or not in that encoding, naming the line and the cure.
        ValueError: For an encoding that there is not, or that does not agree with ASCII.
    """
    for start, problem in _FOREIGN.items():
        if data.startswith(start):
            raise AccountError(f"{file}: {problem}; {_CURE}")
    if (at := data.find(b"\0")) >= 0:
        raise AccountError(f"{file}:{_line(data, at)}: a NUL byte; this is no text, or UTF-16: {_CURE}")
    known = None if encoding is None else known_encoding(encoding)
    bom = _BOM if data.startswith(_BOM) and known in {None, UTF_8} else b""
    body = memoryview(data)[len(bom) :]
    try:
        return Encoded(str(body, known or UTF_8), known or UTF_8, bom)
    except UnicodeDecodeError as error:
        at = len(bom) + error.start
        where = f"{file}:{_line(data, at)}: byte 0x{data[at]:02x}"
    if known is not None:
        raise AccountError(f"{where} is not {known}; name another encoding, or {_CURE}")
    if bom or _SEVERAL_BYTES.search(data):
        raise AccountError(f"{where} is not UTF-8, though others are; name the encoding, or {_CURE}")
    try:
        return Encoded(str(body, FALLBACK), FALLBACK, b"", _line(data, at))
    except UnicodeDecodeError as error:
        where = f"{file}:{_line(data, error.start)}: byte 0x{data[error.start]:02x}"
        raise AccountError(f"{where} is neither UTF-8 nor Windows-1252; name the encoding, or {_CURE}") from None


def known_encoding(name: str) -> str:
    """
    Return Python's name of an encoding that a CSV file may have.

    Raises:
        ValueError: For one that there is not, or that does not agree with ASCII.
    """
    try:
        known = codecs.lookup(name).name
        plain = _ASCII.decode(known) if _KNOWN.fullmatch(known) else ""
    except (LookupError, ValueError):
        plain = known = ""
    if plain != _ASCII.decode("ascii"):
        raise ValueError(f"encoding {name!r} is not one that CSV files have; write one such as utf-8, cp1252 or cp1251")
    return UTF_8 if known == "utf-8-sig" else known


def separator_of(file: str, text: str, wanted: Collection[str]) -> str:
    """
    Return what separates the cells: what makes most of the *wanted* headings, then what most rows agree on.

    Args:
        file: The file's name, for messages.
        text: The whole text.
        wanted: Names of columns that are probably there, as `spelt`.
    """
    return max(SEPARATORS, key=lambda each: _likeness(file, text, each, wanted))


def read_rows(file: str, text: str, separator: str) -> Rows:
    """
    Yield the rows that are not blank.

    Raises:
        AccountError: For a quoted cell that is never closed or goes on behind its quote, and for one that is too long.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise AccountError(f"{file}:{line}: {misquoted(error)}") from None
        if row is None:
            return
        if any(map(str.strip, row)):
            yield line, row


def misquoted(error: csv.Error) -> str:
    """Return what a CSV error means for people, as `problem; cure`."""
    if "expected after" in str(error):
        return 'a quoted cell goes on behind its quote; close it before the separator, double (") the quotes inside'
    if "field limit" in str(error):
        return 'a cell that begins here is longer than a cell may be; a quote (") may not be closed'
    return f"a quoted cell that begins here is never closed ({error}); close it, unless the file was cut off"


def spelt(heading: str) -> str:
    """Return a heading in the one spelling: lower case, words joined by `_`."""
    return re.sub(r"[\s_-]+", "_", heading.strip().lower())


def _line(data: bytes, at: int) -> int:
    return data.count(b"\n", 0, at) + 1


def _likeness(file: str, text: str, separator: str, wanted: Collection[str]) -> tuple[int, int, int]:
    """Return how much like headings the first row is: wanted ones, rows of as many cells, and how many there are."""
    try:
        rows = read_rows(file, text, separator)
        _, headings = next(rows, (1, []))
    except AccountError:
        return 0, 0, 2  # its error says more than one heading that is not wanted
    hits = len({spelt(heading) for heading in headings} & set(wanted))
    return hits, _agreeing(rows, len(headings)) if len(headings) > 1 else 0, len(headings)


def _agreeing(rows: Rows, width: int) -> int:
    try:
        return sum(len(row) == width for _, row in islice(rows, _LOOKED_AT))
    except AccountError:
        return 0
