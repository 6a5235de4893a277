"""Accounts from the rows of a CSV file, and problems from their faults."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, NamedTuple

from entitlements.accounts.csv.columns import COLUMNS
from entitlements.accounts.csv.dialect import normalize_heading
from entitlements.accounts.csv.table import Table, read_table
from entitlements.errors import AccountError
from entitlements.model.account import Account, Trial
from entitlements.model.names import shown
from entitlements.model.problem import Problem, Severity
from entitlements.policy.errors import InvalidValue

TRIAL_CURE = "write when it ends in trial_ends, such as 2026-03-31"


class RowFault(NamedTuple):
    """A fault of a row: a `Problem` without file and line."""

    path: str
    problem: str
    cure: str
    severity: Severity = Severity.ERROR

    @classmethod
    def of(cls, path: str, error: ValueError) -> RowFault:
        """Return the fault of an error, whose text is `problem; cure` or a problem alone."""
        if isinstance(error, InvalidValue):
            return cls(path, error.problem, error.cure)
        problem, _, cure = str(error).rpartition("; ")
        return cls(path, problem or cure, cure if problem else "correct the row")


class CsvRow(NamedTuple):
    """An account, and the line on which its row begins."""

    line: int
    account: Account


@dataclass(frozen=True, slots=True)
class Sheet:
    """
    The accounts of a file, and the problems of its other rows.

    Args:
        file: The file's name, as given.
        rows: The valid rows by account id, in the order of the file.
        problems: The problems in the order of the file; a row with an error is not in *rows*.
        faulty: What can be read of rows with an error, so that a policy finds further ones.
    """

    file: str
    rows: Mapping[str, CsvRow]
    problems: tuple[Problem, ...]
    faulty: tuple[CsvRow, ...] = ()


def read_sheet(file: str, data: bytes, id: str, encoding: str | None = None, ignore: Collection[str] = ()) -> Sheet:
    """
    Return the accounts that *data* holds, before a policy is applied.

    A `trial_ends` without a `trial_tier` gives a trial of the row's own tier; `policy_view`
    resolves it.

    Args:
        file: The file's name, for messages.
        data: The whole file.
        id: The heading of the column with the accounts' ids.
        encoding: The file's encoding; None detects it.
        ignore: Headings of columns that are attributes, though an account has a part of that name.

    Raises:
        AccountError: For a file that cannot be read at all.
    """
    key, ignored = normalize_heading(id), frozenset(map(normalize_heading, ignore)) - {"tier"}
    table = read_table(file, data, (key, "tier"), encoding, ignored)
    reader = RowReader(file, key, table, ignored)
    rows: dict[str, CsvRow] = {}
    faulty: list[CsvRow] = []
    problems = [Problem(file, table.guessed_at, *_GUESSED)] if table.guessed_at else []
    for line, cells in table.rows:
        row, faults = reader.read(line, cells)
        problems += (Problem(file, line, *fault) for fault in faults)
        if row is not None and has_errors(faults):
            faulty.append(row)
        elif row is not None:
            rows[row.account.id] = row
    return Sheet(file, rows, tuple(problems), tuple(faulty))


class RowReader:
    """
    A reader of the rows of a table.

    Args:
        file: The file's name, for messages.
        key: The name of the column with the accounts' ids.
        table: The headings.
        ignored: Names of columns that are attributes only.
        first_lines: The lines of ids that were read before.
    """

    def __init__(
        self,
        file: str,
        key: str,
        table: Table,
        ignored: frozenset[str],
        first_lines: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._file = file
        self._key = key
        self._names = table.names
        self._headings = dict(zip(table.names, table.headings, strict=True))
        self._readers = {
            name: read for name, read in COLUMNS.items() if name in table.names and name != key and name not in ignored
        }
        self._lines = dict(first_lines)

    def read(self, line: int, cells: list[str]) -> tuple[CsvRow | None, list[RowFault]]:
        """Return what can be read of a row, None if that makes no account, and its faults; an error makes it invalid."""
        faults = self._faults_of_width(cells)
        account = None if faults else self._account(line, cells, faults)
        return None if account is None else CsvRow(line, account), faults

    def _account(self, line: int, cells: list[str], faults: list[RowFault]) -> Account | None:
        named = dict(zip(self._names, cells, strict=False))
        id = named.pop(self._key)
        named.pop("", None)  # a column without a heading, and so without content
        faults += self._faults_of_id(id, line)
        fields = self._fields(named, line, faults)
        if has_errors(faults):
            return self._readable_part(id, fields)
        try:
            return Account(id, trial=trial_of(fields), attributes=named, **fields)
        except InvalidValue as error:
            faults.append(RowFault.of("trial_ends", error))
        except AccountError as error:
            faults.append(RowFault.of(self._faulty_column(id, fields), error))
        return self._readable_part(id, fields)

    def _readable_part(self, id: str, fields: dict[str, Any]) -> Account | None:
        """Return the account without its trial, each part of which may be missing; None if it is invalid."""
        try:
            return Account(id, **{name: value for name, value in fields.items() if not name.startswith("trial_")})
        except (AccountError, TypeError):
            return None

    def _faulty_column(self, id: str, fields: dict[str, Any]) -> str:
        """Return the heading of the column that makes an account invalid; empty if none does so alone."""
        for name in fields.keys() - {"tier"}:
            try:
                Account(id, fields["tier"], **{name: fields[name]})
            except AccountError:
                return self._headings[name]
        return ""

    def _fields(self, named: dict[str, str], line: int, faults: list[RowFault]) -> dict[str, Any]:
        """Take the columns with a parser out of *named*, and return their values."""
        fields: dict[str, Any] = {}
        origin = f"from {PurePath(self._file).name}, line {line}"
        for name, read in self._readers.items():
            text = named.pop(name).strip()
            try:
                if text:
                    fields[name] = read(text, origin)
            except (InvalidValue, AccountError) as error:
                faults.append(RowFault.of(self._headings[name], error))
            except ExceptionGroup as several:
                faults += (RowFault.of(self._headings[name], each) for each in several.exceptions)  # type: ignore[arg-type]
        if not fields.get("tier"):
            faults.append(RowFault(self._headings["tier"], "the cell is empty", _ITS_TIER))
        return fields

    def _faults_of_id(self, id: str, line: int) -> list[RowFault]:
        heading = self._headings[self._key]
        if not id.strip():
            return [RowFault(heading, "the cell is empty", _ITS_ID)]
        first = self._lines.setdefault(id, line)
        if first != line:
            return [RowFault(heading, f"{shown(id)} stands in line {first} already", ONE_ROW)]
        if id != id.strip():
            return [RowFault(heading, f"{shown(id)} begins or ends with blanks", BLANKS, Severity.WARNING)]
        return []

    def _faults_of_width(self, cells: list[str]) -> list[RowFault]:
        """Return the fault of a row whose cells do not match the headings; extra blank cells are none."""
        has, needs = len(cells), len(self._names)
        if has < needs:
            return [RowFault("", f"the row has {has} cells, the headings are {needs}", _SEPARATORS)]
        for at, cell in enumerate(cells):
            if cell.strip() and (at >= needs or not self._names[at]):
                return [RowFault("", f"cell {at + 1}, {shown(cell)}, has no heading", _EXTRA_CURE)]
        return []


_GUESSED = RowFault(
    "",
    "the file is not UTF-8, and is read as Windows-1252",
    "save it in UTF-8, or name its encoding (encoding='cp1252')",
    Severity.WARNING,
)
ONE_ROW = "keep one row for each account"
"""The cure of an id that occurs twice."""

BLANKS = "take them out if they are not part of the id"
"""The cure of an id with blanks around it, by which alone it is found."""

_ITS_ID = "write the account's id"
_ITS_TIER = "write the account's tier"
_SEPARATORS = "write the missing separators"
_EXTRA_CURE = "give the column a heading, or quote the cell that holds a separator"

CURES = frozenset({ONE_ROW, _ITS_ID, _ITS_TIER, _SEPARATORS, _EXTRA_CURE, TRIAL_CURE})
"""Cures that quote nothing of a row, and so may be logged."""


def has_errors(faults: Iterable[RowFault]) -> bool:
    """Return True if a fault makes its row invalid."""
    return any(fault.severity is Severity.ERROR for fault in faults)


def trial_of(fields: dict[str, Any]) -> Trial | None:
    """Take the columns of a trial out of *fields*, and return the trial."""
    tier, starts, ends = (fields.pop(name, None) for name in ("trial_tier", "trial_starts", "trial_ends"))
    if ends is None and (tier or starts):
        raise InvalidValue("the trial has no end", TRIAL_CURE)
    return Trial(tier or fields["tier"], starts, ends) if ends else None
