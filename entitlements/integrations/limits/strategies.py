"""Rate limiters for `limits`, sync and async: each sends the queries of `queries.py` to a storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import limits.aio.storage
import limits.aio.strategies
import limits.storage
import limits.strategies

from entitlements.clock import system_clock
from entitlements.integrations.limits.queries import LimitQuery, is_admitted, meter_key
from entitlements.integrations.limits.storage_url import PREFIX
from entitlements.integrations.limits.storages import AsyncStorage, Storage
from entitlements.model.charge import Verb
from entitlements.model.limits import Algorithm

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.storage import StorageTypes
    from limits.util import WindowStats


class _RateLimiter(limits.strategies.RateLimiter):
    """A sync strategy of `limits` for one rate algorithm."""

    algorithm: ClassVar[Algorithm]

    def __init__(self, storage: StorageTypes) -> None:
        super().__init__(storage)
        if isinstance(storage, limits.storage.MemoryStorage):  # the fallback of slowapi and Flask-Limiter in an outage
            storage = Storage(f"{PREFIX}memory://")
        if not isinstance(storage, Storage):
            raise _wrong_storage(self, storage)
        self._storage = storage

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Charge *cost* units, all or nothing; return True if they fit."""
        return self._charge(Verb.CONSUME, LimitQuery(self.algorithm, item, identifiers), cost)

    def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Return True if *cost* units fit; charge nothing."""
        return self._charge(Verb.PEEK, LimitQuery(self.algorithm, item, identifiers), cost)

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """Return the units that remain, and when one unit fits again if none remain, else when all do."""
        query = LimitQuery(self.algorithm, item, identifiers)
        answer = self._storage.execute(query.read(self._storage.deadline)) if item.amount > 0 else None
        return query.window_stats(answer, system_clock())

    def clear(self, item: RateLimitItem, *identifiers: str) -> None:
        """Delete the counters of a limit."""
        self._storage.clear(meter_key(item, identifiers))

    def _charge(self, verb: Verb, query: LimitQuery, cost: int) -> bool:
        answer = query.static_answer(cost)
        if answer is not None:
            return answer
        return is_admitted(self._storage.execute(query.charge(verb, cost, self._storage.deadline)))


class SlidingWindowRateLimiter(_RateLimiter):
    """`entitlements-sliding`: admits at most the limit in any window of its length."""

    algorithm = Algorithm.SLIDING


class TokenBucketRateLimiter(_RateLimiter):
    """`entitlements-token-bucket`: admits a burst of the size of the limit, and refills evenly."""

    algorithm = Algorithm.TOKEN_BUCKET


class _AsyncRateLimiter(limits.aio.strategies.RateLimiter):
    """An async strategy of `limits` for one rate algorithm."""

    algorithm: ClassVar[Algorithm]

    def __init__(self, storage: StorageTypes) -> None:
        super().__init__(storage)
        if isinstance(storage, limits.aio.storage.MemoryStorage):
            storage = AsyncStorage(f"async+{PREFIX}memory://")
        if not isinstance(storage, AsyncStorage):
            raise _wrong_storage(self, storage)
        self._storage = storage

    async def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Charge *cost* units, all or nothing; return True if they fit."""
        return await self._charge(Verb.CONSUME, LimitQuery(self.algorithm, item, identifiers), cost)

    async def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Return True if *cost* units fit; charge nothing."""
        return await self._charge(Verb.PEEK, LimitQuery(self.algorithm, item, identifiers), cost)

    async def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """Return the units that remain, and when one unit fits again if none remain, else when all do."""
        query = LimitQuery(self.algorithm, item, identifiers)
        answer = await self._storage.execute(query.read(self._storage.deadline)) if item.amount > 0 else None
        return query.window_stats(answer, system_clock())

    async def clear(self, item: RateLimitItem, *identifiers: str) -> None:
        """Delete the counters of a limit."""
        await self._storage.clear(meter_key(item, identifiers))

    async def _charge(self, verb: Verb, query: LimitQuery, cost: int) -> bool:
        answer = query.static_answer(cost)
        if answer is not None:
            return answer
        return is_admitted(await self._storage.execute(query.charge(verb, cost, self._storage.deadline)))


class AsyncSlidingWindowRateLimiter(_AsyncRateLimiter):
    """`SlidingWindowRateLimiter` for an event loop."""

    algorithm = Algorithm.SLIDING


class AsyncTokenBucketRateLimiter(_AsyncRateLimiter):
    """`TokenBucketRateLimiter` for an event loop."""

    algorithm = Algorithm.TOKEN_BUCKET


def _wrong_storage(strategy: object, storage: object) -> NotImplementedError:
    return NotImplementedError(
        f"{type(strategy).__name__} is not implemented for storage of type {type(storage)}; begin its URL with {PREFIX}"
    )
