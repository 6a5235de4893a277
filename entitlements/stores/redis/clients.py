"""
From where a store's server is to connections of redis-py, which are told never to repeat anything.

Nothing here connects but a cluster's client, which asks for the slots when it is made.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
from redis.asyncio.connection import Connection as AsyncConnection
from redis.asyncio.connection import ConnectionPool as AsyncConnectionPool
from redis.asyncio.connection import SSLConnection as AsyncSSLConnection
from redis.asyncio.connection import UnixDomainSocketConnection as AsyncUnixConnection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.connection import ConnectionPool
from redis.driver_info import DriverInfo
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from entitlements.stores.redis.timed_connections import (
    TimedConnection,
    TimedSentinelConnection,
    TimedSentinelSSLConnection,
    TimedSSLConnection,
    TimedUnixConnection,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from entitlements.stores.redis.url import Target

START_UP = 2.0
"""Seconds for the first connection, which may find a cold resolver and a TLS handshake before it."""

_CLASSES = {"redis": TimedConnection, "rediss": TimedSSLConnection, "unix": TimedUnixConnection}
_TO_PRIMARY = {"redis": TimedSentinelConnection, "rediss": TimedSentinelSSLConnection}
_ASYNC_CLASSES = {"redis": AsyncConnection, "rediss": AsyncSSLConnection, "unix": AsyncUnixConnection}


_DRIVER = DriverInfo()
"""What connections say of redis-py; made once, as it looks its version up in files, which each of them would do."""


def _quick(retry: type[Retry | AsyncRetry] = Retry) -> dict[str, Any]:
    """Return what every connection of ours is told: never repeat, and no answers of the client's own making."""
    return {
        "retry": retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "decode_responses": False,
        "socket_timeout": START_UP,
        "socket_connect_timeout": START_UP,
        "driver_info": _DRIVER,
    }


def pool_of(target: Target) -> ConnectionPool:
    """Return a pool that makes connections to a single server or to Sentinel's primary."""
    most = 2**31
    if target.hosts:
        entry = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "retry": Retry(NoBackoff(), 0)}
        sentinel = Sentinel(target.hosts, sentinel_kwargs=entry | target.sentinel_settings)  # type: ignore[no-untyped-call]
        for each in sentinel.sentinels:
            pool = each.connection_pool
            pool.connection_class = TimedSSLConnection if target.sentinel_settings.get("ssl") else TimedConnection
        settings = target.settings | _quick() | {"connection_class": _TO_PRIMARY[target.kind]}
        return SentinelConnectionPool(target.service, sentinel, max_connections=most, **settings)  # type: ignore[no-untyped-call]
    return ConnectionPool(_CLASSES[target.kind], max_connections=most, **target.settings | _quick())


def async_pool_of(target: Target) -> AsyncConnectionPool:
    """Same as `pool_of()` but for an event loop."""
    most = 2**31
    if target.hosts:
        entry = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "retry": AsyncRetry(NoBackoff(), 0)}
        sentinel: Any = AsyncSentinel(target.hosts, sentinel_kwargs=entry | target.sentinel_settings)  # type: ignore[no-untyped-call]
        settings = target.settings | _quick(AsyncRetry) | {"ssl": target.kind == "rediss"}
        sentinel.discover_master = _in_turn(sentinel.discover_master)
        return AsyncSentinelConnectionPool(  # type: ignore[no-untyped-call]
            target.service, sentinel, max_connections=most, **settings
        )
    settings = target.settings | _quick(AsyncRetry) | {"socket_timeout": None}
    return AsyncConnectionPool(_ASYNC_CLASSES[target.kind], max_connections=most, **settings)


def _in_turn(discover: Callable[[str], Coroutine[Any, Any, Any]]) -> Callable[[str], Coroutine[Any, Any, Any]]:
    """Let tasks ask the sentinels one after another: redis-py reorders them meanwhile, and two at once lose one."""
    turn = asyncio.Lock()

    async def discover_in_turn(service: str) -> Any:
        async with turn:
            return await discover(service)

    return discover_in_turn


def cluster_of(target: Target) -> redis.RedisCluster:
    """Return a client that finds the node of each key; making it asks the nodes for their slots."""
    nodes = [ClusterNode(host, port) for host, port in target.hosts]  # type: ignore[no-untyped-call]
    settings = _for_cluster(target) | {"connection_class": _CLASSES[target.kind]}
    settings.pop("ssl")  # the class says it
    host, port = target.hosts[0]
    url = f"redis://[{host}]:{port}" if ":" in host else f"redis://{host}:{port}"  # without one it takes no class
    return redis.RedisCluster(url=url, startup_nodes=nodes, retry=Retry(NoBackoff(), 0), **settings)


def async_cluster_of(target: Target) -> redis.asyncio.RedisCluster:
    """Same as `cluster_of()` but for an event loop; it asks for the slots with the first order."""
    nodes = [redis.asyncio.cluster.ClusterNode(host, port) for host, port in target.hosts]
    settings = _for_cluster(target)
    return redis.asyncio.RedisCluster(startup_nodes=nodes, retry=AsyncRetry(NoBackoff(), 0), **settings)


def _for_cluster(target: Target) -> dict[str, Any]:
    settings = target.settings | _quick()
    for name in ("host", "port", "db", "retry", "retry_on_timeout"):
        settings.pop(name, None)
    return settings | {
        "max_connections": target.max_connections,
        "ssl": target.kind == "rediss",
        # After so many redirections redis-py would close every connection, under the feet of other calls.
        "reinitialize_steps": 0,
    }
