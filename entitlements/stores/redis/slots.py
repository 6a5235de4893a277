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
from time import monotonic
from typing import Any

from entitlements.stores.redis.deadlines import Alarm, longest

OPENED_AT_ONCE = 4
"""Connections that one loop opens at the same time."""


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
