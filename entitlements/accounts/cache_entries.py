"""
What is known of accounts, until when, and who is finding out: the books of both caches.

An entry is *fresh* for its time to live, counted from the moment its load began, so
that nothing is ever believed for longer than that. After it, the entry is *stale*: it
is loaded again, and stands in only where that fails (`stale-if-error` of RFC 5861).
Accounts that do not exist are remembered for a shorter time and never when stale.
Where nothing stands in, a default may (`when_down`).

For each id there is at most one *flight*, a load under way, in each *lane* (an event
loop, or all the threads together); whoever asks meanwhile waits for it. A refresh
forgets the entry and its flights: they still answer those who wait, and leave no trace.

Nothing here waits, calls a source or writes a log.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, NamedTuple, Self, TypeVar
from weakref import WeakSet

from cachetools import TLRUCache

from entitlements._fork import renew_after_fork
from entitlements.accounts.load_result import Landed, Loaded
from entitlements.accounts.stale_if_error import check_when_down, default_account, outlook
from entitlements.errors import AccountError, AccountsUnavailable
from entitlements.model.events import AccountsBack, AccountsDown
from entitlements.model.instants import MICROSECOND, SECOND
from entitlements.model.redaction import digest, redact

if TYPE_CHECKING:
    from entitlements.accounts.stale_if_error import Listener
    from entitlements.model.account import Account
    from entitlements.model.policy import Policy

RETRY = SECOND
"""How long a stale answer stands before the source is asked again, in microseconds."""

F = TypeVar("F")


@dataclass(frozen=True, slots=True, eq=False)
class Flight(Generic[F]):
    """
    A load under way.

    Args:
        id: The account that is being loaded.
        lane: Where those wait who can share it.
        began: The clock when it began, in microseconds.
        future: What they wait for.
    """

    id: str
    lane: Hashable
    began: int
    future: F


class _Entry(NamedTuple):
    """What is known of one account: fresh from *since* until *until*, of any use until *gone*."""

    account: Account | None
    since: int
    until: int
    gone: int


class Shelf(Generic[F]):
    """
    The entries and the flights.

    Args:
        ttl: How long an account stays fresh.
        negative_ttl: How long the absence of an account stays fresh.
        max_stale: How long an account may stand in after that while its source fails.
        when_down: What there is while its source fails, of an account that nothing stands in for.
        max_size: Most accounts kept; the least recently used make room. One takes about 1 KB,
            so that 10,000 are 10 MB.
        clock: Microseconds that only ever grow.

    Raises:
        ValueError: For a negative duration, or no room at all.
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
        self._ttl = _microseconds(ttl, "ttl")
        self._negative_ttl = _microseconds(negative_ttl, "negative_ttl")
        self._max_stale = _microseconds(max_stale, "max_stale")
        self._when_down = check_when_down(when_down)
        self._outlook = outlook(when_down, ttl + max_stale)
        if type(max_size) is not int or max_size < 1:
            raise ValueError(f"max_size {max_size!r} must be an int of at least 1")
        self._clock = clock
        self._entries: TLRUCache[str, _Entry, int] = TLRUCache(max_size, _gone, clock)
        self._flights: dict[Hashable, dict[str, Flight[F]]] = {}
        self._troubles: set[str | None] = set()
        self._listeners: WeakSet[Listener] = WeakSet()
        self._lock = threading.Lock()
        renew_after_fork(self)

    def known(self, id: str) -> Loaded | None:
        """Return what is known and fresh, or None."""
        with self._lock:
            return self._fresh(id)

    def ask(self, id: str, lane: Hashable, future: Callable[[], F]) -> tuple[Loaded | Flight[F], bool]:
        """
        Return what is known and fresh, or else the flight to wait for.

        Args:
            id: The account.
            lane: Where the caller can wait.
            future: Makes what to wait for, if nobody waits yet.

        Returns:
            The answer or the flight, and whether the caller is the one who must load.
        """
        with self._lock:
            known = self._fresh(id)
            if known is not None:
                return known, False
            flights = self._flights.setdefault(lane, {})
            if id in flights:
                return flights[id], False
            flights[id] = flight = Flight(id, lane, self._clock(), future())
            return flight, True

    def landed(self, flight: Flight[F], account: Account | None) -> Landed:
        """Note what the source said, unless a refresh came in between."""
        ttl = self._negative_ttl if account is None else self._ttl
        until = flight.began + ttl
        with self._lock:
            if self._leave(flight):
                gone = until if account is None else until + self._max_stale
                self._entries[flight.id] = _Entry(account, flight.began, until, gone)
            over = self._troubles & {None, flight.id}
            self._troubles -= over
            listeners = tuple(self._listeners) if over else ()
        news, event = "accounts are loaded again" if over else "", AccountsBack() if None in over else None
        return Landed(Loaded(account, max(0, until - self._clock())), news, good=True, event=event, listeners=listeners)

    def failed(self, flight: Flight[F], error: Exception) -> Landed:
        """Note that the source failed, and return what was last known, if it may stand in, or else the default."""
        with self._lock:
            self._leave(flight)
            stand_in = self._stand_in(flight.id)
            # A bad account is the trouble of that account, anything else that of the source.
            trouble = flight.id if isinstance(error, AccountError) else None
            if stand_in is None and trouble is not None:
                self._troubles.discard(trouble)  # the caller sees the error itself
                return Landed(error)
            known = trouble in self._troubles
            listeners = tuple(self._listeners)
            if len(self._troubles) > self._entries.maxsize:  # of accounts that nobody asks for any more
                self._troubles &= {None}
            self._troubles.add(trouble)
        answer = stand_in or self._default(flight.id, error)
        if known:
            return Landed(answer)
        said = f"{type(error).__name__}: {redact(str(error), flight.id)}"
        if trouble is not None:
            return Landed(answer, f"account {digest(trouble)} cannot be loaded, what was last known stands in: {said}")
        news = f"accounts cannot be loaded; {self._outlook}: {said}"
        return Landed(answer, news, event=AccountsDown(said), listeners=listeners)

    def listen(self, listener: Listener) -> None:
        """Tell *listener*, as long as it lives, when the source goes down and when it is back."""
        with self._lock:
            self._listeners.add(listener)

    def check(self, policy: Policy) -> None:
        """
        Check that *policy* has what stands in while the source is down.

        Raises:
            ValueError: Where it has no such tier.
        """
        check_when_down(self._when_down, policy)

    def emptied(self) -> Self:
        """Return an empty shelf for the same source: the trouble it is in is no news there."""
        with self._lock:
            again = copy(self)
            again.begin()
        return again

    def begin(self) -> None:
        """Be a shelf of its own, with nothing on it yet."""
        self._entries = TLRUCache(int(self._entries.maxsize), _gone, self._clock)
        self._flights = {}
        self._troubles, self._listeners = set(self._troubles), WeakSet(self._listeners)
        self._lock = threading.Lock()
        renew_after_fork(self)

    def leave(self, flight: Flight[F]) -> None:
        """Let nobody join *flight* any more."""
        with self._lock:
            self._leave(flight)

    def drop(self, id: str) -> None:
        """Forget what is known of *id*, and what those will say who are finding out."""
        with self._lock:
            with contextlib.suppress(KeyError):
                del self._entries[id]
            for flights in self._flights.values():
                flights.pop(id, None)
            self._troubles.discard(id)

    def retire(self, over: Callable[[Hashable], bool]) -> None:
        """Forget the lanes that are over: nobody lands there any more."""
        with self._lock:
            for lane in [lane for lane in self._flights if over(lane)]:
                del self._flights[lane]

    def renew(self) -> None:
        """Take a fresh lock, and forget the loads of threads that a fork left behind."""
        if self._lock.locked():  # one of them was writing: the entries may be half written
            self._entries = TLRUCache(int(self._entries.maxsize), _gone, self._clock)
        self._lock = threading.Lock()
        self._flights = {}

    def _fresh(self, id: str) -> Loaded | None:
        entry, now = self._entry(id), self._clock()
        # A clock that was set back, against the rules, makes nothing last longer.
        if entry is None or not entry.since <= now < entry.until:
            return None
        return Loaded(entry.account, entry.until - now)

    def _stand_in(self, id: str) -> Loaded | None:
        """Return a stale entry as good for a moment, so that a failing source gets a rest."""
        entry, now = self._entry(id), self._clock()
        if entry is None:
            return None
        if not entry.since <= now < entry.until:
            entry = entry._replace(since=now, until=min(now + RETRY, entry.gone))
            self._entries[id] = entry
        return Loaded(entry.account, max(0, entry.until - now))

    def _default(self, id: str, error: Exception) -> Loaded | Exception:
        try:
            return Loaded(default_account(self._when_down, id, error), RETRY)
        except AccountsUnavailable as unavailable:
            return unavailable

    def _entry(self, id: str) -> _Entry | None:
        # Not get(): it looks twice, and the entry may expire between the two looks.
        try:
            return self._entries[id]
        except KeyError:
            return None

    def _leave(self, flight: Flight[F]) -> bool:
        """Take a flight out of the books; say whether it was still in them."""
        flights = self._flights.get(flight.lane, {})
        if flights.get(flight.id) is not flight:
            return False
        del flights[flight.id]
        return True


def _gone(_id: str, entry: _Entry, _now: int) -> int:
    return entry.gone


def _microseconds(duration: object, what: str) -> int:
    if not isinstance(duration, timedelta) or duration < timedelta(0):
        raise ValueError(f"{what} {duration!r} must be a timedelta of 0 or more")
    return duration // MICROSECOND
