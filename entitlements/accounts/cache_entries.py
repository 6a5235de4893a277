"""
Account cache entries: time to live, stale-if-error and in-flight loads (single-flight).

An entry is *fresh* for its time to live, counted from the moment its load began, so
that no answer is used for longer than that. After it, the entry is *stale*: it is
loaded again, and is used only where that fails (`stale-if-error` of RFC 5861).
The absence of an account has a shorter time to live and is never used when stale.
Where there is no stale entry, a default may stand in (`when_down`).
Nothing is used for longer than a day after its load began: stores keep an invalidation for a little longer.

For each id there is at most one load in flight per event loop, and one for all threads
together. Callers that miss meanwhile wait for it. A refresh drops the entry and detaches
the loads in flight: they answer those who wait, and are not cached.

Nothing here waits, calls a source or writes a log.
"""

from __future__ import annotations

import contextlib
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Hashable
from copy import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, NamedTuple, Self
from weakref import WeakSet

from cachetools import TLRUCache

from entitlements._fork import renew_after_fork
from entitlements.accounts.loads import F, InFlightLoad, Loaded, LoadResult
from entitlements.accounts.when_down import check_when_down, default_account, describe_fallback
from entitlements.errors import AccountError, AccountsUnavailable
from entitlements.model.events import AccountsBack, AccountsDown
from entitlements.model.instants import MICROSECOND, SECOND
from entitlements.model.redaction import digest, redact_error
from entitlements.model.versions import LONGEST_USE

if TYPE_CHECKING:
    from entitlements.accounts.when_down import Listener
    from entitlements.model.account import Account
    from entitlements.model.policy import PolicyData

RETRY = SECOND
"""Microseconds for which a stale or default answer is used before the source is asked again."""


class _CacheEntry(NamedTuple):
    """An account, or its absence: fresh from *since* until *fresh_until*, stale until *stale_until*."""

    account: Account | None
    since: int
    fresh_until: int
    stale_until: int


class CacheEntries(Generic[F]):
    """
    The entries and the loads in flight.

    Args:
        ttl: Time to live of an account.
        negative_ttl: Time to live of the absence of an account.
        max_stale: How long a stale account may be used while its source fails.
        when_down: The default while the source fails and there is no stale entry.
        max_size: Most accounts kept; the least recently used is evicted. One takes about 1 KB,
            so that 10,000 are 10 MB.
        clock: Monotonic microseconds.

    Raises:
        ValueError: For a negative duration, or a size below 1.
    """

    def __init__(
        self,
        *,
        ttl: timedelta,
        negative_ttl: timedelta,
        max_stale: timedelta,
        when_down: str,
        max_size: int,
        clock: Callable[[], int],
    ) -> None:
        self._ttl = min(_microseconds(ttl, "ttl"), LONGEST_USE)
        self._negative_ttl = min(_microseconds(negative_ttl, "negative_ttl"), LONGEST_USE)
        self._max_stale = min(_microseconds(max_stale, "max_stale"), LONGEST_USE - self._ttl)
        self._when_down = check_when_down(when_down)
        self._fallback = describe_fallback(when_down, ttl + max_stale)
        if type(max_size) is not int or max_size < 1:
            raise ValueError(f"max_size {max_size!r} must be an int of at least 1")
        self.max_size = max_size
        self._clock = clock
        self._failing: set[str | None] = set()
        """The ids of bad accounts whose stale entry is used; None while the source itself is down."""
        self._listeners: WeakSet[Listener] = WeakSet()
        self._expired_at = -LONGEST_USE
        """Entries whose load began before are stale."""
        self._reset()

    def _reset(self) -> None:
        """Share nothing with the entries that this is a copy of."""
        self._entries = self._no_entries()
        self._loads: dict[Hashable, dict[str, InFlightLoad[F]]] = {}
        self._failing, self._listeners = set(self._failing), WeakSet(self._listeners)
        self._lock = threading.Lock()
        renew_after_fork(self)

    def fresh(self, id: str) -> Loaded | None:
        """Return the fresh entry of *id*, or None."""
        with self._lock:
            return self._fresh(id)

    def fresh_or_load(self, id: str, loop: Hashable, future: Callable[[], F]) -> tuple[Loaded | InFlightLoad[F], bool]:
        """
        Return the fresh entry of *id*, or else the load in flight; begin one if there is none.

        Args:
            id: The account.
            loop: The caller's event loop; None for threads.
            future: Makes the future of a new load.

        Returns:
            The entry or the load, and whether the caller must carry the load out.
        """
        with self._lock:
            fresh = self._fresh(id)
            if fresh is not None:
                return fresh, False
            loads = self._loads.setdefault(loop, {})
            if id in loads:
                return loads[id], False
            loads[id] = load = InFlightLoad(id, loop, self._clock(), future())
            return load, True

    def succeeded(self, load: InFlightLoad[F], account: Account | None) -> LoadResult:
        """Cache the account that a load brought, unless a refresh came meanwhile."""
        ttl = self._negative_ttl if account is None else self._ttl
        until = load.began + ttl
        with self._lock:
            if self._remove(load):
                stale_until = until if account is None else until + self._max_stale
                self._entries[load.id] = _CacheEntry(account, load.began, until, stale_until)
            recovered = self._failing & {None, load.id}
            self._failing -= recovered
            listeners = tuple(self._listeners) if recovered else ()
        answer = Loaded(account, max(0, until - self._clock()))
        message = "accounts are loaded again" if recovered else ""
        event = AccountsBack() if None in recovered else None
        return LoadResult(answer, message, recovered=True, event=event, listeners=listeners)

    def failed(self, load: InFlightLoad[F], error: Exception) -> LoadResult:
        """Return the stale entry of a load that failed, or else the default or the error."""
        with self._lock:
            self._remove(load)
            stale = self._stale(load.id)
            # A bad account is a failure of that account only, anything else one of the source.
            bad = load.id if isinstance(error, AccountError) else None
            if stale is None and bad is not None:
                self._failing.discard(bad)  # the caller sees the error itself
                return LoadResult(error)
            reported = bad in self._failing
            listeners = tuple(self._listeners)
            if len(self._failing) > self.max_size:  # bad accounts that are no longer asked for
                self._failing &= {None}
            self._failing.add(bad)
        answer = stale or self._default(load.id, error)
        if reported:
            return LoadResult(answer)
        problem = f"{type(error).__name__}: {redact_error(error, load.id)}"
        if bad is not None:
            return LoadResult(answer, f"account {digest(bad)} failed to load; serving the stale entry: {problem}")
        message = f"accounts cannot be loaded; {self._fallback}: {problem}"
        return LoadResult(answer, message, event=AccountsDown(problem), listeners=listeners)

    def add_listener(self, listener: Listener) -> None:
        """Report to *listener* when the source goes down and recovers; only a weak reference is kept."""
        with self._lock:
            self._listeners.add(listener)

    def check(self, policy: PolicyData) -> None:
        """
        Check that *policy* has the tier that `when_down` names.

        Raises:
            ValueError: Where it has no such tier.
        """
        check_when_down(self._when_down, policy)

    def empty_copy(self) -> Self:
        """Return empty entries for the same source; a failure that was reported is not reported again."""
        with self._lock:
            other = copy(self)
            other._reset()  # noqa: SLF001 - a copy of this
        return other

    def remove(self, load: InFlightLoad[F]) -> None:
        """Detach *load*, so that no further caller waits for it."""
        with self._lock:
            self._remove(load)

    def drop(self, id: str) -> None:
        """Drop the entry of *id*, and detach its loads in flight."""
        with self._lock:
            with contextlib.suppress(KeyError):
                del self._entries[id]
            for loads in self._loads.values():
                loads.pop(id, None)
            self._failing.discard(id)

    def expire_all(self) -> None:
        """Make all entries stale, and detach the loads in flight."""
        with self._lock:
            self._expired_at = self._clock()
            for loads in self._loads.values():
                loads.clear()

    def drop_closed_loops(self) -> None:
        """Drop the loads of event loops that are closed: they never end."""
        with self._lock:
            for loop in [each for each in self._loads if isinstance(each, AbstractEventLoop) and each.is_closed()]:
                del self._loads[loop]

    def renew(self) -> None:
        """Replace the lock, and drop the loads in flight: in a forked child their threads do not exist."""
        if self._lock.locked():  # a thread was writing at the fork: the entries may be half written
            self._entries = self._no_entries()
        self._lock = threading.Lock()
        self._loads = {}

    def _no_entries(self) -> TLRUCache[str, _CacheEntry, int]:
        return TLRUCache(self.max_size, lambda _id, entry, _now: entry.stale_until, self._clock)

    def _fresh(self, id: str) -> Loaded | None:
        entry, now = self._entry(id), self._clock()
        # A clock that was set back, against the rules, makes nothing last longer.
        if entry is None or not entry.since <= now < entry.fresh_until or entry.since < self._expired_at:
            return None
        return Loaded(entry.account, entry.fresh_until - now)

    def _stale(self, id: str) -> Loaded | None:
        """Return the entry of *id*, made fresh for a moment, so that a failing source is not asked at every call."""
        entry, now = self._entry(id), self._clock()
        if entry is None:
            return None
        if not entry.since <= now < entry.fresh_until:
            entry = entry._replace(since=now, fresh_until=min(now + RETRY, entry.stale_until))
            self._entries[id] = entry
        return Loaded(entry.account, max(0, entry.fresh_until - now))

    def _default(self, id: str, error: Exception) -> Loaded | Exception:
        try:
            return Loaded(default_account(self._when_down, id, error), RETRY)
        except AccountsUnavailable as unavailable:
            return unavailable

    def _entry(self, id: str) -> _CacheEntry | None:
        # Not get(): it looks twice, and the entry may expire between the two looks.
        try:
            return self._entries[id]
        except KeyError:
            return None

    def _remove(self, load: InFlightLoad[F]) -> bool:
        """Detach *load*; return whether it was still attached."""
        loads = self._loads.get(load.loop, {})
        if loads.get(load.id) is not load:
            return False
        del loads[load.id]
        return True


def _microseconds(duration: object, what: str) -> int:
    if not isinstance(duration, timedelta) or duration < timedelta(0):
        raise ValueError(f"{what} {duration!r} must be a timedelta of 0 or more")
    return duration // MICROSECOND
