"""An event loop on a clock of its own, for what takes long and computes little."""

from __future__ import annotations

import asyncio
import selectors

TURN = 1e-6
"""Seconds that one turn of the loop takes."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self):
        self._now = 0.0
        super().__init__(_Selector(self))

    def time(self):
        return self._now

    def advance(self, seconds):
        self._now += seconds


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        if timeout is None:
            return super().select()
        ready = super().select(0)
        self._loop.advance(TURN if ready else max(timeout, TURN))
        return ready


def run(coroutine):
    """Run *coroutine* on a loop with a clock of its own."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)
