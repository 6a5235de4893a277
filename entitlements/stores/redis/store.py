"""
The networked store: Redis or Valkey, one script call per order.

Two thin shells around `encoding.py`. Each order waits its turn for a connection, sends one
EVALSHA and reads one answer, all before its deadline; nothing is ever sent twice but a
script that the server does not know, which it has not run. When the store fails, the
shells raise a `StoreError`, and that is all they do about it.
"""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from typing import TYPE_CHECKING, Any

from entitlements._fork import renew_after_fork
from entitlements.stores.redis.cluster import AsyncClusterLink, ClusterLink
from entitlements.stores.redis.encoding import request_of
from entitlements.stores.redis.pipeline import AsyncLink
from entitlements.stores.redis.pool import Link, found
from entitlements.stores.redis.url import (
    DEFAULT_NAMESPACE,
    MAX_CONNECTIONS,
    Target,
    is_async_client,
    is_client,
    target_from,
    target_of,
)

if TYPE_CHECKING:
    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.stores.pending import Asker
    from entitlements.stores.resilience.circuit_breaker import Ticket


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
        self._namespace = self._target.namespace
        self._addresses = found(self._target)  # now, while nobody waits: no deadline holds for it
        self._link: Link | ClusterLink = self._new_link()
        renew_after_fork(self)

    def __repr__(self) -> str:
        return f"<RedisStore {self._target.shown} namespace={self._target.namespace}>"

    def execute(self, order: Order, /) -> Answer:
        """
        Carry out one order in one script call.

        Raises:
            StoreError: Where the store did not answer, or could not; its type says
                whether the order may have been carried out.
        """
        request = request_of(self._namespace, order)
        return request.read(self._link.run(request))  # type: ignore[no-any-return]

    def close(self) -> None:
        """Let go of every connection; counters stay."""
        self._link.close()

    def renew(self) -> None:
        """Start with no connections after a fork: the parent's are the parent's."""
        self._link = self._new_link()

    def _new_link(self) -> Link | ClusterLink:
        return ClusterLink(self._target) if self._target.is_cluster else Link(self._target, self._addresses)


class AsyncRedisStore:
    """Same as `RedisStore` for an event loop; it holds one set of connections per running loop."""

    via = "store"

    def __init__(
        self, store: Any, *, namespace: str = DEFAULT_NAMESPACE, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        if is_client(store) and not is_async_client(store):
            raise TypeError(f"{type(store).__name__} blocks; pass a client of redis.asyncio, or use Enforcer")
        self._target = _target(store, namespace, max_connections)
        self._namespace = self._target.namespace
        self._links: dict[asyncio.AbstractEventLoop, AsyncLink | AsyncClusterLink] = {}
        self.ask_for = None if self._target.is_cluster else self._ask_for
        """Asks for somebody, over a connection that all tasks share; None where there is no such."""

    def __repr__(self) -> str:
        return f"<AsyncRedisStore {self._target.shown} namespace={self._target.namespace}>"

    async def execute(self, order: Order, /) -> Answer:
        """Same as `RedisStore.execute`."""
        request = request_of(self._namespace, order)
        link = self._links.get(get_running_loop()) or self._open()
        return request.read(await link.ask(request))  # type: ignore[no-any-return]

    def _ask_for(self, asker: Asker, order: Order, ticket: Ticket) -> asyncio.Future[Any]:
        """
        Carry out one order; the future brings what the asker makes of the reply, or of a `StoreError`.

        Raises:
            Overloaded: Where too many wait already.
        """
        link: Any = self._links.get(get_running_loop()) or self._open()
        return link.ask(request_of(self._namespace, order), asker, order, ticket)  # type: ignore[no-any-return]

    def let_go(self) -> None:
        """Let whoever waits on this loop go, where the server has answered nobody for as long as they may wait."""
        link = self._links.get(get_running_loop())
        if isinstance(link, AsyncLink):
            link.let_go()

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
        raise TypeError(f"store of type {type(store).__name__} is no store URL (as a str) and no client of redis-py")
    return target_from(store, namespace, max_connections)
