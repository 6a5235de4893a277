"""The months of an account by column: for each figure, its values in all months."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from entitlements.model.calendars import Calendar
from entitlements.model.instants import to_datetime, to_instant
from entitlements.model.limits import PeriodLength
from entitlements.rules.periods import period_ends
from entitlements.tiering.counted_periods import start_of_finished
from entitlements.usage_files.columns import UsagePart
from entitlements.usage_files.reading import UsageMonth

FigureKey = tuple[UsagePart, str]
FigureColumn = tuple[Decimal | int | None, ...]
PeriodOfMonth = tuple[int, datetime, datetime]
"""The index of a month, and the start and the end of its period."""


class MonthColumns(NamedTuple):
    """
    The months of an account, newest first.

    Args:
        days: Of each month, as `day_number` writes it.
        figures: The values of each figure, None where unknown.
    """

    days: tuple[int, ...]
    figures: Mapping[FigureKey, FigureColumn]


NO_MONTHS = MonthColumns((), {})


def day_number(day: date, *, is_month: bool) -> int:
    """Return twice the ordinal of a day, and one more for a month."""
    return day.toordinal() * 2 + is_month


def by_column(months: Sequence[UsageMonth]) -> MonthColumns:
    """Return the months of an account, newest first, by column."""
    keys = dict.fromkeys(key for each in months for key in each.figures)
    days = tuple(day_number(each.day, is_month=each.is_month) for each in months)
    return MonthColumns(days, {key: tuple(each.figures.get(key) for each in months) for key in keys})


@lru_cache(maxsize=16384)
def periods_of(
    length: PeriodLength, calendar: Calendar, days: tuple[int, ...], now: int, count: int | None
) -> tuple[tuple[PeriodOfMonth, ...], tuple[PeriodOfMonth, ...]]:
    """
    Return the periods that have begun, and apart from them those before the last *count* finished ones.

    Many accounts have the same ones.

    Args:
        length: The length of the periods. Rows of months say nothing about others than months.
        calendar: The account's calendar.
        days: The months, as `day_number` writes them.
        now: Microseconds.
        count: Finished periods; None for all.
    """
    if length == PeriodLength.LIFETIME:
        return (), ()
    since = None if count is None else start_of_finished(length, calendar, now, count)
    recent, old = list[PeriodOfMonth](), list[PeriodOfMonth]()
    for at, day in enumerate(days):
        span = _span(length, calendar, day)
        if span is not None and span[0] <= now:
            kept = recent if since is None or span[1] > since else old
            kept.append((at, to_datetime(span[0]), to_datetime(span[1])))
    return tuple(recent), tuple(old)


@lru_cache(maxsize=16384)
def _span(length: PeriodLength, calendar: Calendar, number: int) -> tuple[int, int] | None:
    """Return the first instant of the period of a row, and the first after it."""
    ordinal, is_month = divmod(number, 2)
    if is_month and length != PeriodLength.MONTH:
        return None
    first = to_instant(datetime.combine(date.fromordinal(ordinal), time(), calendar.zone))
    _, start, end, after = period_ends(length, calendar, first)
    return (end, after) if is_month and start < first else (start, end)
