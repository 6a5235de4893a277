"""Conversion between integer microseconds (inside) and aware datetimes and timedeltas (outside)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from entitlements.model.names import MAX_COUNT, shown

__all__ = ["to_datetime", "to_instant", "to_timedelta"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NEVER = MAX_COUNT
"""The end of a period that does not end: the last instant that a store can count, in the year 2255."""
_FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND


def to_instant(moment: datetime) -> int:
    """Return microseconds since 1970 in UTC for an aware *moment*, exactly."""
    return (moment - EPOCH) // MICROSECOND


def to_datetime(instant: int) -> datetime:
    """Return the aware UTC datetime of *instant*, microseconds since 1970, or the nearest that exists."""
    return EPOCH + timedelta(microseconds=max(_FIRST, min(instant, _LAST)))


def to_timedelta(duration: int) -> timedelta:
    """Return the timedelta of *duration*, in microseconds."""
    return timedelta(microseconds=duration)


def check_moment(value: object, what: str) -> int:
    """
    Return the instant of an aware datetime, in microseconds.

    Raises:
        ValueError: For anything else, including a naive datetime.
    """
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"{what} {value!r} must be an aware datetime, such as datetime(2026, 1, 1, tzinfo=UTC)")
    return to_instant(value)


def check_duration(value: object, what: str) -> int:
    """
    Return the microseconds of a timedelta or of a number of seconds.

    Raises:
        ValueError: For any other type, and for a duration that is not above 0 and finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise ValueError(f"{what} {shown(value)} must be seconds or a timedelta")
    try:
        duration = (value if isinstance(value, timedelta) else timedelta(seconds=value)) // MICROSECOND
    except (OverflowError, ValueError):
        duration = 0
    if duration <= 0:
        raise ValueError(f"{what} {shown(value)} must be above 0 and finite")
    return duration
