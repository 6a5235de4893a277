"""Same as `links`, for the tasks of one event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, ResponseError

from entitlements.stores.connecting import START_UP, async_cluster_of, async_pool_of
from entitlements.stores.failures import Overloaded, failure, is_elsewhere, is_refused, unreachable
from entitlements.stores.links import ERRORS, NEVER_DECODE, check_version, evalsha, sentinels
from entitlements.stores.turns import AsyncTurns, Deadline, Turn

if TYPE_CHECKING:
    from entitlements.stores.connecting import Target
    from entitlements.stores.wire import Call


class AsyncLink:
    """Connections to one server, for the tasks of one loop."""

    def __init__(self, target: Target) -> None:
        self._shown = target.shown
        self._pool = async_pool_of(target)
        self._turns = AsyncTurns(target.max_connections)
        self._idle: deque[Any] = deque()
        self._loop = asyncio.get_running_loop()
        self._connected = False
        _discover_in_turn(self._pool)

    async def run(self, call: Call, patience: float) -> Any:
        """Same as `Link.run`."""
        patience = patience if self._connected else START_UP
        turn = await self._turns.enter(patience)
        if not turn:
            raise Overloaded(f"store {self._shown}: no connection was free in time; raise max_connections")
        try:
            return await self._run(call, patience, turn)
        finally:
            self._turns.leave()

    async def open(self) -> None:
        """Connect now, so that the first call need not."""
        turn = await self._turns.enter(START_UP)
        if turn:
            try:
                self._idle.append(await self._take(START_UP))
            finally:
                self._turns.settled(turn)
                self._turns.leave()

    async def aclose(self) -> None:
        """Let go of every connection."""
        while self._idle:
            await self._idle.pop().disconnect()
        for sentinel in sentinels(self._pool):
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
            if is_elsewhere(error):
                await connection.disconnect(nowait=True)
            else:
                self._idle.append(connection)
            raise failure(error, self._shown) from error
        except ERRORS as error:
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
            return await self._exchange(connection, evalsha(call))
        except NoScriptError:
            await self._exchange(connection, ("SCRIPT LOAD", call.script.text))
            return await self._exchange(connection, evalsha(call))

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
        except ERRORS:
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
                    check_version(await self._exchange(connection, ("HELLO",)), self._shown)
        except ERRORS as error:
            await connection.disconnect(nowait=True)
            raise unreachable(error, self._shown) from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._connected = True
        return connection


def _discover_in_turn(pool: Any) -> None:
    """Let tasks ask the sentinels one after another: redis-py reorders them meanwhile, and two at once lose one."""
    manager = getattr(pool, "sentinel_manager", None)
    if manager is None:
        return
    discover, turn = manager.discover_master, asyncio.Lock()

    async def discover_in_turn(service: str) -> Any:
        async with turn:
            return await discover(service)

    manager.discover_master = discover_in_turn


class AsyncClusterLink:
    """A cluster, for the tasks of one loop."""

    def __init__(self, target: Target) -> None:
        self._shown = target.shown
        self._turns = AsyncTurns(target.max_connections)
        self._client = async_cluster_of(target)
        self._loop = asyncio.get_running_loop()
        self._connected = False

    async def run(self, call: Call, patience: float) -> Any:
        """Same as `Link.run`."""
        patience = patience if self._connected else START_UP
        turn = await self._turns.enter(patience)
        if not turn:
            raise Overloaded(f"store {self._shown}: no connection was free in time; raise max_connections")
        try:
            async with Deadline(patience):
                if not self._connected:
                    await self._connect()
                reply = await self._answer(call)
        except ERRORS as error:
            known = self._connected and not is_refused(error)
            raise (failure if known else unreachable)(error, self._shown) from error
        finally:
            self._turns.settled(turn)
            self._turns.leave()
        self._turns.answered = self._loop.time()
        return reply

    async def open(self) -> None:
        """Same as `AsyncLink.open`."""
        try:
            async with Deadline(START_UP):
                await self._connect()
        except ERRORS as error:
            raise unreachable(error, self._shown) from error

    async def aclose(self) -> None:
        """Let go of every connection."""
        await self._client.aclose()

    def abandon(self) -> None:
        """Drop the client of a loop that has ended."""

    async def _connect(self) -> None:
        client: Any = self._client
        await client.initialize()
        hello = await client.execute_command("HELLO", target_nodes=client.get_default_node())
        check_version(hello, self._shown)
        self._connected = True

    async def _answer(self, call: Call) -> Any:
        client: Any = self._client
        try:
            return await client.execute_command(*evalsha(call), **{NEVER_DECODE: True})
        except NoScriptError:
            node = client.get_node_from_key(call.keys[0])
            await client.execute_command("SCRIPT LOAD", call.script.text, target_nodes=node)
            command = ("EVAL", call.script.text, len(call.keys), *call.keys, *call.args)
            return await client.execute_command(*command, **{NEVER_DECODE: True})
