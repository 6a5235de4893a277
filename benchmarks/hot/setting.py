"""What every case is given, and what it has to offer."""

from __future__ import annotations

from dataclasses import dataclass

LIMIT = 10_000
SMALL = 1
"""What an account whose id begins with `s` may have in an hour; all others have the setting's limit."""
HOUR = 3_600
HOUR_MICROSECONDS = HOUR * 1_000_000
MANY = 10_000
"""Connections that a redis-py client of asyncio may open: never fewer than there are calls at once."""


@dataclass(frozen=True)
class Setting:
    """
    What a case is run with.

    Args:
        url: The server's.
        limit: Of each account, per window.
        seconds: How long the window is; 3,600 but where windows are looked at.
    """

    url: str
    limit: int = LIMIT
    seconds: int = HOUR


class Case:
    """
    One limiter, ready to be asked.

    A blocking case has plain `open`, `hit` and `close`, an asynchronous one has them as
    coroutines. `hit` takes an account and returns whether one unit was admitted.
    """

    asynchronous = False
    degraded = 0
    """Decisions that were made without the server; they would be no measurement of it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
