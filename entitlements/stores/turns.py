"""
A fair bounded wait for one of so many connections: first come, first served.

A waiter is patient as long as others are being answered: then only we have much to do.
When nobody has been answered for as long as it may wait, the store is what is slow.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from enum import IntEnum
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

LONGEST_WAIT = 2.0
"""Seconds after which a waiter gives up, whoever else is answered, where twice its patience is longer."""
OPENED_AT_ONCE = 4
"""Connections that one loop opens at the same time."""
GRAIN = 0.002
"""Seconds between two looks at who has waited too long."""
LATE = 0.01
"""Seconds by which a timer may come late before that says something of the loop."""


def longest(patience: float) -> float:
    """Return the seconds after which a waiter gives up, whoever else is answered: twice its patience at most."""
    return max(patience, min(2 * patience, LONGEST_WAIT))


class Turns:
    """
    Lets so many threads through at a time.

    Each place keeps what its last holder has left there, a connection or None; the one
    that was used last is handed out first.
    """

    def __init__(self, places: int) -> None:
        self.free: deque[Any] = deque([None] * places)
        self.waiting: deque[_Waiter] = deque()
        self.answered = 0.0
        """When somebody was last answered while others waited, on the monotonic clock."""
        self._lock = threading.Lock()

    def enter(self, patience: float) -> Any:
        """
        Wait for a place, and return what was left there.

        Raises:
            TimeoutError: Where none came.
        """
        try:
            return self.free.pop()
        except IndexError:
            return self._wait(patience)

    def leave(self, left: Any = None) -> None:
        """Hand a place to whoever has waited longest, with what is left there."""
        (self.free.appendleft if left is None else self.free.append)(left)
        if self.waiting:
            self._hand_out()

    def _wait(self, patience: float) -> Any:
        mine = _Waiter()
        try:
            with self._lock:
                self.waiting.append(mine)
            self._hand_out()  # a place may have been left since we looked
            has_come = self._comes(mine, patience)
        except BaseException:  # a signal's handler raised: the place must not be lost
            if not self._gives_up(mine) and mine.has_place:
                self.leave(mine.place)
            raise
        if not has_come:
            raise TimeoutError("no place was free in time")
        return mine.place

    def _comes(self, mine: _Waiter, patience: float) -> bool:
        came = monotonic()
        until = came + patience
        while not mine.turn.acquire(timeout=max(0.0, until - monotonic())):
            until = min(max(until, self.answered + patience), came + longest(patience))
            if monotonic() >= until:
                return not self._gives_up(mine)
        return True

    def _hand_out(self) -> None:
        with self._lock, suppress(IndexError):
            while self.waiting:
                place = self.free.pop()
                mine = self.waiting.popleft()
                mine.place, mine.has_place = place, True
                mine.turn.release()

    def _gives_up(self, mine: _Waiter) -> bool:
        """Let a thread wait no more; False where its turn has come meanwhile."""
        with self._lock:
            if mine in self.waiting:
                self.waiting.remove(mine)
                return True
        return False


class _Waiter:
    """A thread that waits; its lock is free once it has a place."""

    __slots__ = ("has_place", "place", "turn")

    def __init__(self) -> None:
        self.place: Any = None
        self.has_place = False
        self.turn = threading.Lock()
        self.turn.acquire()


class Turn(IntEnum):
    """What a task that entered has got."""

    NONE = 0
    TAKEN = 1
    """A place that somebody had before, with a connection that is open."""
    NEW = 2
    """A new place: `settled()` must follow once its connection is open, or has failed to."""


class AsyncTurns:
    """
    Same as `Turns` for the tasks of one event loop, which opens few connections at a time.

    A thousand calls at once would otherwise open all connections at once, and none of
    them in time.
    """

    def __init__(self, places: int) -> None:
        self._most = places
        self._places = self._free = self._opening = 0
        self._waiting: deque[asyncio.Future[Turn]] = deque()
        self.answered = 0.0

    async def enter(self, patience: float) -> Turn:
        """Wait for a turn."""
        if self._free:
            self._free -= 1
            return Turn.TAKEN
        if self._may_open():
            return self._open()
        mine: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        alarm = Alarm(patience, lambda: _give_up(mine), lambda: self.answered + patience)
        try:
            return await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled() and mine.result() is not Turn.NONE:
                self.settled(mine.result())
                self.leave()
            raise
        finally:
            alarm.stop()

    def settled(self, turn: Turn) -> None:
        """Take notice that the connection of a new place is open, or has failed to."""
        if turn is Turn.NEW:
            self._opening -= 1
            while self._may_open() and (waiter := self._next()):
                waiter.set_result(self._open())

    def leave(self) -> None:
        """Hand the turn to whoever has waited longest."""
        if waiter := self._next():
            waiter.set_result(Turn.TAKEN)
        else:
            self._free += 1

    def _next(self) -> asyncio.Future[Turn] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # it has given up, or was cancelled
                return waiter
        return None

    def _may_open(self) -> bool:
        return self._places < self._most and self._opening < OPENED_AT_ONCE

    def _open(self) -> Turn:
        self._places += 1
        self._opening += 1
        return Turn.NEW


def _give_up(waiter: asyncio.Future[Turn]) -> None:
    if not waiter.done():
        waiter.set_result(Turn.NONE)


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
        expire: Takes the loop's time, answers for whoever has waited too long, and returns
            when the next will have, or None.
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
        self._timer = self._loop.call_at(at, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.rings_at = None, inf

    def _look(self) -> None:
        now, meant = self._loop.time(), self.rings_at
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
