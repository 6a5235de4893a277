"""
A cache in front of any source of accounts, for threads and for event loops.

Both keep the same books (`Shelf`); each adds only its own way of waiting.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from concurrent.futures import CancelledError, Future
from copy import copy
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from entitlements.accounts.cache_entries import Flight, Shelf
from entitlements.accounts.load_result import Landed, Loaded
from entitlements.accounts.sources import is_async, recheck, under_policy
from entitlements.accounts.stale_if_error import RAISE
from entitlements.accounts.static import checked
from entitlements.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from entitlements.accounts.stale_if_error import Listener
    from entitlements.model.account import Account
    from entitlements.model.policy import Policy
    from entitlements.ports import Accounts, AsyncAccounts

_log = logging.getLogger("entitlements.accounts")

C = TypeVar("C", "CachedAccounts", "AsyncCachedAccounts")


class CachedAccounts:
    """
    A blocking source with a cache in front; for any number of threads.

    A thousand threads that miss the same account cause one load. While the source
    fails, what was last known stands in; where nothing is, *when_down* says what there is.

    Args:
        source: Where accounts come from.
        ttl: How long an account is believed.
        max_size: Most accounts kept; the least recently used make room.
        negative_ttl: How long the absence of an account is believed.
        max_stale: How long, beyond *ttl*, an account is believed while its source fails.
        when_down: What follows then, and of accounts that were never known: `raise` (an
            `AccountsUnavailable`), `unknown_account` (what the policy's says), or a tier,
            each for a second at a time.
        clock: Microseconds that only ever grow.

    Raises:
        TypeError: For a source that is async.
        ValueError: For a negative duration, no room at all, or a *when_down* that is no text.
    """

    def __init__(
        self,
        source: Accounts,
        *,
        ttl: timedelta = timedelta(seconds=30),
        max_size: int = 10_000,
        negative_ttl: timedelta = timedelta(seconds=5),
        max_stale: timedelta = timedelta(minutes=5),
        when_down: str = RAISE,
        clock: Callable[[], int] = monotonic,
    ) -> None:
        if is_async(source):
            raise TypeError(f"{source!r} is async; use AsyncCachedAccounts, in an AsyncEnforcer")
        self._source = source
        self._shelf: Shelf[Future[Loaded]] = Shelf(
            ttl=ttl,
            negative_ttl=negative_ttl,
            max_stale=max_stale,
            when_down=when_down,
            max_size=max_size,
            clock=clock,
        )

    def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        return self.load(id).account

    def load(self, id: str, /) -> Loaded:
        """
        Return the account and how long it may be kept, from memory or from the source.

        Raises:
            AccountsUnavailable: Where the source fails, nothing recent enough is known, and nothing
                else stands in; what the source raised is its cause.
            AccountError: For a source that gives anything but this account or None.
        """
        while True:
            found, mine = self._shelf.ask(id, None, Future)
            if isinstance(found, Loaded):
                return found
            if mine:
                self._fly(found)
            try:
                return found.future.result()
            except CancelledError:
                if not found.future.cancelled():
                    raise
                # The thread that was loading was interrupted: ask again.

    def known(self, id: str, /) -> Loaded | None:
        """Return what is known and fresh without asking the source, or None."""
        return self._shelf.known(id)

    def refresh(self, id: str, /) -> None:
        """Forget the account; loads that have begun are answered but not kept."""
        recheck(self._source, id)
        self._shelf.drop(id)

    recheck = refresh

    def with_policy(self, policy: Policy) -> CachedAccounts:
        """
        Return the source as it reads under *policy*, behind a new cache if that makes a difference.

        Raises:
            ValueError: For a `when_down` that is no tier of it.
        """
        self._shelf.check(policy)
        source = under_policy(self._source, policy)
        return self if source is self._source else _under(self, source)

    def listen(self, listener: Listener) -> None:
        """Tell *listener*, as long as it lives, when the source goes down and when it is back."""
        self._shelf.listen(listener)

    def __repr__(self) -> str:
        return f"CachedAccounts({self._source!r})"

    def _fly(self, flight: Flight[Future[Loaded]]) -> None:
        try:
            flight.future.set_result(self._fetch(flight))
        except Exception as error:  # noqa: BLE001 - those who wait get it
            flight.future.set_exception(error)
        finally:
            _end(self._shelf, flight)

    def _fetch(self, flight: Flight[Future[Loaded]]) -> Loaded:
        try:
            account = _account(self._source.find(flight.id), flight.id, self._source)
        except Exception as error:  # noqa: BLE001 - whatever a source raises, it has failed
            return _told(self._shelf.failed(flight, error))
        return _told(self._shelf.landed(flight, account))


class AsyncCachedAccounts:
    """
    Same as `CachedAccounts` but for event loops, any number of them.

    A load belongs to nobody who waits for it: a waiter can be cancelled, the load goes on.

    Args:
        load_within: How long a load may take; a source that takes longer is down.
    """

    def __init__(
        self,
        source: AsyncAccounts,
        *,
        ttl: timedelta = timedelta(seconds=30),
        max_size: int = 10_000,
        negative_ttl: timedelta = timedelta(seconds=5),
        max_stale: timedelta = timedelta(minutes=5),
        when_down: str = RAISE,
        load_within: timedelta = timedelta(seconds=4),
        clock: Callable[[], int] = monotonic,
    ) -> None:
        if not is_async(source):
            raise TypeError(f"{source!r} blocks; wrap it: ThreadedAccounts(source)")
        self._source = source
        self._within = load_within.total_seconds()
        self._tasks: set[asyncio.Task[None]] = set()
        self._shelf: Shelf[asyncio.Future[Loaded]] = Shelf(
            ttl=ttl,
            negative_ttl=negative_ttl,
            max_stale=max_stale,
            when_down=when_down,
            max_size=max_size,
            clock=clock,
        )

    async def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        return (await self.load(id)).account

    async def load(self, id: str, /) -> Loaded:
        """Same as `CachedAccounts.load()`."""
        loop = asyncio.get_running_loop()
        while True:
            found, mine = self._shelf.ask(id, loop, loop.create_future)
            if isinstance(found, Loaded):
                return found
            if mine:
                self._take_off(found, loop)
            await asyncio.wait((found.future,))  # unlike await, it leaves the future alone when cancelled
            if not found.future.cancelled():
                return found.future.result()

    def known(self, id: str, /) -> Loaded | None:
        """Return what is known and fresh without asking the source, or None."""
        return self._shelf.known(id)

    def refresh(self, id: str, /) -> None:
        """Forget the account; loads that have begun are answered but not kept."""
        recheck(self._source, id)
        self._shelf.drop(id)

    recheck = refresh

    def with_policy(self, policy: Policy) -> AsyncCachedAccounts:
        """
        Return the source as it reads under *policy*, behind a new cache if that makes a difference.

        Raises:
            ValueError: For a `when_down` that is no tier of it.
        """
        self._shelf.check(policy)
        source = under_policy(self._source, policy)
        return self if source is self._source else _under(self, source)

    def listen(self, listener: Listener) -> None:
        """Tell *listener*, as long as it lives, when the source goes down and when it is back."""
        self._shelf.listen(listener)

    def __repr__(self) -> str:
        return f"AsyncCachedAccounts({self._source!r})"

    def _take_off(self, flight: Flight[asyncio.Future[Loaded]], loop: asyncio.AbstractEventLoop) -> None:
        self._shelf.retire(_is_closed)
        flight.future.add_done_callback(_retrieve)
        task = loop.create_task(self._fly(flight))
        self._tasks.add(task)  # the loop itself would let it be collected
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(partial(_end, self._shelf, flight))

    async def _fly(self, flight: Flight[asyncio.Future[Loaded]]) -> None:
        try:
            flight.future.set_result(await self._fetch(flight))
        except Exception as error:  # noqa: BLE001 - those who wait get it
            flight.future.set_exception(error)

    async def _fetch(self, flight: Flight[asyncio.Future[Loaded]]) -> Loaded:
        try:
            async with asyncio.timeout(self._within):
                found = await self._source.find(flight.id)
            account = _account(found, flight.id, self._source)
        except Exception as error:  # noqa: BLE001 - whatever a source raises, it has failed
            return _told(self._shelf.failed(flight, error))
        return _told(self._shelf.landed(flight, account))


def _account(found: object, id: str, source: object) -> Account | None:
    """Return what a source gave, if it is this account or None."""
    if found is None:
        return None
    if inspect.iscoroutine(found):
        found.close()
        raise TypeError(f"find of {source!r} gave a coroutine; write it as async def find")
    return checked(found, id, type(source).__name__)


def _told(landed: Landed) -> Loaded:
    """Log what is new, tell of it, and give the answer, or raise it."""
    if landed.news:
        _log.log(logging.INFO if landed.good else logging.WARNING, "%s", landed.news)
    if landed.event is not None:
        for listener in landed.listeners:
            listener.notify(landed.event)
    if isinstance(landed.answer, Exception):
        raise landed.answer
    return landed.answer


def _end(shelf: Shelf[Any], flight: Flight[Any], _task: object = None) -> None:
    """Close the books on a flight; one that was interrupted makes its waiters ask again."""
    shelf.leave(flight)
    flight.future.cancel()


def _is_closed(loop: Hashable) -> bool:
    return isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed()


def _retrieve(future: asyncio.Future[Loaded]) -> None:
    """Look at a failure that nobody may be left to see, so that asyncio does not complain."""
    if not future.cancelled():
        future.exception()


def _under(cached: C, source: Any) -> C:
    """Return a cache like *cached*, as yet empty, for *source*: the same as it reads under another policy."""
    again = copy(cached)
    again._source, again._shelf = source, cached._shelf.emptied()  # noqa: SLF001 - another of its kind
    return again
