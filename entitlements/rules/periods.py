"""
Period boundaries of quotas.

Days and weeks begin at midnight, weeks on Monday. Months and years begin at the anchor, on the
last day of a month that is too short. Every boundary is computed from the anchor and the number of its
period, never from the boundary before it: chaining would turn the 31st into the 28th permanently.

A boundary is a time of the clocks in a time zone: the first instant at which they show that time or a later
one. So a boundary that the clocks skip (daylight saving time begins) is the instant at which they jump, one
that they show twice is the first of the two, and a day has 23 to 25 hours.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import monthrange
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import TYPE_CHECKING

from entitlements.model.calendars import Calendar, anchored
from entitlements.model.charge import Ends
from entitlements.model.instants import HOUR, NEVER, SECOND, to_datetime, to_instant, to_timedelta
from entitlements.model.limits import PeriodLength, Quota

if TYPE_CHECKING:
    from entitlements.model.limits import Limit

_LIFETIME: Ends = (0, 0, NEVER, NEVER)
_MONDAY = 1  # date.fromordinal(1) is a Monday


def ends_of(limit: Limit, calendar: Calendar, now: int) -> Ends:
    """Return the period ends of a quota, or those of the months in which an allocation counts refusals."""
    return period_ends(period_length(limit), calendar, now)


def period_length(limit: Limit) -> PeriodLength:
    """Return the length of the periods of a limit: of an allocation, months, in which it counts refusals."""
    return limit.period if isinstance(limit, Quota) else PeriodLength.MONTH


def period_ends(length: PeriodLength, calendar: Calendar, now: int) -> Ends:
    """
    Return the four boundaries around *now*, oldest first.

    Args:
        length: The length of a period.
        calendar: The account's calendar.
        now: Microseconds since 1970.

    Returns:
        The last two boundaries at or before *now* and the two after it, in
        microseconds: the start of the period before this one, the start of this
        one, its end, and the end of the next. A lifetime ends at `NEVER`.
    """
    if length == PeriodLength.LIFETIME:
        return _LIFETIME
    ends, later = _ends_in(length, calendar, now // HOUR)
    return ends if now < ends[2] else later


def month_ends(day: int | None, now: int) -> Ends:
    """Return the ends of months in UTC; *day* is the day on which they begin, None for the first."""
    return period_ends(PeriodLength.MONTH, anchored(day, UTC), now)


@lru_cache(maxsize=4096)
def _ends_in(length: PeriodLength, calendar: Calendar, hour: int) -> tuple[Ends, Ends]:
    """Return the ends at the beginning of an hour, counted from 1970, and those after a boundary within it."""
    now = hour * HOUR
    is_day = length == PeriodLength.DAY  # and may have been left out
    number = _number(length, to_datetime(now).astimezone(calendar.zone).date())
    near = sorted({_boundary(length, calendar, number + step) for step in range(-2 - is_day, 4 + is_day)})
    at = bisect_right(near, now) - 2
    return (near[at], near[at + 1], near[at + 2], near[at + 3]), (
        near[at + 1],
        near[at + 2],
        near[at + 3],
        near[at + 4],
    )


def _number(length: PeriodLength, day: date) -> int:
    """Return the number of the period that begins on or near a day."""
    if length == PeriodLength.DAY:
        return day.toordinal()
    if length == PeriodLength.WEEK:
        return (day.toordinal() - _MONDAY) // 7
    return day.year if length == PeriodLength.YEAR else day.year * 12 + day.month - 1


def _boundary(length: PeriodLength, calendar: Calendar, number: int) -> int:
    """Return the beginning of the period of a number, in microseconds."""
    if length == PeriodLength.DAY:
        return _first_instant(datetime.combine(date.fromordinal(number), time()), calendar)
    if length == PeriodLength.WEEK:
        return _first_instant(datetime.combine(date.fromordinal(number * 7 + _MONDAY), time()), calendar)
    year, month = (number, calendar.month - 1) if length == PeriodLength.YEAR else divmod(number, 12)
    day = min(calendar.day, monthrange(year, month + 1)[1])
    return _first_instant(datetime(year, month + 1, day) + to_timedelta(calendar.time), calendar)  # noqa: DTZ001


def _first_instant(wall: datetime, calendar: Calendar) -> int:
    """Return the first instant at which the clocks show *wall* or a later time."""
    first = wall.replace(tzinfo=calendar.zone)
    second = first.replace(fold=1)
    if first.utcoffset() >= second.utcoffset():  # type: ignore[operator]  # a time that is skipped: PEP 495
        return to_instant(first)
    before, after = to_instant(second) // SECOND, to_instant(first) // SECOND
    while before < after:  # the clocks jump over it between the two
        middle = (before + after) // 2
        before, after = (before, middle) if _shown_at(middle * SECOND, calendar) >= wall else (middle + 1, after)
    return before * SECOND


def _shown_at(instant: int, calendar: Calendar) -> datetime:
    return to_datetime(instant).astimezone(calendar.zone).replace(tzinfo=None)
