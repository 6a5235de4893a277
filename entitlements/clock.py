"""The system's clocks: wall time and monotonic time, both in integer microseconds."""

from __future__ import annotations

import time
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.ports import Clock

__all__ = ["system_clock"]

_ELAPSED: int = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))
_elapsed_ns: Callable[[int], int] = getattr(time, "clock_gettime_ns", lambda _: monotonic_ns())
_YEAR_9999 = 253_370_764_800_000_000


def system_clock() -> int:
    """Return microseconds since 1970 in UTC."""
    return time_ns() // 1000


def monotonic() -> int:
    """Return microseconds of a clock that never goes back; only differences of its readings have a meaning."""
    return monotonic_ns() // 1000


def elapsed() -> int:
    """Return microseconds of a clock that never goes back, and that goes on while the machine sleeps, if it has one."""
    return _elapsed_ns(_ELAPSED) // 1000


def check_clock(clock: object) -> Clock:
    """
    Return *clock* if it tells microseconds since 1970, in UTC.

    Raises:
        TypeError: For anything that cannot be called without arguments, or returns no int.
        ValueError: For an instant before 1970 or after 9998: nanoseconds, most likely.
    """
    if not callable(clock):
        raise TypeError(f"clock {clock!r} cannot be called; it must return microseconds since 1970 as an int")
    now = clock()
    if type(now) is not int:
        raise TypeError(f"clock {clock!r} returned {now!r}; it must return microseconds since 1970 as an int")
    if not 0 <= now < _YEAR_9999:
        raise ValueError(f"clock {clock!r} returned {now}; it must return microseconds since 1970, not another unit")
    return clock
