"""
Listener to invalidations, for threads; it starts none.

An `Enforcer` connects when it loads an account, and polls with its calls, at most once in `INTERVAL`.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING

from entitlements._fork import renew_after_fork
from entitlements.invalidations.subscription import TIMEOUT, Subscription, subscriptions
from entitlements.model.instants import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.invalidations.copies import AccountCopies
    from entitlements.ports import InvalidationSource

INTERVAL = SECOND // 20
"""Microseconds between two polls by calls."""


class InvalidationListener:
    """
    Listener for threads.

    Args:
        sources: The stores and the sources of accounts that have messages.
        receiver: Gets the messages.
    """

    def __init__(self, sources: list[InvalidationSource], receiver: AccountCopies) -> None:
        self._subscriptions = subscriptions(sources, receiver)
        self.renew()
        renew_after_fork(self)

    def connect(self) -> None:
        """Connect what is not connected; called before an account is loaded."""
        self._each(lambda each, now: None if each.is_connected or now < each.retry_at else _connect(each))

    def poll(self) -> None:
        """Deliver what has arrived."""
        self._each(lambda each, now: each.poll(now) if each.is_connected else None)

    def _each(self, act: Callable[[Subscription, float], None]) -> None:
        if not self._lock.acquire(blocking=False):  # another thread is at it
            return
        try:
            for each in self._subscriptions:
                act(each, monotonic())
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for each in self._subscriptions:
                each.close()

    def renew(self) -> None:
        """Start without connections in a forked child."""
        self._lock = threading.Lock()
        for each in self._subscriptions:
            each.renew()


def _connect(subscription: Subscription) -> None:
    try:
        subscription.feed.connect(TIMEOUT)
    except Exception as error:  # noqa: BLE001 - whatever a feed raises, it cannot connect
        subscription.failed(error, monotonic())
    else:
        subscription.connected(monotonic())
