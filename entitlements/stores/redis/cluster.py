"""A cluster, for threads and for the tasks of an event loop: redis-py finds the node of each key."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from entitlements.stores.errors import Overloaded
from entitlements.stores.redis.clients import START_UP, async_cluster_of, cluster_of
from entitlements.stores.redis.deadlines import Deadline, longest
from entitlements.stores.redis.error_map import failure, is_refused, unreachable
from entitlements.stores.redis.pool import ERRORS, check_version
from entitlements.stores.redis.slots import AsyncTurns, Turns
from entitlements.stores.redis.timed_connections import by

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.stores.redis.encoding import Call, Request
    from entitlements.stores.redis.url import Target

NEVER_DECODE = "NEVER_DECODE"
"""redis-py's word for: leave the answer's bytes alone, whatever the client decodes otherwise."""


class ClusterLink:
    """A cluster, for threads: redis-py finds the node of each key."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._turns = Turns(target.max_connections)
        self._client: Any = None
        self._start_up_ends = inf
        """Same as of a `Link`."""
        self._ask_slots: Callable[[], object] | None = None
        """What asks for the slots anew, where a node has failed since."""
        self._lock = threading.Lock()
        """Held by whoever connects, or asks for the slots."""

    def run(self, request: Request) -> Any:
        """Same as `Link.run`."""
        came = monotonic()
        if self._start_up_ends is inf:
            self._start_up_ends = came + START_UP
        patience = request.patience if self._client or came > self._start_up_ends else START_UP
        try:
            self._turns.enter(patience)
        except TimeoutError:
            shown = self._target.shown
            raise Overloaded(f"store {shown}: no connection was free in time; raise max_connections") from None
        try:
            until = min(max(came, self._turns.answered) + patience, came + longest(patience))
            if until - monotonic() < patience / 4:  # others have had it: this says nothing of the cluster
                raise Overloaded(f"store {self._target.shown}: a connection was free too late; raise max_connections")
            reply = self._run(request, until)
        finally:
            self._turns.leave()
        self._turns.answered = monotonic()
        return reply

    def close(self) -> None:
        """Let go of every connection."""
        client, self._client, self._ask_slots = self._client, None, None
        if client:
            client.close()

    def _run(self, request: Request, until: float) -> Any:
        client = self._connected(until)
        try:
            with by(until):
                return self._answer(client, request)
        except ERRORS as error:
            raise (unreachable if is_refused(error) else failure)(error, self._target.shown) from error

    def _connected(self, until: float) -> Any:
        client = self._client
        if client and not self._ask_slots:
            return client
        left = until - monotonic()
        if not self._lock.acquire(timeout=0 if client else max(0.0, left)):
            if client:  # somebody asks for the slots; most are where they were
                return client
            raise Overloaded(f"store {self._target.shown}: others have been connecting for too long")
        try:
            if not self._client:
                self._client = self._connect(until)
            elif ask := self._ask_slots:
                self._refresh(self._client.nodes_manager, ask, until - left / 2)
            return self._client
        finally:
            self._lock.release()

    def _connect(self, until: float) -> Any:
        client: Any = None
        try:
            with by(until, len(self._target.hosts)):
                client = cluster_of(self._target)
            with by(until):
                hello = client.execute_command("HELLO", target_nodes=client.get_default_node())
            check_version(hello, self._target.shown)
            self._put_off(client.nodes_manager)
        except BaseException as error:
            if client:
                client.close()
            if isinstance(error, ERRORS):
                raise unreachable(error, self._target.shown) from error
            raise
        return client

    def _put_off(self, manager: Any) -> None:
        """Leave asking for the slots to the next order: redis-py would ask with the one that has just used its time up."""
        initialize = manager.initialize

        def later(**which: Any) -> None:
            self._ask_slots = partial(initialize, **which)

        manager.initialize = later

    def _refresh(self, manager: Any, ask: Callable[[], object], until: float) -> None:
        """Ask for the slots; where that fails the order goes to the node that had its slot, and the next asks again."""
        self._ask_slots = None
        try:
            with by(until, len(manager.startup_nodes)):
                ask()
        except ERRORS:
            self._ask_slots = ask

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
