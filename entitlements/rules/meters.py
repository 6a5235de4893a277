"""
Rate meters: sliding window, fixed window and token bucket, with the guarantee of each.

**Sliding** (the default): 60 sub-buckets of ⌈window / 60⌉ microseconds, plus one, because
a window touches 61 of them. A charge at `now` is admitted iff the sum of the 61 buckets
that end with the present one, plus the cost, is within the limit. *No window of that
length ever holds more than the limit.* Proof: take any window and the last admission in
it, at t. Every unit in (t - window, t] is in the 61 buckets that were summed when t was
admitted. Units are freed at most one bucket late. If 60 does not divide the window, 60
buckets are longer than it, so units are freed up to 59 microseconds later still.

**Fixed**: windows aligned to the clock (multiples of the window since 1970). Two full
windows can touch, so any window of that length holds at most twice the limit.

**Token bucket**: `burst` tokens that refill at limit / window. The law is GCRA's, kept as
a backlog in token-microseconds, so that it is exact in integers even when the limit
changes. Any window of that length holds at most burst + limit. What was taken under a
larger limit drains at that one, so that a lowered limit refuses for burst / limit windows
at most.

A refunded charge counts as never made. For a token bucket that is more than its cost less
what has drained since: others may have drained meanwhile. Without the charge the backlog
would be lower by its cost, or by the lowest that the backlog has been since, if that is
less. So a meter keeps the lows of its backlog. It merges a low that is within 1/32 of the
one before it into that, and of more than `LOWS` the two that are closest in proportion. A
refund may then return less. What is lost so keeps the backlog higher, and a backlog that
stays above a cost loses none of it. So the loss ends: of charges of one unit that are all
refunded, 45 in flight count as 53 at most, and 90 as 111.

A meter does not follow a clock that steps back: its time is at least the start of its
newest bucket or window, or its last drain. A step back of more than one window drops
all counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, assert_never

from entitlements.model.answers import Line
from entitlements.model.limits import Algorithm, Rate

SUB_BUCKETS = 60
RING = SUB_BUCKETS + 1
LOWS = 32
"""Most lows of its backlog that a token bucket keeps."""

_new_tuple = tuple.__new__  # a named tuple's own constructor costs three times as much


class RateMeter(Protocol):
    """The counter of one rate of one account."""

    rate: Rate | None
    """The definition that the meter was last used for."""

    def peek(self, size: int, cost: int, now: int) -> Line:
        """Return the line for *cost* units without counting them."""
        ...

    def take(self, size: int, cost: int, now: int) -> Line:
        """Count *cost* units, which must fit, and return the line after them."""
        ...

    def refund(self, size: int, cost: int, mark: int, now: int) -> int:
        """Return up to *cost* units of the charge marked *mark*; return the number returned."""
        ...

    def try_take(self, size: int, cost: int, now: int) -> Line:
        """Count *cost* units if they fit, else count nothing; return the line."""
        ...

    def idle_at(self) -> int:
        """Return the first instant at which the meter is as good as empty."""
        ...


def new_meter(rate: Rate) -> RateMeter:
    """Return an empty meter for *rate*."""
    match rate.algorithm:
        case Algorithm.SLIDING:
            return Sliding(rate.window, rate=rate)
        case Algorithm.FIXED:
            return Fixed(rate.window, rate=rate)
        case Algorithm.TOKEN_BUCKET:
            return TokenBucket(rate.window, burst=rate.burst, rate=rate)
        case _:
            assert_never(rate.algorithm)


def meter_of(meters: dict[str, RateMeter], rate: Rate) -> RateMeter:
    """Return the meter of *rate*, which has its algorithm and window; a new one, not stored yet, if there is none."""
    meter = meters.get(rate.meter_name)
    if meter is None:
        return new_meter(rate)
    if meter.rate is not rate:
        meter.rate = rate
        if type(meter) is TokenBucket:
            meter.burst = rate.burst
    return meter


@dataclass(slots=True)
class Sliding:
    """Sliding window: a ring of 61 counts; *head* is the number of the newest bucket since 1970."""

    window: int
    width: int = 0
    head: int = -RING
    total: int = 0
    counts: list[int] = field(default_factory=lambda: [0] * RING)
    rate: Rate | None = field(default=None, compare=False, repr=False)
    refusal: tuple[int, int, int, Line] | None = field(default=None, compare=False, repr=False)
    """Bucket, size, cost and line of the latest refusal, which is the same until the counts or the bucket change."""

    def __post_init__(self) -> None:
        self.width = -(-self.window // SUB_BUCKETS)

    def peek(self, size: int, cost: int, now: int) -> Line:
        """Compare with the sum of the 61 buckets that end with the present one."""
        kept = self.refusal
        if kept is not None and kept[0] == now // self.width and kept[1] == size and kept[2] == cost:
            return kept[3]
        bucket, used = self._look(now)
        fits = cost <= size - used
        retry_at = None if fits else self._fits_at(bucket, used, size, cost)
        line = _new_tuple(Line, (fits, used, 0, retry_at, self._empty_at(used, now), bucket * self.width, 0))
        if not fits and used and bucket == now // self.width:
            self.refusal = bucket, size, cost, line
        return line

    def take(self, size: int, cost: int, now: int) -> Line:
        """Advance the ring to the present bucket and add to it."""
        return self._add(*self._look(now), cost)

    def refund(self, size: int, cost: int, mark: int, now: int) -> int:
        """Subtract from the bucket of the charge, if it has not left the window."""
        bucket = mark // self.width
        if not max(self.head, now // self.width) - RING < bucket <= self.head:
            return 0
        back = min(cost, self.counts[bucket % RING])
        self.refusal = None
        self.counts[bucket % RING] -= back
        self.total -= back
        return back

    def try_take(self, size: int, cost: int, now: int) -> Line:
        """Count the cost in one step if it fits; the hot path of a charge of one rate."""
        width = self.width
        bucket = now // width
        if bucket == self.head and (used := self.total + cost) <= size:  # same bucket: nothing to clear
            self.total, self.refusal = used, None
            self.counts[bucket % RING] += cost
            return _new_tuple(Line, (True, used, 0, None, (bucket + RING) * width, bucket * width, cost))
        line = self.peek(size, cost, now)
        return self.take(size, cost, now) if line[0] else line

    def idle_at(self) -> int:
        """Return the instant at which the newest bucket has left every window."""
        return (self.head + RING) * self.width

    def _look(self, now: int) -> tuple[int, int]:
        """Return the present bucket and the units in the 61 buckets that end with it."""
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
        """Advance the ring to *bucket*, whose 61 buckets hold *used* units, and add *cost*."""
        if bucket != self.head:
            self._advance(bucket)
        self.total = used = used + cost
        self.refusal = None
        self.counts[bucket % RING] += cost
        width = self.width
        return Line(True, used, 0, None, (bucket + RING) * width, bucket * width, cost)

    def _advance(self, bucket: int) -> None:
        """Clear the buckets between the head and *bucket*, and make *bucket* the head."""
        if not 0 < bucket - self.head < RING:
            self.counts = [0] * RING
        else:
            for at in range(self.head + 1, bucket + 1):
                self.counts[at % RING] = 0
        self.head = bucket

    def _fits_at(self, bucket: int, used: int, size: int, cost: int) -> int | None:
        """Return the instant at which enough buckets have left for *cost* to fit; None if it never fits."""
        if cost > size:
            return None
        for at in range(bucket - SUB_BUCKETS, self.head + 1):
            used -= self.counts[at % RING]
            if cost <= size - used:
                return (at + RING) * self.width
        raise AssertionError("a cost within the limit fits once every bucket has left")

    def _empty_at(self, used: int, now: int) -> int:
        """Return the instant at which the newest non-empty bucket has left; *now* if all are empty."""
        if used == 0:
            return now
        newest = self.head
        while not self.counts[newest % RING]:
            newest -= 1
        return (newest + RING) * self.width


def _take_if_fits(meter: RateMeter, size: int, cost: int, now: int) -> Line:
    """Count the cost if it fits."""
    line = meter.peek(size, cost, now)
    return meter.take(size, cost, now) if line.fits else line


@dataclass(slots=True)
class Fixed:
    """Fixed window: one count; *index* is the number of its window since 1970."""

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
        """Subtract from the count, if the window of the charge is still the present one."""
        if mark != self.index * self.window or mark + self.window <= now:
            return 0
        back = min(cost, self.count)
        self.count -= back
        return back

    try_take = _take_if_fits

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
    """Token bucket: a backlog in token-microseconds that drains by the limit each microsecond."""

    window: int
    burst: int | None = None
    backlog: int = 0
    at: int = 0
    size: int = 1
    lows: list[tuple[int, int]] = field(default_factory=list)
    """(instant, backlog before the charge at it), both rising: the backlog has not been lower since."""
    rate: Rate | None = field(default=None, compare=False, repr=False)

    def peek(self, size: int, cost: int, now: int) -> Line:
        """Compare with the free capacity of the bucket."""
        drain, capacity = max(size, self.size), self._capacity(size)
        start, backlog = self._look(drain, now)
        over = backlog + (cost - capacity) * self.window
        retry_at = None if over <= 0 or cost > capacity else start - (-over // drain)
        return self._line(backlog, drain, start, fits=over <= 0, retry_at=retry_at, taken=0)

    def take(self, size: int, cost: int, now: int) -> Line:
        """Add to the backlog."""
        if self.at - now > self.window:
            self.lows = []
        self.at, backlog = self._look(max(size, self.size), now)
        self.size = size
        self._note_low(self.at, backlog)
        self.backlog = backlog + cost * self.window
        return self._line(self.backlog, size, self.at, fits=True, retry_at=None, taken=cost)

    def refund(self, size: int, cost: int, mark: int, now: int) -> int:
        """Subtract the cost, or the lowest that the backlog has been since the charge, from it and from its lows."""
        if mark > self.at or self.at - now > self.window:
            return 0
        _, backlog = self._look(max(size, self.size), now)
        back = min(cost * self.window, backlog, *[low for at, low in self.lows if at > mark])
        self.backlog -= back
        lows, self.lows = self.lows, []
        for at, low in lows:
            self._note_low(at, low - back if at > mark else low)
        return -(-back // self.window)

    try_take = _take_if_fits

    def idle_at(self) -> int:
        """Return the instant at which all tokens are back, at the size of the last charge."""
        return self.at - (-self.backlog // self.size)

    def _capacity(self, size: int) -> int:
        return size if self.burst is None else self.burst

    def _look(self, size: int, now: int) -> tuple[int, int]:
        """Return the instant to count from and the backlog at it."""
        if self.at - now > self.window:
            return now, 0
        start = max(now, self.at)
        return start, max(0, self.backlog - size * (start - self.at))

    def _note_low(self, at: int, backlog: int) -> None:
        """Add a low; drop those that are no lower, and merge those that are close."""
        lows = self.lows
        while lows and lows[-1][1] >= backlog:
            lows.pop()
        if lows and 32 * (backlog - lows[-1][1]) < lows[-1][1]:
            backlog = lows.pop()[1]
        lows.append((at, backlog))
        if len(lows) > LOWS:
            tokens = [low // self.window for _, low in lows]
            upper = max(range(LOWS, 0, -1), key=lambda at: tokens[at - 1] / (tokens[at] + 1))
            lows[upper - 1 : upper + 1] = [(lows[upper][0], lows[upper - 1][1])]

    def _line(self, backlog: int, drain: int, start: int, *, fits: bool, retry_at: int | None, taken: int) -> Line:
        used = -(-backlog // self.window)
        return Line(fits, used, 0, retry_at, start - (-backlog // drain), start, taken)
