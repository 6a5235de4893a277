"""`entitlements base churn`: the accounts and the annual value that were lost, by tier."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.base.loading import ColumnOption, load_base
from entitlements.cli.loading import open_accounts
from entitlements.cli.options import AccountsOption, AtOption, IdOption, JsonOption, PolicyOption
from entitlements.model.display import in_words
from entitlements.presentation.formatting import align_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from entitlements.tiering.base.churn import TierChurn


def churn(
    *,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="CSV", help="An earlier export: accounts that are gone since have left."),
    ] = None,
    within: Annotated[
        int, typer.Option("--within", metavar="DAYS", help="Without --before: the days to look back.", min=1)
    ] = 365,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    column: ColumnOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show the churn of each tier: by accounts, and by annual value.

    An account has left if it is in the earlier export and no more in the file of accounts, or
    by its date in the column `churned`. Shows too how many average accounts of a tier pay as
    much as one of the highest. Exits with 1 if a cell cannot be read.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.base.churn import CHURNED, gone_since
    from entitlements.tiering.base.churn import churn as churn_of
    from entitlements.tiering.base.rows import DATES

    loaded = load_base(policy, before or accounts, id=id, at=at, columns=column)
    base = loaded.base()
    if before is not None:
        from entitlements.cli.loading import accounts_path

        present = open_accounts(accounts_path(accounts), loaded.policy, id=id)
        gone = tuple(row.account for row in base.rows if present.find(row.account) is None)
    else:
        cure = "no account has left; compare with an earlier export: --before CSV"
        loaded.require(base, CHURNED, DATES[CHURNED], cure)
        gone = gone_since(base, loaded.today - timedelta(days=within), loaded.today)
    found = churn_of(loaded.policy, base, gone)
    CliConsole().write_answer(
        lambda: {"tiers": [each.to_dict() for each in found]} | loaded.told(), _lines(found), as_json=as_json
    )
    return loaded.report()


def _lines(found: Sequence[TierChurn]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [("tier", "accounts", "lost", "of accounts", "paid", "lost", "of that")]
    for each in found:
        shares = ("" if share is None else f"{share} %" for share in (each.logos, each.value))
        logos, value = shares
        counts = (in_words(each.accounts), in_words(len(each.lost)), logos)
        rows.append((each.tier or "all", *counts, in_words(each.pays), in_words(each.lost_pays), value))
    yield from align_columns(rows, right=True)
    top = found[0].tier
    for each in found[1:]:
        if each.equal is not None:
            yield f"{each.equal} accounts of {each.tier} pay as much as one of {top}"
