"""
Which months of a quota's history count, and what was used in them.

A quota is exceeded in a month in which something was refused, or `used` reached the
share of the limit that the policy names. Months are counted once they are over; the
running one counts as soon as it is exceeded, which nothing can undo. A month of which
the store holds no record is one without usage, unless it lies before the first record:
then nobody knows.
"""

from __future__ import annotations

from decimal import Decimal

from entitlements.model.instants import to_instant
from entitlements.model.usage import Period
from entitlements.rules.periods import month_ends
from entitlements.tiering.terms import UsageThreshold


def is_exceeded(period: Period, percent: Decimal = Decimal(100)) -> bool:
    """Say whether a quota was exceeded in a period: something was refused, or *percent* of it was used."""
    if period.denied > 0:
        return True
    return isinstance(period.limit, int) and 0 < period.limit * percent <= period.used * 100


def finished_months(history: tuple[Period, ...], anchor: int | None, now: int, count: int) -> list[Period | None]:
    """
    Return the last *count* finished months, newest first: None for one of which there is no record.

    Args:
        history: A quota's periods, newest first.
        anchor: The day on which the account's periods begin; None means the first.
        now: Microseconds.
        count: How many.
    """
    months: list[Period | None] = []
    _, end, _, _ = month_ends(anchor, now)
    for _ in range(count):
        start = month_ends(anchor, end - 1)[1]
        middle = (start + end) // 2
        inside = (each for each in history if to_instant(each.start) <= middle < to_instant(each.end))
        months.append(next(inside, None))
        end = start
    return months


def counted_months(
    share: UsageThreshold, history: tuple[Period, ...], anchor: int | None, now: int
) -> list[Period | None]:
    """Return the months that count: the running one only once it is exceeded."""
    running = [each for each in history if to_instant(each.end) > now and is_exceeded(each, share.percent)][:1]
    return [*running, *finished_months(history, anchor, now, share.of)][: share.of]


def used_in_months(history: tuple[Period, ...], anchor: int | None, now: int, count: int) -> list[int | None]:
    """Return what was used in each of the last months; None before the first record."""
    first = min((to_instant(each.start) for each in history), default=now)
    months = finished_months(history, anchor, now, count)
    used: list[int | None] = []
    _, end, _, _ = month_ends(anchor, now)
    for month in months:
        used.append(month.used if month is not None else 0 if first < end and history else None)
        end = month_ends(anchor, end - 1)[1]
    return used
