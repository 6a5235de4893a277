"""
Account caches in front of any source, for threads and for event loops.

Both keep their entries in `CacheEntries`; each adds only its own way of waiting.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from entitlements.accounts.cache_entries import CacheEntries
from entitlements.accounts.loads import InFlightLoad, Loaded, LoadResult
from entitlements.accounts.sources import is_async, refresh_source, repr_of_wrapper, with_policy
from entitlements.accounts.static import check_account
from entitlements.accounts.when_down import RAISE
from entitlements.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from entitlements.accounts.when_down import Listener
    from entitlements.model.account import Account
    from entitlements.model.policy import PolicyData
    from entitlements.ports import Accounts, AsyncAccounts

_log = logging.getLogger("entitlements.accounts")


class _Cache(Protocol):
    """A cache around a source, for threads or for event loops; it takes the functions below as its methods."""

    _owns_source: bool
    """True if the source was opened for this cache alone, and is closed with it."""
    _source: Any
    _entries: CacheEntries[Any]


C = TypeVar("C", bound=_Cache)


def _known(self: _Cache, id: str, /) -> Loaded | None:
    """Return the fresh entry of the account without asking the source, or None."""
    return self._entries.fresh(id)


def _refresh(self: _Cache, id: str, /) -> None:
    """Drop the entry of the account; loads in flight are answered but not cached."""
    refresh_source(self, id)
    self._entries.drop(id)


def _expire_all(self: _Cache) -> None:
    """Have every account loaded again; where that fails, the present entries are used as stale ones."""
    self._entries.expire_all()


def _with_policy(self: C, policy: PolicyData) -> C:
    """
    Return the source as it reads under *policy*, behind a new cache if that makes a difference.

    Raises:
        ValueError: For a `when_down` that is no tier of it.
    """
    self._entries.check(policy)
    other = with_policy(self, policy)
    if other is not self:
        other._entries = self._entries.empty_copy()  # noqa: SLF001 - a copy of this
    return other


def _listen(self: _Cache, listener: Listener) -> None:
    """Report to *listener* when the source goes down and recovers; only a weak reference is kept."""
    self._entries.add_listener(listener)


def _max_size(self: _Cache) -> int:
    """Most accounts kept; an enforcer keeps as many resolved ones, and at least 100,000."""
    return self._entries.max_size


def _end(self: _Cache, load: InFlightLoad[Any]) -> None:
    """Detach a load that has ended; callers of one that was interrupted begin another."""
    self._entries.remove(load)
    load.future.cancel()


class CachedAccounts:
    """
    A blocking source with a cache in front; for any number of threads.

    A thousand threads that miss the same account cause one load. While the source
    fails, stale entries are used; without one, *when_down* says what follows.

    Args:
        source: Where accounts come from.
        ttl: Time to live of an account.
        max_size: Most accounts kept; the least recently used is evicted.
        negative_ttl: Time to live of the absence of an account.
        max_stale: How long, beyond *ttl*, an account is used while its source fails.
        when_down: What follows then, and for accounts that were never loaded: `raise` (an
            `AccountsUnavailable`), `unknown_account` (the policy's setting), or a tier,
            each for a second at a time.
        clock: Monotonic microseconds.

    Raises:
        TypeError: For a source that is async.
        ValueError: For a negative duration, a size below 1, or a *when_down* that is no text.
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
        self._owns_source = False
        self._source = source
        self._entries: CacheEntries[Future[Loaded]] = CacheEntries(
            ttl=ttl,
            negative_ttl=negative_ttl,
            max_stale=max_stale,
            when_down=when_down,
            max_size=max_size,
            clock=clock,
        )

    known = _known
    refresh = recheck = _refresh
    expire_all = _expire_all
    with_policy = _with_policy
    listen = _listen
    max_size = property(_max_size)
    __repr__ = repr_of_wrapper
    _end = _end

    def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        return self.load(id).account

    def load(self, id: str, /) -> Loaded:
        """
        Return the account and how long it may be kept, from memory or from the source.

        Raises:
            AccountsUnavailable: Where the source fails, and there is neither a stale entry nor a
                default; the source's exception is its cause.
            AccountError: For a source that gives anything but this account or None.
        """
        while True:
            found, must_load = self._entries.fresh_or_load(id, None, Future)
            if isinstance(found, Loaded):
                return found
            if must_load:
                self._carry_out(found)
            try:
                return found.future.result()
            except CancelledError:
                if not found.future.cancelled():
                    raise
                # The thread that was loading was interrupted: begin another load.

    def load_many(self, ids: Sequence[str]) -> None:
        """
        Load accounts, together where the source has `find_many(ids)`; what fails is left to `load`.

        A load that another thread has begun is not waited for.
        """
        find_many = getattr(self._source, "find_many", None)
        missed = [id for id in dict.fromkeys(ids) if self._entries.fresh(id) is None]
        if not callable(find_many) or len(missed) < 2:
            return
        asked = [self._entries.fresh_or_load(id, None, Future) for id in missed]
        loads = [load for load, must_load in asked if must_load and isinstance(load, InFlightLoad)]
        try:
            with suppress(Exception):  # the loads end without an answer, and each caller begins its own
                found = find_many([load.id for load in loads])
                for load in loads:
                    account = _account(found.get(load.id), load.id, self._source)
                    load.future.set_result(_reported(self._entries.succeeded(load, account)))
        finally:
            for load in loads:
                self._end(load)

    def close(self) -> None:
        """Close the connections of a source that was opened for this cache; the next load opens others."""
        if self._owns_source:
            self._source.close_engine()  # type: ignore[attr-defined]

    def _carry_out(self, load: InFlightLoad[Future[Loaded]]) -> None:
        try:
            load.future.set_result(self._ask_source(load))
        except Exception as error:  # noqa: BLE001 - raised in those who wait
            load.future.set_exception(error)
        finally:
            self._end(load)

    def _ask_source(self, load: InFlightLoad[Future[Loaded]]) -> Loaded:
        try:
            account = _account(self._source.find(load.id), load.id, self._source)
        except Exception as error:  # noqa: BLE001 - whatever a source raises, it has failed
            return _reported(self._entries.failed(load, error))
        return _reported(self._entries.succeeded(load, account))


class AsyncCachedAccounts:
    """
    An async source with a cache in front; for any number of event loops.

    It takes the settings of `CachedAccounts`, and *load_within*. A load runs in a task of
    its own: a caller that waits for it can be cancelled, the load goes on.

    Args:
        load_within: How long a load may take; one that takes longer has failed.
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
        self._owns_source = False
        self._source = source
        self._timeout = load_within.total_seconds()
        self._tasks: set[asyncio.Task[None]] = set()
        self._entries: CacheEntries[asyncio.Future[Loaded]] = CacheEntries(
            ttl=ttl,
            negative_ttl=negative_ttl,
            max_stale=max_stale,
            when_down=when_down,
            max_size=max_size,
            clock=clock,
        )

    known = _known
    refresh = recheck = _refresh
    expire_all = _expire_all
    with_policy = _with_policy
    listen = _listen
    max_size = property(_max_size)
    __repr__ = repr_of_wrapper
    _end = _end

    async def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        return (await self.load(id)).account

    async def load(self, id: str, /) -> Loaded:
        """Return the account and how long it may be kept; it raises what `CachedAccounts.load` raises."""
        loop = asyncio.get_running_loop()
        while True:
            found, must_load = self._entries.fresh_or_load(id, loop, loop.create_future)
            if isinstance(found, Loaded):
                return found
            if must_load:
                self._begin(found, loop)
            ended = loop.create_future()
            found.future.add_done_callback(partial(_wake, ended))
            await ended  # not the load's own future, which a cancelled caller would cancel
            if not found.future.cancelled():
                return found.future.result()

    async def aclose(self) -> None:
        """Close the connections that a source which was opened for this cache has on this loop."""
        if self._owns_source:
            await self._source.close_engine()  # type: ignore[attr-defined]

    def _begin(self, load: InFlightLoad[asyncio.Future[Loaded]], loop: asyncio.AbstractEventLoop) -> None:
        self._entries.drop_closed_loops()
        load.future.add_done_callback(_retrieve)
        task = loop.create_task(self._carry_out(load))
        self._tasks.add(task)  # the loop itself would let it be collected
        task.add_done_callback(partial(self._ended, load))

    def _ended(self, load: InFlightLoad[asyncio.Future[Loaded]], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._end(load)

    async def _carry_out(self, load: InFlightLoad[asyncio.Future[Loaded]]) -> None:
        try:
            load.future.set_result(await self._ask_source(load))
        except Exception as error:  # noqa: BLE001 - raised in those who wait
            load.future.set_exception(error)

    async def _ask_source(self, load: InFlightLoad[asyncio.Future[Loaded]]) -> Loaded:
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._source.find(load.id)
            account = _account(found, load.id, self._source)
        except Exception as error:  # noqa: BLE001 - whatever a source raises, it has failed
            return _reported(self._entries.failed(load, error))
        return _reported(self._entries.succeeded(load, account))


def own_source(cached: CachedAccounts | AsyncCachedAccounts) -> None:
    """Let a cache close its source, which was opened for it alone."""
    cached._owns_source = True  # noqa: SLF001 - defined above


def _account(found: object, id: str, source: object) -> Account | None:
    """Return what `find` of *source* gave, if it is this account or None."""
    if found is None:
        return None
    if inspect.iscoroutine(found):
        found.close()
        raise TypeError(f"find of {source!r} gave a coroutine; write it as async def find")
    return check_account(found, id, type(source).__name__)


def _reported(result: LoadResult) -> Loaded:
    """Write the log message of *result* and send its event, then return its answer or raise it."""
    if result.message:
        _log.log(
            logging.INFO if result.recovered else logging.WARNING,
            "%s",
            result.message,
            extra={"problem": result.message},
        )
    if result.event is not None:
        for listener in result.listeners:
            listener.notify(result.event)
    if isinstance(result.answer, Exception):
        raise result.answer
    return result.answer


def _wake(waiting: asyncio.Future[None], _load: asyncio.Future[Loaded]) -> None:
    """Wake a caller whose load has ended, unless it has given up."""
    if not waiting.done():
        waiting.set_result(None)


def _retrieve(future: asyncio.Future[Loaded]) -> None:
    """Retrieve an exception that no caller may be left to see, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()
