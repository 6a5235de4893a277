"""Waiting for an instant inside an event loop, finer than the millisecond that asyncio's own timers round up to."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
from time import perf_counter
from typing import Self

_CLOCK_MONOTONIC, _ABSOLUTE = 1, 1


class Pacer:
    """
    Waits until an instant of `perf_counter`, by a timer of the kernel that is watched like a socket.

    Where there is none (it is Linux's), it waits by asyncio's timers, up to a millisecond late.
    """

    async def __aenter__(self) -> Self:
        self._file = self._rung = None
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._file = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
            if self._file < 0:
                self._file = None
            else:
                asyncio.get_running_loop().add_reader(self._file, self._ring)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._file is not None:
            asyncio.get_running_loop().remove_reader(self._file)
            os.close(self._file)

    async def until(self, instant: float) -> None:
        """Return at that instant, or after one turn of the loop where it is past."""
        left = instant - perf_counter()
        if left <= 0 or self._file is None:
            await asyncio.sleep(max(0.0, left))
            return
        self._rung = asyncio.get_running_loop().create_future()
        nanoseconds = int(instant * 1e9)  # on Linux perf_counter is the monotonic clock
        setting = struct.pack("qqqq", 0, 0, nanoseconds // 10**9, nanoseconds % 10**9)
        self._libc.timerfd_settime(self._file, _ABSOLUTE, setting, None)
        await self._rung

    def _ring(self) -> None:
        os.read(self._file, 8)
        if self._rung is not None and not self._rung.done():
            self._rung.set_result(None)
