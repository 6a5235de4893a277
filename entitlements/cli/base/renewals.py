"""`entitlements base renewals`: the contracts that are renewed soon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.base.loading import ColumnOption, load_base
from entitlements.cli.options import AccountsOption, AtOption, IdOption, JsonOption, PolicyOption
from entitlements.model.display import in_words
from entitlements.presentation.formatting import align_columns, first_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.tiering.base.renewals import Renewals

SHOWN = 5


def renewals(
    *,
    within: Annotated[int, typer.Option("--within", metavar="DAYS", help="The days to look ahead.", min=1)] = 90,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    column: ColumnOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    List the contracts that are renewed in the next days, and those whose date is over.

    Reads the column `renewal-date`. Exits with 1 if a date cannot be read.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.base.renewals import renewals as found_in
    from entitlements.tiering.base.rows import DATES, RENEWAL

    loaded = load_base(policy, accounts, id=id, at=at, columns=column)
    base = loaded.base()
    loaded.require(base, RENEWAL, DATES[RENEWAL], "no renewal is known")
    found = found_in(base, today=loaded.today, within=within)
    CliConsole().write_answer(lambda: found.to_dict() | loaded.told(), _lines(found, within), as_json=as_json)
    return loaded.report()


def _lines(found: Renewals, within: int) -> Iterator[str]:
    pays = sum(each.pays for each in found.due if each.pays is not None)
    yield f"{len(found.due)} renewals in {within} days, {in_words(pays)} a year"
    rows = [("on", "in days", "account", "name", "tier", "pays")]
    for each in (*found.overdue, *found.due):
        pay = "?" if each.pays is None else in_words(each.pays)
        rows.append((str(each.on), str(each.days), each.account, each.name, each.tier, pay))
    if len(rows) > 1:
        yield from align_columns(rows)
    if found.overdue:
        yield f"{len(found.overdue)} of these dates are over: renew the contract, or correct the date"
    if found.undated:
        yield f"{len(found.undated)} accounts have no date:"
        yield from first_lines([f"  {id}" for id in found.undated], SHOWN, "  … and {:,} more: --json tells all")
