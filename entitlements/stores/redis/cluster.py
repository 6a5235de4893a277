"""
Connections to a cluster: those to a single server, once for each node. For event loops see `cluster_pipeline.py`.

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

import threading
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, TryAgainError

from entitlements.errors import StoreError
from entitlements.stores.errors import Broken, Overloaded, TimedOut, Unreachable
from entitlements.stores.redis.deadlines import StartUp
from entitlements.stores.redis.encoding import pack_command
from entitlements.stores.redis.error_map import endless, map_error
from entitlements.stores.redis.pool import ConnectionPool
from entitlements.stores.redis.scripts import MAX_LOADS
from entitlements.stores.redis.topology import MAX_REDIRECTS, redirected_node, retry_pause, slot_of
from entitlements.stores.redis.url import node_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entitlements.stores.redis.encoding import Request
    from entitlements.stores.redis.topology import Topology
    from entitlements.stores.redis.url import Host, Target

READ_SLOTS = pack_command(b"CLUSTER", b"SLOTS")
_ASKING = pack_command(b"ASKING")
WAIT = (TryAgainError, ClusterDownError)
"""Errors of a node that may carry the call out later."""


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
            elif isinstance(refusal, WAIT):
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
                (reply,) = self._pool_of(node).exchange([READ_SLOTS], share)
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
        raise most_telling(found)


def most_telling(errors: Sequence[StoreError]) -> StoreError:
    """Return the most telling error of several nodes: one that waiting does not end."""
    return next((error for error in errors if error.lasts), errors[-1])
