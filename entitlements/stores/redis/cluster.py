"""
Pools to a cluster, for threads and for an event loop; redis-py finds the node of each key.

Every exception of redis-py is a `StoreError`, also one that is none of its own: it may close the connections
of a failed node under a call that is about to write, which then raises `AttributeError`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

from redis.exceptions import NoScriptError

from entitlements._fork import disown_socket
from entitlements.errors import StoreError
from entitlements.ports import Pending
from entitlements.stores.errors import Overloaded
from entitlements.stores.pending import run_in_task
from entitlements.stores.redis.clients import make_async_cluster, make_cluster
from entitlements.stores.redis.deadlines import IDLE, START_UP, StartUp, fail_after
from entitlements.stores.redis.encoding import Request
from entitlements.stores.redis.error_map import is_refused, map_error, unreachable
from entitlements.stores.redis.pool import acquire_slot, check_version
from entitlements.stores.redis.slots import AsyncSlots, SlotGrant, Slots
from entitlements.stores.redis.timed_connections import call_deadline
from entitlements.stores.redis.url import Target

_RAW = {"NEVER_DECODE": True}
"""Option of redis-py: return the reply as bytes, whatever the client decodes otherwise."""


class ClusterPool:
    """Connection pool to a cluster, for threads."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._slots = Slots(target.max_connections)
        self._client: Any = None
        self._start_up = StartUp()
        self._refresh_map: Callable[[], object] | None = None
        """Reads the map of the cluster's hash slots again; set once a node has failed."""
        self._lock = threading.Lock()
        """Held while connecting, and while the map is read."""

    def execute(self, request: Request) -> Any:
        """Send a request and return the reply."""
        started = monotonic()
        timeout = request.timeout if self._client else self._start_up.timeout(request.timeout, started)
        _, deadline = acquire_slot(self._slots, timeout, started, self._target.shown)
        try:
            client = self._connected(deadline)
            with call_deadline(deadline):
                reply = self._evaluate(client, request)
        except StoreError:
            raise
        except Exception as error:
            raise (unreachable if is_refused(error) else map_error)(error, self._target.shown) from error
        finally:
            self._slots.release()
        self._slots.answered_at = monotonic()
        return reply

    def read(self, requests: Sequence[Request]) -> list[Any]:
        """Send requests that only read, and return the replies; each goes to the node of its key."""
        return [self.execute(request) for request in requests]

    def close(self) -> None:
        """Close every connection."""
        client, self._client, self._refresh_map = self._client, None, None
        if client:
            client.close()

    def _connected(self, deadline: float) -> Any:
        client = self._client
        if client and not self._refresh_map:
            return client
        left = deadline - monotonic()
        if not self._lock.acquire(timeout=0 if client else max(0.0, left)):
            if client:  # another thread reads the map; most slots have not moved
                return client
            raise Overloaded(f"store {self._target.shown}: others have been connecting for too long")
        try:
            if not self._client:
                self._client = self._connect(deadline)
            elif refresh := self._refresh_map:
                self._refresh(self._client.nodes_manager, refresh, deadline - left / 2)
            return self._client
        finally:
            self._lock.release()

    def _connect(self, deadline: float) -> Any:
        client: Any = None
        try:
            with call_deadline(deadline, len(self._target.hosts)):
                client = make_cluster(self._target)
            with call_deadline(deadline):
                hello = client.execute_command("HELLO", target_nodes=client.get_default_node())
            check_version(hello, self._target.shown)
            self._defer_refresh(client.nodes_manager)
        except BaseException as error:
            if client:
                client.close()
            if isinstance(error, Exception) and not isinstance(error, StoreError):
                raise unreachable(error, self._target.shown) from error
            raise
        return client

    def _defer_refresh(self, manager: Any) -> None:
        """Leave reading the map to the next call: redis-py would read it in the call whose time has just run out."""
        initialize = manager.initialize

        def defer(**options: Any) -> None:
            self._refresh_map = partial(initialize, **options)

        manager.initialize = defer

    def _refresh(self, manager: Any, refresh: Callable[[], object], deadline: float) -> None:
        """Read the map; if that fails, the call goes to the slot's former node, and the next call reads the map."""
        self._refresh_map = None
        try:
            with call_deadline(deadline, len(manager.startup_nodes)):
                refresh()
        except Exception:  # noqa: BLE001 - redis-py's errors, and its accidents
            self._refresh_map = refresh

    @staticmethod
    def _evaluate(client: Any, request: Request) -> Any:
        try:
            return client.execute_command(*_evalsha(request), **_RAW)
        except NoScriptError:
            node = client.get_node_from_key(request.call.keys[0])
            client.execute_command("SCRIPT LOAD", request.call.script.text, target_nodes=node)
            return client.execute_command(*_eval(request), **_RAW)


class AsyncClusterPool:
    """Connection pool to a cluster, for one event loop."""

    def __init__(self, target: Target) -> None:
        self._shown = target.shown
        self._slots = AsyncSlots(target.max_connections)
        self._client = make_async_cluster(target)
        self._loop = asyncio.get_running_loop()
        self._connected = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def send(self, pending: Pending) -> None:
        """Execute a call in a task of its own, which resolves or rejects it; once it is sent it goes on without its caller."""
        pending.sent_at = monotonic()
        task = run_in_task(self._run(pending), pending, goes_on=True)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def expire(self) -> None:
        """Do nothing: each call keeps its own deadline."""

    async def _run(self, pending: Pending) -> Any:
        request: Request = pending.request
        timeout = request.timeout if self._connected else max(START_UP, request.timeout)
        grant = await self._slots.acquire(timeout)
        if not grant:
            raise Overloaded(f"store {self._shown}: no connection was free in time; raise max_connections")
        if pending.future.done():  # cancelled before it was sent
            self._release(grant)
            return None
        try:
            async with fail_after(timeout):
                if not self._connected:
                    await self._connect()
                reply = await self._evaluate(request)
        except StoreError:
            raise
        except Exception as error:
            known = self._connected and not is_refused(error)
            raise (map_error if known else unreachable)(error, self._shown) from error
        finally:
            self._release(grant)
        self._slots.answered_at = self._loop.time()
        return request.decode(reply)

    def _release(self, grant: SlotGrant) -> None:
        self._slots.end_opening(grant)
        self._slots.release()

    async def open(self) -> None:
        """Connect now, so that the first call need not."""
        try:
            async with fail_after(START_UP):
                await self._connect()
        except StoreError:
            raise
        except Exception as error:
            raise unreachable(error, self._shown) from error

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    def abandon(self) -> None:
        """Drop the client of a loop that has ended."""

    def disown(self) -> None:
        """Leave the connections to the parent, in a forked child."""
        for node in self._client.nodes_manager.nodes_cache.values():
            for connection in node._connections:  # noqa: SLF001 - redis-py has no public list of them
                if connection._writer is not None:  # noqa: SLF001
                    disown_socket(connection._writer.get_extra_info("socket").fileno())  # noqa: SLF001

    async def _connect(self) -> None:
        client: Any = self._client
        await client.initialize()
        hello = await client.execute_command("HELLO", target_nodes=client.get_default_node())
        check_version(hello, self._shown)
        self._connected = True

    async def _drop_ended(self, key: bytes) -> None:
        """Disconnect what a node has closed while the loop was idle or frozen, and first let the loop read that."""
        if self._loop.time() - self._slots.answered_at <= IDLE:
            return
        for _ in range(2):
            await asyncio.sleep(0)
        client: Any = self._client
        for connection in tuple(client.get_node_from_key(key)._free):  # noqa: SLF001 - redis-py does not look itself
            if (reader := connection._reader) is not None and reader.at_eof():  # noqa: SLF001
                await connection.disconnect(nowait=True)

    async def _evaluate(self, request: Request) -> Any:
        client: Any = self._client
        await self._drop_ended(request.call.keys[0])
        try:
            return await client.execute_command(*_evalsha(request), **_RAW)
        except NoScriptError:
            node = client.get_node_from_key(request.call.keys[0])
            await client.execute_command("SCRIPT LOAD", request.call.script.text, target_nodes=node)
            return await client.execute_command(*_eval(request), **_RAW)


def _evalsha(request: Request) -> tuple[Any, ...]:
    """Return a call as a command of redis-py."""
    call = request.call
    return ("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args, *request.own)


def _eval(request: Request) -> tuple[Any, ...]:
    """Return a call that carries its script: the node to which a slot is moving may not have loaded it."""
    return ("EVAL", request.call.script.text, *_evalsha(request)[2:])
