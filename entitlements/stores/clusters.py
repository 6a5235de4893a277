"""A cluster, for threads and for the tasks of an event loop: redis-py finds the node of each key."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from entitlements.stores.failures import Overloaded, failure, is_refused, unreachable
from entitlements.stores.links import ERRORS, check_version
from entitlements.stores.pools import START_UP, async_cluster_of, cluster_of, hurry
from entitlements.stores.turns import AsyncTurns, Deadline, Turns

if TYPE_CHECKING:
    from entitlements.stores.connecting import Target
    from entitlements.stores.wire import Call, Request

NEVER_DECODE = "NEVER_DECODE"
"""redis-py's word for: leave the answer's bytes alone, whatever the client decodes otherwise."""


class ClusterLink:
    """A cluster, for threads: redis-py finds the node of each key."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._turns = Turns(target.max_connections)
        self._clients: dict[float, Any] = {}
        """By deadline, of which a policy has few: redis-py knows one timeout for all calls of a client."""
        self._lock = threading.Lock()

    def run(self, request: Request) -> Any:
        """Same as `Link.run`."""
        patience = request.patience
        if not self._turns.enter(patience):
            raise Overloaded(f"store {self._target.shown}: no connection was free in time; raise max_connections")
        try:
            reply = self._answer(self._clients.get(patience) or self._connected(patience), request)
        except ERRORS as error:
            raise (unreachable if is_refused(error) else failure)(error, self._target.shown) from error
        finally:
            self._turns.leave()
        self._turns.answered = monotonic()
        return reply

    def close(self) -> None:
        """Let go of every connection."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def _connected(self, patience: float) -> Any:
        if not self._lock.acquire(timeout=START_UP):
            raise Overloaded(f"store {self._target.shown}: others have been connecting for too long")
        try:
            if patience not in self._clients:
                self._clients[patience] = self._connect(patience)
            return self._clients[patience]
        finally:
            self._lock.release()

    def _connect(self, patience: float) -> Any:
        client: Any = None
        try:
            client = cluster_of(self._target)
            hello = client.execute_command("HELLO", target_nodes=client.get_default_node())
            check_version(hello, self._target.shown)
            hurry(client, patience)
        except BaseException as error:
            if client:
                client.close()
            if isinstance(error, ERRORS):
                raise unreachable(error, self._target.shown) from error
            raise
        return client

    @staticmethod
    def _answer(client: Any, request: Request) -> Any:
        call = request.call
        try:
            return client.execute_command(*evalsha(call), **{NEVER_DECODE: True})
        except NoScriptError:
            node = client.get_node_from_key(call.keys[0])
            client.execute_command("SCRIPT LOAD", call.script.text, target_nodes=node)
            return evaluated(client, call)


class AsyncClusterLink:
    """A cluster, for the tasks of one loop."""

    def __init__(self, target: Target) -> None:
        self._shown = target.shown
        self._turns = AsyncTurns(target.max_connections)
        self._client = async_cluster_of(target)
        self._loop = asyncio.get_running_loop()
        self._connected = False

    async def ask(self, request: Request) -> Any:
        """Same as `AsyncLink.ask`, as a coroutine."""
        patience = request.patience if self._connected else START_UP
        turn = await self._turns.enter(patience)
        if not turn:
            raise Overloaded(f"store {self._shown}: no connection was free in time; raise max_connections")
        try:
            async with Deadline(patience):
                if not self._connected:
                    await self._connect()
                reply = await self._answer(request.call)
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

    async def _answer(self, call: Any) -> Any:
        client: Any = self._client
        try:
            return await client.execute_command(*evalsha(call), **{NEVER_DECODE: True})
        except NoScriptError:
            node = client.get_node_from_key(call.keys[0])
            await client.execute_command("SCRIPT LOAD", call.script.text, target_nodes=node)
            command = ("EVAL", call.script.text, len(call.keys), *call.keys, *call.args)
            return await client.execute_command(*command, **{NEVER_DECODE: True})


def evalsha(call: Call) -> tuple[Any, ...]:
    """Return a call as a command of redis-py."""
    return ("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)


def evaluated(client: Any, call: Call) -> Any:
    """Run a script by its text: a slot that is moving may be asked for at a node that has not loaded it."""
    return client.execute_command(
        "EVAL", call.script.text, len(call.keys), *call.keys, *call.args, **{NEVER_DECODE: True}
    )
