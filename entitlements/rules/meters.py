"""
The three windows of a rate, and what each promises.

**Sliding** (the default): 60 sub-buckets of ⌈window / 60⌉ microseconds, and one more,
because a window touches 61 of them. A charge at `now` is admitted iff what stands in
the 61 buckets that end with the present one, plus the cost, stays within the limit.
*No window of that length ever holds more than the limit*: take any window, and the last
admission in it, at t. Everything in (t - window, t] stands in the 61 buckets that were
summed when t was admitted. Units come back at most one bucket late, and where 60 does
not divide the window up to 59 microseconds more: 60 buckets are that much longer than it.

**Fixed**: windows aligned to the clock (multiples of the window since 1970). Two full
windows can touch, so any window of that length holds at most twice the limit.

**Token bucket**: `burst` tokens that refill at limit / window (GCRA's law, kept as a
backlog in token-microseconds so that it is exact in integers, whatever the limit
becomes). Any window of that length holds at most burst + limit.

A meter never trusts a clock that went back: now is at least the start of its newest
bucket, window or drain; a step back of more than one window drops what was counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from entitlements.model.answers import Line
from entitlements.model.limits import Algorithm, Rate

SUB_BUCKETS = 60
RING = SUB_BUCKETS + 1

_new_tuple = tuple.__new__  # a named tuple's own constructor costs three times as much


class RateMeter(Protocol):
    """What is counted for one rate of one account."""

    window: int
    rate: Rate | None
    """The definition that it was last found to count by: most often the one that is asked for again."""

    def peek(self, size: int, cost: int, now: int) -> Line:
        """Say whether *cost* units fit, and write nothing."""
        ...

    def take(self, size: int, cost: int, now: int) -> Line:
        """Count *cost* units that fit, and say what stands after them."""
        ...

    def refund(self, size: int, cost: int, mark: int, now: int) -> int:
        """Uncount what a charge marked *mark* took, and say how many units came back."""
        ...

    def try_take(self, size: int, cost: int, now: int) -> Line:
        """Take *cost* units if they fit; else write nothing, and say when they will."""
        ...

    def idle_at(self) -> int:
        """Return the first instant at which nothing of what is counted matters any more."""
        ...


def new_meter(rate: Rate) -> RateMeter:
    """Return an empty meter for *rate*."""
    if rate.algorithm is Algorithm.SLIDING:
        return Sliding(rate.window)
    if rate.algorithm is Algorithm.FIXED:
        return Fixed(rate.window)
    return TokenBucket(rate.window, burst=rate.burst)


def fits_law(meter: RateMeter, rate: Rate) -> bool:
    """Say whether *meter* still counts by the law of *rate*; if not, it starts anew."""
    if meter.rate is rate:
        return True
    if type(meter) is TokenBucket and meter.burst != rate.burst:
        meter.burst = rate.burst
    fits = meter.window == rate.window and type(meter) is _LAWS[rate.algorithm]
    meter.rate = rate if fits else None
    return fits


@dataclass(slots=True)
class Sliding:
    """A ring of 61 counts; *head* is the number of the newest bucket since 1970."""

    window: int
    width: int = 0
    head: int = -RING
    total: int = 0
    counts: list[int] = field(default_factory=lambda: [0] * RING)
    rate: Rate | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.width = -(-self.window // SUB_BUCKETS)

    def peek(self, size: int, cost: int, now: int) -> Line:
        """Sum the 61 buckets that end with the present one, and compare."""
        bucket, used = self._look(now)
        mark = bucket * self.width
        if cost <= size - used:
            return Line(True, used, 0, None, self._empty_at(bucket, used, now), mark)
        return Line(False, used, 0, self._fits_at(bucket, used, size, cost), self._empty_at(bucket, used, now), mark)

    def take(self, size: int, cost: int, now: int) -> Line:
        """Move the ring to the present bucket and add to it."""
        bucket, used = self._look(now)
        return self._add(bucket, used, cost)

    def refund(self, size: int, cost: int, mark: int, now: int) -> int:
        """Take from the bucket in which the charge was counted, if it still counts."""
        bucket = mark // self.width
        if not self.head - RING < bucket <= self.head:
            return 0
        back = min(cost, self.counts[bucket % RING])
        self.counts[bucket % RING] -= back
        self.total -= back
        return back

    def try_take(self, size: int, cost: int, now: int) -> Line:
        """Take what fits in one step: this is the charge of one rate alone."""
        width = self.width
        bucket = now // width
        if bucket == self.head and (used := self.total + cost) <= size:  # within a bucket there is nothing to move
            self.total = used
            self.counts[bucket % RING] += cost
            return _new_tuple(Line, (True, used, 0, None, (bucket + RING) * width, bucket * width, cost))
        bucket, used = self._look(now)
        if cost > size - used:
            return self.peek(size, cost, now)
        return self._add(bucket, used, cost)

    def idle_at(self) -> int:
        """Return when the newest bucket has left every window."""
        return (self.head + RING) * self.width

    def _look(self, now: int) -> tuple[int, int]:
        """Return the present bucket and the units in the 61 that end with it."""
        bucket = now // self.width
        ahead = bucket - self.head
        if ahead == 0:
            return bucket, self.total
        if ahead < 0:
            stepped_back = self.head * self.width - now > self.window
            return (bucket, 0) if stepped_back else (self.head, self.total)
        if ahead >= RING:
            return bucket, 0
        counts = self.counts
        return bucket, self.total - sum(counts[at % RING] for at in range(self.head + 1, bucket + 1))

    def _add(self, bucket: int, used: int, cost: int) -> Line:
        """Move the ring to *bucket*, in sight of which *used* units stand, and add to it."""
        if bucket != self.head:
            self._move(bucket)
        self.total = used = used + cost
        self.counts[bucket % RING] += cost
        width = self.width
        return Line(True, used, 0, None, (bucket + RING) * width, bucket * width, cost)

    def _move(self, bucket: int) -> None:
        """Clear what left the ring between its head and *bucket*."""
        if not 0 < bucket - self.head < RING:
            self.counts = [0] * RING
        else:
            for at in range(self.head + 1, bucket + 1):
                self.counts[at % RING] = 0
        self.head = bucket

    def _fits_at(self, bucket: int, used: int, size: int, cost: int) -> int | None:
        """Return when enough buckets have left for *cost* to fit; None if it never does."""
        if cost > size:
            return None
        for at in range(bucket - SUB_BUCKETS, self.head + 1):
            used -= self.counts[at % RING]
            if cost <= size - used:
                return (at + RING) * self.width
        raise AssertionError("a cost within the limit fits once every bucket has left")

    def _empty_at(self, bucket: int, used: int, now: int) -> int:
        """Return when the newest bucket with anything in it has left; now if none has."""
        if used == 0:
            return now
        newest = next(at for at in range(self.head, self.head - RING, -1) if self.counts[at % RING])
        return (newest + RING) * self.width


@dataclass(slots=True)
class Fixed:
    """One count; *index* is the number of its window since 1970."""

    window: int
    index: int = -2
    count: int = 0
    rate: Rate | None = field(default=None, compare=False, repr=False)

    def peek(self, size: int, cost: int, now: int) -> Line:
        """Compare with the count of the present window."""
        index, used = self._look(now)
        end = (index + 1) * self.window
        fits = cost <= size - used
        return Line(fits, used, 0, None if fits or cost > size else end, end, index * self.window)

    def take(self, size: int, cost: int, now: int) -> Line:
        """Add to the count of the present window."""
        self.index, used = self._look(now)
        self.count = used + cost
        return Line(True, self.count, 0, None, (self.index + 1) * self.window, self.index * self.window, cost)

    def refund(self, size: int, cost: int, mark: int, now: int) -> int:
        """Take from the count, if its window is still the one of the charge."""
        if mark != self.index * self.window:
            return 0
        back = min(cost, self.count)
        self.count -= back
        return back

    def try_take(self, size: int, cost: int, now: int) -> Line:
        """Take what fits."""
        asked = self.peek(size, cost, now)
        return self.take(size, cost, now) if asked.fits else asked

    def idle_at(self) -> int:
        """Return the end of the window."""
        return (self.index + 1) * self.window

    def _look(self, now: int) -> tuple[int, int]:
        index = now // self.window
        if index == self.index:
            return index, self.count
        stepped_back = self.index * self.window - now > self.window
        return (self.index, self.count) if index < self.index and not stepped_back else (index, 0)


@dataclass(slots=True)
class TokenBucket:
    """A backlog in token-microseconds: it drains by the limit each microsecond."""

    window: int
    burst: int | None = None
    backlog: int = 0
    at: int = 0
    size: int = 1
    rate: Rate | None = field(default=None, compare=False, repr=False)

    def peek(self, size: int, cost: int, now: int) -> Line:
        """Compare with the room in the bucket."""
        start, backlog = self._look(size, now)
        over = backlog + (cost - self._capacity(size)) * self.window
        retry_at = None if over <= 0 or cost > self._capacity(size) else start - (-over // size)
        return self._line(backlog, size, start, fits=over <= 0, retry_at=retry_at, taken=0)

    def take(self, size: int, cost: int, now: int) -> Line:
        """Add to the backlog."""
        self.size = size
        self.at, backlog = self._look(size, now)
        self.backlog = backlog + cost * self.window
        return self._line(self.backlog, size, self.at, fits=True, retry_at=None, taken=cost)

    def refund(self, size: int, cost: int, mark: int, now: int) -> int:
        """
        Take from the backlog what of the charge has not drained yet.

        What drained since the charge may have been its own, so that is the most that
        can come back without letting anybody above burst + limit.
        """
        fastest = max(size, self.size)  # a limit that was raised since has drained faster
        if mark > self.at or self.at - now > self.window:
            return 0
        left = max(0, cost * self.window - fastest * (max(now, self.at) - mark))
        back = min(left, self.backlog)
        self.backlog -= back
        return -(-back // self.window)

    def try_take(self, size: int, cost: int, now: int) -> Line:
        """Take what fits."""
        asked = self.peek(size, cost, now)
        return self.take(size, cost, now) if asked.fits else asked

    def idle_at(self) -> int:
        """Return when the bucket is full again, at the size of the last charge."""
        return self.at - (-self.backlog // self.size)

    def _capacity(self, size: int) -> int:
        return size if self.burst is None else self.burst

    def _look(self, size: int, now: int) -> tuple[int, int]:
        """Return the instant to count from and the backlog that is left at it."""
        if self.at - now > self.window:
            return now, 0
        start = max(now, self.at)
        return start, max(0, self.backlog - size * (start - self.at))

    def _line(self, backlog: int, size: int, start: int, *, fits: bool, retry_at: int | None, taken: int) -> Line:
        used = -(-backlog // self.window)
        return Line(fits, used, 0, retry_at, start - (-backlog // size), start, taken)


_LAWS = {Algorithm.SLIDING: Sliding, Algorithm.FIXED: Fixed, Algorithm.TOKEN_BUCKET: TokenBucket}
