"""A tier for every row of an export, and the problems of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from entitlements.accounts.csv.columns import COLUMNS
from entitlements.crm.dates import date_fault
from entitlements.errors import AccountError
from entitlements.model.account import Account
from entitlements.model.names import check_id
from entitlements.model.problem import Problem, Severity
from entitlements.policy.accounts import bind
from entitlements.policy.errors import InvalidValue, shown
from entitlements.tiering.segmentation import Segment, SegmentedAccount, segment, summary

if TYPE_CHECKING:
    from entitlements.crm.columns import Columns
    from entitlements.crm.layout import Layout, Record
    from entitlements.model.policy import PolicyData

_BOUND = ("add_ons", "overrides", "grants", "changes")
"""Parts of an account that name something of the policy."""

Progress = Callable[[Iterable["Record"], int, str], Iterable["Record"]]
"""Yields the rows that it is given; takes also their number and the name of the work. A progress bar is one."""


def no_progress(records: Iterable[Record], _total: int, _what: str, /) -> Iterable[Record]:
    """Return the rows as they are, without a progress bar."""
    return records


@dataclass(frozen=True, slots=True)
class RowResult:
    """
    The result of one row.

    Args:
        line: The number of its first physical line.
        account: The account's name; empty where the file has none.
        segmented: Its tier, with the reason or the gap.
        before: The former content of its tier cell.
        kept: The content of its tier cell is no tier of the policy, and stays.
        displaced: It has cells without a heading, so its columns cannot be told apart.
    """

    line: int
    account: str
    segmented: SegmentedAccount
    before: str = ""
    kept: bool = False
    displaced: bool = False

    @property
    def tier(self) -> str | None:
        """The id of the tier that the row gets; None where it gets none."""
        return None if self.kept else self.segmented.tier

    @property
    def reason(self) -> str:
        """The reason of the tier, or of its absence, in words."""
        if self.displaced:
            return "the row has cells without a heading"
        found = self.segmented
        return found.gap.text if found.gap is not None else f"{found.rule}: {found.because}"


@dataclass(frozen=True, slots=True)
class Assigned:
    """
    An account base with its tiers.

    Args:
        layout: The file.
        columns: The columns of the file.
        results: The result of each row that is not blank, by line.
        problems: The problems, in the order of the file.
        segments: The totals of the base by tier.
    """

    layout: Layout
    columns: Columns
    results: Mapping[int, RowResult]
    problems: tuple[Problem, ...]
    segments: tuple[Segment, ...] = field(default=())

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems of severity error."""
        return tuple(each for each in self.problems if each.severity is Severity.ERROR)


def assign_base(
    policy: PolicyData, layout: Layout, columns: Columns, *, by: str | None = None, progress: Progress = no_progress
) -> Assigned:
    """
    Return the tier of every row.

    Args:
        policy: The policy with the rules.
        layout: The file.
        columns: The columns of the file.
        by: The segmentation's name; None is the policy's first.
        progress: Wraps the rows, such as in a progress bar.

    Raises:
        AccountError: For a row that is misquoted.
        ValueError: For a segmentation that the policy does not have.
    """
    reader = _BaseReader(policy, layout, columns)
    rows = reader.rows(progress(layout.records(), layout.lines, "assigning"))
    found = segment(policy, rows, by=by)
    results = {result.line: result for result in reader.results(found)}
    order = sorted(reader.problems, key=lambda each: each.line)
    guessed = [_guessed(layout)] if layout.guessed_at else []
    guessed += [_nameless(layout)] if columns.id is None else []
    counted = summary(policy, (each.segmented for each in results.values()))
    return Assigned(layout, columns, results, (*guessed, *order), counted)


class _PendingRow(NamedTuple):
    """A row whose tier is not yet found."""

    line: int
    account: str
    before: str
    displaced: bool


class _BaseReader:
    """A reader of the rows of an export; it collects their results and problems."""

    def __init__(self, policy: PolicyData, layout: Layout, columns: Columns) -> None:
        self.problems: list[Problem] = []
        self._policy = policy
        self._layout = layout
        self._columns = columns
        self._rows: list[_PendingRow] = []
        self._lines: dict[str, int] = {}
        self._find_tier = tier_finder(policy)
        self._known = ", ".join(policy.tiers)

    def rows(self, records: Iterable[Record]) -> Iterator[Mapping[str, object]]:
        """Yield the attributes of each row that is not blank."""
        for record in records:
            if record.is_blank:
                continue
            displaced = self._displaced(record)
            account = self._layout.cell(record, self._columns.id)
            before = "" if self._columns.tier >= self._columns.width else self._layout.cell(record, self._columns.tier)
            self._rows.append(_PendingRow(record.line, account, before.strip(), displaced))
            if displaced:
                yield {}
                continue
            self._check(record, account)
            yield self._columns.attributes(self._layout, record)

    def results(self, found: Iterable[SegmentedAccount]) -> Iterator[RowResult]:
        """Yield the result of each row, and report its problems."""
        for at, segmented in enumerate(found):
            row = self._rows[at]
            kept = bool(row.before) and self._find_tier(row.before) is None
            result = RowResult(row.line, row.account, segmented, row.before, kept, row.displaced)
            self._report(result)
            yield result

    def _displaced(self, record: Record) -> bool:
        """Report a row whose cells do not match the headings; return whether it has cells without a heading."""
        has, width = len(record.cells), self._columns.width
        if has < width:
            problem = f"the row has {has} cells, the headings are {width}; those that are missing count as empty"
            self._add_problem(record.line, "", problem, "write the missing separators", Severity.WARNING)
            return False
        extra = next((at for at in range(width, has) if record.cells[at].strip()), None)
        if extra is None:
            return False
        problem = (
            f"cell {extra + 1}, {shown(self._layout.cell(record, extra))}, has no heading, so the row gets no tier"
        )
        self._add_problem(
            record.line, "", problem, "quote the cell that holds a separator, or give the column a heading"
        )
        return True

    def _check(self, record: Record, account: str) -> None:
        names = self._layout.names
        if self._columns.id is not None:
            self._check_account(record.line, names[self._columns.id], account)
        for at, name in self._columns.parts.items():
            if at not in {self._columns.id, self._columns.tier, self._columns.reason}:
                self._check_part(record, at, name)
        for at in self._columns.dates:
            text = self._layout.cell(record, at)
            fault = date_fault(text) if text.strip() else None
            if fault is not None:
                self._add_problem(
                    record.line, names[at], fault, "write a date such as 2027-01-31, or leave the cell empty"
                )

    def _check_part(self, record: Record, at: int, name: str) -> None:
        """Report a cell that a directory of accounts reads as a part of the account, and cannot."""
        heading, text = self._layout.names[at], self._layout.cell(record, at).strip()
        try:
            if text:
                value = COLUMNS[name](text, "the export")
                if name in _BOUND:
                    bind(self._policy, Account("row", next(iter(self._policy.tiers)), **{name: value}))  # type: ignore[arg-type]
        except (InvalidValue, AccountError) as error:
            problem = str(error).removeprefix("account 'row': ").partition("; ")[0]
            cure = f"rename the column, or leave it alone: --ignore {heading!r} here, CsvAccounts(ignore=[{heading!r}])"
            self._add_problem(record.line, heading, f"{problem}, so the row is not served", cure)

    def _check_account(self, line: int, heading: str, account: str) -> None:
        if not account.strip():
            cure = "write the account's name"
            self._add_problem(
                line, heading, "the cell is empty, so nothing can be looked up by it", cure, Severity.WARNING
            )
            return
        try:
            check_id(account, "the account's name")
        except ValueError as error:
            problem, _, cure = str(error).partition("; ")
            cure = cure or "shorten it, or name another column: --id HEADING"
            self._add_problem(line, heading, f"{problem}, so the row is not served", cure)
            return
        if account != account.strip():
            cure = "take them out, if they are not part of the name"
            problem = f"{shown(account)} begins or ends with blanks, and is looked up with them"
            self._add_problem(line, heading, problem, cure, Severity.WARNING)
        first = self._lines.setdefault(account, line)
        if first != line:
            problem = f"{shown(account)} stands in line {first} already; both get a tier, only the first is looked up"
            self._add_problem(line, heading, problem, "give each account a name of its own", Severity.WARNING)

    def _report(self, result: RowResult) -> None:
        segmented = result.segmented
        for misfit in segmented.misfits:
            self._add_problem(result.line, misfit.field.strip(), misfit.problem, misfit.cure)
        if segmented.gap is not None and not segmented.misfits and not result.displaced:
            fields = ", ".join(self._columns.fields.get(each, each) for each in segmented.gap.criteria)
            self._add_problem(result.line, fields, f"no tier: {segmented.gap.text}", "fill in the cell")
        if result.kept:
            heading = self._layout.names[self._columns.tier]
            problem = f"tier {shown(result.before)} is not in the policy ({self._known}), and is kept"
            would = f"empty the cell to get {segmented.tier}" if segmented.tier else "empty the cell, or correct it"
            self._add_problem(result.line, heading, problem, would)

    def _add_problem(self, line: int, path: str, problem: str, cure: str, severity: Severity = Severity.ERROR) -> None:
        self.problems.append(Problem(self._layout.file, line, path, problem, cure, severity))


def tier_finder(policy: PolicyData) -> Callable[[str], str | None]:
    """Return a function that finds a tier's id by its id, an alias or its display name, the last two in any case."""
    by_name = _of_one_tier((tier.name, id) for id, tier in policy.tiers.items())
    by_name |= _of_one_tier(policy.ids.items())
    return lambda text: policy.ids.get(text) or by_name.get(text.casefold())


def _of_one_tier(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the tiers' ids by name in lower case; a name of two tiers is left out."""
    ids: dict[str, set[str]] = {}
    for name, id in named:
        ids.setdefault(name.casefold(), set()).add(id)
    return {name: next(iter(found)) for name, found in ids.items() if len(found) == 1}


def _nameless(layout: Layout) -> Problem:
    problem = "no column names the accounts, so rows of one account are not found"
    return Problem(layout.file, layout.headings.line, "", problem, "name it: --id HEADING", Severity.WARNING)


def _guessed(layout: Layout) -> Problem:
    problem = "the file is not UTF-8, and is read as Windows-1252"
    return Problem(layout.file, layout.guessed_at, "", problem, "name its encoding: --encoding", Severity.WARNING)
