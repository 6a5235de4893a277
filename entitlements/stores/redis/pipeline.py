"""
One pipelined connection per event loop: concurrent calls are coalesced into one write.

With nothing in flight a call is sent at once. Otherwise it joins the next write, which goes out at the end of
the loop's turn, or as soon as `FLUSH_AT` calls wait, so that the server works while the rest are still made. One
write and one wake-up carry many calls, and no call waits for the replies of others. Without a connection, calls
wait for one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from redis.exceptions import NoScriptError

from entitlements.errors import StoreError
from entitlements.stores.errors import Overloaded, Unreachable
from entitlements.stores.pending import ENDED, PendingOrder, reject_all
from entitlements.stores.redis.backlog import Backlog
from entitlements.stores.redis.clients import make_async_pool
from entitlements.stores.redis.deadlines import IDLE, LONGEST_WAIT, START_UP, ExpiryTimer, longest_wait
from entitlements.stores.redis.encoding import Call, Request, pack_command
from entitlements.stores.redis.error_map import is_elsewhere, map_error, unreachable
from entitlements.stores.redis.pipeline_protocol import PipelineProtocol
from entitlements.stores.redis.pool import check_version, sentinel_clients
from entitlements.stores.redis.scripts import MAX_LOADS, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from entitlements.ports import Completable, Pending
    from entitlements.stores.redis.url import Host, Target

FLUSH_AT = 16
"""Waiting calls at which they are written before the loop's turn ends."""
MAX_WAITING = 10_000
"""Most calls that wait to be sent; further ones are rejected."""
RECONNECT_TIMEOUT = 1.0
"""Seconds for a connection after the first, or the longest timeout of a call that waits for it."""


def _as_is(reply: Any) -> Any:
    return reply


_NO_CALL = Call(Script("", b"", b""), (), ())


def own_request(command: bytes, timeout: float) -> Request:
    """Return a request of the connection's own, whose reply is not decoded."""
    return Request(_NO_CALL, command, timeout, _as_is)


class Router(Protocol):
    """The connections to a cluster, of which a pipeline leads to one node."""

    def redirect(self, node: Host, call: Pending, error: Exception, /) -> bool:
        """Take over a call that the node has refused; return False for an error that is no redirection."""
        ...

    def doubt(self, node: Host, /) -> None:
        """Note that the node has failed."""


class Pipeline:
    """
    The connection of one event loop to one server.

    Args:
        target: The server, and how to connect to it.
        router: The connections to the cluster that the server is a node of.
        node: The node.
        start_up_ends: When first connections have no more time than others, in monotonic seconds.
    """

    def __init__(
        self,
        target: Target,
        router: Router | None = None,
        node: Host = ("", 0),
        start_up_ends: float | None = None,
    ) -> None:
        self._shown = target.shown
        self._router, self._node = router, node
        self._pool = make_async_pool(target)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Pending] = deque()
        self._protocol: PipelineProtocol | None = None
        self._retired: set[PipelineProtocol] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._was_connected = self._is_closed = False
        self._is_reading = False
        """True while the queue waits for the loop to read what the server has sent."""
        self._backlog = Backlog()
        self._replied_at = -LONGEST_WAIT
        self._start_up_ends = monotonic() + START_UP if start_up_ends is None else start_up_ends
        self._least = START_UP
        """The smallest timeout of any call."""
        self._timer = ExpiryTimer(self._loop, self._expire)

    def send(self, call: Pending) -> None:
        """
        Send `call.request`, now or with the next write; resolve or reject the call later.

        Raises:
            Overloaded: If `MAX_WAITING` calls wait already, or as many as can be resolved within the call's timeout.
        """
        queue, protocol = self._queue, self._protocol
        call.sent_at = now = monotonic()
        timeout = call.request[2]
        if not self._was_connected and now <= self._start_up_ends:
            timeout = max(timeout, START_UP)
        call.timeout = timeout
        if protocol is None or not protocol.takes_more:
            if len(queue) >= MAX_WAITING:
                raise self._overloaded(len(queue))
            queue.append(call)
            self._reconnect()
        elif not protocol.in_flight and not queue:
            is_idle = now - self._replied_at > IDLE
            if (is_idle and self._may_have_ended(protocol, now)) or not protocol.write_one(call):
                queue.append(call)
        else:
            waiting = len(protocol.in_flight)
            if waiting >= MAX_WAITING or waiting * self._backlog.interval > timeout:
                raise self._overloaded(waiting)
            queue.append(call)
            if len(queue) >= FLUSH_AT:
                self._flush()
            elif len(queue) == 1:
                self._loop.call_soon(self._flush)
        if timeout < self._least:  # noqa: PLR1730 - min() takes three times as long
            self._least = timeout
        if now + timeout < self._timer.fires_at:
            self._timer.schedule(now + timeout)

    def send_asking(self, call: Pending) -> None:
        """Send ASKING and a call right behind it, which a node then carries out for a slot that it is being given."""
        now, timeout = monotonic(), call.request.timeout
        pair = (_Asking(call, own_request(pack_command(b"ASKING"), timeout)), call)
        for each in pair:
            each.sent_at, each.timeout = now, timeout
        self._queue.extend(pair)
        self._reconnect()
        self._flush()
        if now + timeout < self._timer.fires_at:
            self._timer.schedule(now + timeout)

    @property
    def is_idle(self) -> bool:
        """True while no call is queued or in flight."""
        return not self._queue and not any(protocol.in_flight for protocol in self._protocols())

    def _overloaded(self, waiting: int) -> Overloaded:
        return Overloaded(f"store {self._shown}: {waiting:,} calls wait for it already, as many as it answers in time")

    def _closed(self) -> Unreachable:
        return Unreachable(f"store {self._shown}: it was closed")

    async def open(self) -> None:
        """Connect now, so that the first call need not."""
        future = self._loop.create_future()
        self.send(PendingOrder(None, future, own_request(pack_command(b"HELLO"), START_UP)))
        await future

    async def aclose(self) -> None:
        """Close the connection."""
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        self._reject_queue(self._closed())
        self._timer.cancel()
        for protocol in self._protocols():
            protocol.close()
        for sentinel in sentinel_clients(self._pool):
            await sentinel.aclose()

    def abandon(self) -> None:
        """Drop the connection of a loop that has ended."""
        for protocol in self._protocols():
            protocol.abandon()
        self._protocol = None
        self._retired.clear()

    def disown(self) -> None:
        """Leave the connection to the parent, in a forked child."""
        self._timer.cancel()
        for protocol in self._protocols():
            protocol.disown()

    def _protocols(self) -> list[PipelineProtocol]:
        """Return the connection that calls go out on, and the retired ones that may still bring replies."""
        return [protocol for protocol in (self._protocol, *self._retired) if protocol is not None]

    # -- sending -------------------------------------------------------------------------

    def _flush(self) -> None:
        """Write what is queued, unless the connection may have ended."""
        if self._queue and self._protocol is not None and not self._may_have_ended(self._protocol, monotonic()):
            self._write_queue()

    def _may_have_ended(self, protocol: PipelineProtocol, now: float) -> bool:
        """
        Return True if the loop must read first: it has not for a while, and the server has sent something.

        That may be the end of the connection, and what is written after it is lost. Then the queue is written to
        the next connection; otherwise after the loop's next turn, which reads before.
        """
        if not self._is_reading:
            if now - self._replied_at <= IDLE or not protocol.is_readable():
                return False
            self._is_reading = True
            self._loop.call_soon(self._loop.call_soon, self._write_queue)
        return True

    def _write_queue(self) -> None:
        """Write what is queued, except calls whose caller has gone."""
        self._is_reading = False
        protocol, queue = self._protocol, self._queue
        if queue and protocol is not None and protocol.takes_more:
            calls = [call for call in queue if not call.future.done()]
            queue.clear()
            if calls:
                self._write(protocol, calls)

    def _write(self, protocol: PipelineProtocol, calls: Sequence[Pending]) -> None:
        """Write calls; queue them again if the connection has ended."""
        if protocol.write(calls):
            return
        self._queue.extend(calls)
        if self._is_closed:
            self._reject_queue(self._closed())
        else:
            self._loop.call_soon(self._flush)

    def on_replies(self, protocol: PipelineProtocol, backlog: int) -> None:
        """Go on after replies were resolved; *backlog* is their number if more wait, else 0."""
        self._replied_at = monotonic()
        if backlog:
            self._backlog.count(backlog, self._replied_at)
        elif self._backlog.began is not None:
            self._backlog.end()
        if protocol is not self._protocol and not protocol.in_flight:
            protocol.close()
        else:
            self.on_writable()

    def on_writable(self) -> None:
        """Write what is queued once the connection takes it."""
        if self._queue:
            self._write_queue()

    def on_error(self, protocol: PipelineProtocol, call: Pending, error: Exception) -> None:
        """Reject a call with the server's error; load a script that the server lacks, and send the call again."""
        request = call.request
        if isinstance(error, NoScriptError) and request.loads < MAX_LOADS:
            call.request, is_loading = (
                request._replace(loads=request.loads + 1),
                request.call.script.sha in protocol.loading,
            )
            self._write(protocol, (call,) if is_loading else (self._load(protocol, call), call))
            return
        if self._router is not None and self._router.redirect(self._node, call, error):
            return
        if is_elsewhere(error) and protocol is self._protocol:  # the name may lead to a new primary by now
            self._retire()
        reject_all((call,), map_error(error, self._shown), error)

    def _load(self, protocol: PipelineProtocol, call: Pending) -> Pending:
        """Return the call that loads a call's script; if it fails, so does the next call of the script."""
        script, timeout = call.request.call.script, max(START_UP, call.timeout)
        protocol.loading.add(script.sha)
        loaded = self._loop.create_future()

        def on_done(_: object) -> None:
            protocol.loading.discard(script.sha)
            loaded.exception()  # an exception that is never retrieved would be logged

        loaded.add_done_callback(on_done)
        command = pack_command(b"SCRIPT", b"LOAD", script.text)
        load = PendingOrder(None, loaded, own_request(command, timeout))
        load.sent_at, load.timeout = monotonic(), timeout
        return load

    def on_lost(self, protocol: PipelineProtocol, error: BaseException | None) -> None:
        """Reject the calls of a connection that has ended: their outcome is unknown."""
        self._retired.discard(protocol)
        if self._protocol is protocol:
            self._protocol = None
        error = error or ConnectionError("the server hung up")
        reject_all(protocol.in_flight, map_error(error, self._shown), error)
        protocol.in_flight.clear()
        self._doubt()
        self._reconnect()

    def _retire(self) -> None:
        """Write nothing more to this connection; replies to its calls may still arrive."""
        protocol, self._protocol = self._protocol, None
        self._doubt()
        if protocol is not None:
            if protocol.in_flight:
                self._retired.add(protocol)
            else:
                protocol.close()
        self._reconnect()

    def _doubt(self) -> None:
        if self._router is not None and not self._is_closed:
            self._router.doubt(self._node)

    # -- connecting ----------------------------------------------------------------------

    def _reconnect(self) -> None:
        """Connect if calls wait and there is no connection."""
        if self._queue and self._protocol is None and self._connecting is None and not self._is_closed:
            connecting = self._loop.create_task(self._connect())
            if not connecting.done():  # an eager task may have failed already
                self._connecting = connecting

    async def _connect(self) -> None:
        connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        least = RECONNECT_TIMEOUT if self._was_connected else START_UP
        try:
            async with asyncio.timeout(max(least, *[call.timeout for call in self._queue])):
                await connection.connect()
                await connection.send_command("HELLO", check_health=False)
                hello = await connection.read_response(disable_decoding=True)
                check_version(hello, self._shown)
        except BaseException as error:
            self._connecting = None
            self._doubt()
            await connection.disconnect(nowait=True)
            if isinstance(error, StoreError):
                self._reject_queue(error, error)
            elif isinstance(error, Exception):
                self._reject_queue(unreachable(error, self._shown), error)
            else:
                self._reject_queue(Unreachable(f"store {self._shown}: connecting has ended with {error!r}"), error)
                raise
            return
        self._connecting = None
        self._was_connected = True
        self._replied_at = monotonic()
        self._protocol = PipelineProtocol(connection, self)
        self._write_queue()

    # -- timeouts ------------------------------------------------------------------------

    def _reject_queue(self, error: StoreError, cause: BaseException | None = None) -> None:
        queue, self._queue = self._queue, deque()
        reject_all(queue, error, cause)

    def expire(self) -> None:
        """Reject the calls that have waited for their timeout, if no reply has arrived for as long."""
        for protocol in self._protocols():
            protocol.catch_up()
        now = monotonic()
        waiting = [self._queue, *(protocol.in_flight for protocol in self._protocols())]
        silent = now - max(self._replied_at, min([each[0].sent_at for each in waiting if each], default=now))
        self._reject_late(lambda calls: [call for call in calls if call.timeout <= silent and not call.future.done()])

    def _expire(self, now: float) -> float | None:
        """Reject the calls whose time is over; return when the next one's will be, or None."""
        next_at: list[float] = []
        self._reject_late(lambda calls: self._late(calls, now, next_at))
        return min(next_at, default=None)

    def _reject_late(self, late_of: Callable[[Iterable[Pending]], list[Pending]]) -> None:
        """Reject the calls that *late_of* chooses, and retire a connection that did not reply to any call in time."""
        timeout = TimeoutError("its deadline has passed")
        for protocol in self._protocols():
            protocol.catch_up()
            late = late_of(protocol.in_flight)
            if late:
                reject_all(late, map_error(timeout, self._shown), timeout)
                if protocol is self._protocol and monotonic() - self._replied_at >= late[0].timeout:
                    self._retire()
            if protocol in self._retired and all(call.future.done() for call in protocol.in_flight):
                protocol.close()
        late = late_of(self._queue)
        if late and self._protocol is None:
            reject_all(late, unreachable(timeout, self._shown), timeout)
        elif late:
            reject_all(late, Unreachable(f"store {self._shown}: no reply to any call in time; this one was not sent"))

    def _late(self, calls: Iterable[Pending], now: float, next_at: list[float]) -> list[Pending]:
        """Return the calls whose time is over, and note when the next one's will be; the oldest come first."""
        late = []
        for call in calls:
            sent_at = call.sent_at
            if sent_at + self._least > now:  # so do all behind it
                next_at.append(sent_at + self._least)
                break
            if call.future is ENDED:
                continue
            until = min(max(sent_at, self._replied_at) + call.timeout, sent_at + longest_wait(call.timeout))
            if until <= now:
                late.append(call)
            else:
                next_at.append(until)
        return late


class _Asking:
    """ASKING in front of a call: dropped with it before it is sent, and the call fails with it."""

    __slots__ = ("_call", "request", "sent_at", "timeout")
    order = None

    def __init__(self, call: Pending, request: Request) -> None:
        self._call, self.request = call, request
        self.sent_at = self.timeout = 0.0

    @property
    def future(self) -> Completable:
        """The future of the call."""
        return self._call.future

    def resolve(self, _: Any, __: int) -> None:
        """Do nothing: the call follows."""

    def reject(self, error: Exception) -> None:
        """Reject the call."""
        self._call.reject(error)
