"""
Support clock: counts time only during support hours.

The hours of a day begin at `opens` and end at `closes`, which may lie after midnight. They
belong to the day on which they begin: they count on the clock's days, except on holidays,
and without the breaks. Between two changes of a zone's UTC offset this is plain arithmetic,
so the clock works on stretches of time with one offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import tzinfo

from entitlements.model.instants import DAY, MICROSECOND, SECOND, to_datetime

_THURSDAY = 3
"""The weekday of 1970-01-01, with Monday as 0."""

Span = tuple[int, int]
"""Start and end, half-open, in microseconds."""


@dataclass(frozen=True, slots=True)
class SupportClock:
    """
    The hours of support.

    Args:
        zone: The time zone, passed in as a value.
        opens: The first open instant, in microseconds after local midnight; below 24 h.
        closes: The first closed instant, in microseconds after the same midnight; above
            24 h for hours that end on the next day, and at most 24 h after `opens`.
        days: Weekdays, Monday is 0; at least one.
        breaks: Closed spans within the hours, in microseconds after the same midnight, in
            order and apart from each other.
        holidays: Closed dates, as days since 1970.
        yearly: Dates that are closed in every year, as (month, day).

    Raises:
        ValueError: For hours or days without any open time.
    """

    zone: tzinfo
    opens: int
    closes: int
    days: frozenset[int]
    breaks: tuple[Span, ...] = ()
    holidays: frozenset[int] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()
    _spans: tuple[Span, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.opens < self.closes <= self.opens + DAY or self.opens >= DAY:
            raise ValueError("a support clock must open before it closes, within 24 hours")
        if not self.days or not self.days <= set(range(7)):
            raise ValueError("a support clock must be open on at least one weekday, 0 (Monday) to 6")
        spans, opens = [], self.opens
        for begins, ends in self.breaks:
            if not opens <= begins < ends <= self.closes:
                raise ValueError("breaks must lie within the support hours, in order and apart from each other")
            spans.append((opens, begins))
            opens = ends
        open_spans = tuple(span for span in (*spans, (opens, self.closes)) if span[0] < span[1])
        if not open_spans:
            raise ValueError("the breaks leave no support hours")
        object.__setattr__(self, "_spans", open_spans)

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

    def _open(self, start: int) -> Iterator[Span]:
        """Yield the open spans from *start* on."""
        for begins, ends, offset in self._stretches(start):
            first, last = begins + offset, ends + offset
            for day in range(first // DAY - 1, (last - 1) // DAY + 1):  # the hours of the day before may reach into it
                if not self.is_open_on(day):
                    continue
                for opens, closes in self._spans:
                    span = max(first, day * DAY + opens), min(last, day * DAY + closes)
                    if span[0] < span[1]:
                        yield span[0] - offset, span[1] - offset

    def is_open_on(self, day: int) -> bool:
        """Return True if support has hours on *day*, days since 1970."""
        if (day + _THURSDAY) % 7 not in self.days or day in self.holidays:
            return False
        if not self.yearly:
            return True
        date = to_datetime(day * DAY)
        return (date.month, date.day) not in self.yearly

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
