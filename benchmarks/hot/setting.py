"""Settings of a case, and the interface that it implements."""

from __future__ import annotations

from dataclasses import dataclass

LIMIT = 10_000
SMALL = 1
"""Hourly limit of an account whose id begins with `s`; all others have the limit of the setting."""
HOUR = 3_600
HOUR_MICROSECONDS = HOUR * 1_000_000
MANY = 10_000
"""Connections that a redis-py client of asyncio may open: never fewer than there are calls at once."""


@dataclass(frozen=True)
class Setting:
    """
    Settings of one run.

    Args:
        url: The server's.
        limit: Of each account, per window.
        seconds: Length of the window; 3,600 except for the `window` load.
    """

    url: str
    limit: int = LIMIT
    seconds: int = HOUR


class Case:
    """
    One limiter, ready to be asked.

    A blocking case has plain `open`, `hit` and `close`; an asynchronous one has coroutines. `hit` takes an account and returns whether one unit was admitted.
    """

    asynchronous = False
    degraded = 0
    """Decisions that were made without the server; they would be no measurement of it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
