"""
Connections to a cluster: those to a single server, once for each node.

A call goes to the node of its slot (`topology.py`). A node that does not carry it out says why, and has changed
nothing by then, so that the call may be sent again:

- MOVED: another node serves the slot. ASK: the slot is moving, and this key is there already, or is new; the call
  follows ASKING there.
- TRYAGAIN: the keys of the call are on both sides. CLUSTERDOWN: no node serves the slot. The call waits and is sent
  again, before its deadline.
- NOSCRIPT: the node has not loaded the script.

So an order is carried out once, by whichever node. A reply that is lost leaves that unknown, as on a single server,
and the order is repeated under its sequence number. The number is recognised where the record is: the producer's
field is part of the account's hash, which a slot that moves takes along whole (MIGRATE), and a number is settled by
account, not by node.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, TryAgainError

from entitlements.errors import StoreError
from entitlements.stores.errors import Broken, Overloaded, TimedOut, Unreachable
from entitlements.stores.pending import PendingOrder, reject_all
from entitlements.stores.redis import pipeline
from entitlements.stores.redis.deadlines import PASSED, START_UP, StartUp
from entitlements.stores.redis.detour import Detour
from entitlements.stores.redis.encoding import pack_command
from entitlements.stores.redis.error_map import endless, map_error
from entitlements.stores.redis.pipeline import Pipeline, own_request
from entitlements.stores.redis.pool import ConnectionPool
from entitlements.stores.redis.scripts import MAX_LOADS
from entitlements.stores.redis.topology import MAX_REDIRECTS, redirected_node, retry_pause, slot_of
from entitlements.stores.redis.url import node_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entitlements.ports import Pending
    from entitlements.stores.redis.encoding import Request
    from entitlements.stores.redis.topology import Topology
    from entitlements.stores.redis.url import Host, Target

_SLOTS = pack_command(b"CLUSTER", b"SLOTS")
_ASKING = pack_command(b"ASKING")
_WAIT = (TryAgainError, ClusterDownError)
"""Errors of a node that may carry the call out later."""


# -- threads -----------------------------------------------------------------------------------


class ClusterPool:
    """
    Connection pools to the nodes of a cluster, for threads.

    Args:
        target: The cluster.
        topology: Its map.
    """

    def __init__(self, target: Target, topology: Topology) -> None:
        self._target, self._topology = target, topology
        self._pools: dict[Host, ConnectionPool] = {}
        self._start_up = StartUp()
        self._lock = threading.Lock()
        """Held while the map is read for the first time."""

    def execute(self, request: Request) -> Any:
        """Send a request to the node of its key, and return the reply."""
        topology, started = self._topology, monotonic()
        if topology.is_stale:
            self._refresh(request.timeout, started)
        node = topology.by_slot[slot_of(request[0][1][0])] or topology.nodes[0]
        try:
            return (self._pools.get(node) or self._pool_of(node)).execute(request)
        except StoreError as error:
            return self._follow(request, node, error, started)

    def read(self, requests: Sequence[Request]) -> list[Any]:
        """Send requests that only read, and return the replies; those of one node share a round trip."""
        topology, timeout = self._topology, requests[0].timeout
        if topology.is_stale:
            self._refresh(timeout, monotonic())
        places: dict[Host, list[int]] = {}
        for place, request in enumerate(requests):
            node = topology.by_slot[slot_of(request.call.keys[0])] or topology.nodes[0]
            places.setdefault(node, []).append(place)
        replies: list[Any] = [None] * len(requests)
        for node, own in places.items():
            found = self._pool_of(node).exchange([requests[place].command for place in own], timeout)
            for place, reply in zip(own, found, strict=True):
                # What a node refuses (a script that it lacks, a slot that has moved) is sent again by itself.
                replies[place] = self.execute(requests[place]) if isinstance(reply, Exception) else reply
        return replies

    def close(self) -> None:
        """Close every connection that is not in use."""
        for pool in list(self._pools.values()):
            pool.close()

    def _pool_of(self, node: Host) -> ConnectionPool:
        pool = self._pools.get(node)
        if pool is None:
            pool = ConnectionPool(node_target(self._target, node), start_up=self._start_up)
            pool = self._pools.setdefault(node, pool)
        return pool

    def _follow(self, request: Request, node: Host, error: StoreError, started: float) -> Any:
        """Send a request that a node has refused where it is carried out, before its deadline; raise any other error."""
        topology, until, redirects = self._topology, started + request.timeout, 0
        while True:
            refusal, now, asks, pause = error.__cause__, monotonic(), False, 0.0
            if isinstance(refusal, AskError):
                error = endless(refusal, self._target.shown)
            if isinstance(refusal, MovedError):
                redirects += 1
                node = topology.move(refusal, node)
                pause = retry_pause(redirects, now - started)
            elif isinstance(refusal, AskError):
                asks, node = True, redirected_node(refusal, node)
            elif isinstance(refusal, _WAIT):
                pause = retry_pause(0, now - started)
            else:
                if isinstance(error, Unreachable | TimedOut | Broken):
                    topology.doubt(node)
                raise error
            if redirects > MAX_REDIRECTS or now + pause >= until:
                raise error
            if pause:
                sleep(pause)
                node = topology.by_slot[slot_of(request.call.keys[0])] or node
            again = request._replace(timeout=until - now - pause)
            try:
                return self._ask(node, again) if asks else self._pool_of(node).execute(again)
            except StoreError as failed:
                error = failed

    def _ask(self, node: Host, request: Request) -> Any:
        """Send a request behind ASKING, and the script first if the node lacks it."""
        pool, commands = self._pool_of(node), [_ASKING, request.command]
        replies = pool.exchange(commands, request.timeout)
        for _ in range(MAX_LOADS):
            if not isinstance(replies[-1], NoScriptError):
                break
            load = pack_command(b"SCRIPT", b"LOAD", request.call.script.text)
            replies = pool.exchange([load, *commands], request.timeout)
        for reply in replies:
            if isinstance(reply, Exception):
                raise map_error(reply, node_target(self._target, node).shown) from reply
        return replies[-1]

    def _refresh(self, timeout: float, started: float) -> None:
        """
        Read the map, if it is this call's turn.

        Raises:
            StoreError: If none is known yet, and no node replies with one.
        """
        topology = self._topology
        if topology.nodes:
            if topology.take_refresh(started):
                with suppress(StoreError):
                    self._load(started + timeout / 2)
            return
        until = started + self._start_up.timeout(timeout, started)
        if not self._lock.acquire(timeout=max(0.0, until - monotonic())):
            raise Overloaded(f"store {self._target.shown}: others have been connecting for too long")
        try:
            if not topology.nodes:
                self._load(until)
        finally:
            self._lock.release()

    def _load(self, until: float) -> None:
        topology, found = self._topology, []
        candidates = topology.candidates()
        for place, node in enumerate(candidates):
            share = (until - monotonic()) / (len(candidates) - place)
            try:
                (reply,) = self._pool_of(node).exchange([_SLOTS], share)
                if isinstance(reply, Exception):
                    raise map_error(reply, self._target.shown) from reply
            except StoreError as error:
                found.append(error)
                continue
            topology.learn(reply, node)
            for gone in self._pools.keys() - topology.nodes:
                if (pool := self._pools.pop(gone, None)) is not None:  # another thread may have read the map as well
                    pool.close()
            return
        raise _telling(found)


def _telling(errors: Sequence[StoreError]) -> StoreError:
    """Return the most telling error of several nodes: one that waiting does not end."""
    return next((error for error in errors if error.lasts), errors[-1])


# -- event loops -------------------------------------------------------------------------------


class ClusterPipeline:
    """
    The pipelines of one event loop to the nodes of a cluster.

    Args:
        target: The cluster.
        topology: Its map.
    """

    def __init__(self, target: Target, topology: Topology) -> None:
        self._target, self._topology = target, topology
        self._loop = asyncio.get_running_loop()
        self._pipelines: dict[Host, Pipeline] = {}
        self._held: set[Detour] = set()
        """Calls that wait for the map, or for their next attempt."""
        self._loading: asyncio.Task[None] | None = None
        self._start_up_ends = monotonic() + START_UP

    def send(self, call: Pending) -> None:
        """
        Send a call to the node of its key; resolve or reject it later.

        Raises:
            Overloaded: If too many calls wait already.
        """
        topology = self._topology
        if topology.is_stale:
            self._refresh()
        node = topology.by_slot[slot_of(call.request[0][1][0])]
        if node is None:
            if not topology.nodes:
                self._hold(call)
                return
            node = topology.nodes[0]
        (self._pipelines.get(node) or self._pipeline_of(node)).send(call)

    def expire(self) -> None:
        """Reject the calls that have waited for their timeout, at nodes that have replied to none for as long."""
        for each in list(self._pipelines.values()):
            each.expire()

    async def open(self) -> None:
        """Connect to every node now; raise if none can be reached."""
        if not self._topology.nodes:
            await self._load(START_UP)
        opening = [self._pipeline_of(node).open() for node in self._topology.nodes]
        found = await asyncio.gather(*opening, return_exceptions=True)
        errors = [error for error in found if isinstance(error, StoreError)]
        if len(errors) == len(found):
            raise _telling(errors)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._loading is not None:
            self._loading.cancel()
        self._reject_held(Unreachable(f"store {self._target.shown}: it was closed"))
        for each in list(self._pipelines.values()):
            await each.aclose()

    def abandon(self) -> None:
        """Drop the connections of a loop that has ended."""
        for each in self._pipelines.values():
            each.abandon()

    def disown(self) -> None:
        """Leave the connections to the parent, in a forked child."""
        for each in self._pipelines.values():
            each.disown()

    # -- called by the pipelines ---------------------------------------------------------

    def redirect(self, node: Host, call: Pending, error: Exception) -> bool:
        """Send a call that a node has refused where it is carried out; return False for an error of another kind."""
        if not isinstance(error, (AskError, *_WAIT)):
            return False
        shown, topology = self._target.shown, self._topology
        detour = call if isinstance(call, Detour) else Detour(call, shown)
        waited = monotonic() - detour.began
        if isinstance(error, MovedError):
            detour.redirects += 1
            send, pause = self._pipeline_of(topology.move(error, node)).send, retry_pause(detour.redirects, waited)
            detour.refusal = endless(error, shown)
        elif isinstance(error, AskError):
            send, pause = self._pipeline_of(redirected_node(error, node)).send_asking, 0.0
        else:
            send, pause = self.send, retry_pause(0, waited)
            detour.refusal = map_error(error, shown)
        if detour.redirects > MAX_REDIRECTS and detour.refusal is not None:
            detour.reject(detour.refusal)
        elif pause:
            self._held.add(detour)
            self._loop.call_later(pause, self._resume, detour)
        else:
            detour.go(send)
        return True

    def doubt(self, node: Host) -> None:
        """Note that a node has failed."""
        self._topology.doubt(node)

    # -- calls that wait -----------------------------------------------------------------

    def _hold(self, call: Pending) -> None:
        """Let a call wait for the map."""
        if len(self._held) >= pipeline.MAX_WAITING:
            raise Overloaded(f"store {self._target.shown}: {len(self._held):,} calls wait for a connection already")
        call.sent_at, call.timeout = monotonic(), call.request.timeout
        if call.sent_at <= self._start_up_ends:
            call.timeout = max(call.timeout, START_UP)
        detour = Detour(call, self._target.shown)
        detour.refusal = Unreachable(f"store {self._target.shown}: no node says in time which node serves which slot")
        self._held.add(detour)

    def _resume(self, detour: Detour) -> None:
        """Send a call that has waited to the node of its slot."""
        if detour in self._held:
            self._held.discard(detour)
            if not detour.future.done():
                detour.go(self.send)

    def _reject_held(self, error: StoreError) -> None:
        held, self._held = self._held, set()
        reject_all(held, error, error.__cause__)

    # -- the map -------------------------------------------------------------------------

    def _pipeline_of(self, node: Host) -> Pipeline:
        found = self._pipelines.get(node)
        if found is None:
            found = Pipeline(node_target(self._target, node), self, node, self._start_up_ends)
            self._pipelines[node] = found
        return found

    def _refresh(self) -> None:
        """Read the map in a task, if none does."""
        topology = self._topology
        if self._loading is not None and not self._loading.done():
            return
        if not topology.nodes:
            self._loading = self._loop.create_task(self._load_first())
        elif topology.take_refresh(monotonic()):
            self._loading = self._loop.create_task(self._load_again())

    async def _load_first(self) -> None:
        """Read the map, and send or reject the calls that wait for it."""
        await asyncio.sleep(0)  # so that the first call is among them
        try:
            await self._load(max([START_UP, *[each.request.timeout for each in self._held]]))
        except StoreError as error:
            self._reject_held(error)
        for detour in list(self._held):
            self._resume(detour)

    async def _load_again(self) -> None:
        with suppress(StoreError):
            await self._load(pipeline.RECONNECT_TIMEOUT)
            for gone in self._pipelines.keys() - self._topology.nodes:
                if self._pipelines[gone].is_idle:
                    await self._pipelines.pop(gone).aclose()

    async def _load(self, timeout: float) -> None:  # noqa: ASYNC109 - each node gets a part of it
        topology, until, found = self._topology, monotonic() + timeout, []
        candidates = topology.candidates()
        for place, node in enumerate(candidates):
            share = (until - monotonic()) / (len(candidates) - place)
            try:
                reply = await self._read_slots(node, share)
            except StoreError as error:
                found.append(error)
            else:
                topology.learn(reply, node)
                return
        raise _telling(found)

    async def _read_slots(self, node: Host, timeout: float) -> Any:  # noqa: ASYNC109 - a StoreError comes of it
        future = self._loop.create_future()
        try:
            async with asyncio.timeout(timeout):
                self._pipeline_of(node).send(PendingOrder(None, future, own_request(_SLOTS, START_UP)))
                return await future
        except TimeoutError as error:
            shown = node_target(self._target, node).shown
            raise Unreachable(f"store {shown}: it did not reply in time ({PASSED})") from error
