"""Check of an export with its tiers as a directory of accounts, by the reader of such directories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from entitlements.accounts.csv.columns import COLUMNS
from entitlements.accounts.csv.dialect import normalize_heading
from entitlements.accounts.csv.policy_view import apply_to_account, faults_of_part
from entitlements.accounts.csv.rows import ONE_ROW, RowFault, RowReader, has_errors
from entitlements.accounts.csv.table import Table, distinct_names
from entitlements.crm.columns import TIER, Columns
from entitlements.crm.layout import Layout, Record
from entitlements.errors import AccountError
from entitlements.model.policy import PolicyData
from entitlements.model.problem import Problem, Severity

if TYPE_CHECKING:
    from entitlements.crm.assignment import RowResult


def directory_problems(
    policy: PolicyData,
    layout: Layout,
    columns: Columns,
    records: Iterable[Record],
    results: Mapping[int, RowResult],
    *,
    doubled: str | None,
) -> Iterator[Problem]:
    """
    Yield the problems that a directory of accounts has with the rows that have a tier.

    Args:
        policy: The policy of the tiers.
        layout: The file.
        columns: The columns of the file.
        records: Its rows.
        results: The results of the rows, by line.
        doubled: A second cure of an account with several rows; None if its rows are added up.
    """
    is_added = columns.tier >= columns.width
    headings = [*layout.names, *([TIER] if is_added else [])]
    if columns.id is None or normalize_heading(headings[columns.tier]) != "tier":
        return
    key = normalize_heading(headings[columns.id])
    try:
        names = distinct_names("", headings, (key, "tier"), columns.ignored)
    except AccountError as error:
        problem, _, cure = str(error).removeprefix(": ").partition("; ")
        cure = f"{cure}, or leave such a column alone: --ignore HEADING here, CsvAccounts(ignore=[HEADING])"
        yield Problem(layout.file, layout.headings.line, "", f"{problem}, so no row is served", cure)
        return
    reader = RowReader(layout.file, key, Table(tuple(headings), names, ()), columns.ignored)
    written = dict(zip(names, headings, strict=True))
    for record in records:
        result = None if record.is_blank else results[record.line]
        tier = result and (result.before if result.kept else result.tier)
        if result and tier and not result.displaced:
            cells = [layout.cell(record, at) for at in range(columns.width)] + [""] * is_added
            cells[columns.tier] = tier
            for fault in _faults(policy, reader, record.line, cells):
                if fault.cure == ONE_ROW and doubled is None:
                    continue  # every row of the account gets the tier of the sum
                if fault.cure == ONE_ROW:
                    problem = f"{fault.problem}; both get a tier, only the first is looked up"
                    cure = f"give each account a name of its own{doubled}"
                    yield Problem(layout.file, record.line, fault.path, problem, cure, Severity.WARNING)
                elif fault.path != "tier":  # that is reported where the tier is kept
                    yield _problem(layout.file, record.line, fault, written)


def _faults(policy: PolicyData, reader: RowReader, line: int, cells: list[str]) -> Iterator[RowFault]:
    row, faults = reader.read(line, cells)
    yield from faults
    if row is not None:
        account = row.account
        yield from faults_of_part(policy, account) if has_errors(faults) else apply_to_account(policy, account)[1]


def _problem(file: str, line: int, fault: RowFault, written: Mapping[str, str]) -> Problem:
    """Return the problem of a cell; a column of the CRM's own can be ignored."""
    trials = (heading for name, heading in written.items() if name.startswith("trial_"))
    heading = written.get(fault.path) or (next(trials, "") if fault.path == "trial_ends" else fault.path)
    if fault.severity is Severity.WARNING:
        return Problem(file, line, heading, fault.problem, fault.cure, fault.severity)
    cure = fault.cure
    if normalize_heading(heading) in COLUMNS.keys() - {"tier"}:
        cure = f"rename the column, or leave it alone: --ignore {heading!r} here, CsvAccounts(ignore=[{heading!r}])"
    return Problem(file, line, heading, f"{fault.problem}, so the row is not served", cure)
