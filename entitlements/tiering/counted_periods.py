"""
Periods of a limit's history: which ones count, and the usage in them. Those of an allocation are months.

A quota is exceeded in a period with a refusal, or in which `used` reached the policy's
percentage of the limit. An allocation is exceeded in a month with a refusal; being full is
no excess, and its months have no usage. Finished periods count. The running one counts as soon as it is
exceeded, because that cannot change any more. A period without a record had no usage,
unless it is before the first record: then its usage is unknown.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

from entitlements.model.calendars import Calendar
from entitlements.model.instants import to_datetime, to_instant
from entitlements.model.limits import PeriodLength
from entitlements.model.usage import Period
from entitlements.rules.periods import period_ends
from entitlements.tiering.terms import UsageThreshold

History = tuple[Period, ...]
"""The periods of a quota or an allocation, newest first."""


def is_exceeded(period: Period, percent: Decimal = Decimal(100)) -> bool:
    """Return True if units were refused in a period, or *percent* of the limit was used."""
    if period.denied > 0:
        return True
    return isinstance(period.limit, int) and 0 < period.limit * percent <= period.used * 100


def counted_periods(
    share: UsageThreshold, history: History, length: PeriodLength, calendar: Calendar, now: int
) -> list[Period | None]:
    """Return the periods that count: the finished ones, and the running one if it is exceeded."""
    moment = to_datetime(now)
    running = [
        each for each in history if (each.end is None or each.end > moment) and is_exceeded(each, share.percent)
    ][:1]
    finished = [found for _, _, found in _finished(history, length, calendar, now, share.of)]
    return [*running, *finished][: share.of]


def used_in_periods(
    history: History, length: PeriodLength, calendar: Calendar, now: int, count: int
) -> list[int | None]:
    """Return the units used in each of the last finished periods; None before the first record."""
    if not history:
        return [None] * count
    first = to_instant(min(each.start for each in history))
    periods = _finished(history, length, calendar, now, count)
    return [found.used if found else 0 if first < end else None for _, end, found in periods]


def _finished(
    history: History, length: PeriodLength, calendar: Calendar, now: int, count: int
) -> list[tuple[int, int, Period | None]]:
    """Return start, end and record of the last *count* finished periods, newest first; a lifetime has none."""
    if length == PeriodLength.LIFETIME:
        return []
    spans = _spans_before(length, calendar, period_ends(length, calendar, now)[1], count)
    return [(start, end, _record(history, middle)) for start, end, middle in spans]


def start_of_finished(length: PeriodLength, calendar: Calendar, now: int, count: int) -> int:
    """Return the start of the last *count* finished periods, in microseconds."""
    spans = _spans_before(length, calendar, period_ends(length, calendar, now)[1], count)
    return spans[-1][0] if spans else now


def _record(history: History, moment: datetime) -> Period | None:
    return next((each for each in history if each.end is not None and each.start <= moment < each.end), None)


@lru_cache(maxsize=1024)
def _spans_before(
    length: PeriodLength, calendar: Calendar, end: int, count: int
) -> tuple[tuple[int, int, datetime], ...]:
    """Return the start, the end and the middle of the last *count* periods before *end*, newest first."""
    ends = [end]
    for _ in range(count):
        ends.append(period_ends(length, calendar, ends[-1] - 1)[1])
    return tuple((start, end, to_datetime((start + end) // 2)) for end, start in pairwise(ends))
