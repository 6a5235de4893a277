"""From the rows of a CSV file to accounts, and from what is wrong with them to problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

from entitlements.accounts.csv.cells import READERS
from entitlements.accounts.csv.dialect import spelt
from entitlements.accounts.csv.table import Table, read_table
from entitlements.errors import AccountError
from entitlements.model.account import Account, Trial
from entitlements.model.problem import Problem, Severity
from entitlements.policy.errors import Misread, shown

TRIAL_CURE = "write when it ends in trial_ends, such as 2026-03-31"


class Fault(NamedTuple):
    """What is wrong with a row: `Problem` without the place."""

    path: str
    problem: str
    cure: str
    severity: Severity = Severity.ERROR

    @classmethod
    def of(cls, path: str, error: ValueError) -> Fault:
        """Return the fault that an error tells of, as `problem; cure` if it knows one."""
        if isinstance(error, Misread):
            return cls(path, error.problem, error.cure)
        problem, _, cure = str(error).rpartition("; ")
        return cls(path, problem or cure, cure if problem else "correct the row")


class Row(NamedTuple):
    """An account, and the line on which its row begins."""

    line: int
    account: Account


@dataclass(frozen=True, slots=True)
class Sheet:
    """
    The accounts of a file, and what is wrong with the rest of it.

    Args:
        file: The file as the user named it.
        rows: The good rows by account id, in the order of the file.
        problems: In the order of the file; the row of an error is not among the good.
    """

    file: str
    rows: Mapping[str, Row]
    problems: tuple[Problem, ...]


def read_sheet(file: str, data: bytes, id: str, encoding: str | None = None) -> Sheet:
    """
    Return the accounts that *data* holds, as far as a file without a policy can say.

    A `trial_ends` without a `trial_tier` gives a trial of the row's own tier, until
    a policy says what that means (`csv_trials`).

    Args:
        file: The file's name, for messages.
        data: The whole file.
        id: The heading of the column with the accounts' ids.
        encoding: What the file is encoded in; None finds out.

    Raises:
        AccountError: For a file that cannot be read at all.
    """
    table = read_table(file, data, (spelt(id), "tier"), encoding)
    reading = _Reading(file, spelt(id), table)
    rows = {row.account.id: row for row in map(reading.row, table.rows) if row is not None}
    guessed = [Problem(file, table.guessed_at, *_GUESSED)] if table.guessed_at else []
    return Sheet(file, rows, (*guessed, *reading.problems))


class _Reading:
    """A table, being read row by row."""

    def __init__(self, file: str, key: str, table: Table) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._key = key
        self._names = table.names
        self._headings = dict(zip(table.names, table.headings, strict=True))
        self._readers = {name: read for name, read in READERS.items() if name in table.names and name != key}
        self._lines: dict[str, int] = {}

    def row(self, numbered: tuple[int, list[str]]) -> Row | None:
        """Return the account of a row, or None if there is a fault in it."""
        line, cells = numbered
        faults = self._misshapen(cells)
        account = None if faults else self._account(line, cells, faults)
        self.problems += (Problem(self._file, line, *fault) for fault in faults)
        return None if account is None else Row(line, account)

    def _account(self, line: int, cells: list[str], faults: list[Fault]) -> Account | None:
        named = dict(zip(self._names, cells, strict=False))
        id = named.pop(self._key)
        named.pop("", None)  # a column without a heading, and so without content
        faults += self._faults_of_id(id, line)
        fields = self._fields(named, line, faults)
        if any(fault.severity is Severity.ERROR for fault in faults):
            return None
        try:
            return Account(id, trial=_trial(fields), attributes=named, **fields)
        except Misread as error:
            faults.append(Fault.of("trial_ends", error))
        except AccountError as error:
            faults.append(Fault.of("", error))
        return None

    def _fields(self, named: dict[str, str], line: int, faults: list[Fault]) -> dict[str, Any]:
        """Take the columns that mean something out of *named*, and read them."""
        fields: dict[str, Any] = {}
        origin = f"from {PurePath(self._file).name}, line {line}"
        for name, read in self._readers.items():
            text = named.pop(name).strip()
            try:
                if text:
                    fields[name] = read(text, origin)
            except (Misread, AccountError) as error:
                faults.append(Fault.of(self._headings[name], error))
        if not fields.get("tier"):
            faults.append(Fault(self._headings["tier"], "the cell is empty", _ITS_TIER))
        return fields

    def _faults_of_id(self, id: str, line: int) -> list[Fault]:
        heading = self._headings[self._key]
        if not id.strip():
            return [Fault(heading, "the cell is empty", _ITS_ID)]
        first = self._lines.setdefault(id, line)
        if first != line:
            return [Fault(heading, f"{shown(id)} stands in line {first} already", _ONE_ROW)]
        if id != id.strip():
            cure = "take them out if they are not part of the id"
            return [Fault(heading, f"{shown(id)} begins or ends with blanks", cure, Severity.WARNING)]
        return []

    def _misshapen(self, cells: list[str]) -> list[Fault]:
        """Say where cells and headings do not match; blank cells too many do no harm."""
        has, needs = len(cells), len(self._names)
        if has < needs:
            return [Fault("", f"the row has {has} cells, the headings are {needs}", _SEPARATORS)]
        for at, cell in enumerate(cells):
            if cell.strip() and (at >= needs or not self._names[at]):
                return [Fault("", f"cell {at + 1}, {shown(cell)}, has no heading", _EXTRA_CURE)]
        return []


_GUESSED = Fault(
    "",
    "the file is not UTF-8, and is read as Windows-1252",
    "save it in UTF-8, or name its encoding (encoding='cp1252')",
    Severity.WARNING,
)
_ONE_ROW = "keep one row for each account"
_ITS_ID = "write the account's id"
_ITS_TIER = "write the account's tier"
_SEPARATORS = "write the missing separators"
_EXTRA_CURE = "give the column a heading, or quote the cell that holds a separator"

CURES = frozenset({_ONE_ROW, _ITS_ID, _ITS_TIER, _SEPARATORS, _EXTRA_CURE, TRIAL_CURE})
"""Cures in which nothing of a row stands, so that a log may have them."""


def _trial(fields: dict[str, Any]) -> Trial | None:
    """Take the trial's columns out of *fields*."""
    tier, starts, ends = (fields.pop(name, None) for name in ("trial_tier", "trial_starts", "trial_ends"))
    if ends is None and (tier or starts):
        raise Misread("the trial has no end", TRIAL_CURE)
    return Trial(tier or fields["tier"], starts, ends) if ends else None
