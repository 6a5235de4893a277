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
import threading
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError

from entitlements.stores.connecting import (
    DEFAULT_NAMESPACE,
    MAX_CONNECTIONS,
    START_UP,
    Target,
    async_cluster_of,
    async_pool_of,
    cluster_of,
    is_async_client,
    is_client,
    pool_of,
    target_from,
    target_of,
)
from entitlements.stores.failures import Overloaded, failure, too_old, unreachable
from entitlements.stores.rights import OLDEST
from entitlements.stores.turns import AsyncTurns, Deadline, Turn, Turns
from entitlements.stores.wire import Call, answer_of, call_of, deadline_of

if TYPE_CHECKING:
    from entitlements.model.charge import Answer, Order

_ERRORS = (RedisError, RedisClusterException, OSError, TimeoutError)
_NODE = "NEVER_DECODE"
"""redis-py's word for: leave the answer's bytes alone, whatever the client decodes otherwise."""


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
        self._link: _Link | _ClusterLink = self._new_link()
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

    def _new_link(self) -> _Link | _ClusterLink:
        return _ClusterLink(self._target) if self._target.is_cluster else _Link(self._target)


class AsyncRedisStore:
    """Same as `RedisStore` for an event loop; it holds one set of connections per running loop."""

    via = "store"

    def __init__(
        self, store: Any, *, namespace: str = DEFAULT_NAMESPACE, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        if is_client(store) and not is_async_client(store):
            raise TypeError(f"{type(store).__name__} blocks; pass a client of redis.asyncio, or use Enforcer")
        self._target = _target(store, namespace, max_connections)
        self._links: dict[asyncio.AbstractEventLoop, _AsyncLink | _AsyncClusterLink] = {}

    def __repr__(self) -> str:
        return f"<AsyncRedisStore {self._target.shown} namespace={self._target.namespace}>"

    async def execute(self, order: Order, /) -> Answer:
        """Same as `RedisStore.execute`."""
        call = call_of(order, self._target.namespace)
        link = self._links.get(asyncio.get_running_loop()) or self._open()
        return answer_of(order, await link.run(call, deadline_of(order) / 1_000_000))

    async def aclose(self) -> None:
        """Let go of this loop's connections; counters stay."""
        link = self._links.pop(asyncio.get_running_loop(), None)
        if link:
            await link.aclose()

    def _open(self) -> _AsyncLink | _AsyncClusterLink:
        for loop in [loop for loop in self._links if loop.is_closed()]:
            self._links.pop(loop).abandon()
        link = _AsyncClusterLink(self._target) if self._target.is_cluster else _AsyncLink(self._target)
        self._links[asyncio.get_running_loop()] = link
        return link


def _target(store: Any, namespace: str, max_connections: int) -> Target:
    if isinstance(store, str):
        return target_of(store, namespace, max_connections)
    if not is_client(store):
        raise TypeError(f"{store!r} is no store URL and no client of redis-py")
    return target_from(store, namespace, max_connections)


def _evalsha(call: Call) -> tuple[Any, ...]:
    return ("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)


def _sentinels(pool: Any) -> list[Any]:
    """Return the clients that a pool asks for the primary; none where it knows."""
    manager = getattr(pool, "sentinel_manager", None)
    return list(manager.sentinels) if manager else []


def _check_version(hello: Any, shown: str) -> None:
    """Check the server's answer to HELLO: a map, or under RESP2 a list of names and values."""
    known = hello if isinstance(hello, dict) else dict(zip(hello[::2], hello[1::2], strict=False))
    version = known.get(b"version", b"").decode()
    numbers = tuple(int(each) for each in version.split(".")[:2] if each.isdigit())
    if len(numbers) == 2 and numbers < OLDEST:
        raise too_old(version, shown)


class _Link:
    """Connections to one server, for threads."""

    def __init__(self, target: Target) -> None:
        self._shown = target.shown
        self._pool = pool_of(target)
        self._turns = Turns(target.max_connections)
        self._idle: deque[Any] = deque()
        self._connected = False

    def run(self, call: Call, patience: float) -> Any:
        patience = patience if self._connected else START_UP
        if not self._turns.enter(patience):
            raise Overloaded(f"store {self._shown}: no connection was free in time; raise max_connections")
        try:
            return self._run(call, monotonic() + patience)
        finally:
            self._turns.leave()

    def close(self) -> None:
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().disconnect()
        for sentinel in _sentinels(self._pool):
            sentinel.close()

    def _run(self, call: Call, until: float) -> Any:
        connection = self._take(until)
        try:
            reply = self._answer(connection, call, until)
        except ResponseError as error:
            self._idle.append(connection)
            raise failure(error, self._shown) from error
        except _ERRORS as error:
            connection.disconnect()
            raise failure(error, self._shown) from error
        except BaseException:
            connection.disconnect()
            raise
        self._turns.answered = monotonic()
        self._idle.append(connection)
        return reply

    def _answer(self, connection: Any, call: Call, until: float) -> Any:
        try:
            return self._exchange(connection, _evalsha(call), until)
        except NoScriptError:
            self._exchange(connection, ("SCRIPT LOAD", call.script.text), until)
            return self._exchange(connection, _evalsha(call), until)

    @staticmethod
    def _exchange(connection: Any, command: tuple[Any, ...], until: float) -> Any:
        connection.send_command(*command, check_health=False)
        return connection.read_response(disable_decoding=True, timeout=max(0.001, until - monotonic()))

    def _take(self, until: float) -> Any:
        """Return a connection that is open; one that the server has closed meanwhile is opened again."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._connect(self._pool.make_connection(), until)
        with suppress(*_ERRORS):
            if not connection.can_read(timeout=0):
                return connection
        connection.disconnect()
        return self._connect(connection, until)

    def _connect(self, connection: Any, until: float) -> Any:
        connection.socket_timeout = connection.socket_connect_timeout = max(0.001, until - monotonic())
        try:
            connection.connect()
            if not self._connected:
                _check_version(self._exchange(connection, ("HELLO",), until), self._shown)
        except _ERRORS as error:
            connection.disconnect()
            raise unreachable(error, self._shown) from error
        except BaseException:
            connection.disconnect()
            raise
        self._connected = True
        return connection


class _ClusterLink:
    """A cluster, for threads: redis-py finds the node of each key."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._turns = Turns(target.max_connections)
        self._client: Any = None
        self._lock = threading.Lock()

    def run(self, call: Call, patience: float) -> Any:
        if not self._turns.enter(patience):
            raise Overloaded(f"store {self._target.shown}: no connection was free in time; raise max_connections")
        try:
            reply = self._answer(self._connected(), call)
        except _ERRORS as error:
            raise failure(error, self._target.shown) from error
        finally:
            self._turns.leave()
        self._turns.answered = monotonic()
        return reply

    def close(self) -> None:
        client, self._client = self._client, None
        if client:
            client.close()

    def _connected(self) -> Any:
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._connect()
        return self._client

    def _connect(self) -> Any:
        client: Any = None
        try:
            client = cluster_of(self._target)
            hello = client.execute_command("HELLO", target_nodes=client.get_default_node())
            _check_version(hello, self._target.shown)
        except BaseException as error:
            if client:
                client.close()
            if isinstance(error, _ERRORS):
                raise unreachable(error, self._target.shown) from error
            raise
        return client

    @staticmethod
    def _answer(client: Any, call: Call) -> Any:
        try:
            return client.execute_command(*_evalsha(call), **{_NODE: True})
        except NoScriptError:
            node = client.get_node_from_key(call.keys[0])
            client.execute_command("SCRIPT LOAD", call.script.text, target_nodes=node)
            return _evaluated(client, call)


def _evaluated(client: Any, call: Call) -> Any:
    """Run a script by its text: a slot that is moving may be asked for at a node that has not loaded it."""
    return client.execute_command("EVAL", call.script.text, len(call.keys), *call.keys, *call.args, **{_NODE: True})


class _AsyncLink:
    """Connections to one server, for the tasks of one loop."""

    def __init__(self, target: Target) -> None:
        self._shown = target.shown
        self._pool = async_pool_of(target)
        self._turns = AsyncTurns(target.max_connections)
        self._idle: deque[Any] = deque()
        self._loop = asyncio.get_running_loop()
        self._connected = False

    async def run(self, call: Call, patience: float) -> Any:
        patience = patience if self._connected else START_UP
        turn = await self._turns.enter(patience)
        if not turn:
            raise Overloaded(f"store {self._shown}: no connection was free in time; raise max_connections")
        try:
            return await self._run(call, patience, turn)
        finally:
            self._turns.leave()

    async def aclose(self) -> None:
        while self._idle:
            await self._idle.pop().disconnect()
        for sentinel in _sentinels(self._pool):
            await sentinel.aclose()

    def abandon(self) -> None:
        """Drop the connections of a loop that has ended."""
        for connection in self._idle:
            with suppress(RuntimeError):
                connection._close()  # noqa: SLF001 - redis-py has no public way without the loop
            connection._writer = None  # noqa: SLF001
        self._idle.clear()

    async def _run(self, call: Call, patience: float, turn: Turn) -> Any:
        began = self._loop.time()
        try:
            connection = await self._take(patience)
        finally:
            self._turns.settled(turn)
        left = patience - (self._loop.time() - began)
        try:
            async with Deadline(left if left > 0 else patience):
                reply = await self._answer(connection, call)
        except ResponseError as error:
            self._idle.append(connection)
            raise failure(error, self._shown) from error
        except _ERRORS as error:
            await connection.disconnect(nowait=True)
            raise failure(error, self._shown) from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._turns.answered = self._loop.time()
        self._idle.append(connection)
        return reply

    async def _answer(self, connection: Any, call: Call) -> Any:
        try:
            return await self._exchange(connection, _evalsha(call))
        except NoScriptError:
            await self._exchange(connection, ("SCRIPT LOAD", call.script.text))
            return await self._exchange(connection, _evalsha(call))

    @staticmethod
    async def _exchange(connection: Any, command: tuple[Any, ...]) -> Any:
        await connection.send_command(*command, check_health=False)
        return await connection.read_response(disable_decoding=True)

    async def _take(self, patience: float) -> Any:
        """Return a connection that is open; one that the server has closed meanwhile is opened again."""
        if not self._idle:
            return await self._connect(self._pool.make_connection(), patience)  # type: ignore[no-untyped-call]
        connection = self._idle.pop()
        try:
            if not await connection.can_read():
                return connection
        except _ERRORS:
            pass
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        await connection.disconnect(nowait=True)
        return await self._connect(connection, patience)

    async def _connect(self, connection: Any, patience: float) -> Any:
        try:
            async with Deadline(patience, lambda: self._turns.answered + patience):
                await connection.connect()
                if not self._connected:
                    _check_version(await self._exchange(connection, ("HELLO",)), self._shown)
        except _ERRORS as error:
            await connection.disconnect(nowait=True)
            raise unreachable(error, self._shown) from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._connected = True
        return connection


class _AsyncClusterLink:
    """A cluster, for the tasks of one loop."""

    def __init__(self, target: Target) -> None:
        self._shown = target.shown
        self._turns = AsyncTurns(target.max_connections)
        self._client = async_cluster_of(target)
        self._loop = asyncio.get_running_loop()
        self._connected = False

    async def run(self, call: Call, patience: float) -> Any:
        patience = patience if self._connected else START_UP
        turn = await self._turns.enter(patience)
        if not turn:
            raise Overloaded(f"store {self._shown}: no connection was free in time; raise max_connections")
        try:
            async with Deadline(patience):
                if not self._connected:
                    await self._connect()
                reply = await self._answer(call)
        except _ERRORS as error:
            raise (failure if self._connected else unreachable)(error, self._shown) from error
        finally:
            self._turns.settled(turn)
            self._turns.leave()
        self._turns.answered = self._loop.time()
        return reply

    async def aclose(self) -> None:
        await self._client.aclose()

    def abandon(self) -> None:
        """Drop the client of a loop that has ended."""

    async def _connect(self) -> None:
        client: Any = self._client
        await client.initialize()
        hello = await client.execute_command("HELLO", target_nodes=client.get_default_node())
        _check_version(hello, self._shown)
        self._connected = True

    async def _answer(self, call: Call) -> Any:
        client: Any = self._client
        try:
            return await client.execute_command(*_evalsha(call), **{_NODE: True})
        except NoScriptError:
            node = client.get_node_from_key(call.keys[0])
            await client.execute_command("SCRIPT LOAD", call.script.text, target_nodes=node)
            command = ("EVAL", call.script.text, len(call.keys), *call.keys, *call.args)
            return await client.execute_command(*command, **{_NODE: True})


_STORES: WeakSet[RedisStore] = WeakSet()


def _reconnect_in_child() -> None:
    for store in _STORES:
        store.reconnect_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reconnect_in_child)
