"""
What is counted of quotas and allocations: exact, and never above the limit.

A quota counts by period. Its running period ends when its stored end has passed;
until then a call may move the end (a new anchor), never the start, and resets
nothing. An allocation counts what is held: anonymous units, named holders and open
reservations. An unlimited count stops at 2^53-1, and every comparison is
`cost <= limit - used`, so that no sum ever passes what a double holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from entitlements.model.answers import Line, PeriodCount
from entitlements.model.charge import Ends, Part
from entitlements.model.limits import UNLIMITED, Size
from entitlements.model.names import MAX_COUNT

KEPT_PERIODS = 13
"""Periods that a quota keeps, the running one included: a year and the month before it."""


def as_count(size: Size) -> int:
    """Return *size* as a number: an unlimited count stops at the largest."""
    return MAX_COUNT if size is UNLIMITED else size


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
        """Return what a history shows of it."""
        return PeriodCount(self.start, self.end, self.used, self.denied, self.size)


@dataclass(slots=True)
class QuotaMeter:
    """A quota's periods, newest first."""

    periods: list[QuotaPeriod] = field(default_factory=list)

    def running(self, ends: Ends, size: Size, now: int) -> QuotaPeriod | None:
        """
        Return the period that a call falls in, without writing; None if *ends* are stale.

        The period's end is the first of *ends* after both *now* and the start of the
        running period, so that skewed clocks pick the same one and time never goes back.
        A clock that stepped back before the running period's start leaves its end alone
        where none of *ends* reaches that far.
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

    def write(self, period: QuotaPeriod) -> None:
        """Make *period* the running one."""
        if self.periods and self.periods[0].start == period.start:
            self.periods[0] = period
        else:
            self.periods = [period, *self.periods[: KEPT_PERIODS - 1]]

    def find(self, start: int) -> QuotaPeriod | None:
        """Return the period that began at *start*, if it is still kept."""
        return next((period for period in self.periods if period.start == start), None)

    def settle(self, start: int, reserved: int, kept: int) -> None:
        """End a reservation of *reserved* units in the period of *start*, of which *kept* stay used."""
        period = self.find(start)
        if period:
            period.reserved -= reserved
            period.used -= reserved - kept

    def refund(self, start: int, amount: int) -> int:
        """Give up to *amount* back to the period of *start*, and say how many; what is reserved stays."""
        period = self.find(start)
        if period is None:
            return 0
        back = min(amount, period.used - period.reserved)
        period.used -= back
        return back


def quota_line(period: QuotaPeriod, part: Part) -> Line:
    """Say whether the part's cost fits in *period*."""
    fits = part.cost <= as_count(part.size) - period.used or part.size is UNLIMITED
    waits = not fits and part.cost <= as_count(part.size)
    return Line(fits, period.used, period.reserved, period.end if waits else None, period.end, period.start)


def take_quota(period: QuotaPeriod, part: Part, *, reserve: bool) -> Line:
    """Count the part's cost in *period*, what a shadow limit would have refused as denied too."""
    asked = quota_line(period, part)
    taken = min(part.cost, MAX_COUNT - period.used)
    period.used += taken
    period.reserved += taken if reserve else 0
    if not asked.fits:
        deny(period, part.cost)
    return asked._replace(used=period.used, reserved=period.reserved, taken=taken)


def deny(period: QuotaPeriod, cost: int) -> None:
    """Count *cost* as denied."""
    period.denied = min(MAX_COUNT, period.denied + cost)


@dataclass(slots=True)
class AllocationMeter:
    """What is held of an allocation."""

    anonymous: int = 0
    reserved: int = 0
    holders: set[str] = field(default_factory=set)

    @property
    def used(self) -> int:
        """Everything held; the count stops at 2^53-1."""
        return min(MAX_COUNT, self.anonymous + len(self.holders) + self.reserved)

    @property
    def floor(self) -> int:
        """What the anonymous count cannot change: holders and reservations."""
        return len(self.holders) + self.reserved

    def peek(self, part: Part, holder: str | None) -> Line:
        """Say whether the part's cost fits; somebody who holds a unit asks for none."""
        fits = holder in self.holders or part.size is UNLIMITED or part.cost <= part.size - self.used
        return Line(fits, self.used, self.reserved)

    def take(self, part: Part, holder: str | None, *, reserve: bool) -> Line:
        """Hold the part's cost: for *holder*, reserved, or anonymously."""
        asked = self.peek(part, holder)
        if holder is not None:
            taken = int(holder not in self.holders)
            self.holders.add(holder)
        else:
            taken = min(part.cost, MAX_COUNT - self.used)
            self.reserved += taken if reserve else 0
            self.anonymous += 0 if reserve else taken
        return Line(asked.fits, self.used, self.reserved, taken=taken)

    def settle(self, reserved: int, kept: int) -> None:
        """End a reservation of *reserved* units, of which *kept* stay held."""
        self.reserved -= reserved
        self.anonymous += kept

    def refund(self, amount: int) -> int:
        """Let go of up to *amount* anonymous units, and say how many."""
        released = min(amount, self.anonymous)
        self.anonymous -= released
        return released
