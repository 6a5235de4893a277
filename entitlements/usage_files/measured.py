"""The months of an account as measured usage, which a review and a preview take."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from entitlements.model.entitlements import Entitlements
from entitlements.model.instants import to_datetime, to_instant
from entitlements.model.limits import UNLIMITED, Allocation, LimitValue, Quota, Size
from entitlements.model.policy import PolicyData
from entitlements.model.resolution import resolution_of
from entitlements.model.usage import Period, Usage
from entitlements.rules.periods import month_ends
from entitlements.tiering.triggers import MeasuredUsage
from entitlements.usage_files.columns import UsagePart
from entitlements.usage_files.reading import UsageFile, UsageMonth


def measured_usage(entitlements: Entitlements, months: Sequence[UsageMonth], now: int) -> MeasuredUsage:
    """
    Return the usage of an account as a store would have counted it.

    A month is the period that begins in it, a day the period that contains it. The present usage of an
    allocation is that of the newest month up to *now*; that of a quota is known if the running period has a row.

    Args:
        entitlements: The account's entitlements; their sizes hold for months without one of their own.
        months: The account's months, newest first.
        now: Microseconds.
    """
    anchor = resolution_of(entitlements).anchor
    past = [(each, *_span(each, anchor)) for each in months]
    past = [each for each in past if each[1] <= now]
    usage: dict[str, Usage] = {}
    history: dict[str, tuple[Period, ...]] = {}
    for name, limit in entitlements.policy.limits.items():
        if not isinstance(limit, Quota | Allocation):
            continue
        size = resolution_of(entitlements).limits.get(name, 0)
        periods = tuple(_periods(name, past, size, is_quota=isinstance(limit, Quota)))
        if periods:
            history[name] = periods
        known = (each for each in past if (UsagePart.USED, name) in each[0].figures)
        newest = next(known, None)
        if newest is not None and (isinstance(limit, Allocation) or newest[2] > now):
            used = int(newest[0].figures[UsagePart.USED, name])
            ends = to_datetime(newest[2]) if isinstance(limit, Quota) else None
            usage[name] = Usage(used, 0, size, _remaining(size, used), ends)
    return MeasuredUsage(usage, history)


def measures_at(months: Sequence[UsageMonth], back: int = 0) -> Mapping[str, Decimal]:
    """Return the measures of an account in the newest month, or of the last month at least *back* months before it."""
    if not months:
        return {}
    newest = months[0].day
    for each in months:
        if (newest.year - each.day.year) * 12 + newest.month - each.day.month >= back:
            return {name: value for (part, name), value in each.figures.items() if part is UsagePart.MEASURE}
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


def _span(month: UsageMonth, anchor: int | None) -> tuple[int, int]:
    """Return the first instant of the period of a row, and the first after it."""
    day = to_instant(datetime(month.day.year, month.day.month, month.day.day, tzinfo=UTC))
    _, start, end, after = month_ends(anchor, day)
    return (end, after) if month.is_month and start < day else (start, end)


def _periods(
    name: str, past: Sequence[tuple[UsageMonth, int, int]], size: LimitValue, *, is_quota: bool
) -> Iterator[Period]:
    """Yield the periods of a quota, or those of an allocation with refusals; its periods have no usage."""
    for month, start, end in past:
        used = month.figures.get((UsagePart.USED, name))
        denied = int(month.figures.get((UsagePart.DENIED, name), 0))
        if (used is not None and is_quota) or denied:
            then: Size = (
                int(month.figures[UsagePart.SIZE, name]) if (UsagePart.SIZE, name) in month.figures else _size(size)
            )
            yield Period(to_datetime(start), to_datetime(end), int(used or 0) if is_quota else 0, denied, then)


def _size(size: LimitValue) -> Size:
    return UNLIMITED if size is UNLIMITED else size if isinstance(size, int) else 0


def _remaining(size: LimitValue, used: int) -> Size:
    return UNLIMITED if size is UNLIMITED else max(0, size - used) if isinstance(size, int) else 0
