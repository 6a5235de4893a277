"""A tier for every row of an export, and the problems of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from entitlements.crm.columns import Columns
from entitlements.crm.directory import directory_problems
from entitlements.crm.layout import Layout, Record
from entitlements.crm.sums import combine_rows, summed_criteria
from entitlements.errors import AccountError
from entitlements.model.criteria import Criterion
from entitlements.model.names import shown
from entitlements.model.policy import PolicyData
from entitlements.model.problem import Problem, Severity
from entitlements.tiering.criterion_values import Misfit, read_attributes, read_value
from entitlements.tiering.dates import date_fault
from entitlements.tiering.segmentation import Segment, SegmentedAccount, measure_of, segment, summary

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
        sums: The criteria that are added up over the rows of one account.
    """

    layout: Layout
    columns: Columns
    results: Mapping[int, RowResult]
    problems: tuple[Problem, ...]
    segments: tuple[Segment, ...] = ()
    sums: Mapping[str, Criterion] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems of severity error."""
        return tuple(each for each in self.problems if each.severity is Severity.ERROR)


def assign_base(
    policy: PolicyData,
    layout: Layout,
    columns: Columns,
    *,
    by: str | None = None,
    sums: Iterable[str] = (),
    progress: Progress = no_progress,
) -> Assigned:
    """
    Return the tier of every row.

    Args:
        policy: The policy with the rules.
        layout: The file.
        columns: The columns of the file.
        by: The segmentation's name; None is the policy's first.
        sums: The criteria that are added up over the rows of one account.
        progress: Wraps the rows, such as in a progress bar.

    Raises:
        AccountError: For a row that is misquoted, and for sums without a column that names the accounts.
        ValueError: For a segmentation that the policy does not have, and a criterion that cannot be added up.
    """
    measure = measure_of(policy, by)
    reader = _BaseReader(policy, layout, columns, tuple(sums))
    accounts = reader.accounts(progress(layout.records(), layout.lines, "assigning"))
    found = tuple(segment(policy, accounts, by=by))
    results = {each.line: each for each in sorted(reader.results(found), key=lambda each: each.line)}
    records = progress(layout.records(), layout.lines, "checking")
    add = None if reader.sums else f", or add its rows up: --sum {measure}"
    served = directory_problems(policy, layout, columns, records, results, doubled=add)
    order = sorted((*reader.problems, *served), key=lambda each: each.line)
    guessed = [_guessed(layout)] if layout.guessed_at else []
    guessed += [_nameless(layout)] if columns.id is None else []
    return Assigned(layout, columns, results, (*guessed, *order), summary(policy, found), reader.sums)


class _PendingRow(NamedTuple):
    """A row whose tier is not yet found."""

    line: int
    account: str
    before: str
    displaced: bool
    attributes: Mapping[str, object]


class _BaseReader:
    """A reader of the rows of an export; it collects their results and problems."""

    def __init__(self, policy: PolicyData, layout: Layout, columns: Columns, sums: tuple[str, ...]) -> None:
        assert policy.assignment is not None  # the columns are those of its criteria
        self.problems: list[Problem] = []
        self._policy = policy
        self._layout = layout
        self._columns = columns
        self._criteria = policy.assignment.criteria
        self.sums = summed_criteria(policy.assignment, sums)
        if sums and columns.id is None:
            raise AccountError(f"{layout.file}: --sum adds up the rows of one account; name its column: --id HEADING")
        self._rows: dict[object, list[_PendingRow]] = {}
        self._find_tier = tier_finder(policy)
        self._known = ", ".join(policy.tiers)

    def accounts(self, records: Iterable[Record]) -> Iterator[Mapping[str, object]]:
        """Yield the attributes of each account: of each row that is not blank, or of all its rows added up."""
        pending = (self._pending(record) for record in records if not record.is_blank)
        if not self.sums:
            for row in pending:
                self._rows[row.line] = [row._replace(attributes={})]  # an export may have a million rows
                yield row.attributes
            return
        for row in pending:
            is_added = row.account.strip() and not row.displaced
            self._rows.setdefault(row.account if is_added else row.line, []).append(row)
        for rows in self._rows.values():
            yield combine_rows(self.sums, [row.attributes for row in rows], self._policy.currency)

    def results(self, found: Iterable[SegmentedAccount]) -> Iterator[RowResult]:
        """Yield the result of each row, and report its problems."""
        for rows, segmented in zip(self._rows.values(), found, strict=True):
            for row in rows:
                kept = bool(row.before) and self._find_tier(row.before) is None
                result = RowResult(row.line, row.account, segmented, row.before, kept, row.displaced)
                self._report(result, row if len(rows) > 1 else None, is_first=row is rows[0])
                yield result

    def _pending(self, record: Record) -> _PendingRow:
        displaced = self._displaced(record)
        account = self._layout.cell(record, self._columns.id)
        before = "" if self._columns.tier >= self._columns.width else self._layout.cell(record, self._columns.tier)
        if not displaced:
            self._check_dates(record)
        attributes = {} if displaced else self._columns.attributes(self._layout, record)
        return _PendingRow(record.line, account, before.strip(), displaced, attributes)

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

    def _check_dates(self, record: Record) -> None:
        names = self._layout.names
        for at in self._columns.dates:
            text = self._layout.cell(record, at)
            fault = date_fault(text) if text.strip() else None
            if fault is not None:
                self._add_problem(
                    record.line, names[at], fault, "write a date such as 2027-01-31, or leave the cell empty"
                )

    def _report(self, result: RowResult, added: _PendingRow | None, *, is_first: bool) -> None:
        """Report the problems of a row; *added* is the row if it is one of several of an account."""
        segmented, misfits = result.segmented, result.segmented.misfits
        lacks = segmented.gap is not None and not misfits and not result.displaced
        if added is not None:  # each row tells of its own cells, the first one of what the rows contradict
            known, own = read_attributes(self.sums, added.attributes, currency=self._policy.currency)
            lacks = lacks and len(known) < len(self.sums)
            misfits = (*own, *(each for each in misfits if is_first and each.criterion not in self.sums))
        for misfit in misfits:
            self._add_problem(result.line, misfit.field.strip(), misfit.problem, self._cure(misfit))
        if lacks and segmented.gap is not None:
            fields = ", ".join(self._columns.fields.get(each, each) for each in segmented.gap.criteria)
            self._add_problem(result.line, fields, f"no tier: {segmented.gap.text}", "fill in the cell")
        if result.kept:
            heading = self._layout.names[self._columns.tier]
            problem = f"tier {shown(result.before)} is not in the policy ({self._known}), and is kept"
            would = f"empty the cell to get {segmented.tier}" if segmented.tier else "empty the cell, or correct it"
            self._add_problem(result.line, heading, problem, would)

    def _cure(self, misfit: Misfit) -> str:
        """Return the cure of a cell, with the option if it is a number with a decimal comma."""
        criterion = self._criteria[misfit.criterion]
        if criterion.decimal_comma or not isinstance(misfit.value, str):
            return misfit.cure
        fault, other = (self._fault(replace(criterion, decimal_comma=each), misfit.value) for each in (False, True))
        is_notation = fault == f"{misfit.problem}; {misfit.cure}"  # and no currency that another cell states
        return f"{misfit.cure}, or read decimal commas: --decimal-comma" if is_notation and not other else misfit.cure

    def _fault(self, criterion: Criterion, value: str) -> str:
        """Return what is wrong with a value; empty if nothing is."""
        try:
            read_value(criterion, value, self._policy.currency)
        except ValueError as error:
            return str(error)
        return ""

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
