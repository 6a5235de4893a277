"""Backlog: replies that an event loop has not resolved yet, and the wait that they mean for the next call."""

from __future__ import annotations

FASTEST = 1e-5
"""Seconds per reply that are assumed while there is no backlog; no event loop of CPython is faster."""

STALL = 0.02
"""Most seconds from one count to the next that belong to the pace: for the rest of them the loop stood still."""


class Backlog:
    """
    The pace of an event loop that is behind its server.

    A loop with more calls than it can resolve would fail all of them by their deadlines, and the tasks that
    wait meanwhile make each pass of Python's garbage collector longer. A call that cannot be resolved in time
    is therefore rejected when it is made.
    """

    def __init__(self) -> None:
        self.interval = FASTEST
        """Seconds from one reply to the next, on average since the backlog began."""
        self.began: float | None = None
        """Monotonic seconds; None while there is no backlog."""
        self._counted_at = self._seconds = 0.0
        self._replies = 0

    def count(self, replies: int, now: float) -> None:
        """Count replies that were resolved while more wait."""
        if self.began is None:
            self.began, self._seconds, self._replies = now, 0.0, 0
        else:
            self._seconds += min(now - self._counted_at, STALL)
            self._replies += replies
            self.interval = max(FASTEST, self._seconds / self._replies)
        self._counted_at = now

    def end(self) -> None:
        """Begin again: every reply that has arrived is resolved."""
        self.began, self.interval = None, FASTEST
