"""The accounts of a report on a base, its options, and what is reported of their cells and columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.exit_codes import ExitCode
from entitlements.cli.loading import accounts_path, open_csv, open_policy, parse_instant
from entitlements.cli.usage_source import open_usage, parse_pairs
from entitlements.model.instants import to_datetime
from entitlements.model.problem import Severity
from entitlements.presentation.formatting import first_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import date
    from decimal import Decimal

    from entitlements.accounts import CsvAccounts
    from entitlements.model.account import Account
    from entitlements.policy import Policy
    from entitlements.tiering.base.rows import Base
    from entitlements.usage_files import UsageFile

SHOWN = 10
"""Problems that are listed; the rest is counted."""

ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="NAME=HEADING",
        help="The column of the accounts that holds a name, such as renewal-date; may be repeated.",
    ),
]
UsageFileOption = Annotated[
    str | None,
    typer.Option("--usage", metavar="FILE", help="Usage and measures by month: a CSV or Parquet file."),
]


@dataclass(slots=True)
class LoadedBase:
    """
    The accounts of a report.

    Args:
        policy: The policy.
        path: The path of the accounts.
        now: The instant of the report, in microseconds since 1970.
        file: The accounts.
        accounts: Those whose tier the policy knows.
        columns: Headings by the name under which a report asks for them.
        usage: Usage and measures by month; None without a file.
        problems: The problems, one line each.
        remarks: What is not known for want of a column.
    """

    policy: Policy
    path: str
    now: int
    file: CsvAccounts
    accounts: tuple[Account, ...]
    columns: Mapping[str, str]
    usage: UsageFile | None
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def today(self) -> date:
        """The day of the report, in UTC."""
        return to_datetime(self.now).date()

    def base(self, measures: Collection[str] = ()) -> Base:
        """Return the rows of the accounts, with these *measures*; the faults of their cells become problems."""
        from entitlements.tiering.base.rows import read_base
        from entitlements.usage_files import measures_at

        newer: dict[str, Mapping[str, Decimal]] = {}
        if self.usage is not None:
            newer = {id: measures_at(months) for id, months in self.usage.months.items()}
        found = read_base(
            self.policy, self.accounts, now=self.now, measures=measures, columns=self.columns, measured=newer
        )
        self.problems += (
            f"{self.path}:{self.file.line(each.account)}: {each.field}: {each.problem}; {each.cure}"
            for each in found.faults
        )
        return found

    def require(self, base: Base, name: str, attributes: Collection[str], consequence: str) -> None:
        """Remark on a column that no account has, with the option that names it and the *consequence*."""
        if not base.columns.intersection(attributes):
            self.remarks.append(f"{self.path}: no column of {name}, so {consequence}; name it: --column {name}=HEADING")

    def report(self) -> ExitCode:
        """Write the problems and remarks to stderr, and return the exit code."""
        from entitlements.cli.console import warn

        warn(*self.remarks)
        warn(*first_lines(self.problems, SHOWN, "… and {:,} more problems: --json tells all"), style="red")
        return ExitCode.NO if self.problems else ExitCode.YES

    def told(self) -> dict[str, object]:
        """Return the problems and remarks for JSON."""
        return {"problems": self.problems, "remarks": self.remarks}


def load_base(
    policy: str | None,
    accounts: str | None,
    *,
    id: str,
    at: str | None,
    columns: list[str] | None = None,
    usage: str | None = None,
    usage_columns: list[str] | None = None,
    measures: Callable[[Policy], Collection[str]] | None = None,
) -> LoadedBase:
    """Return the accounts that the options name; *measures* names those that are read from the file of usage."""
    from entitlements.tiering.criterion_values import attribute_name

    now, loaded, path = parse_instant(at), open_policy(policy), accounts_path(accounts)
    file = open_csv(path, loaded, id=id)
    known = tuple(account for account in file if loaded.tier(account.tier) is not None)
    pairs = parse_pairs("--column", columns, "renewal-date=HEADING")
    names = measures(loaded) if measures is not None else ()
    source = open_usage(loaded, now, usage=usage, store=None, columns=usage_columns, measures=names)
    read = source.file if source is not None else None
    found = LoadedBase(loaded, path, now, file, known, pairs, read)
    found.problems += [str(each) for each in file.problems if each.severity is Severity.ERROR]
    found.problems += [
        f"{path}:{file.line(each.id)}: tier: {each.tier!r} is not in the policy; correct it"
        for each in file
        if loaded.tier(each.tier) is None
    ]
    has = {attribute_name(name) for account in known for name in account.attributes}
    for name, heading in pairs.items():
        if attribute_name(heading) not in has:
            found.problems.append(f"{path}: no column {heading!r}, which --column {name} names; correct the heading")
    if read is not None:
        found.problems += map(str, read.problems)
        found.remarks += map(str, read.strangers(set(file.ids())))
    return found
