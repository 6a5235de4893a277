"""The table of a CSV file: its headings and rows, each with its line number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from entitlements.accounts.csv.columns import COLUMNS
from entitlements.accounts.csv.dialect import SEPARATORS, decode, find_separator, normalize_heading, read_rows
from entitlements.errors import AccountError
from entitlements.model.names import nearest
from entitlements.policy.errors import any_of

ID_CURE = 'name the column of the ids, such as id="account"'
"""The cure of a file without the column of the ids."""


@dataclass(frozen=True, slots=True)
class Table:
    """
    A CSV file as read.

    Args:
        headings: The headings as written.
        names: The headings in normal form: `Trial-Ends` is `trial_ends`.
        rows: The rows below, with their line numbers, without blank ones.
        guessed_at: The line from which the encoding was guessed; 0 where it is UTF-8, or was named.
    """

    headings: tuple[str, ...]
    names: tuple[str, ...]
    rows: tuple[tuple[int, list[str]], ...]
    guessed_at: int = 0


def read_table(
    file: str, data: bytes, needed: Collection[str], encoding: str | None = None, ignored: Collection[str] = ()
) -> Table:
    """
    Return the table that *data* holds; the separator is detected from the headings.

    Args:
        file: The file's name, for messages.
        data: The whole file.
        needed: Names of required columns; they also decide between separators.
        encoding: Its encoding; None detects it.
        ignored: Names of columns that are attributes only.

    Raises:
        AccountError: For a file that is empty, no text, in an encoding that cannot be detected, cut off inside
            a quoted cell, or without these columns, naming the file, the line and the cure.
    """
    found = decode(file, data, encoding)
    separator = find_separator(file, found.text, needed)
    rows = read_rows(file, found.text, separator)
    line, headings = next(rows, (1, []))
    if not headings or not found.text.strip(f" \t\r\n{SEPARATORS}"):
        raise AccountError(f"{file}: the file is empty; its first line holds the headings, such as: id,tier")
    names = distinct_names(f"{file}:{line}", headings, needed, ignored)
    return Table(tuple(headings), names, tuple(rows), found.guessed_at)


def distinct_names(
    where: str, headings: Sequence[str], needed: Collection[str], ignored: Collection[str]
) -> tuple[str, ...]:
    """
    Return the headings in normal form; blanks keep two of one name apart, and criteria read both.

    Raises:
        AccountError: For a missing column, and for two of one name that is needed, or part of an account and not ignored.
    """
    first: dict[str, str] = {}
    seen: Counter[str] = Counter()
    names: list[str] = []
    for heading in headings:
        name = normalize_heading(heading)
        if name in first and (name in needed or name in COLUMNS.keys() - ignored):
            raise AccountError(f"{where}: the headings {first[name]!r} and {heading!r} are the same; rename one")
        names.append(name + " " * seen[name] if name else name)
        first.setdefault(name, heading)
        seen[name] += 1
    for name in needed:
        if name not in first:
            has = any_of([repr(heading) for heading in headings if heading.strip()]).replace(" or ", " and ")
            cure = "" if name == "tier" else f"; {ID_CURE}"
            raise AccountError(f"{where}: no column {name!r}{nearest(name, first)}; the headings are {has}{cure}")
    return tuple(names)
