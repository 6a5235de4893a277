"""Usage of the accounts of a command: from a file by month, or from the store that counts it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.exit_codes import CommandError, usage_errors
from entitlements.cli.loading import check_store

if TYPE_CHECKING:
    from entitlements.model.account import Account
    from entitlements.policy import Policy
    from entitlements.tiering.contracts import Contract
    from entitlements.tiering.triggers import MeasuredUsage
    from entitlements.usage_files import UsageFile

UsageOption = Annotated[
    str | None,
    typer.Option(
        "--usage",
        metavar="FILE|URL",
        help="Usage by month: a CSV or Parquet file, or the URL of the store that counts it.",
    ),
]
UsageColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--usage-column",
        metavar="NAME=HEADING",
        help="The column of a limit, such as leads or leads-denied, of a measure, `account` or `month`; may be repeated.",
    ),
]
NO_USAGE = "usage was not looked at: add --usage FILE, or --store URL"


@dataclass(frozen=True, slots=True)
class UsageSource:
    """
    A source of measured usage.

    Args:
        measured: Returns the usage of an account, which the policy has read, under its contract.
        file: The file; None for a store.
    """

    measured: Callable[[Account, Contract], MeasuredUsage]
    file: UsageFile | None = None

    def remarks(self, known: Collection[str]) -> list[str]:
        """Return the problems of the file, the columns that it lacks, and its accounts that are not *known*."""
        if self.file is None:
            return []
        return [*self.file.columns.lacking, *map(str, (*self.file.problems, *self.file.strangers(known)))]


def open_usage(
    policy: Policy,
    now: int,
    *,
    usage: str | None,
    store: str | None,
    columns: list[str] | None = None,
    measures: Collection[str] = (),
) -> UsageSource | None:
    """
    Return the source that the options name; None without one.

    Args:
        policy: The policy in force.
        now: The instant of the command, in microseconds since 1970.
        usage: A file, or the URL of a store.
        store: The URL of a store.
        columns: Columns of the file, as `NAME=HEADING`.
        measures: Measures of the file that are read too.
    """
    if usage is not None and "://" in usage:
        usage, store = None, check_store(usage)
    if usage is not None:
        return _of_file(policy, now, usage, columns, measures)
    if columns:
        raise CommandError("--usage-column is about a file; name it: --usage FILE")
    return _of_store(policy, now, store) if store else None


def parse_pairs(option: str, texts: list[str] | None, example: str) -> dict[str, str]:
    """Return the pairs of an option that is given as `NAME=HEADING` several times."""
    pairs = {}
    for text in texts or ():
        name, equals, heading = text.partition("=")
        if not equals or not name.strip() or not heading.strip():
            raise CommandError(f"{option} {text!r} is no pair; write {option} {example}")
        pairs[name.strip()] = heading.strip()
    return pairs


def _of_file(policy: Policy, now: int, path: str, columns: list[str] | None, measures: Collection[str]) -> UsageSource:
    from entitlements.usage_files import measured_usage, read_usage

    given = parse_pairs("--usage-column", columns, "leads=HEADING")
    with usage_errors("--usage-column: "):
        file = read_usage(path, policy, given=given, measures=measures)

    def measured(account: Account, contract: Contract) -> MeasuredUsage:
        return measured_usage(contract.entitlements, file.months.get(account.id, ()), now)

    return UsageSource(measured, file)


def _of_store(policy: Policy, now: int, url: str) -> UsageSource:
    from entitlements.enforcer import Enforcer
    from entitlements.model.policy import counted_limits
    from entitlements.tiering.triggers import MeasuredUsage

    enforcer = Enforcer(policy, accounts={}, clock=lambda: now, store=url)
    counted = counted_limits(policy)

    def measured(account: Account, _: Contract) -> MeasuredUsage:
        history = {name: enforcer.history(account, name, refusals=True) for name in counted}
        return MeasuredUsage(enforcer.usage(account), history)

    return UsageSource(measured)
