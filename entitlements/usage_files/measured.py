"""The months of an account as measured usage, which a review and a preview take."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache

from entitlements.model.calendars import Calendar
from entitlements.model.entitlements import Entitlements
from entitlements.model.instants import to_datetime, to_instant
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, LimitValue, PeriodLength, Quota, Rate, Size
from entitlements.model.policy import PolicyData
from entitlements.model.resolution import resolution_of
from entitlements.model.usage import Period, Usage
from entitlements.rules.periods import period_ends, period_length
from entitlements.tiering.triggers import MeasuredUsage
from entitlements.usage_files.columns import UsagePart
from entitlements.usage_files.reading import Figures, UsageFile, UsageMonth

_Counted = tuple[Figures, datetime, datetime]
"""The figures of a row, with the start and the end of the period that they belong to."""


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
    resolution, moment = resolution_of(entitlements), to_datetime(now)
    past_of: dict[PeriodLength, list[_Counted]] = {}
    usage: dict[str, Usage] = {}
    history: dict[str, tuple[Period, ...]] = {}
    for name, limit in entitlements.policy.limits.items():
        if isinstance(limit, Rate):
            continue
        size, is_quota, length = (
            resolution.limits.get(name, NOT_INCLUDED),
            isinstance(limit, Quota),
            period_length(limit),
        )
        if length not in past_of:
            past_of[length] = [
                (each.figures, *span)
                for each in months
                if (span := _span(length, resolution.calendar, each.day, each.is_month)) and span[0] <= moment
            ]
        past = past_of[length]
        periods = _periods(name, past, _size(size), is_quota=is_quota)
        if periods:
            history[name] = periods
        key = UsagePart.USED, name
        newest = next((each for each in past if key in each[0]), None)
        if newest is not None and (not is_quota or newest[2] > moment):
            used = int(newest[0][key])
            usage[name] = Usage(used, 0, size, _remaining(size, used), newest[2] if is_quota else None)
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


@lru_cache(maxsize=16384)
def _span(
    length: PeriodLength,
    calendar: Calendar,
    day: date,
    is_month: bool,  # noqa: FBT001 - internal
) -> tuple[datetime, datetime] | None:
    """Return the first instant of the period of a row, and the first after it; many accounts share them."""
    if length == PeriodLength.LIFETIME or (is_month and length != PeriodLength.MONTH):
        return None
    first = to_instant(datetime(day.year, day.month, day.day, tzinfo=calendar.zone))
    _, start, end, after = period_ends(length, calendar, first)
    span = (end, after) if is_month and start < first else (start, end)
    return to_datetime(span[0]), to_datetime(span[1])


def _periods(name: str, past: Sequence[_Counted], size: Size, *, is_quota: bool) -> tuple[Period, ...]:
    """Return the periods of a quota, or those of an allocation with refusals; its periods have no usage."""
    used_key, denied_key, size_key = (UsagePart.USED, name), (UsagePart.DENIED, name), (UsagePart.SIZE, name)
    periods = []
    for figures, start, end in past:
        denied = int(figures.get(denied_key, 0))
        if denied or (is_quota and used_key in figures):
            then = int(figures[size_key]) if size_key in figures else size
            periods.append(Period(start, end, int(figures.get(used_key, 0)) if is_quota else 0, denied, then))
    return tuple(periods)


def _size(size: LimitValue) -> Size:
    return UNLIMITED if size is UNLIMITED else size if isinstance(size, int) else 0


def _remaining(size: LimitValue, used: int) -> Size:
    return UNLIMITED if size is UNLIMITED else max(0, size - used) if isinstance(size, int) else 0
