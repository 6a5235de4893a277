"""Replay timer: replays the journal on an event loop that makes no other calls."""

from __future__ import annotations

from asyncio import get_running_loop
from functools import partial
from typing import TYPE_CHECKING

from entitlements.model.instants import SECOND

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from entitlements.stores.resilience.policy import Course, OutagePolicy

INTERVAL = 0.25
"""Most seconds between two looks at the circuit breaker while orders wait."""
LEAST_INTERVAL = 0.01
"""Least seconds between two replays."""


class ReplayTimer:
    """
    Replays the journal as soon as the circuit breaker allows a call, on every loop that has met a waiting order.

    Args:
        policy: The outage policy of the store.
        run: Drives a course on the running loop, and returns the future of its answer.
    """

    def __init__(self, policy: OutagePolicy, run: Callable[[Course], asyncio.Future[bool]]) -> None:
        self._policy, self._run = policy, run
        self._timers: dict[asyncio.AbstractEventLoop, asyncio.TimerHandle | asyncio.Future[bool]] = {}
        """By loop: the timer, or the replay that goes on."""
        policy.journal.queue.listen(self.start)

    def start(self) -> None:
        """Start on the running loop, if an order waits and no timer runs there."""
        if self._policy.journal.queue and (loop := get_running_loop()) not in self._timers:
            for ended in [each for each in list(self._timers) if each.is_closed()]:
                self._timers.pop(ended, None)
            self._schedule(loop, INTERVAL)

    def cancel(self) -> None:
        """End on the running loop."""
        timer = self._timers.pop(get_running_loop(), None)
        if timer is not None:
            timer.cancel()

    def _schedule(self, loop: asyncio.AbstractEventLoop, delay: float) -> None:
        self._timers[loop] = loop.call_later(delay, self._replay, loop)

    def _replay(self, loop: asyncio.AbstractEventLoop) -> None:
        replay = self._timers[loop] = self._run(self._policy.replay.in_background(SECOND))
        replay.add_done_callback(partial(self._ended, loop))

    def _ended(self, loop: asyncio.AbstractEventLoop, replay: asyncio.Future[bool]) -> None:
        if replay.cancelled():
            return
        self._timers.pop(loop, None)
        is_well = replay.exception() is None and replay.result()
        if self._policy.journal.queue:
            pause = self._policy.replay.pause / SECOND or INTERVAL
            self._schedule(loop, LEAST_INTERVAL if is_well else max(LEAST_INTERVAL, min(pause, INTERVAL)))
