"""
Networked store: Redis or Valkey, one script call per order.

Two thin shells around `encoding.py`, `decoding.py` and a connection. Each order sends one EVALSHA and
reads one reply before its deadline. Nothing is sent twice, except after NOSCRIPT: then the
server has not run the script. A failure raises a `StoreError`; retry and fallback are the work of `resilience/`.
"""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from typing import TYPE_CHECKING, Any

from entitlements._fork import renew_after_fork
from entitlements.model.pickling import not_picklable
from entitlements.stores.pending import PendingOrder
from entitlements.stores.redis.cluster import ClusterPool
from entitlements.stores.redis.cluster_pipeline import ClusterPipeline
from entitlements.stores.redis.encoding import encode_request
from entitlements.stores.redis.invalidations import RedisInvalidations
from entitlements.stores.redis.pipeline import Pipeline
from entitlements.stores.redis.pool import ConnectionPool, resolve_target
from entitlements.stores.redis.topology import Topology
from entitlements.stores.redis.url import (
    DEFAULT_NAMESPACE,
    MAX_CONNECTIONS,
    Target,
    is_async_client,
    is_client,
    target_from_client,
    target_from_url,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.ports import InvalidationFeed, Pending


MAX_READS = 250
"""Most orders that are read in one round trip."""


@not_picklable("make one in each process, of the same URL")
class RedisStore:
    """
    Meters in Redis or Valkey, shared by every process that names the same server and namespace.

    Args:
        store: A URL (`redis://`, `rediss://`, `unix://`, `redis+sentinel://`,
            `redis+cluster://`), or a client of redis-py, of which only the settings are used.
        namespace: Prefix of every key, unless the URL has `?namespace=`.
        max_connections: Most connections at once to a server, unless the URL has `?max_connections=`.

    Raises:
        ValueError: For an invalid URL.
        TypeError: For an asyncio client.
    """

    via = "store"
    recognises_sequences = True
    keeps_versions = True

    def __init__(
        self, store: Any, *, namespace: str = DEFAULT_NAMESPACE, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        if is_async_client(store):
            raise TypeError(f"{type(store).__name__} is for an event loop; pass a redis.Redis, or use AsyncEnforcer")
        self._target = _target(store, namespace, max_connections)
        self._namespace = self._target.namespace
        self._addresses = resolve_target(self._target)  # now: in a call it could not end by the deadline
        self._topology = Topology(self._target) if self._target.is_cluster else None
        self.server_of = self._topology and self._topology.server_of
        self._pool: ConnectionPool | ClusterPool = self._new_pool()
        renew_after_fork(self)

    def __repr__(self) -> str:
        return f"<RedisStore {self._target.shown} namespace={self._target.namespace}>"

    def execute(self, order: Order, /) -> Answer:
        """
        Carry out one order in one script call.

        Raises:
            StoreError: If the store failed; the type says whether the order may have been carried out.
        """
        request = encode_request(self._namespace, order)
        return request.decode(self._pool.execute(request))  # type: ignore[no-any-return]

    def execute_many(self, orders: Sequence[Order], /) -> Sequence[Answer]:
        """
        Carry out orders that only read, `MAX_READS` in one round trip, or in one for each node of a cluster.

        Raises:
            StoreError: If the store failed.
        """
        requests = [encode_request(self._namespace, order) for order in orders]
        replies = [
            reply
            for at in range(0, len(requests), MAX_READS)
            for reply in self._pool.read(requests[at : at + MAX_READS])
        ]
        return [request.decode(reply) for request, reply in zip(requests, replies, strict=True)]

    def invalidations(self) -> InvalidationFeed:
        """Return the messages about accounts of this namespace that are invalidated; not connected yet."""
        return RedisInvalidations(self._target, self._addresses)

    def close(self) -> None:
        """Close every connection that is not in use; counters stay in the server."""
        self._pool.close()

    def renew(self) -> None:
        """Start without connections in a forked child: the sockets belong to the parent."""
        self._pool = self._new_pool()

    def _new_pool(self) -> ConnectionPool | ClusterPool:
        topology = self._topology
        return ClusterPool(self._target, topology) if topology else ConnectionPool(self._target, self._addresses)


@not_picklable("make one in each process, of the same URL")
class AsyncRedisStore:
    """
    `RedisStore` for event loops; it holds one set of connections per running loop.

    Args:
        store: A URL, or a client of `redis.asyncio`, of which only the settings are used.
        namespace: Prefix of every key, unless the URL has `?namespace=`.
        max_connections: Of no effect here: a loop has one connection to each server.

    Raises:
        ValueError: For an invalid URL.
        TypeError: For a blocking client.
    """

    via = "store"
    recognises_sequences = True
    keeps_versions = True

    def __init__(
        self, store: Any, *, namespace: str = DEFAULT_NAMESPACE, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        if is_client(store) and not is_async_client(store):
            raise TypeError(f"{type(store).__name__} blocks; pass a client of redis.asyncio, or use Enforcer")
        self._target = _target(store, namespace, max_connections)
        self._namespace = self._target.namespace
        self._connections: dict[asyncio.AbstractEventLoop, Pipeline | ClusterPipeline] = {}
        self._topology = Topology(self._target) if self._target.is_cluster else None
        self.server_of = self._topology and self._topology.server_of
        renew_after_fork(self)

    def __repr__(self) -> str:
        return f"<AsyncRedisStore {self._target.shown} namespace={self._target.namespace}>"

    async def execute(self, order: Order, /) -> Answer:
        """
        Carry out one order in one script call.

        Raises:
            StoreError: If the store did not reply or could not carry it out.
        """
        future = get_running_loop().create_future()
        self.send(PendingOrder(order, future))
        return await future  # type: ignore[no-any-return]

    def send(self, pending: Pending, /) -> None:
        """
        Send an order over the connection that all tasks of the running loop share.

        Raises:
            Overloaded: If too many calls wait already.
        """
        pending.request = encode_request(self._namespace, pending.order)  # type: ignore[arg-type]
        (self._connections.get(get_running_loop()) or self._connect()).send(pending)

    def expire(self) -> None:
        """Reject what has waited for its timeout on this loop, if no reply has arrived for as long."""
        connection = self._connections.get(get_running_loop())
        if connection is not None:
            connection.expire()

    def invalidations(self) -> InvalidationFeed:
        """Return the messages about accounts of this namespace that are invalidated; not connected yet."""
        return RedisInvalidations(self._target)

    async def open(self) -> None:
        """
        Connect now, and check the server's version, rather than at the first order.

        Raises:
            StoreError: If the server cannot be reached, or is too old.
        """
        await (self._connections.get(get_running_loop()) or self._connect()).open()

    async def aclose(self) -> None:
        """Close this loop's connections; counters stay."""
        connection = self._connections.pop(get_running_loop(), None)
        if connection:
            await connection.aclose()

    def renew(self) -> None:
        """Start without connections in a forked child, which may go on with a loop of its parent: the sockets belong to that."""
        self._inherited, self._connections = self._connections, {}
        for connection in self._inherited.values():
            connection.disown()

    def _connect(self) -> Pipeline | ClusterPipeline:
        for loop in [loop for loop in list(self._connections) if loop.is_closed()]:
            ended = self._connections.pop(loop, None)  # another thread's loop may look at the same moment
            if ended is not None:
                ended.abandon()
        topology = self._topology
        connection = ClusterPipeline(self._target, topology) if topology else Pipeline(self._target)
        self._connections[get_running_loop()] = connection
        return connection


def _target(store: Any, namespace: str, max_connections: int) -> Target:
    if isinstance(store, str):
        return target_from_url(store, namespace, max_connections)
    if not is_client(store):
        raise TypeError(f"store of type {type(store).__name__} is no store URL (as a str) and no client of redis-py")
    return target_from_client(store, namespace, max_connections)
