"""
Pools and clients of redis-py for a `Target`, configured never to retry.

Nothing here connects, except that `make_cluster()` reads the map of the cluster's hash slots.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import redis
from redis.asyncio.connection import ConnectionPool as AsyncConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.connection import ConnectionPool
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from entitlements.stores.redis.deadlines import START_UP
from entitlements.stores.redis.timed_connections import (
    TimedConnection,
    TimedSentinelConnection,
    TimedSentinelSSLConnection,
    TimedSSLConnection,
    TimedUnixConnection,
)
from entitlements.stores.redis.url import CONNECTION_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from entitlements.stores.redis.url import Target

_CLASSES = {"redis": TimedConnection, "rediss": TimedSSLConnection, "unix": TimedUnixConnection}
_TO_PRIMARY = {"redis": TimedSentinelConnection, "rediss": TimedSentinelSSLConnection}


def _driver() -> dict[str, Any]:
    """Return the setting that sends the name and the version of redis-py; redis-py before 7.2 knows them by itself."""
    try:
        from redis.driver_info import DriverInfo
    except ModuleNotFoundError:
        return {}
    return {"driver_info": DriverInfo()}


_DRIVER = _driver()
"""The setting of every connection; made once, because reading the version opens files."""
_UNBOUNDED = 2**31
"""Limit of a pool of redis-py; `Slots` limits the connections."""
_NO_TIMEOUTS = {"socket_timeout": None, "socket_connect_timeout": None}
"""Settings for an event loop: each call has its own timeout, which may be longer than `START_UP`."""


def _settings(retry: type[Retry | AsyncRetry] = Retry) -> dict[str, Any]:
    """Return the settings of every connection: no retry, and replies as bytes."""
    return {
        "retry": retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "decode_responses": False,
        "socket_timeout": START_UP,
        "socket_connect_timeout": START_UP,
    } | _DRIVER


def _sentinel_settings(target: Target, retry: type[Retry | AsyncRetry] = Retry) -> dict[str, Any]:
    """Return the settings of connections to the sentinels."""
    defaults = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "retry": retry(NoBackoff(), 0)}
    return defaults | target.sentinel_settings


def make_pool(target: Target) -> ConnectionPool:
    """Return a pool that makes connections to a single server or to the primary that Sentinel names."""
    settings = target.settings | _settings()
    if target.hosts:
        sentinel = Sentinel(target.hosts, sentinel_kwargs=_sentinel_settings(target))  # type: ignore[no-untyped-call]
        for each in sentinel.sentinels:
            pool = each.connection_pool
            pool.connection_class = TimedSSLConnection if target.sentinel_settings.get("ssl") else TimedConnection
        settings["connection_class"] = _TO_PRIMARY[target.kind]
        return SentinelConnectionPool(target.service, sentinel, max_connections=_UNBOUNDED, **settings)  # type: ignore[no-untyped-call]
    return ConnectionPool(_CLASSES[target.kind], max_connections=_UNBOUNDED, **settings)


def make_async_pool(target: Target) -> AsyncConnectionPool:
    """Return a pool like that of `make_pool()`, for an event loop."""
    settings = target.settings | _settings(AsyncRetry) | _NO_TIMEOUTS
    if target.hosts:
        sentinel: Any = AsyncSentinel(target.hosts, sentinel_kwargs=_sentinel_settings(target, AsyncRetry))  # type: ignore[no-untyped-call]
        settings["ssl"] = target.kind == "rediss"
        sentinel.discover_master = _serialized(sentinel.discover_master)
        return AsyncSentinelConnectionPool(target.service, sentinel, max_connections=_UNBOUNDED, **settings)  # type: ignore[no-untyped-call]
    return AsyncConnectionPool(CONNECTION_CLASSES[target.kind][1], max_connections=_UNBOUNDED, **settings)


def _serialized(discover: Callable[[str], Coroutine[Any, Any, Any]]) -> Callable[[str], Coroutine[Any, Any, Any]]:
    """Return *discover* run by one task at a time: redis-py reorders the sentinels in it, and two at once lose one."""
    lock = asyncio.Lock()

    async def discover_alone(service: str) -> Any:
        async with lock:
            return await discover(service)

    return discover_alone


def make_cluster(target: Target) -> redis.RedisCluster:
    """Return a client that finds the node of each key; it reads the cluster's map at once."""
    nodes = [ClusterNode(host, port) for host, port in target.hosts]  # type: ignore[no-untyped-call]
    settings = _cluster_settings(target) | {"connection_class": _CLASSES[target.kind]}
    settings.pop("ssl")  # the class implies it
    host, port = target.hosts[0]
    url = f"redis://[{host}]:{port}" if ":" in host else f"redis://{host}:{port}"  # it takes a class only with a URL
    return redis.RedisCluster(url=url, startup_nodes=nodes, retry=Retry(NoBackoff(), 0), **settings)


def _cluster_settings(target: Target) -> dict[str, Any]:
    dropped = {"host", "port", "db", "retry", "retry_on_timeout"}
    settings = {name: value for name, value in (target.settings | _settings()).items() if name not in dropped}
    return settings | {
        "max_connections": target.max_connections,
        "ssl": target.kind == "rediss",
        # After so many redirections redis-py would close every connection, those of other calls included.
        "reinitialize_steps": 0,
    }
