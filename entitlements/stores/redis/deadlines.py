"""
Timeouts of waiting calls, and the event-loop timers that enforce them.

A timeout starts again with each reply that another call gets: the store works, and the process has
more calls than connections. `LONGEST_WAIT` bounds the total. Time for which the event loop
was blocked does not count as waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from time import monotonic

START_UP = 2.0
"""Seconds for the first connection, which may need a cold resolver and a TLS handshake."""
LONGEST_WAIT = 2.0
"""Seconds after which a waiting call fails even while others get replies, or its timeout if that is longer."""
IDLE = 0.01
"""Seconds without a reply after which an event loop looks whether the server has closed a connection before it writes."""
GRAIN = 0.002
"""Least seconds between two runs of an `ExpiryTimer`."""
LATE = 0.01
"""Seconds by which a timer fires late before the event loop counts as blocked."""
PASSED = "its deadline has passed"


def longest_wait(timeout: float) -> float:
    """Return the seconds after which a call fails even while others get replies: at most twice its *timeout*."""
    return max(timeout, min(2 * timeout, LONGEST_WAIT))


class StartUp:
    """Longer timeout for the calls that wait for the first connection; it applies for `START_UP` from the first call."""

    def __init__(self) -> None:
        self.ends = inf

    def timeout(self, timeout: float, now: float) -> float:
        """Return the timeout of a call made at *now* whose own is *timeout*."""
        if self.ends is inf:
            self.ends = now + START_UP
        return timeout if now > self.ends else max(timeout, START_UP)


class ExtendableTimer:
    """
    Timer that calls back once a timeout has passed, unless it was extended meanwhile.

    A timer that fires late shows that the loop was blocked: replies that arrived in time may
    still be unread, so it allows another moment.

    Args:
        timeout: In seconds.
        callback: Called once, without arguments.
        extended: Returns the time of the loop up to which the timeout is extended.
    """

    def __init__(
        self, timeout: float, callback: Callable[[], object], extended: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._callback, self._extended = callback, extended
        self._last = now + longest_wait(timeout)
        self._timer = self._loop.call_at(now + timeout, self._fire)

    def cancel(self) -> None:
        """Never call back."""
        self._timer.cancel()

    def _fire(self) -> None:
        now = self._loop.time()
        until = self._extended()
        if now - self._timer.when() > LATE:
            until = max(until, now + LATE)
        if now < until and now < self._last:
            self._timer = self._loop.call_at(min(until, self._last), self._fire)
        else:
            self._callback()


class ExpiryTimer:
    """
    One timer for all calls that wait on an event loop.

    Args:
        loop: The event loop.
        expire: Takes the time in monotonic seconds, fails the calls whose deadline has passed,
            and returns the next deadline, or None.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[float], float | None]) -> None:
        self._loop, self._expire = loop, expire
        self._timer: asyncio.TimerHandle | None = None
        self._was_late = False
        self.fires_at = inf
        """Time of the next run, in monotonic seconds."""

    def schedule(self, at: float) -> None:
        """Run at *at* instead of `fires_at`."""
        self.cancel()
        self.fires_at = at
        self._timer = self._loop.call_later(at - monotonic(), self._fire)

    def cancel(self) -> None:
        """Drop the next run."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.fires_at = None, inf

    def _fire(self) -> None:
        now, planned = monotonic(), self.fires_at
        self._timer, self.fires_at = None, inf
        # The loop was blocked: replies that came in time may be unread, so calls get another moment, once.
        self._was_late = now - planned > LATE and not self._was_late
        next_at = now + LATE if self._was_late else self._expire(now)
        if next_at is not None:
            self.schedule(max(next_at, now + GRAIN))


@asynccontextmanager
async def fail_after(timeout: float) -> AsyncIterator[None]:  # noqa: ASYNC109 - a blocked loop extends it
    """Raise TimeoutError in the block once an `ExtendableTimer` of *timeout* has fired."""
    async with asyncio.timeout(None) as limit:
        timer = ExtendableTimer(timeout, lambda: limit.reschedule(0.0))
        try:
            yield
        finally:
            timer.cancel()
