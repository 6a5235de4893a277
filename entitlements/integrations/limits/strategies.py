"""The strategies: what `limits` asks of one, by our laws. Two thin shells, sync and async, around `answers.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import limits.aio.storage
import limits.aio.strategies
import limits.storage
import limits.strategies

from entitlements.clock import system_clock
from entitlements.integrations.limits.answers import PREFIX, Ask, admitted, key_of
from entitlements.integrations.limits.storages import AsyncStorage, Storage
from entitlements.model.charge import Verb
from entitlements.model.limits import Algorithm

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.storage import StorageTypes
    from limits.util import WindowStats


class _Strategy(limits.strategies.RateLimiter):
    """A strategy of `limits` over one of our laws."""

    law: ClassVar[Algorithm]

    def __init__(self, storage: StorageTypes) -> None:
        super().__init__(storage)
        if isinstance(storage, limits.storage.MemoryStorage):
            # What slowapi and Flask-Limiter fall back to while their storage is down.
            storage = Storage(f"{PREFIX}memory://")
        if not isinstance(storage, Storage):
            raise _unfit(self, storage)
        self._meters = storage

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Take *cost* units if they fit; else take nothing."""
        return self._ask(Verb.CONSUME, Ask(self.law, item, identifiers), cost)

    def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Say whether *cost* units would fit, and take nothing."""
        return self._ask(Verb.PEEK, Ask(self.law, item, identifiers), cost)

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """Return what is left, and when one unit fits again if none is left, else when all of them do."""
        ask = Ask(self.law, item, identifiers)
        answer = self._meters.execute(ask.read(self._meters.deadline)) if item.amount > 0 else None
        return ask.stats(answer, system_clock())

    def clear(self, item: RateLimitItem, *identifiers: str) -> None:
        """Forget what was taken."""
        self._meters.clear(key_of(item, identifiers))

    def _ask(self, verb: Verb, ask: Ask, cost: int) -> bool:
        known = ask.known(cost)
        if known is not None:
            return known
        return admitted(self._meters.execute(ask.charge(verb, cost, self._meters.deadline)))


class SlidingWindow(_Strategy):
    """Never more than the limit in any window of that length; `entitlements-sliding`."""

    law = Algorithm.SLIDING


class TokenBucket(_Strategy):
    """As many at once as the limit says, refilled evenly; `entitlements-token-bucket`."""

    law = Algorithm.TOKEN_BUCKET


class _AsyncStrategy(limits.aio.strategies.RateLimiter):
    """Same as `_Strategy` for an event loop."""

    law: ClassVar[Algorithm]

    def __init__(self, storage: StorageTypes) -> None:
        super().__init__(storage)
        if isinstance(storage, limits.aio.storage.MemoryStorage):
            storage = AsyncStorage(f"async+{PREFIX}memory://")
        if not isinstance(storage, AsyncStorage):
            raise _unfit(self, storage)
        self._meters = storage

    async def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Take *cost* units if they fit; else take nothing."""
        return await self._ask(Verb.CONSUME, Ask(self.law, item, identifiers), cost)

    async def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Say whether *cost* units would fit, and take nothing."""
        return await self._ask(Verb.PEEK, Ask(self.law, item, identifiers), cost)

    async def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """Return what is left, and when one unit fits again if none is left, else when all of them do."""
        ask = Ask(self.law, item, identifiers)
        answer = await self._meters.execute(ask.read(self._meters.deadline)) if item.amount > 0 else None
        return ask.stats(answer, system_clock())

    async def clear(self, item: RateLimitItem, *identifiers: str) -> None:
        """Forget what was taken."""
        await self._meters.clear(key_of(item, identifiers))

    async def _ask(self, verb: Verb, ask: Ask, cost: int) -> bool:
        known = ask.known(cost)
        if known is not None:
            return known
        return admitted(await self._meters.execute(ask.charge(verb, cost, self._meters.deadline)))


class AsyncSlidingWindow(_AsyncStrategy):
    """Same as `SlidingWindow` for an event loop."""

    law = Algorithm.SLIDING


class AsyncTokenBucket(_AsyncStrategy):
    """Same as `TokenBucket` for an event loop."""

    law = Algorithm.TOKEN_BUCKET


def _unfit(strategy: object, storage: object) -> NotImplementedError:
    return NotImplementedError(
        f"{type(strategy).__name__} is not implemented for storage of type {type(storage)}; begin its URL with {PREFIX}"
    )
