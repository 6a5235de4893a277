"""Storages for `limits`, sync and async: each holds one of our stores, and sends it the orders of a strategy."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

import limits.aio.storage
import limits.storage
from limits.errors import StorageError

from entitlements.errors import StoreError
from entitlements.integrations.limits.queries import check_answer
from entitlements.integrations.limits.storage_url import StorageConfig, parse_storage_url
from entitlements.model.answers import Answer
from entitlements.model.charge import Forget, Order
from entitlements.stores.memory import AsyncMemoryStore, MemoryStore

if TYPE_CHECKING:
    from entitlements.stores.redis.store import AsyncRedisStore, RedisStore

_WRITE_PROBE = Forget("write-probe")
"""An order that changes nothing, but that a server refuses if it takes no writes."""

_BATCH = 1000
"""Keys that are deleted in one command."""


def unsupported(*_: object, **__: object) -> NoReturn:
    """
    Refuse a counter of another strategy, such as `fixed-window`, the default of frameworks that use `limits`.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(
        "this storage keeps the meters of entitlements' own strategies;"
        " choose strategy='entitlements-sliding' or 'entitlements-token-bucket'"
    )


class Storage(limits.storage.Storage):
    """
    Storage of the sync strategies.

    Args:
        uri: `entitlements+` and a store's URL; `.limits` is appended to its `?namespace=`.
        wrap_exceptions: Raise `limits.errors.StorageError` instead of `StoreError`.
        options: `deadline`, the seconds that a decision may wait for the server (0.25); in
            memory `max_keys` and `when_full`, as of `MemoryStore`. The URL can hold them too.

    Raises:
        ConfigurationError: If an option is unknown.
        ValueError: If the URL or the value of an option is invalid.
    """

    base_exceptions = StoreError
    incr = get = get_expiry = unsupported

    def __init__(self, uri: str, wrap_exceptions: bool = False, **options: Any) -> None:  # noqa: FBT001, FBT002 - as theirs
        super().__init__(uri, wrap_exceptions)
        self._config = parse_storage_url(uri, options)
        self.deadline = self._config.deadline
        self.storage = self._open()

    def execute(self, order: Order) -> Answer:
        """
        Execute one order.

        Raises:
            StoreError: If the store failed; a `StorageError` with `wrap_exceptions`.
        """
        try:
            return check_answer(self.storage.execute(order))
        except StoreError as error:
            if self.wrap_exceptions:
                raise StorageError(error) from error
            raise

    def check(self) -> bool:
        """Return True if the store answers and takes writes."""
        with suppress(StoreError):
            self.storage.execute(_WRITE_PROBE)
            return True
        return False

    def reset(self) -> int:
        """Delete every counter of this storage, but none of an `Enforcer`, and return the number of keys."""
        if not isinstance(self.storage, MemoryStore):
            return _delete_keys(self._config)
        deleted, self.storage = len(self.storage), self._open()
        return deleted

    def clear(self, key: str) -> None:
        """Delete the counters of one key."""
        self.execute(Forget(key))

    def close(self) -> None:
        """Close connections; counters on a server stay."""
        self.storage.close()

    def _open(self) -> MemoryStore | RedisStore:
        if self._config.url is None:
            return MemoryStore(**self._config.memory)
        from entitlements.stores.redis.store import RedisStore

        return RedisStore(self._config.url, namespace=self._config.namespace)


class AsyncStorage(limits.aio.storage.Storage):
    """`Storage` for an event loop; its URL begins with `async+entitlements+`."""

    base_exceptions = StoreError
    incr = get = get_expiry = unsupported

    def __init__(self, uri: str, wrap_exceptions: bool = False, **options: Any) -> None:  # noqa: FBT001, FBT002 - as theirs
        super().__init__(uri, wrap_exceptions)
        self._config = parse_storage_url(uri, options)
        self.deadline = self._config.deadline
        self.storage = self._open()

    async def execute(self, order: Order) -> Answer:
        """
        Execute one order.

        Raises:
            StoreError: If the store failed; a `StorageError` with `wrap_exceptions`.
        """
        try:
            return check_answer(await self.storage.execute(order))
        except StoreError as error:
            if self.wrap_exceptions:
                raise StorageError(error) from error
            raise

    async def check(self) -> bool:
        """Return True if the store answers and takes writes."""
        with suppress(StoreError):
            await self.storage.execute(_WRITE_PROBE)
            return True
        return False

    async def reset(self) -> int:
        """Delete every counter of this storage, on a server in a thread, and return the number of keys."""
        if not isinstance(self.storage, AsyncMemoryStore):
            return await asyncio.to_thread(_delete_keys, self._config)
        deleted, self.storage = len(self._memory), self._open()
        return deleted

    async def clear(self, key: str) -> None:
        """Delete the counters of one key."""
        await self.execute(Forget(key))

    async def aclose(self) -> None:
        """Close the connections of this loop; counters on a server stay."""
        await self.storage.aclose()

    def _open(self) -> AsyncMemoryStore | AsyncRedisStore:
        if self._config.url is None:
            self._memory = MemoryStore(**self._config.memory)
            return AsyncMemoryStore(self._memory)
        from entitlements.stores.redis.store import AsyncRedisStore

        return AsyncRedisStore(self._config.url, namespace=self._config.namespace)


def _delete_keys(config: StorageConfig) -> int:
    """Delete every key of a namespace on a server, in batches, and return their number."""
    import redis
    from redis.exceptions import RedisClusterException, RedisError

    from entitlements.stores.redis.clients import make_cluster, make_pool
    from entitlements.stores.redis.error_map import map_error
    from entitlements.stores.redis.keys import LAYOUT
    from entitlements.stores.redis.url import target_from_url

    assert config.url is not None
    target = target_from_url(config.url, config.namespace)
    deleted = 0
    try:
        client: Any = make_cluster(target) if target.is_cluster else redis.Redis.from_pool(make_pool(target))
        with client:
            keys = client.scan_iter(match=f"{config.namespace}{LAYOUT}:*", count=_BATCH)
            while batch := list(islice(keys, _BATCH)):
                deleted += client.unlink(*batch)
    except (RedisError, RedisClusterException, OSError) as error:
        raise map_error(error, target.shown) from error
    return deleted
