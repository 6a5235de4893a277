"""
How long somebody waits, and the timers of an event loop that end it.

A waiter is patient as long as others are being answered: then only we have much to do. A loop
that was busy elsewhere meanwhile has not waited either.
"""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

LONGEST_WAIT = 2.0
"""Seconds after which a waiter gives up, whoever else is answered, where twice its patience is longer."""
GRAIN = 0.002
"""Seconds between two looks at who has waited too long."""
LATE = 0.01
"""Seconds by which a timer may come late before that says something of the loop."""


def longest(patience: float) -> float:
    """Return the seconds after which a waiter gives up, whoever else is answered: twice its patience at most."""
    return max(patience, min(2 * patience, LONGEST_WAIT))


class Alarm:
    """
    Rings once patience is over; a loop that was busy elsewhere meanwhile has not waited.

    When the timer itself comes late, answers that arrived in time may lie unread: they
    get another moment.
    """

    def __init__(self, patience: float, ring: Callable[[], object], renewed: Callable[[], float] = lambda: 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._ring, self._renewed = ring, renewed
        self._last = now + longest(patience)
        self._timer = self._loop.call_at(now + patience, self._over)

    def stop(self) -> None:
        """Stay silent."""
        self._timer.cancel()

    def _over(self) -> None:
        now = self._loop.time()
        again = self._renewed()
        if now - self._timer.when() > LATE:
            again = max(again, now + LATE)
        if now < again and now < self._last:
            self._timer = self._loop.call_at(min(again, self._last), self._over)
        else:
            self._ring()


class Watch:
    """
    One timer for all that wait on a loop, however many they are.

    Args:
        loop: Whose.
        expire: Takes the time in monotonic seconds, answers for whoever has waited too long,
            and returns when the next will have, or None.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[float], float | None]) -> None:
        self._loop, self._expire = loop, expire
        self._timer: asyncio.TimerHandle | None = None
        self._was_late = False
        self.rings_at = inf
        """When it looks next."""

    def by(self, at: float) -> None:
        """Look at *at*, and not at `rings_at`."""
        self.stop()
        self.rings_at = at
        self._timer = self._loop.call_later(at - monotonic(), self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.rings_at = None, inf

    def _look(self) -> None:
        now, meant = monotonic(), self.rings_at
        self._timer, self.rings_at = None, inf
        # The loop was busy elsewhere: answers that came in time may lie unread, so they get another moment, and one only.
        self._was_late = now - meant > LATE and not self._was_late
        again = now + LATE if self._was_late else self._expire(now)
        if again is not None:
            self.by(max(again, now + GRAIN))


class Deadline:
    """`asyncio.timeout()` with an `Alarm`: raises TimeoutError in its block once patience is over."""

    def __init__(self, patience: float, renewed: Callable[[], float] = lambda: 0.0) -> None:
        self._patience, self._renewed = patience, renewed
        self._over = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._alarm = Alarm(self._patience, self._cancel, self._renewed)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._alarm.stop()
        if self._over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _cancel(self) -> None:
        self._over = True
        self._task.cancel()
