"""The one place that reads the wall clock."""

from __future__ import annotations

from time import time_ns


def system_clock() -> int:
    """Return microseconds since 1970 in UTC."""
    return time_ns() // 1000
