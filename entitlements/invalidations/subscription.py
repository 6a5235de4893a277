"""
A subscription to invalidations: one feed, its reconnects and its liveness; no wait and no clock.

A message reaches every process that is connected when it is sent. What is sent while there is no connection is lost;
so each new connection expires every account that was loaded before it. A lost message costs the time to live of the
account at most, and no charge: the store itself refuses a charge by an older account (`model/versions.py`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.invalidations.copies import AccountCopies
    from entitlements.ports import InvalidationFeed, InvalidationSource

TIMEOUT = 0.25
"""Seconds for a connection; a call that loads an account may wait for it."""
IDLE = 10.0
"""Seconds without a sign of life after which the feed is asked for one."""
SILENCE = 5.0
"""Seconds after which a feed that was asked counts as lost."""
PAUSES = (1.0, 30.0)
"""Seconds between two attempts to connect: the first pause, doubled up to the last."""

_log = logging.getLogger("entitlements.stores")


class Subscription:
    """
    One feed, its reconnects and its liveness; the time is an argument, in monotonic seconds.

    Args:
        feed: The feed.
        receiver: Gets the messages; only a weak reference is kept.
    """

    def __init__(self, feed: InvalidationFeed, receiver: AccountCopies) -> None:
        self.feed = feed
        self._receiver = ref(receiver)
        self.is_connected = False
        self.retry_at = 0.0
        """Time of the next attempt to connect."""
        self._pause = PAUSES[0]
        self._heard_at = 0.0
        self._asked_at: float | None = None
        self._is_reported = False

    def connected(self, now: float) -> None:
        """Note that the feed has connected: what was sent before is lost."""
        if self._is_reported:
            _log.info("%r: subscribed to invalidations again", self.feed, extra={"feed": repr(self.feed)})
        self.is_connected, self._is_reported = True, False
        self._heard_at, self._asked_at, self._pause = now, None, PAUSES[0]
        if (receiver := self._receiver()) is not None:
            receiver.on_gap()

    def failed(self, error: BaseException, now: float) -> None:
        """Note that the feed could not connect, or has ended; the first failure of a row is logged."""
        self.close()
        self.retry_at, self._pause = now + self._pause, min(2 * self._pause, PAUSES[1])
        if not self._is_reported:
            self._is_reported = True
            _log.warning(
                "%r: not subscribed to invalidations, so can, decide and value see a changed account once its time to"
                " live is over; charges see it at once: %s", self.feed, error,
                extra={"feed": repr(self.feed), "problem": str(error)},
            )  # fmt: skip

    def poll(self, now: float, release: Callable[[], object] = lambda: None) -> None:
        """Deliver what has arrived; if the connection has ended, call *release* and close it."""
        receiver = self._receiver()
        try:
            found = self.feed.read()
            if found is not None:
                self._heard_at, self._asked_at = now, None
                for id, version in found:
                    if receiver is not None:
                        receiver.on_invalidated(id, version)
            elif self._asked_at is not None:
                if now - self._asked_at > SILENCE:
                    raise TimeoutError(f"nothing was heard for {now - self._heard_at:.0f} s")  # noqa: TRY301 - one way out
            elif now - self._heard_at > IDLE:
                self._asked_at = now
                self.feed.ping()
        except Exception as error:  # noqa: BLE001 - whatever a feed raises, it has ended
            release()
            self.failed(error, now)
            self.retry_at = now  # the first attempt at once

    def close(self) -> None:
        """Close the connection."""
        self.is_connected = False
        self.feed.close()

    @property
    def is_wanted(self) -> bool:
        """True while the receiver exists."""
        return self._receiver() is not None

    def renew(self) -> None:
        """Leave the connection to the parent, in a forked child."""
        self.feed.disown()
        self.is_connected, self.retry_at = False, 0.0


def subscriptions(sources: list[InvalidationSource], receiver: AccountCopies) -> list[Subscription]:
    """Return a subscription to each source that has messages."""
    feeds = [source.invalidations() for source in sources]
    return [Subscription(feed, receiver) for feed in feeds if feed is not None]


def log_unsent(store: object, failure: str) -> None:
    """Log that the store could not tell other processes about an account."""
    if failure:
        _log.warning(
            "%r: no message about an invalidated account was sent, so can, decide and value of other processes follow"
            " after its time to live; allow the store's user +publish and the channel: %s", store, failure,
            extra={"store": repr(store), "problem": str(failure)},
        )  # fmt: skip
