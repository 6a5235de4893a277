"""Instants inside an event loop, finer than the millisecond that asyncio's own timers round up to."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_CLOCK_MONOTONIC, _ABSOLUTE = 1, 1
_SECOND = 10**9


class Alarm:
    """
    Calls back at an instant of `perf_counter`, by a timer of the kernel that is watched like a socket.

    It costs the loop one system call for each instant, and no task. Without such a timer
    (outside of Linux) it uses asyncio's, up to a millisecond late.

    Args:
        ring: What to call in the loop; it may set the next instant.
    """

    def __init__(self, ring: Callable[[], object]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._file = -1
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            self._file = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file >= 0:
            self._times = (ctypes.c_long * 4)()
            self._settime = libc.timerfd_settime
            self._words = (self._file, _ABSOLUTE, ctypes.byref(self._times), None)
            self._loop.add_reader(self._file, self._rung)

    def set(self, instant: float) -> None:
        """Call back at *instant*, or in the loop's next turn if it is past; replaces an earlier setting."""
        if self._file < 0:
            self._loop.call_later(max(0.0, instant - perf_counter()), self._ring)
            return
        self._was_set = True
        self._times[2], self._times[3] = divmod(int(instant * _SECOND), _SECOND)  # perf_counter is the monotonic clock
        self._settime(*self._words)

    def close(self) -> None:
        """Stop the timer."""
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)

    def _rung(self) -> None:
        self._was_set = False
        self._ring()
        if not self._was_set:  # a timer that was set again has nothing to read
            os.read(self._file, 8)


class Pacer:
    """Waits until an instant of `perf_counter`."""

    async def __aenter__(self) -> Self:
        self._rung: asyncio.Future[None] | None = None
        self._alarm = Alarm(self._ring)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._alarm.close()

    async def until(self, instant: float) -> None:
        """Return at that instant, or after one turn of the loop if it is past."""
        if instant <= perf_counter():
            await asyncio.sleep(0)
            return
        self._rung = asyncio.get_running_loop().create_future()
        self._alarm.set(instant)
        await self._rung

    def _ring(self) -> None:
        if self._rung is not None and not self._rung.done():
            self._rung.set_result(None)
