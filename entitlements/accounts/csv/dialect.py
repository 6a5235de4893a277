"""
Detection of a CSV file's encoding, from its bytes, and of its separator, from its first rows.

Hardly any text in another encoding is valid UTF-8, so valid UTF-8 is UTF-8. Other files are
read as Windows-1252, the default of spreadsheets, unless an encoding is named. Every encoding
that is read agrees with ASCII: separators, quotes and line ends are the same bytes in each,
and none of these bytes is part of another character.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from entitlements.errors import AccountError

SEPARATORS = ",;\t"
UTF_8 = "utf-8"
FALLBACK = "cp1252"

_BOM = codecs.BOM_UTF8
_CURE = "save it as CSV in UTF-8"
_SAMPLE_ROWS = 20  # rows that are compared to find the separator
_ASCII = bytes(range(128))
_ASCII_COMPATIBLE = re.compile(
    r"ascii|utf-8(-sig)?|(cp|iso8859-|mac-|koi8-|euc_|big5|shift_jis|gb)\w*|tis-620|kz1048|ptcp154|hp-roman8"
)
_MAGIC_BYTES = {
    b"\xff\xfe": "is encoded in UTF-16 or UTF-32",
    b"\xfe\xff": "is encoded in UTF-16",
    b"PK\x03\x04": "is a workbook or a zip file",
    b"\xd0\xcf\x11\xe0": "is a workbook",
    b"\x1f\x8b": "is compressed",
}
_BOMS = re.compile(b"(?:\xef\xbb\xbf)*")
_SEPARATOR_LINE = re.compile(rf'[ \t]*"?sep=([{SEPARATORS}])"?[{SEPARATORS} \t]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")

CsvRows = Iterator[tuple[int, list[str]]]
"""Rows, each with the number of its first physical line, from 1."""


@dataclass(frozen=True, slots=True)
class DecodedText:
    """
    The text of a file, and its encoding.

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


def decode(file: str, data: bytes, encoding: str | None = None) -> DecodedText:
    """
    Return the text of a file.

    Args:
        file: Its name, for messages.
        data: The whole file.
        encoding: Its encoding; None detects it.

    Raises:
        AccountError: For a file that is no text, or not in that encoding, naming the line and the cure.
        ValueError: For an unknown encoding, or one that does not agree with ASCII.
    """
    for start, problem in _MAGIC_BYTES.items():
        if data.startswith(start):
            raise AccountError(f"{file}: {problem}; {_CURE}")
    if (at := data.find(b"\0")) >= 0:
        raise AccountError(f"{file}:{_line(data, at)}: a NUL byte; this is no text, or UTF-16: {_CURE}")
    known = None if encoding is None else known_encoding(encoding)
    marks = _BOMS.match(data) if known in {None, UTF_8} else None
    bom = marks[0] if marks else b""  # programs that read it as Windows-1252 write a second one
    body = memoryview(data)[len(bom) :]
    try:
        return DecodedText(str(body, known or UTF_8), known or UTF_8, bom)
    except UnicodeDecodeError as error:
        at = len(bom) + error.start
        where = f"{file}:{_line(data, at)}: byte 0x{data[at]:02x}"
    if known is not None:
        raise AccountError(f"{where} is not {known}; name another encoding, or {_CURE}")
    if bom or _MULTIBYTE.search(data):
        raise AccountError(f"{where} is not UTF-8, though others are; name the encoding, or {_CURE}")
    try:
        return DecodedText(str(body, FALLBACK), FALLBACK, b"", _line(data, at))
    except UnicodeDecodeError as error:
        where = f"{file}:{_line(data, error.start)}: byte 0x{data[error.start]:02x}"
        raise AccountError(f"{where} is neither UTF-8 nor Windows-1252; name the encoding, or {_CURE}") from None


def known_encoding(name: str) -> str:
    """
    Return Python's name of an encoding that a CSV file may have.

    Raises:
        ValueError: For an unknown encoding, or one that does not agree with ASCII.
    """
    try:
        known = codecs.lookup(name).name
        plain = _ASCII.decode(known) if _ASCII_COMPATIBLE.fullmatch(known) else ""
    except (LookupError, ValueError):
        plain = known = ""
    if plain != _ASCII.decode("ascii"):
        raise ValueError(f"encoding {name!r} is not one that CSV files have; write one such as utf-8, cp1252 or cp1251")
    return UTF_8 if known == "utf-8-sig" else known


def find_separator(file: str, text: str, wanted: Collection[str]) -> str:
    """
    Return the separator that gives most of the *wanted* headings, then the one with most rows of equal length.

    A first line such as `sep=;` names it.

    Args:
        file: The file's name, for messages.
        text: The whole text.
        wanted: Names of columns that are probably there, as `normalize_heading` returns them.
    """
    if named := _SEPARATOR_LINE.match(text):
        return named[1]
    return max(SEPARATORS, key=lambda each: _score(file, text, each, wanted))


def read_rows(file: str, text: str, separator: str) -> CsvRows:
    """Yield the rows of *text* that are not blank; it raises what `csv_rows` raises."""
    has_separator_line = is_separator_line(text)
    for line, row in csv_rows(file, io.StringIO(text, newline=""), separator):
        if any(map(str.strip, row)) and not (line == 1 and has_separator_line):
            yield line, row


def is_separator_line(text: str) -> bool:
    """Return True if *text* begins with a line such as `sep=;`, which Excel writes and which is no heading."""
    return _SEPARATOR_LINE.match(text) is not None


def csv_rows(file: str, lines: Iterable[str], separator: str, first_line: int = 1) -> CsvRows:
    """
    Yield the rows of a CSV file, blank ones too.

    Args:
        file: Its name, for messages.
        lines: Its physical lines, with their line ends.
        separator: The separator of its cells.
        first_line: The number of the first of *lines*.

    Raises:
        AccountError: For a quoted cell that is never closed or goes on behind its quote, and for one that is too long.
    """
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        line = first_line + reader.line_num
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise AccountError(f"{file}:{line}: {_describe(error)}") from None
        if row is None:
            return
        yield line, row


def _describe(error: csv.Error) -> str:
    """Return the message for a CSV error, as `problem; cure`."""
    if "expected after" in str(error):
        return 'a quoted cell goes on behind its quote; close it before the separator, double (") the quotes inside'
    if "field limit" in str(error):
        return 'a cell that begins here is longer than a cell may be; a quote (") may not be closed'
    return f"a quoted cell that begins here is never closed ({error}); close it, unless the file was cut off"


def normalize_heading(heading: str) -> str:
    """Return a heading in its normal form: lower case, words joined by `_`."""
    return re.sub(r"[\s_-]+", "_", heading.strip().lower())


def _line(data: bytes, at: int) -> int:
    return data.count(b"\n", 0, at) + 1


def _score(file: str, text: str, separator: str, wanted: Collection[str]) -> tuple[int, int, int]:
    """Return how well a separator fits: *wanted* headings found, rows as long as the headings, number of headings."""
    try:
        rows = read_rows(file, text, separator)
        _, headings = next(rows, (1, []))
    except AccountError:
        return 0, 0, 2  # above a single heading that is not wanted, because its error is the better message
    hits = len({normalize_heading(heading) for heading in headings} & set(wanted))
    return hits, _rows_of_width(rows, len(headings)) if len(headings) > 1 else 0, len(headings)


def _rows_of_width(rows: CsvRows, width: int) -> int:
    try:
        return sum(len(row) == width for _, row in islice(rows, _SAMPLE_ROWS))
    except AccountError:
        return 0
