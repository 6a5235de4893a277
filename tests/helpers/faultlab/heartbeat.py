"""Heartbeats: when this process, or its event loop, stood still because the machine or a test held it up."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic

BEAT = 0.002
"""Seconds between two beats."""
LATE = 0.001
"""Seconds by which a beat may be late and still count as on time."""


class Heartbeat:
    """A thread that notes each interval in which it could not run; `on_loop` does the same on an event loop."""

    def __init__(self):
        self._stalls, self._over = [], threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def stalled(self, began, ended):
        """Return the seconds between these two instants in which a heart stood still."""
        total, until = 0.0, began
        for stall in sorted(self._stalls):
            start, end = max(stall[0], until), min(stall[1], ended)
            if end > start:
                total, until = total + end - start, end
        return total

    def _beat(self):
        due = monotonic() + BEAT
        while not self._over.wait(max(0.0, due - monotonic())):
            due = self._note(due)

    async def on_loop(self):
        """Beat on the running loop until it is cancelled."""
        due = monotonic() + BEAT
        while True:
            await asyncio.sleep(max(0.0, due - monotonic()))
            due = self._note(due)

    def _note(self, due):
        now = monotonic()
        if now - due > LATE:
            self._stalls.append((due, now))
        return now + BEAT
