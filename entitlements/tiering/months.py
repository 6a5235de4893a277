"""
Months of a limit's history: which ones count, and the usage in them.

A quota is exceeded in a month with a refusal, or in which `used` reached the policy's
percentage of the limit. An allocation is exceeded in a month with a refusal; being full is
no excess, and its periods have no usage. Finished months count. The running month counts as soon as it is
exceeded, because that cannot change any more. A month without a record had no usage,
unless it is before the first record: then its usage is unknown.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

from entitlements.model.instants import to_datetime, to_instant
from entitlements.model.usage import Period
from entitlements.rules.periods import month_ends
from entitlements.tiering.terms import UsageThreshold

History = tuple[Period, ...]
"""The periods of a quota or an allocation, newest first."""


def is_exceeded(period: Period, percent: Decimal = Decimal(100)) -> bool:
    """Return True if units were refused in a period, or *percent* of the limit was used."""
    if period.denied > 0:
        return True
    return isinstance(period.limit, int) and 0 < period.limit * percent <= period.used * 100


def finished_months(history: History, anchor: int | None, now: int, count: int) -> list[Period | None]:
    """
    Return the last *count* finished months, newest first; None for a month without a record.

    Args:
        history: A quota's periods, newest first.
        anchor: The day on which the account's periods begin; None for the first.
        now: Microseconds.
        count: Number of months.
    """
    found: list[Period | None] = [None] * count
    spans = _spans(anchor, now, count)
    for at, (start, end) in enumerate(spans if history else ()):
        middle = to_datetime((start + end) // 2)
        found[at] = next((each for each in history if each.start <= middle < each.end), None)
    return found


def counted_months(share: UsageThreshold, history: History, anchor: int | None, now: int) -> list[Period | None]:
    """Return the months that count: the finished ones, and the running one if it is exceeded."""
    moment = to_datetime(now)
    running = [each for each in history if each.end > moment and is_exceeded(each, share.percent)][:1]
    return [*running, *finished_months(history, anchor, now, share.of)][: share.of]


def used_in_months(history: History, anchor: int | None, now: int, count: int) -> list[int | None]:
    """Return the units used in each of the last months; None before the first record."""
    if not history:
        return [None] * count
    first = to_instant(min(each.start for each in history))
    months = zip(finished_months(history, anchor, now, count), _spans(anchor, now, count), strict=True)
    return [month.used if month else 0 if first < end else None for month, (_, end) in months]


def _spans(anchor: int | None, now: int, count: int) -> tuple[tuple[int, int], ...]:
    """Return the start and end of the last *count* finished months, newest first."""
    return _spans_before(anchor, month_ends(anchor, now)[1], count)


@lru_cache(maxsize=1024)
def _spans_before(anchor: int | None, end: int, count: int) -> tuple[tuple[int, int], ...]:
    ends = [end]
    for _ in range(count):
        ends.append(month_ends(anchor, ends[-1] - 1)[1])
    return tuple((start, end) for end, start in pairwise(ends))
