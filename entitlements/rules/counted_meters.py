"""
Counters of quotas and allocations: exact, and never above the limit.

A quota counts by period. Its running period ends when its stored end has passed. Until
then a call may move the end (a new anchor) but never the start, and resets nothing. An
allocation counts held units: anonymous ones, named holders and open reservations. An
unlimited count stops at 2^53-1. Every comparison is `cost <= most - used`, so no sum
exceeds the integers that a double holds exactly. The most of a limit is its size, or with
overage what is included and the overage together (`model/overage.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from entitlements.model.answers import Line, PeriodCount
from entitlements.model.charge import Ends, Part
from entitlements.model.instants import NEVER
from entitlements.model.limits import UNLIMITED, Size
from entitlements.model.names import MAX_COUNT
from entitlements.model.overage import most_of, recorded

KEPT_PERIODS = 13
"""Periods that a quota keeps, including the running one: a year and the month before it."""


def as_count(size: Size) -> int:
    """Return the most units of *size* as an int, with its overage; unlimited is the largest count."""
    most = most_of(size)
    return MAX_COUNT if most is UNLIMITED else most


@dataclass(slots=True)
class QuotaPeriod:
    """One period of a quota; *used* includes *reserved*."""

    start: int
    end: int
    size: Size
    used: int = 0
    reserved: int = 0
    denied: int = 0

    def count(self) -> PeriodCount:
        """Return the period's entry in a history."""
        return PeriodCount(self.start, self.end, self.used, self.denied, recorded(self.size))


@dataclass(slots=True)
class QuotaMeter:
    """The counter of a quota: its periods, newest first."""

    periods: list[QuotaPeriod] = field(default_factory=list)

    def running(self, ends: Ends, size: Size, now: int) -> QuotaPeriod | None:
        """
        Return the period for a call at *now*, without writing; None if *ends* are stale.

        The period ends at the first of *ends* after both *now* and the start of the
        running period. So skewed clocks pick the same end, and time never goes back. If
        the clock stepped back before the start of the running period and none of *ends*
        reaches that far, its end does not change.
        """
        last = self.periods[0] if self.periods else None
        floor = max(now, last.start) if last else now
        end = next((each for each in ends[1:] if each > floor), None)
        if end is None and last and now < last.start:
            end = last.end
        if end is None or now < ends[0]:
            return None
        if last and now < last.end:
            return QuotaPeriod(last.start, end, size, last.used, last.reserved, last.denied)
        start = max(each for each in ends if each <= now)
        return QuotaPeriod(max(start, last.end) if last else start, end, size)

    def period_of(self, part: Part, now: int, made_at: int | None) -> QuotaPeriod | None:
        """
        Return the period that counts a part, without writing; None if its period ends are stale.

        A charge that was made earlier than *now* counts in the oldest kept period that ends after that, which
        does not change otherwise, or in one that begins if there is none.
        """
        assert part.ends is not None
        if made_at is None or made_at >= now:
            return self.running(part.ends, part.size, now)
        kept = next((period for period in reversed(self.periods) if made_at < period.end), None)
        return self.running(part.ends, part.size, made_at) if kept is None else replace(kept)

    def keep_end(self, period: QuotaPeriod) -> None:
        """Store the end of the running period where it has moved, so that what a question tells of it holds."""
        last = self.periods[0] if self.periods else None
        if last and last.start == period.start and last.end != period.end:
            self.write(period)

    def write(self, period: QuotaPeriod) -> None:
        """Store *period*: in the place of the one with the same start, or as the running one."""
        for at, kept in enumerate(self.periods):
            if kept.start == period.start:
                self.periods[at] = period
                return
        self.periods = [period, *self.periods[: KEPT_PERIODS - 1]]

    def find(self, start: int) -> QuotaPeriod | None:
        """Return the period that began at *start*; None if it is no longer kept."""
        return next((period for period in self.periods if period.start == start), None)

    def settle(self, start: int, reserved: int, kept: int) -> QuotaPeriod | None:
        """End a reservation of *reserved* units in the period of *start*; *kept* are used. Return the period, if it is kept."""
        period = self.find(start)
        if period:
            period.reserved -= reserved
            period.used = min(MAX_COUNT, period.used - reserved + kept)
        return period

    def refund(self, start: int, amount: int) -> int:
        """Subtract up to *amount* unreserved units from the period of *start*; return the number subtracted."""
        period = self.find(start)
        if period is None:
            return 0
        back = min(amount, period.used - period.reserved)
        period.used -= back
        return back


def quota_line(period: QuotaPeriod, part: Part) -> Line:
    """Return the line for the part's cost in *period*, without counting it."""
    most = as_count(part.size)
    fits = part.cost <= most - period.used or most_of(part.size) is UNLIMITED
    waits = not fits and part.cost <= most
    end = None if period.end == NEVER else period.end
    return Line(fits, period.used, period.reserved, end if waits else None, end, period.start)


def take_quota(period: QuotaPeriod, part: Part, *, reserve: bool) -> Line:
    """Count the part's cost in *period*; if it does not fit (shadow mode), count it as denied as well."""
    line = quota_line(period, part)
    taken = min(part.cost, MAX_COUNT - period.used)
    period.used += taken
    period.reserved += taken if reserve else 0
    if not line.fits:
        deny(period, part.cost)
    return line._replace(used=period.used, reserved=period.reserved, taken=taken)


def deny(period: QuotaPeriod, cost: int) -> None:
    """Count *cost* as denied."""
    period.denied = min(MAX_COUNT, period.denied + cost)


@dataclass(slots=True)
class AllocationMeter:
    """The counter of an allocation: anonymous units, reserved units and named holders."""

    anonymous: int = 0
    reserved: int = 0
    holders: set[str] = field(default_factory=set)

    @property
    def used(self) -> int:
        """All held units; the count stops at 2^53-1."""
        return min(MAX_COUNT, self.anonymous + len(self.holders) + self.reserved)

    @property
    def floor(self) -> int:
        """The smallest total that `set_usage` can set: holders and reservations."""
        return len(self.holders) + self.reserved

    def peek(self, part: Part, holder: str | None) -> Line:
        """Return the line for the part's cost, without counting it; a holder of a unit needs no other."""
        most = most_of(part.size)
        fits = holder in self.holders or most is UNLIMITED or part.cost <= most - self.used
        return Line(fits, self.used, self.reserved)

    def take(self, part: Part, holder: str | None, *, reserve: bool) -> Line:
        """Count the part's cost: for *holder*, as reserved, or as anonymous units."""
        line = self.peek(part, holder)
        if holder is not None:
            taken = int(holder not in self.holders)
            self.holders.add(holder)
        else:
            taken = min(part.cost, MAX_COUNT - self.used)
            self.reserved += taken if reserve else 0
            self.anonymous += 0 if reserve else taken
        return Line(line.fits, self.used, self.reserved, taken=taken)

    def settle(self, reserved: int, kept: int) -> None:
        """End a reservation of *reserved* units; *kept* are held."""
        self.reserved -= reserved
        self.anonymous += min(kept, MAX_COUNT - self.used)

    def refund(self, amount: int) -> int:
        """Release up to *amount* anonymous units; return the number released."""
        released = min(amount, self.anonymous)
        self.anonymous -= released
        return released
