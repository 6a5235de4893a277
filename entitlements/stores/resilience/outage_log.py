"""One line in the log when a store begins to fail, one when the first order is lost, and one when it answers again."""

from __future__ import annotations

import logging
import threading

from entitlements.model.instants import SECOND
from entitlements.model.redaction import redact

CALM = 10 * SECOND
"""Without a degraded decision for this long, the former trouble is over."""

_log = logging.getLogger("entitlements.stores")


class Trouble:
    """
    What is told of a store that fails; every instant is monotonic, in microseconds.

    Args:
        store: What it is called in logs; it must not show a password.
    """

    def __init__(self, store: str) -> None:
        self._store = store
        self._degraded = 0
        self._lock = threading.Lock()
        self.since: int | None = None
        """When something was last decided without it, while that lasts; else None."""
        self._last = ("it has not answered", "")
        self.lost = 0
        """Orders that it will never be told of."""
        self._is_full = False

    @property
    def said(self) -> str:
        """What was wrong last, without the id of the account that it was about: it is logged, and told to others."""
        return redact(*self._last)

    def blame(self, error: Exception, account: str) -> None:
        """Keep what is wrong, and on whose order it showed."""
        self._last = str(error), account

    def note(self, now: int) -> None:
        """Note that something is decided without the store; the first time is logged."""
        with self._lock:
            first = self.since is None
            self.since = now
            self._degraded += 1
        if first:
            _log.warning("%s fails, and each limit does what its on_outage says: %s", self._store, self.said)

    def overflowed(self, waiting: int) -> None:
        """Note that an order is lost, as so many wait that there is no room; the first time is logged."""
        with self._lock:
            first, self._is_full = not self._is_full, True
            self.lost += 1
        if first:
            _log.warning(
                "%s: its journal is full, with %d orders; what else is let through or given back is not counted there",
                self._store, waiting,
            )  # fmt: skip

    def over(self, now: int, waiting: int, *, at_once: bool) -> None:
        """Note that the store answers again, with so many orders that wait for it; once that is certain, it is logged."""
        with self._lock:
            if self.since is None or not (at_once or now - self.since > CALM):
                return
            degraded, lost = self._degraded, self.lost
            self.since, self._degraded, self.lost, self._is_full = None, 0, 0, False
        _log.warning(
            "%s answers again; %d orders went without it, %d wait to be brought to it, %d were lost",
            self._store, degraded, waiting, lost,
        )  # fmt: skip

    def unlock(self) -> None:
        """Take a fresh lock: in a forked child the old one may be held for ever."""
        self._lock = threading.Lock()
