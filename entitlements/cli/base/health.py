"""The health of all accounts: `entitlements health` without an account."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from entitlements.cli.base.loading import LoadedBase, load_base
from entitlements.errors import AccountError, PolicyError
from entitlements.presentation.formatting import align_columns, first_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from entitlements.tiering.base.health import AccountHealth
    from entitlements.tiering.base.rows import BaseRow

THRESHOLD = "support-cases.threshold"
"""The value of a tier: the open cases from which the CSM steps in."""

RENEWAL_DAYS = 90
CASES = "open-cases"


def base_health(
    policy: str | None,
    accounts: str | None,
    *,
    id: str,
    at: str | None,
    usage: str | None,
    usage_columns: list[str] | None,
    as_json: bool,
) -> int:
    """Write the health of all accounts, the highest risk first, and return the exit code."""
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.base.health import measure_names

    loaded = load_base(policy, accounts, id=id, at=at, usage=usage, usage_columns=usage_columns, measures=measure_names)
    found = healths(loaded)
    CliConsole().write_answer(
        lambda: {"accounts": [each.to_dict() for _, each in found]} | loaded.told(), _lines(found), as_json=as_json
    )
    return loaded.report()


def healths(loaded: LoadedBase) -> list[tuple[BaseRow, AccountHealth]]:
    """Return the health of each account whose tier has a score, the highest risk first; faults become problems."""
    from entitlements.tiering.base.health import Risk, account_health, measure_names, trend_months
    from entitlements.usage_files import measures_at

    names = measure_names(loaded.policy)
    base = loaded.base((*names, CASES))
    found = []
    for account, row in zip(loaded.accounts, base.rows, strict=True):
        months = loaded.usage.months.get(account.id, ()) if loaded.usage is not None else ()
        values = loaded.policy.tiers[row.tier].values
        earlier = measures_at(months, trend_months(values))
        try:
            each = account_health(
                loaded.policy,
                account,
                now=loaded.now,
                figures=row.figures,
                earlier={**row.figures, **earlier} if earlier else None,
                warnings=_warnings(loaded, row),
            )
        except (AccountError, PolicyError) as error:
            loaded.problems.append(f"{loaded.path}:{loaded.file.line(account.id)}: {error}")
            continue
        if each.health.components:
            found.append((row, each))
    known = {measure.measure for _, each in found for measure in each.measures if measure.figure is not None}
    loaded.remarks += (
        f"{loaded.path}: no account has the measure {name}, so health is computed without it; "
        f"name its column: --usage-column {name}=HEADING"
        for name in names
        if name not in known
    )
    order = list(Risk)
    found.sort(key=lambda pair: (order.index(pair[1].risk), pair[1].health.score or 0, pair[0].account))
    return found


def _warnings(loaded: LoadedBase, row: BaseRow) -> Iterator[str]:
    from entitlements.tiering.base.rows import RENEWAL
    from entitlements.tiering.value_faults import written_number

    renewal = row.dates.get(RENEWAL)
    days = None if renewal is None else (renewal - loaded.today).days
    if days is not None and 0 <= days < RENEWAL_DAYS:
        yield f"its renewal is due in {days} days"
    threshold = written_number(loaded.policy.tiers[row.tier].values.get(THRESHOLD))
    cases = row.figures.get(CASES)
    if threshold is not None and cases is not None and cases >= threshold:
        yield f"{cases} open cases reach the threshold of {threshold}"


def _lines(found: Sequence[tuple[BaseRow, AccountHealth]]) -> Iterator[str]:
    counts = Counter(each.risk for _, each in found)
    yield ", ".join(f"{count:,} at {risk} risk" for risk, count in counts.items()) or "no tier has a health score"
    rows = [("account", "name", "tier", "health", "trend", "risk", "because")]
    for row, each in found:
        score = "?" if each.health.score is None else str(each.health.score)
        missing = f"not measured: {', '.join(each.health.missing)}" if each.health.missing else ""
        trend = "" if each.trend is None else f"{each.trend:+}"
        because = "; ".join(filter(None, (*each.because, missing)))
        rows.append((row.account, row.name, row.tier, score, trend, each.risk, because))
    if len(rows) > 1:
        yield from first_lines(list(align_columns(rows)), 10_000, "… and {:,} more: --json tells all")
