"""
FIFO semaphore for connection slots.

The timeout of a waiter starts again while others get replies: then the process has more calls
than connections. Once no call has got a reply for a whole timeout, the store is slow, and the waiter fails.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from enum import IntEnum
from time import monotonic
from typing import Any

from entitlements.stores.redis.deadlines import ExtendableTimer, longest_wait

MAX_OPENING = 4
"""Connections that one event loop opens at the same time."""


class Slots:
    """
    FIFO semaphore for threads.

    Each slot keeps what its last holder released into it, a connection or None. The slot that
    was used last is handed out first.
    """

    def __init__(self, size: int) -> None:
        self.free: deque[Any] = deque([None] * size)
        self.waiting: deque[_Waiter] = deque()
        self.answered_at = 0.0
        """Time of the last reply that came while calls waited, in monotonic seconds."""
        self._lock = threading.Lock()

    def acquire(self, timeout: float) -> Any:
        """
        Wait for a slot and return what it keeps.

        Raises:
            TimeoutError: If no slot was free in time.
        """
        try:
            return self.free.pop()
        except IndexError:
            return self._wait(timeout)

    def release(self, kept: Any = None) -> None:
        """Hand the slot to the thread that has waited longest; *kept* stays in it."""
        (self.free.appendleft if kept is None else self.free.append)(kept)
        if self.waiting:
            self._hand_out()

    def _wait(self, timeout: float) -> Any:
        waiter = _Waiter()
        try:
            with self._lock:
                self.waiting.append(waiter)
            self._hand_out()  # a slot may have been released since the look at `free`
            is_granted = self._is_granted(waiter, timeout)
        except BaseException:  # a signal handler raised: the slot must not be lost
            if not self._withdraw(waiter) and waiter.has_slot:
                self.release(waiter.kept)
            raise
        if not is_granted:
            raise TimeoutError("no slot was free in time")
        return waiter.kept

    def _is_granted(self, waiter: _Waiter, timeout: float) -> bool:
        started = monotonic()
        deadline = started + timeout
        while not waiter.granted.acquire(timeout=max(0.0, deadline - monotonic())):
            deadline = min(max(deadline, self.answered_at + timeout), started + longest_wait(timeout))
            if monotonic() >= deadline:
                return not self._withdraw(waiter)
        return True

    def _hand_out(self) -> None:
        with self._lock, suppress(IndexError):
            while self.waiting:
                kept = self.free.pop()
                waiter = self.waiting.popleft()
                waiter.kept, waiter.has_slot = kept, True
                waiter.granted.release()

    def _withdraw(self, waiter: _Waiter) -> bool:
        """Remove a waiter; False if it has got a slot meanwhile."""
        with self._lock:
            if waiter in self.waiting:
                self.waiting.remove(waiter)
                return True
        return False


class _Waiter:
    """A waiting thread; its lock is released once it has a slot."""

    __slots__ = ("granted", "has_slot", "kept")

    def __init__(self) -> None:
        self.kept: Any = None
        self.has_slot = False
        self.granted = threading.Lock()
        self.granted.acquire()


class SlotGrant(IntEnum):
    """Result of waiting for a slot of `AsyncSlots`."""

    NONE = 0
    """No slot was free in time."""
    REUSED = 1
    """A slot with an open connection."""
    NEW = 2
    """A slot without a connection: call `end_opening()` once that is open, or has failed to open."""


class AsyncSlots:
    """
    FIFO semaphore for the tasks of one event loop; it limits how many connections open at the same time.

    Without that limit a thousand calls at once would open all connections at once, and none of
    them in time.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = self._free = self._opening = 0
        self._waiting: deque[asyncio.Future[SlotGrant]] = deque()
        self.answered_at = 0.0
        """Time of the last reply, on the clock of the loop."""

    async def acquire(self, timeout: float) -> SlotGrant:  # noqa: ASYNC109 - replies extend it, unlike `asyncio.timeout`
        """Wait for a slot."""
        if self._free:
            self._free -= 1
            return SlotGrant.REUSED
        if self._may_open():
            return self._open()
        waiter: asyncio.Future[SlotGrant] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        timer = ExtendableTimer(timeout, lambda: _fail(waiter), lambda: self.answered_at + timeout)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result() is not SlotGrant.NONE:
                self.end_opening(waiter.result())
                self.release()
            raise
        finally:
            timer.cancel()

    def end_opening(self, grant: SlotGrant) -> None:
        """Count the connection of a new slot as open, or as failed."""
        if grant is SlotGrant.NEW:
            self._opening -= 1
            while self._may_open() and (waiter := self._next()):
                waiter.set_result(self._open())

    def release(self) -> None:
        """Hand the slot to the task that has waited longest."""
        if waiter := self._next():
            waiter.set_result(SlotGrant.REUSED)
        else:
            self._free += 1

    def _next(self) -> asyncio.Future[SlotGrant] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # neither timed out nor cancelled
                return waiter
        return None

    def _may_open(self) -> bool:
        return self._used < self._size and self._opening < MAX_OPENING

    def _open(self) -> SlotGrant:
        self._used += 1
        self._opening += 1
        return SlotGrant.NEW


def _fail(waiter: asyncio.Future[SlotGrant]) -> None:
    if not waiter.done():
        waiter.set_result(SlotGrant.NONE)
