"""The months of an account as measured usage, which a review and a preview take."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import islice

from entitlements.model.entitlements import Entitlements
from entitlements.model.instants import to_datetime
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, LimitValue, Quota, Rate, Size
from entitlements.model.policy import PolicyData
from entitlements.model.resolution import resolution_of
from entitlements.model.usage import Period, Usage
from entitlements.rules.periods import period_length
from entitlements.tiering.triggers import MeasuredUsage
from entitlements.usage_files.columns import UsagePart
from entitlements.usage_files.month_columns import FigureColumn, MonthColumns, PeriodOfMonth, by_column, periods_of
from entitlements.usage_files.reading import UsageFile, UsageMonth


def measured_usage(entitlements: Entitlements, months: Sequence[UsageMonth], now: int) -> MeasuredUsage:
    """
    Return the usage of an account as a store would have counted it.

    A month is the period that begins in it, a day the period that contains it. Rows of months say nothing about a
    quota of other periods. The present usage of an
    allocation is that of the newest month up to *now*; that of a quota is known if the running period has a row.

    Args:
        entitlements: The account's entitlements; their sizes hold for months without one of their own.
        months: The account's months, newest first.
        now: Microseconds.
    """
    return measured_columns(entitlements, by_column(months), now)


def measured_columns(
    entitlements: Entitlements, months: MonthColumns, now: int, count: int | None = None
) -> MeasuredUsage:
    """
    Return what `measured_usage` does, of months by column.

    Args:
        entitlements: The account's entitlements.
        months: The account's months.
        now: Microseconds.
        count: Finished periods that are looked at. Of those before them a history has the newest
            one only, which tells that usage is known since then; None for all.
    """
    resolution, moment = resolution_of(entitlements), to_datetime(now)
    usage: dict[str, Usage] = {}
    history: dict[str, tuple[Period, ...]] = {}
    for name, limit in entitlements.policy.limits.items():
        used, denied = months.figures.get((UsagePart.USED, name)), months.figures.get((UsagePart.DENIED, name))
        if isinstance(limit, Rate) or (used is None and denied is None):
            continue
        is_quota, size = isinstance(limit, Quota), resolution.limits.get(name, NOT_INCLUDED)
        recent, old = periods_of(period_length(limit), resolution.calendar, months.days, now, count)
        if is_quota or (denied is not None and any(denied)):
            figures = used if is_quota else None, denied, months.figures.get((UsagePart.SIZE, name))
            periods = [*_periods(recent, *figures, _size(size)), *islice(_periods(old, *figures, _size(size)), 1)]
            if periods:
                history[name] = tuple(periods)
        newest = None if used is None else next((each for each in (*recent, *old) if used[each[0]] is not None), None)
        if used is not None and newest is not None and (not is_quota or newest[2] > moment):
            held = int(used[newest[0]] or 0)
            usage[name] = Usage(held, 0, size, _remaining(size, held), newest[2] if is_quota else None)
    return MeasuredUsage(usage, history)


def measures_at(months: Sequence[UsageMonth], back: int = 0) -> Mapping[str, Decimal]:
    """Return the measures of an account in the newest month, or of the last month at least *back* months before it."""
    if not months:
        return {}
    newest = months[0].day
    for each in months:
        if (newest.year - each.day.year) * 12 + newest.month - each.day.month >= back:
            return {name: Decimal(value) for (part, name), value in each.figures.items() if part is UsagePart.MEASURE}
    return {}


def last_active(policy: PolicyData, file: UsageFile, today: date) -> Mapping[str, date | None]:
    """
    Return the last day on which an account may have used a quota; None for an account without any usage.

    Args:
        policy: The policy with the quotas.
        file: The months of the accounts.
        today: No day is later.
    """
    quotas = {name for name, limit in policy.limits.items() if isinstance(limit, Quota)}
    return {id: _last_active(months, quotas, today) for id, months in file.months.items()}


def _last_active(months: Sequence[UsageMonth], quotas: Collection[str], today: date) -> date | None:
    for each in months:
        if each.day <= today and any(
            value > 0 for (part, name), value in each.figures.items() if part is UsagePart.USED and name in quotas
        ):
            last = monthrange(each.day.year, each.day.month)[1] if each.is_month else each.day.day
            return min(today, each.day.replace(day=last))
    return None


def _periods(
    past: Sequence[PeriodOfMonth],
    used: FigureColumn | None,
    denied: FigureColumn | None,
    sizes: FigureColumn | None,
    size: Size,
) -> Iterator[Period]:
    """Yield the periods with usage or refusals; *used* is None for an allocation, whose periods have no usage."""
    for at, start, end in past:
        units = None if used is None else used[at]
        refused = int((denied[at] if denied is not None else 0) or 0)
        if refused or units is not None:
            then = sizes[at] if sizes is not None else None
            yield Period(start, end, int(units or 0), refused, size if then is None else int(then))


def _size(size: LimitValue) -> Size:
    return UNLIMITED if size is UNLIMITED else size if isinstance(size, int) else 0


def _remaining(size: LimitValue, used: int) -> Size:
    return UNLIMITED if size is UNLIMITED else max(0, size - used) if isinstance(size, int) else 0
