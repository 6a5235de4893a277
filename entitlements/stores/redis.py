"""
The networked store: Redis or Valkey, one script call per order.

Two thin shells around `wire.py`. Each order waits its turn for a connection, sends one
EVALSHA and reads one answer, all before its deadline; nothing is ever sent twice but a
script that the server does not know, which it has not run. When the store fails, the
shells raise a `StoreError`, and that is all they do about it.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from entitlements.model.charge import Charge
from entitlements.stores.async_links import AsyncClusterLink, AsyncLink
from entitlements.stores.connecting import (
    DEFAULT_NAMESPACE,
    MAX_CONNECTIONS,
    Target,
    is_async_client,
    is_client,
    target_from,
    target_of,
)
from entitlements.stores.links import ClusterLink, Link
from entitlements.stores.wire import answer_of, call_of, deadline_of, packed_call

if TYPE_CHECKING:
    from entitlements.model.charge import Answer, Order
    from entitlements.stores.wire import Call


class RedisStore:
    """
    Meters in Redis or Valkey, shared by every process that names the same server and namespace.

    Args:
        store: A URL (`redis://`, `rediss://`, `unix://`, `redis+sentinel://`,
            `redis+cluster://`), or a client of redis-py, whose settings are taken.
        namespace: Stands before every key, unless a URL says `?namespace=`.
        max_connections: Most connections at once, unless a URL says `?max_connections=`.

    Raises:
        ValueError: For a URL that cannot be right.
        TypeError: For a client of an event loop.
    """

    via = "store"

    def __init__(
        self, store: Any, *, namespace: str = DEFAULT_NAMESPACE, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        if is_async_client(store):
            raise TypeError(f"{type(store).__name__} is for an event loop; pass a redis.Redis, or use AsyncEnforcer")
        self._target = _target(store, namespace, max_connections)
        self._link: Link | ClusterLink = self._new_link()
        _STORES.add(self)

    def __repr__(self) -> str:
        return f"<RedisStore {self._target.shown} namespace={self._target.namespace}>"

    def execute(self, order: Order, /) -> Answer:
        """
        Carry out one order in one script call.

        Raises:
            StoreError: Where the store did not answer, or could not; its type says
                whether the order may have been carried out.
        """
        call = call_of(order, self._target.namespace)
        return answer_of(order, self._link.run(call, deadline_of(order) / 1_000_000))

    def close(self) -> None:
        """Let go of every connection; counters stay."""
        self._link.close()

    def reconnect_in_child(self) -> None:
        """Start with no connections after a fork: the parent's are the parent's."""
        self._link = self._new_link()

    def _new_link(self) -> Link | ClusterLink:
        return ClusterLink(self._target) if self._target.is_cluster else Link(self._target)


class Packed(NamedTuple):
    """
    What a store has made of a charge.

    Args:
        store: Which.
        command: The call as it travels.
        patience: Its deadline in seconds.
    """

    store: AsyncRedisStore | RedisStore
    command: bytes
    patience: float


class AsyncRedisStore:
    """Same as `RedisStore` for an event loop; it holds one set of connections per running loop."""

    via = "store"

    def __init__(
        self, store: Any, *, namespace: str = DEFAULT_NAMESPACE, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        if is_client(store) and not is_async_client(store):
            raise TypeError(f"{type(store).__name__} blocks; pass a client of redis.asyncio, or use Enforcer")
        self._target = _target(store, namespace, max_connections)
        self._links: dict[asyncio.AbstractEventLoop, AsyncLink | AsyncClusterLink] = {}

    def __repr__(self) -> str:
        return f"<AsyncRedisStore {self._target.shown} namespace={self._target.namespace}>"

    async def execute(self, order: Order, /) -> Answer:
        """Same as `RedisStore.execute`."""
        link = self._links.get(asyncio.get_running_loop()) or self._open()
        if type(order) is Charge and order.is_one_rate and type(link) is AsyncLink:
            packed = order.packed
            if packed is None or packed.store is not self:
                packed = self._pack(order)
            reply = await link.ask(packed.command, packed.patience)
            if type(reply) is bytes:
                return answer_of(order, reply)
            return answer_of(order, await link.settled(self._call(order), reply, packed.patience))
        return answer_of(order, await link.run(self._call(order), deadline_of(order) / 1_000_000))

    async def open(self) -> None:
        """
        Connect now, and check the server's version, rather than at the first order.

        Raises:
            StoreError: Where the server cannot be reached, or is too old.
        """
        await (self._links.get(asyncio.get_running_loop()) or self._open()).open()

    async def aclose(self) -> None:
        """Let go of this loop's connections; counters stay."""
        link = self._links.pop(asyncio.get_running_loop(), None)
        if link:
            await link.aclose()

    def _call(self, order: Order) -> Call:
        return call_of(order, self._target.namespace)

    def _pack(self, order: Charge) -> Packed:
        """Return a charge as it travels; it carries that from now on, as those of rates are made again and again."""
        packed = Packed(self, packed_call(self._call(order)), deadline_of(order) / 1_000_000)
        object.__setattr__(order, "packed", packed)
        return packed

    def _open(self) -> AsyncLink | AsyncClusterLink:
        for loop in [loop for loop in self._links if loop.is_closed()]:
            self._links.pop(loop).abandon()
        link = AsyncClusterLink(self._target) if self._target.is_cluster else AsyncLink(self._target)
        self._links[asyncio.get_running_loop()] = link
        return link


def _target(store: Any, namespace: str, max_connections: int) -> Target:
    if isinstance(store, str):
        return target_of(store, namespace, max_connections)
    if not is_client(store):
        raise TypeError(f"{store!r} is no store URL and no client of redis-py")
    return target_from(store, namespace, max_connections)


_STORES: WeakSet[RedisStore] = WeakSet()


def _reconnect_in_child() -> None:
    for store in _STORES:
        store.reconnect_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reconnect_in_child)
