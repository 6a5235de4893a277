"""Listener to invalidations, for event loops: a message is read as it arrives, and a feed connects in a thread."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet, ref

from entitlements._fork import renew_after_fork
from entitlements.invalidations.subscription import SILENCE, TIMEOUT, Subscription, subscriptions

if TYPE_CHECKING:
    from entitlements.invalidations.copies import AccountCopies
    from entitlements.ports import InvalidationSource

LEAST_PAUSE = 0.05
"""Least seconds until an event loop looks after its connection again."""


class AsyncInvalidationListener:
    """
    Listener for event loops: each loop has connections of its own.

    Args:
        sources: The stores and the sources of accounts that have messages.
        receiver: Gets the messages, on the loop.
    """

    def __init__(self, sources: list[InvalidationSource], receiver: AccountCopies) -> None:
        self._sources, self._receiver = sources, ref(receiver)
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, list[_LoopSubscription]] = WeakKeyDictionary()
        self._closed: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        renew_after_fork(self)

    def open(self) -> None:
        """Let the running loop connect again after `aclose`."""
        self._closed.discard(asyncio.get_running_loop())

    async def connect(self) -> None:
        """Connect what is not connected on the running loop, and wait for it for `TIMEOUT` at most."""
        attempts = [attempt for each in self._of_loop() if (attempt := each.start()) is not None]
        if attempts:
            await asyncio.wait(attempts, timeout=TIMEOUT)

    def poll(self) -> None:
        """Deliver what has arrived on the running loop."""
        for each in self._of_loop():
            each.poll()

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        self._closed.add(asyncio.get_running_loop())
        found = self._loops.pop(asyncio.get_running_loop(), ())
        attempts = [each.attempt for each in found if each.attempt is not None]
        for each in found:
            each.close()
        if attempts:
            await asyncio.wait(attempts)

    def renew(self) -> None:
        """Start without connections in a forked child, which may go on with a loop of its parent."""
        loops, self._loops = self._loops, WeakKeyDictionary()
        for each in [each for found in loops.values() for each in found]:
            each.disown()

    def _of_loop(self) -> list[_LoopSubscription]:
        loop = asyncio.get_running_loop()
        found = self._loops.get(loop)
        if found is None and loop in self._closed:
            return []
        if found is None:
            receiver = self._receiver()
            assert receiver is not None
            found = self._loops[loop] = list(map(_LoopSubscription, subscriptions(self._sources, receiver)))
        return found


class _LoopSubscription:
    """
    A subscription on an event loop, which connects in a thread, reads what arrives, and connects again.

    It keeps no reference to the loop: with a loop that ended without `aclose` its connection goes too.
    """

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.attempt: asyncio.Future[None] | None = None
        """The attempt to connect that is under way."""
        self._checks = 0
        """Number of the next check; those planned before do nothing."""
        self._is_closed = False

    def start(self) -> asyncio.Future[None] | None:
        """Connect if that is due; return the attempt that is under way, if any."""
        subscription = self.subscription
        if self.attempt is None and not subscription.is_connected and monotonic() >= subscription.retry_at:
            loop = asyncio.get_running_loop()
            self.attempt = loop.run_in_executor(None, subscription.feed.connect, TIMEOUT)
            self.attempt.add_done_callback(self._on_attempt)
        return self.attempt

    def poll(self) -> None:
        """Deliver what has arrived."""
        if self.subscription.is_connected:
            self.subscription.poll(monotonic(), self._stop_reading)
            if not self.subscription.is_connected:
                self._check(self._checks)

    def close(self) -> None:
        """Close the connection, or that which an attempt brings."""
        self._is_closed = True
        if self.subscription.is_connected:
            self._stop_reading()
        if self.attempt is None:
            self.subscription.close()

    def disown(self) -> None:
        """Leave the connection to the parent, in a forked child."""
        self._is_closed = True
        self.subscription.feed.disown()

    def _on_attempt(self, attempt: asyncio.Future[None]) -> None:
        self.attempt, subscription = None, self.subscription
        error = asyncio.CancelledError() if attempt.cancelled() else attempt.exception()
        if self._is_closed or not subscription.is_wanted:
            subscription.close()
            return
        if error is None:
            asyncio.get_running_loop().add_reader(subscription.feed.fileno(), self.poll)
            subscription.connected(monotonic())
        else:
            subscription.failed(error, monotonic())
        self._schedule()

    def _check(self, number: int) -> None:
        """Look after the connection: ask for a sign of life, or connect again."""
        if self._is_closed or number != self._checks:
            return
        if not self.subscription.is_wanted:
            self.close()
        else:
            if self.subscription.is_connected:
                self.subscription.poll(monotonic(), self._stop_reading)
            self.start()
            self._schedule()

    def _schedule(self) -> None:
        self._checks += 1
        pause = SILENCE if self.subscription.is_connected else self.subscription.retry_at - monotonic()
        asyncio.get_running_loop().call_later(max(pause, LEAST_PAUSE), self._check, self._checks)

    def _stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self.subscription.feed.fileno())
