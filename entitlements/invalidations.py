"""
Listeners to invalidations by other processes, for threads and for event loops.

Both drive a `Subscription`: one feed, its reconnects and its liveness. A message reaches every process that is
connected when it is sent. What is sent while there is no connection is lost; so each new connection expires every
account that was loaded before it. A lost message costs the time to live of the account at most, and no charge: the
store itself refuses a charge by an older account (`model/versions.py`).

There is no thread. An `Enforcer` connects when it loads an account, and polls with its calls, at most once in
`INTERVAL`. On an event loop a message is read as it arrives.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary, WeakSet, ref

from entitlements._fork import renew_after_fork
from entitlements.model.instants import SECOND
from entitlements.model.versions import NO_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.ports import InvalidationFeed, InvalidationSource
    from entitlements.resolved_cache import ResolvedCache

INTERVAL = SECOND // 20
"""Microseconds between two polls by calls."""
TIMEOUT = 0.25
"""Seconds for a connection; a call that loads an account may wait for it."""
IDLE = 10.0
"""Seconds without a sign of life after which the feed is asked for one."""
SILENCE = 5.0
"""Seconds after which a feed that was asked counts as lost."""
PAUSES = (1.0, 30.0)
"""Seconds between two attempts to connect: the first pause, doubled up to the last."""
LEAST_PAUSE = 0.05
"""Least seconds until an event loop looks after its connection again."""

_log = logging.getLogger("entitlements.stores")


class Copies(Protocol):
    """A source of accounts that may keep copies of them."""

    def refresh(self, id: str, /) -> None:
        """Drop the copy of an account."""

    def expire_all(self) -> None:
        """Load every account again at its next use."""


class AccountCopies:
    """
    The copies of accounts that this process keeps: those of the source, and the resolved ones.

    Args:
        cache: The resolved accounts.
        accounts: The source; None if there is none.
        reload: Loads an account that is in use again, for plain calls, which cannot load.
    """

    def __init__(
        self, cache: ResolvedCache, accounts: Copies | None, reload: Callable[[str], object] = lambda _: None
    ) -> None:
        self._cache, self._reload = cache, reload
        self.accounts = accounts
        """The source under the policy in force."""

    def learn(self, id: str, version: int, carried: int | None = None) -> bool:
        """
        Note the version of an account; what was loaded before is loaded again.

        Args:
            id: The account's id.
            version: The version that the store has told.
            carried: The version of the order that was outdated by it, if it was told for one. An earlier version than
                the known one is noted only then, and if that was the known one: the store has lost it in a failover.

        Returns:
            True if it was not known.
        """
        while True:
            known = self._cache.version(id) or NO_VERSION
            if version == known or (version < known and known != carried):
                return False
            self._refresh(id)  # first: what carries the version must have been loaded after this
            if self._cache.learn(id, version, known):
                return True

    def on_invalidated(self, id: str, version: int | None) -> None:
        """Have an account loaded again, for a message; a version that is known already changes nothing."""
        if version is None:
            self._refresh(id)
            self._cache.expire(id)
        elif not self.learn(id, version):
            return
        if id in self._cache.by_id:
            self._reload(id)

    def on_gap(self) -> None:
        """Have every account loaded again: messages may have been lost."""
        if self.accounts is not None:
            self.accounts.expire_all()
        self._cache.expire_all()

    def _refresh(self, id: str) -> None:
        if self.accounts is not None:
            self.accounts.refresh(id)


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
            _log.info("%r: subscribed to invalidations again", self.feed)
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


class InvalidationListener:
    """
    Listener for threads.

    Args:
        sources: The stores and the sources of accounts that have messages.
        receiver: Gets the messages.
    """

    def __init__(self, sources: list[InvalidationSource], receiver: AccountCopies) -> None:
        self._subscriptions = [Subscription(source.invalidations(), receiver) for source in sources]
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
            found = self._loops[loop] = [
                _LoopSubscription(Subscription(source.invalidations(), receiver)) for source in self._sources
            ]
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


def log_unsent(store: object, failure: str) -> None:
    """Log that the store could not tell other processes about an account."""
    if failure:
        _log.warning(
            "%r: no message about an invalidated account was sent, so can, decide and value of other processes follow"
            " after its time to live; allow the store's user +publish and the channel: %s", store, failure,
        )  # fmt: skip


def _connect(subscription: Subscription) -> None:
    try:
        subscription.feed.connect(TIMEOUT)
    except Exception as error:  # noqa: BLE001 - whatever a feed raises, it cannot connect
        subscription.failed(error, monotonic())
    else:
        subscription.connected(monotonic())
