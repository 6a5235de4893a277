"""The storages: what `limits` asks of one, carried out by a store of ours. Two thin shells, sync and async."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

import limits.aio.storage
import limits.storage
from limits.errors import StorageError

from entitlements.errors import StoreError
from entitlements.integrations.limits.answers import Place, counted, not_offered, place_of
from entitlements.model.answers import Answer
from entitlements.model.charge import Forget, Order
from entitlements.stores.memory import AsyncMemoryStore, MemoryStore

if TYPE_CHECKING:
    from entitlements.stores.redis.store import AsyncRedisStore, RedisStore

_NOBODY = Forget("nobody")
"""An order that changes nothing, and is refused all the same by a server that takes no writes."""

_AT_ONCE = 1000
"""Keys that are deleted in one command."""


class Storage(limits.storage.Storage):
    """
    Where the strategies keep their meters.

    Args:
        uri: `entitlements+` and a store's URL, whose `?namespace=` gets `.limits` appended.
        wrap_exceptions: Raise `limits.errors.StorageError` instead of `StoreError`.
        options: `deadline`, the seconds that a decision may wait for the server (0.25); in
            memory `max_keys` and `when_full`, those of `MemoryStore`. The URL may hold them too.

    Raises:
        ConfigurationError: For an option that such a storage does not have.
        ValueError: For a URL, or an option's value, that cannot be right.
    """

    def __init__(self, uri: str, wrap_exceptions: bool = False, **options: Any) -> None:  # noqa: FBT001, FBT002 - as theirs
        super().__init__(uri, wrap_exceptions)
        self._place = place_of(uri, options)
        self.deadline = self._place.deadline
        self.storage = self._open()

    @property
    def base_exceptions(self) -> type[Exception]:
        """What `wrap_exceptions` wraps."""
        return StoreError

    def execute(self, order: Order) -> Answer:
        """
        Carry out one order.

        Raises:
            StoreError: Where that could not be done; a `StorageError` if that was asked for.
        """
        try:
            return counted(self.storage.execute(order))
        except StoreError as error:
            if self.wrap_exceptions:
                raise StorageError(error) from error
            raise

    def check(self) -> bool:
        """Say whether the store answers and takes writes."""
        try:
            self.storage.execute(_NOBODY)
        except StoreError:
            return False
        return True

    def reset(self) -> int:
        """Delete every counter of this storage and say how many keys that were; an `Enforcer`'s are not among them."""
        if not isinstance(self.storage, MemoryStore):
            return _wipe(self._place)
        gone, self.storage = len(self.storage), self._open()
        return gone

    def clear(self, key: str) -> None:
        """Delete the counters of one key."""
        self.execute(Forget(key))

    def close(self) -> None:
        """Let go of connections; counters on a server stay."""
        self.storage.close()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Refuse: here no strategy but ours counts."""
        not_offered()

    def get(self, key: str) -> int:
        """Refuse, as `incr` does."""
        not_offered()

    def get_expiry(self, key: str) -> float:
        """Refuse, as `incr` does."""
        not_offered()

    def _open(self) -> MemoryStore | RedisStore:
        url, namespace, _, memory = self._place
        if url is None:
            return MemoryStore(**memory)
        from entitlements.stores.redis.store import RedisStore

        return RedisStore(url, namespace=namespace)


class AsyncStorage(limits.aio.storage.Storage):
    """Same as `Storage` for an event loop: `async+entitlements+` and a store's URL."""

    def __init__(self, uri: str, wrap_exceptions: bool = False, **options: Any) -> None:  # noqa: FBT001, FBT002 - as theirs
        super().__init__(uri, wrap_exceptions)
        self._place = place_of(uri, options)
        self.deadline = self._place.deadline
        self.storage = self._open()

    @property
    def base_exceptions(self) -> type[Exception]:
        """What `wrap_exceptions` wraps."""
        return StoreError

    async def execute(self, order: Order) -> Answer:
        """Same as `Storage.execute`."""
        try:
            return counted(await self.storage.execute(order))
        except StoreError as error:
            if self.wrap_exceptions:
                raise StorageError(error) from error
            raise

    async def check(self) -> bool:
        """Same as `Storage.check`."""
        try:
            await self.storage.execute(_NOBODY)
        except StoreError:
            return False
        return True

    async def reset(self) -> int:
        """Same as `Storage.reset`; a server is searched in a thread."""
        if not isinstance(self.storage, AsyncMemoryStore):
            return await asyncio.to_thread(_wipe, self._place)
        gone, self.storage = len(self._memory), self._open()
        return gone

    async def clear(self, key: str) -> None:
        """Same as `Storage.clear`."""
        await self.execute(Forget(key))

    async def aclose(self) -> None:
        """Let go of this loop's connections; counters on a server stay."""
        await self.storage.aclose()

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Refuse: here no strategy but ours counts."""
        not_offered()

    async def get(self, key: str) -> int:
        """Refuse, as `incr` does."""
        not_offered()

    async def get_expiry(self, key: str) -> float:
        """Refuse, as `incr` does."""
        not_offered()

    def _open(self) -> AsyncMemoryStore | AsyncRedisStore:
        url, namespace, _, memory = self._place
        if url is None:
            self._memory = MemoryStore(**memory)
            return AsyncMemoryStore(self._memory)
        from entitlements.stores.redis.store import AsyncRedisStore

        return AsyncRedisStore(url, namespace=namespace)


def _wipe(place: Place) -> int:
    """Delete every key of a namespace, and say how many there were; the keys of one account at a time share a slot."""
    import redis
    from redis.exceptions import RedisClusterException, RedisError

    from entitlements.stores.redis.clients import make_cluster, make_pool
    from entitlements.stores.redis.error_map import failure
    from entitlements.stores.redis.keys import LAYOUT
    from entitlements.stores.redis.url import target_from_url

    assert place.url is not None
    target = target_from_url(place.url, place.namespace)
    gone = 0
    try:
        client: Any = make_cluster(target) if target.is_cluster else redis.Redis.from_pool(make_pool(target))
        with client:
            keys = client.scan_iter(match=f"{place.namespace}{LAYOUT}:*", count=_AT_ONCE)
            while some := list(islice(keys, _AT_ONCE)):
                gone += client.unlink(*some)
    except (RedisError, RedisClusterException, OSError) as error:
        raise failure(error, target.shown) from error
    return gone
