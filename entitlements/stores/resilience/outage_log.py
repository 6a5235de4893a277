"""Outage log: one line when a store begins to fail, one at the first lost order, one when it recovers."""

from __future__ import annotations

import logging
import threading

from entitlements.model.instants import SECOND
from entitlements.model.redaction import redact

CALM = 10 * SECOND
"""Microseconds without a fallback after which an outage is over."""

_log = logging.getLogger("entitlements.stores")


class OutageLog:
    """
    Counts and logs what happens while one store fails; every instant is in monotonic microseconds.

    Args:
        store: Its name in logs; it must not show a password.
    """

    def __init__(self, store: str) -> None:
        self._store = store
        self._local = 0
        self._lock = threading.Lock()
        self.since: int | None = None
        """The time of the last fallback while an outage lasts; else None."""
        self._last = ("it has not replied", "")
        self.lost = 0
        """Orders that can no longer be replayed."""
        self._is_full = False

    @property
    def last_error(self) -> str:
        """The last error, without the account id that it names: it is logged and shown to others."""
        return redact(*self._last)

    def record_error(self, error: Exception, account: str) -> None:
        """Keep the last error and the account of the order that it met."""
        self._last = str(error), account

    def record_fallback(self, now: int) -> None:
        """Count an order that is decided without the store; the first one is logged."""
        with self._lock:
            first = self.since is None
            self.since = now
            self._local += 1
        if first:
            _log.warning(
                "%s: failing (%s); limits follow their on_outage", self._store, self.last_error,
                extra={"store": self._store, "error": self.last_error},
            )  # fmt: skip

    def record_overflow(self, queued: int) -> None:
        """Count an order that is lost because the replay journal is full; the first one is logged."""
        with self._lock:
            first, self._is_full = not self._is_full, True
            self.lost += 1
        if first:
            _log.warning(
                "%s: replay journal is full with %d orders; further charges and refunds are not counted there",
                self._store, queued, extra={"store": self._store, "queued": queued},
            )  # fmt: skip

    def record_lost(self, lost: int) -> None:
        """Count and log orders that were replayed in vain, or too late: what they allowed is not counted."""
        with self._lock:
            self.lost += lost
        _log.warning(
            "%s: %d orders lost in replay; what they allowed is not counted there",
            self._store, lost, extra={"store": self._store, "lost": lost},
        )  # fmt: skip

    def recovered(self, now: int, queued: int, *, at_once: bool) -> None:
        """
        Log the end of an outage once it is certain.

        Args:
            now: When the store replied.
            queued: Orders that wait for replay.
            at_once: Whether this reply closed the breaker; otherwise `CALM` must have passed.
        """
        with self._lock:
            if self.since is None or not (at_once or now - self.since > CALM):
                return
            local, lost = self._local, self.lost
            self.since, self._local, self.lost, self._is_full = None, 0, 0, False
        _log.warning(
            "%s: recovered; %d decided locally, %d queued for replay, %d lost", self._store, local, queued, lost,
            extra={"store": self._store, "local": local, "queued": queued, "lost": lost},
        )  # fmt: skip

    def renew(self) -> None:
        """Replace the lock in a forked child, where another thread may hold it for ever."""
        self._lock = threading.Lock()
