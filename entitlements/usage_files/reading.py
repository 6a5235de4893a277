"""Months of usage by account, from the rows of a CSV or Parquet file; problems by row and field."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path

from entitlements.accounts.csv.table import read_table
from entitlements.errors import AccountError
from entitlements.model.criteria import Criterion, CriterionKind
from entitlements.model.names import shown
from entitlements.model.policy import PolicyData
from entitlements.model.problem import Problem, Severity
from entitlements.tiering.criterion_values import read_value
from entitlements.usage_files.columns import UsageColumn, UsageColumns, UsagePart, choose_usage_columns
from entitlements.usage_files.parquet import is_parquet, parquet_rows

_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?(?:[T ].*)?")
_COUNT = Criterion("count", CriterionKind.AMOUNT, (), least=Decimal(0))
_FIGURE = Criterion("figure", CriterionKind.AMOUNT, ())

Figures = Mapping[tuple[UsagePart, str], Decimal | int]
"""The figures of a row, by the meaning of their column and its limit or measure."""


@dataclass(frozen=True, slots=True)
class UsageMonth:
    """
    The figures of one account in one month.

    Args:
        line: The line of the file.
        day: The day as written; the first for a month.
        is_month: The file names a month, not a day.
        figures: The known figures.
    """

    line: int
    day: date
    is_month: bool
    figures: Figures


@dataclass(frozen=True, slots=True)
class UsageFile:
    """
    A usage file as read.

    Args:
        file: Its name, as given.
        columns: Its columns.
        months: The months of each account, newest first.
        problems: The problems of its rows, in its order.
    """

    file: str
    columns: UsageColumns
    months: Mapping[str, tuple[UsageMonth, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def strangers(self, known: Collection[str]) -> tuple[Problem, ...]:
        """Return a warning for each account of the file that is not one of *known*."""
        unknown = ((id, min(each.line for each in months)) for id, months in self.months.items() if id not in known)
        return tuple(stranger(self.file, id, line) for id, line in unknown)


def stranger(file: str, id: str, line: int) -> Problem:
    """Return the warning for an account of a usage file that is none of the base."""
    cure = "add it to the accounts, or correct its id"
    return Problem(file, line, "account", f"{shown(id)} is no account", cure, Severity.WARNING)


def read_usage(
    path: str,
    policy: PolicyData,
    *,
    given: Mapping[str, str] | None = None,
    measures: Collection[str] = (),
) -> UsageFile:
    """
    Return the months of usage in a file.

    Args:
        path: A CSV file, or a Parquet file.
        policy: The policy with the limits.
        given: Headings by name, for columns that are not recognised.
        measures: The names of measures that are read too.

    Raises:
        AccountError: For a file that cannot be read at all, or without accounts or months.
        ValueError: For an unknown name in *given*.
    """
    headings, rows = _parquet(path) if is_parquet(path) else _csv(path)
    columns = choose_usage_columns(path, policy, headings, given, measures)
    reader = UsageReader(path, headings, columns)
    for line, cells in rows:
        reader.read(line, cells)
    return UsageFile(path, columns, reader.in_order(), tuple(reader.problems))


def _csv(path: str) -> tuple[list[str], Iterable[tuple[int, list[str]]]]:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise AccountError(f"{path}: the file cannot be read ({error.strerror}); name a CSV or Parquet file") from None
    table = read_table(path, data, (), ignored=("tier",))
    return list(table.headings), table.rows


def _parquet(path: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    headings, rows = parquet_rows(path)
    return headings, enumerate(rows, 1)


class UsageReader:
    """A reader of rows; it collects the months of each account, and the problems."""

    def __init__(self, file: str, headings: list[str], columns: UsageColumns) -> None:
        self.months: dict[str, dict[date, UsageMonth]] = {}
        self.problems: list[Problem] = []
        self._file = file
        self._headings = headings
        self._columns = columns

    def read(self, line: int, cells: list[str]) -> None:
        """Read a row; a cell that cannot be read is a problem, and the others count."""
        if len(cells) < len(self._headings):
            problem = (
                f"the row has {len(cells)} cells, the headings are {len(self._headings)}; the others count as empty"
            )
            self._add(line, "", problem, "write the missing separators")
            cells = [*cells, *[""] * (len(self._headings) - len(cells))]
        id = cells[self._columns.account].strip()
        day, is_month = self._day(line, cells[self._columns.month].strip())
        if not id:
            self._add(line, self._headings[self._columns.account], "the cell is empty", "write the account's id")
        figures = dict(self._figures(line, cells))
        if not id or day is None:
            return
        self.add(id, UsageMonth(line, day, is_month, figures))

    def add(self, id: str, month: UsageMonth) -> None:
        """Add a month of an account; a second row of it is a problem, and does not count."""
        months = self.months.setdefault(id, {})
        if month.day in months:
            problem = f"{shown(id)} has this month in line {months[month.day].line} already, which counts"
            cure = "keep one row for each account and month"
            self._add(month.line, self._headings[self._columns.month], problem, cure)
            return
        months[month.day] = month

    def in_order(self) -> dict[str, tuple[UsageMonth, ...]]:
        """Return the months of each account, newest first."""
        return {
            id: tuple(sorted(found.values(), key=lambda each: each.day, reverse=True))
            for id, found in self.months.items()
        }

    def _day(self, line: int, text: str) -> tuple[date | None, bool]:
        found = _MONTH.fullmatch(text)
        try:
            if found is not None:
                return date(int(found[1]), int(found[2]), int(found[3] or 1)), found[3] is None
            problem = f"{shown(text)} is not a month" if text else "the cell is empty"
        except ValueError:
            problem = f"{shown(text)} does not exist"
        self._add(line, self._headings[self._columns.month], problem, "write a month such as 2026-05")
        return None, True

    def _figures(self, line: int, cells: list[str]) -> Iterator[tuple[tuple[UsagePart, str], Decimal]]:
        for column in self._columns.figures:
            text = cells[column.at].strip()
            if not text:
                continue
            try:
                yield (column.part, column.name), _number(column, text)
            except ValueError as error:
                problem, _, cure = str(error).partition("; ")
                self._add(line, column.heading, problem, cure or "write a number")

    def _add(self, line: int, path: str, problem: str, cure: str) -> None:
        self.problems.append(Problem(self._file, line, path, problem, cure, Severity.ERROR))


def _number(column: UsageColumn, text: str) -> Decimal:
    """Return the number in a cell, in units of the limit."""
    value = read_value(_FIGURE if column.part is UsagePart.MEASURE else _COUNT, text)
    assert isinstance(value, Decimal)
    if column.part is UsagePart.MEASURE:
        return value
    units = value * column.factor
    if units != units.to_integral_value():
        if column.factor == 1:
            raise ValueError(f"{shown(text)} is not a whole number; write one such as 12")
        units = units.to_integral_value()
    return units
