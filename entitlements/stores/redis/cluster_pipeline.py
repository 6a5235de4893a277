"""Connections of event loops to a cluster: the pipelines to its nodes; `cluster.py` says what each reply of a node means."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from redis.exceptions import AskError, MovedError

from entitlements.errors import StoreError
from entitlements.stores.errors import Overloaded, Unreachable
from entitlements.stores.pending import PendingOrder, reject_all
from entitlements.stores.redis import pipeline
from entitlements.stores.redis.cluster import READ_SLOTS, WAIT, most_telling
from entitlements.stores.redis.deadlines import PASSED, START_UP
from entitlements.stores.redis.detour import Detour
from entitlements.stores.redis.error_map import endless, map_error
from entitlements.stores.redis.pipeline import Pipeline, own_request
from entitlements.stores.redis.topology import MAX_REDIRECTS, redirected_node, retry_pause, slot_of
from entitlements.stores.redis.url import node_target

if TYPE_CHECKING:
    from entitlements.ports import Pending
    from entitlements.stores.redis.topology import Topology
    from entitlements.stores.redis.url import Host, Target


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
            raise most_telling(errors)

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
        if not isinstance(error, (AskError, *WAIT)):
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
        raise most_telling(found)

    async def _read_slots(self, node: Host, timeout: float) -> Any:  # noqa: ASYNC109 - a StoreError comes of it
        future = self._loop.create_future()
        try:
            async with asyncio.timeout(timeout):
                self._pipeline_of(node).send(PendingOrder(None, future, own_request(READ_SLOTS, START_UP)))
                return await future
        except TimeoutError as error:
            shown = node_target(self._target, node).shown
            raise Unreachable(f"store {shown}: it did not reply in time ({PASSED})") from error
