"""What several property tests share: histories of charges, and slow oracles that state a law in another way."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache
from math import ceil
from typing import NamedTuple

from hypothesis import strategies as st

from entitlements.model.charge import Ends
from entitlements.model.instants import DAY, HOUR, MINUTE, SECOND, to_instant
from entitlements.model.limits import Algorithm, Rate

NOW = to_instant(datetime(2026, 11, 2, 15, 4, 5, 678_901, tzinfo=UTC))
LARGEST_RATE = 2**32 - 1


# --- Rates --------------------------------------------------------------------------------------------------------

windows = st.sampled_from([1, 2, 59, 60, 61, 3600, SECOND, MINUTE, HOUR, DAY, 28 * DAY]) | st.integers(1, 28 * DAY)
sizes = st.sampled_from([1, 2, 3, 10, 100, LARGEST_RATE]) | st.integers(1, LARGEST_RATE)
bursts = st.none() | st.sampled_from([1, 5, 1000, LARGEST_RATE]) | st.integers(1, LARGEST_RATE)


class Ask(NamedTuple):
    """One question of a history; a *cost* of 0 means whatever there is room for, 1 at least."""

    now: int
    cost: int


class History(NamedTuple):
    """A rate, its size and what is asked of it, oldest first."""

    rate: Rate
    size: int
    asks: list[Ask]

    @property
    def capacity(self) -> int:
        """What can be spent at once."""
        return self.rate.burst or self.size


def width_of(window: int) -> int:
    """Return the width of a sub-bucket: a sixtieth of *window*, rounded up to whole microseconds."""
    return ceil(Fraction(window, 60))


def landmarks(window: int) -> list[int]:
    """Return instants on both sides of the edges of buckets and windows, and where a burst would be worst."""
    width = width_of(window)
    bucket, aligned = NOW // width, NOW // window
    edges = [(bucket + each) * width for each in (0, 1, 2, 30, 59, 60, 61, 62, 90, 119, 120, 121, 122, 123)]
    edges += [(aligned + each) * window for each in (1, 2, 3)]
    edges += [edges[0] + window, edges[1] + window, edges[0] + 2 * window]
    return sorted({edge + side for edge in edges for side in (-1, 0, 1)})


def instants(window: int) -> st.SearchStrategy[int]:
    """Return instants within a little more than three windows, most of them adversarial."""
    return st.sampled_from(landmarks(window)) | st.integers(NOW, NOW + 3 * window)


def costs(capacity: int) -> st.SearchStrategy[int]:
    """Return costs: most fit once, 0 fills what is left, some can never fit."""
    half = capacity // 2 + 1
    return st.sampled_from([0, 0, 1, 1, half, capacity, 2**32]) | st.integers(1, min(capacity + 1, 2**32))


@st.composite
def rates(draw: st.DrawFn, algorithm: Algorithm, *, window: st.SearchStrategy[int] = windows) -> Rate:
    """Return a rate of *algorithm*."""
    burst = draw(bursts) if algorithm is Algorithm.TOKEN_BUCKET else None
    return Rate("api", draw(window), algorithm, burst)


@st.composite
def histories(draw: st.DrawFn, algorithm: Algorithm, *, window: st.SearchStrategy[int] = windows) -> History:
    """Return a history on a clock that never goes back."""
    rate, size = draw(rates(algorithm, window=window)), draw(sizes)
    asked = st.lists(st.tuples(instants(rate.window), costs(rate.burst or size)), min_size=1, max_size=20)
    return History(rate, size, [Ask(*each) for each in sorted(draw(asked), key=lambda each: each[0])])


def fullest(log: list[tuple[int, int]], window: int) -> int:
    """Return the units in the fullest stretch of *window*, both ends included, by looking at every one."""
    return max((sum(cost for at, cost in log if start <= at <= start + window) for start, _ in log), default=0)


def first_fit(log: list[tuple[int, int]], window: int, size: int, cost: int, now: int) -> int:
    """Return the first instant from *now* on at which a log of exact instants has room for *cost*."""
    return next(
        at
        for at in sorted({now, *(each + window for each, _ in log if each + window > now)})
        if cost <= size - sum(units for each, units in log if at - window < each <= at)
    )


# --- Periods ------------------------------------------------------------------------------------------------------

FIRST_YEAR, LAST_YEAR = 1970, 2075


@cache
def boundaries(anchor: int | None) -> list[int]:
    """Return every boundary of the years above, by walking from day to day and looking at the calendar."""
    found, day, step = [], datetime(FIRST_YEAR, 1, 1, tzinfo=UTC), timedelta(days=1)
    while day.year < LAST_YEAR:
        tomorrow = day + step
        if day.day == (anchor or 1) or (tomorrow.day == 1 and day.day < (anchor or 1)):
            found.append(to_instant(day))
        day = tomorrow
    return found


def ends_around(anchor: int | None, now: int) -> Ends:
    """Return the two boundaries at or before *now* and the two after it."""
    walked = boundaries(anchor)
    after = bisect_right(walked, now)
    before, start, end, next_end = walked[after - 2 : after + 2]
    return before, start, end, next_end


moments = st.integers(
    to_instant(datetime(FIRST_YEAR + 1, 1, 1, tzinfo=UTC)), to_instant(datetime(LAST_YEAR - 1, 1, 1, tzinfo=UTC))
)
anchors = st.none() | st.integers(1, 31)
