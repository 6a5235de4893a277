"""`entitlements base kpis`: the KPIs that each tier tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.cli.base.loading import ColumnOption, UsageFileOption, load_base
from entitlements.cli.options import AccountsOption, AtOption, IdOption, JsonOption, PolicyOption
from entitlements.cli.usage_source import UsageColumnOption
from entitlements.model.display import in_words
from entitlements.presentation.formatting import align_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from entitlements.tiering.base.kpis import TierKpi


def kpis(
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    usage: UsageFileOption = None,
    usage_column: UsageColumnOption = None,
    column: ColumnOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show the KPIs that each tier tracks: medians over its accounts, now and some months ago.

    The columns are those of the accounts, and those of --usage, whose newest month counts and
    whose earlier ones show the change. Exits with 1 if a cell cannot be read.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.base.health import trend_months
    from entitlements.tiering.base.kpis import kpi_columns, tier_kpis
    from entitlements.usage_files import measures_at

    loaded = load_base(
        policy, accounts, id=id, at=at, columns=column, usage=usage, usage_columns=usage_column, measures=kpi_columns
    )
    base = loaded.base(kpi_columns(loaded.policy))
    months = loaded.usage.months if loaded.usage is not None else {}
    before = {
        row.account: measures_at(months[row.account], trend_months(loaded.policy.tiers[row.tier].values))
        for row in base.rows
        if len(months.get(row.account, ())) > 1
    }
    found = tier_kpis(loaded.policy, base, before)
    loaded.remarks += (
        f"{loaded.path}: no account of {each.tier} has {each.kpi!r}; name its column: --column {each.columns[0]}=HEADING"
        for each in found
        if not each.known
    )
    CliConsole().write_answer(
        lambda: {"kpis": [each.to_dict() for each in found]} | loaded.told(), _lines(found), as_json=as_json
    )
    return loaded.report()


def _lines(found: Sequence[TierKpi]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [("tier", "KPI", "median", "before", "accounts")]
    for each in found:
        middle, before = ("?" if value is None else in_words(value) for value in (each.middle, each.before))
        rows.append((each.tier, each.kpi, middle, before, f"{each.known:,} of {each.accounts:,}"))
    yield from align_columns(rows)
