"""
Support clock: counts time only during support hours.

An instant is open if its local time of day is in [opens, closes) on one of the clock's
days. Between two changes of a zone's UTC offset this is plain arithmetic, so the clock
works on stretches of time with one offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo

from entitlements.model.instants import DAY, MICROSECOND, SECOND, to_datetime

_THURSDAY = 3
"""The weekday of 1970-01-01, with Monday as 0."""


@dataclass(frozen=True, slots=True)
class SupportClock:
    """
    The hours of support.

    Args:
        zone: The time zone, passed in as a value.
        opens: The first open instant, in microseconds after local midnight.
        closes: The first closed instant, in microseconds after local midnight; up to 24 h.
        days: Weekdays, Monday is 0; at least one.

    Raises:
        ValueError: For hours or days without any open time.
    """

    zone: tzinfo
    opens: int
    closes: int
    days: frozenset[int]

    def __post_init__(self) -> None:
        if not 0 <= self.opens < self.closes <= DAY:
            raise ValueError("a support clock must open before it closes, on the same day")
        if not self.days or not self.days <= set(range(7)):
            raise ValueError("a support clock must be open on at least one weekday, 0 (Monday) to 6")

    def add(self, start: int, duration: int) -> int:
        """
        Return the instant at which support has been open for *duration* since *start*.

        Args:
            start: Microseconds since 1970.
            duration: Microseconds of open time, above 0.

        Raises:
            ValueError: For an instant after the year 9998.
        """
        for begins, ends in self._open(start):
            if ends - begins >= duration:
                return begins + duration
            duration -= ends - begins
        raise ValueError("that is never: it lies after the year 9998")

    def open_time(self, start: int, end: int) -> int:
        """Return the microseconds between *start* and *end* in which support is open."""
        total = 0
        for begins, ends in self._open(start):
            if begins >= end:
                break
            total += min(ends, end) - begins
        return total

    def _open(self, start: int) -> Iterator[tuple[int, int]]:
        """Yield the open spans from *start* on."""
        for begins, ends, offset in self._stretches(start):
            first, last = begins + offset, ends + offset
            for day in range(first // DAY, (last - 1) // DAY + 1):
                if (day + _THURSDAY) % 7 in self.days:
                    opens, closes = max(first, day * DAY + self.opens), min(last, day * DAY + self.closes)
                    if opens < closes:
                        yield opens - offset, closes - offset

    def _stretches(self, start: int) -> Iterator[tuple[int, int, int]]:
        """Yield spans of at most a day with one UTC offset: start, end, offset."""
        while to_datetime(start).year < 9999:
            end, offset = start + DAY, self._offset(start)
            if self._offset(end) != offset:
                end = self._offset_change(start, end, offset)
            yield start, end, offset
            start = end

    def _offset_change(self, before: int, after: int, offset: int) -> int:
        """Return the first instant after *before* with another offset; offsets change on whole seconds."""
        low, high = before // SECOND, -(-after // SECOND)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._offset(middle * SECOND) == offset else (low, middle)
        return high * SECOND

    def _offset(self, at: int) -> int:
        offset = to_datetime(at).astimezone(self.zone).utcoffset()
        assert offset is not None
        return offset // MICROSECOND
