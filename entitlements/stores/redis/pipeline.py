"""Same as `links`, for the tasks of one event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from entitlements.errors import StoreError
from entitlements.stores.errors import Overloaded, Unreachable
from entitlements.stores.pending import AS_IS, Asked, fail
from entitlements.stores.redis.clients import make_async_pool
from entitlements.stores.redis.deadlines import LONGEST_WAIT, START_UP, ExpiryTimer, longest_wait
from entitlements.stores.redis.encoding import Call, Request, pack_command
from entitlements.stores.redis.error_map import failure, is_elsewhere, unreachable
from entitlements.stores.redis.pipeline_protocol import Exchange
from entitlements.stores.redis.pool import ERRORS, check_version, sentinel_clients
from entitlements.stores.redis.scripts import MAX_LOADS, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from entitlements.model.charge import Order
    from entitlements.stores.pending import Asker
    from entitlements.stores.redis.url import Target
    from entitlements.stores.resilience.circuit_breaker import Ticket

EARLY = 16
"""Calls that wait at which they are written before the loop's turn has ended."""
MOST_WAITING = 10_000
"""Calls that wait to be sent; beyond them they are refused."""
RECONNECT = 1.0
"""Seconds for a connection after the first."""


def _as_is(reply: Any) -> Any:
    return reply


_NO_CALL = Call(Script("", b"", b""), (), ())
_HELLO = Request(_NO_CALL, pack_command(b"HELLO"), START_UP, _as_is)
_made = tuple.__new__  # a named tuple's own constructor costs three times as much


class AsyncLink:
    """
    One connection to one server, which the tasks of one loop share.

    Where nothing is under way, a call is sent at once. Otherwise it joins the next write,
    which goes out at the end of the loop's turn, or as soon as `EARLY` calls wait, so that
    the server works while the rest of them are still made. So one write and one wake-up carry
    many calls, and nobody waits for the answers of others. While there is no connection, calls
    wait for one.
    """

    def __init__(self, target: Target) -> None:
        self._shown = target.shown
        self._pool = make_async_pool(target)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Asked] = deque()
        self._exchange: Exchange | None = None
        self._retired: set[Exchange] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._was_connected = self._is_closed = False
        self._answered_at = -LONGEST_WAIT
        self._start_up_ends = monotonic() + START_UP
        self._least = START_UP
        """The smallest patience of any call."""
        self._watch = ExpiryTimer(self._loop, self._expire)

    def ask(
        self, request: Request, asker: Asker = AS_IS, order: Order | None = None, ticket: Ticket | None = None
    ) -> asyncio.Future[Any]:
        """
        Ask the server; the future brings what the asker makes of its reply, or of a `StoreError`.

        Raises:
            Overloaded: Where too many wait already.
        """
        loop, queue, exchange = self._loop, self._queue, self._exchange
        answer, now = loop.create_future(), monotonic()
        patience = request[2] if self._was_connected or now > self._start_up_ends else START_UP
        asked = _made(Asked, (answer, now, patience, request, asker, order, ticket))
        if exchange is None or not exchange.takes_more:
            if len(queue) >= MOST_WAITING:
                raise self._overloaded()
            queue.append(asked)
            self._reconnect()
        elif not exchange.waiting:
            if not exchange.send_one(asked):
                queue.append(asked)
        else:
            if len(exchange.waiting) >= MOST_WAITING:
                raise self._overloaded()
            queue.append(asked)
            if len(queue) >= EARLY:
                self._flush()
            elif len(queue) == 1:
                loop.call_soon(self._flush)
        if patience < self._least:  # noqa: PLR1730 - min() takes three times as long
            self._least = patience
        if now + patience < self._watch.fires_at:
            self._watch.schedule(now + patience)
        return answer

    def _overloaded(self) -> Overloaded:
        return Overloaded(f"store {self._shown}: {MOST_WAITING:,} calls wait for it already")

    async def open(self) -> None:
        """Connect now, so that the first call need not."""
        await self.ask(_HELLO)

    async def aclose(self) -> None:
        """Let go of the connection."""
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        self._fail_queue(Unreachable(f"store {self._shown}: it was closed"))
        self._watch.cancel()
        for exchange in self._exchanges():
            exchange.close()
        for sentinel in sentinel_clients(self._pool):
            await sentinel.aclose()

    def abandon(self) -> None:
        """Drop the connection of a loop that has ended."""
        for exchange in self._exchanges():
            exchange.abandon()
        self._exchange = None
        self._retired.clear()

    def _exchanges(self) -> list[Exchange]:
        """Return the connection that calls go out on, and those on which some may still be answered."""
        return [exchange for exchange in (self._exchange, *self._retired) if exchange is not None]

    # -- sending -------------------------------------------------------------------------

    def _flush(self) -> None:
        """Send what waits; who has given up or was cancelled is not sent for."""
        exchange, queue = self._exchange, self._queue
        if queue and exchange is not None and exchange.takes_more:
            calls = [asked for asked in queue if not asked[0].done()]
            queue.clear()
            if calls:
                self._send(exchange, calls)

    def _send(self, exchange: Exchange, calls: Sequence[Asked]) -> None:
        """Send calls; what a connection that has ended did not take goes over the next."""
        if not exchange.send(calls):
            self._queue.extend(calls)
            self._loop.call_soon(self._flush)

    def _answered(self, exchange: Exchange) -> None:
        self._answered_at = monotonic()
        if exchange is not self._exchange and not exchange.waiting:
            exchange.close()
        elif self._queue:
            self._flush()

    def _refused(self, exchange: Exchange, asked: Asked, error: Exception) -> None:
        """Fail a call for the server's error; one whose script the server lacks is sent again behind it."""
        request = asked.request
        if isinstance(error, NoScriptError) and request.times < MAX_LOADS:
            script = request.call.script
            again = asked._replace(request=request._replace(times=request.times + 1))
            self._send(exchange, (again,) if script.sha in exchange.loading else (self._load(exchange, script), again))
            return
        if is_elsewhere(error) and exchange is self._exchange:  # a name may lead to the new primary by now
            self._retire()
        fail((asked,), failure(error, self._shown), error)

    def _load(self, exchange: Exchange, script: Script) -> Asked:
        """Return the call that brings the server a script; should it fail, so does the next call of the script."""
        exchange.loading.add(script.sha)
        loaded = self._loop.create_future()

        def heard(_: object) -> None:
            exchange.loading.discard(script.sha)
            loaded.exception()  # or it would be logged

        loaded.add_done_callback(heard)
        command = pack_command(b"SCRIPT", b"LOAD", script.text)
        return Asked(loaded, monotonic(), START_UP, Request(_NO_CALL, command, START_UP, _as_is), AS_IS)

    def _lost(self, exchange: Exchange, error: BaseException | None) -> None:
        self._retired.discard(exchange)
        if self._exchange is exchange:
            self._exchange = None
        error = error or ConnectionError("the server hung up")
        fail(exchange.waiting, failure(error, self._shown), error)
        exchange.waiting.clear()
        self._reconnect()

    def _retire(self) -> None:
        """Send nothing more on this connection; who waits there may still be answered."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            if exchange.waiting:
                self._retired.add(exchange)
            else:
                exchange.close()
        self._reconnect()

    # -- connecting ----------------------------------------------------------------------

    def _reconnect(self) -> None:
        """Connect anew where calls wait to be sent."""
        if self._queue and self._exchange is None and self._connecting is None and not self._is_closed:
            self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(RECONNECT if self._was_connected else START_UP):
                await connection.connect()
                await connection.send_command("HELLO", check_health=False)
                hello = await connection.read_response(disable_decoding=True)
                check_version(hello, self._shown)
        except BaseException as error:
            self._connecting = None
            await connection.disconnect(nowait=True)
            if isinstance(error, ERRORS):
                self._fail_queue(unreachable(error, self._shown), error)
            elif isinstance(error, StoreError):
                self._fail_queue(error, error)
            else:
                self._fail_queue(Unreachable(f"store {self._shown}: connecting has ended with {error!r}"), error)
                raise
            return
        self._connecting = None
        self._was_connected = True
        self._answered_at = monotonic()
        self._exchange = Exchange(connection, self._answered, self._refused, self._lost)
        self._flush()

    # -- giving up -----------------------------------------------------------------------

    def _fail_queue(self, told: StoreError, cause: BaseException | None = None) -> None:
        queue, self._queue = self._queue, deque()
        fail(queue, told, cause)

    def let_go(self) -> None:
        """Let whoever waits go now, if somebody has waited, and nobody was answered, for as long as they may wait at most."""
        for exchange in self._exchanges():
            exchange.catch_up()
        now = monotonic()
        waiting = [self._queue, *(exchange.waiting for exchange in self._exchanges())]
        silent = now - max(self._answered_at, min([each[0].since for each in waiting if each], default=now))
        self._give_up(lambda waiting: [each for each in waiting if each.patience <= silent and not each.answer.done()])

    def _expire(self, now: float) -> float | None:
        """Answer for whoever has waited too long; return when the next will have, or None."""
        next_at: list[float] = []
        self._give_up(lambda waiting: self._late(waiting, now, next_at))
        return min(next_at, default=None)

    def _give_up(self, late_of: Callable[[Iterable[Asked]], list[Asked]]) -> None:
        """Answer for those whom *late_of* chooses, and leave a connection on which anybody has waited in vain."""
        for exchange in self._exchanges():
            exchange.catch_up()
            late = late_of(exchange.waiting)
            if late:
                fail(
                    late,
                    failure(TimeoutError("its deadline has passed"), self._shown),
                    TimeoutError("its deadline has passed"),
                )
                if exchange is self._exchange:
                    self._retire()
            if exchange in self._retired and all(asked.answer.done() for asked in exchange.waiting):
                exchange.close()
        late = late_of(self._queue)
        if late and self._exchange is None:
            fail(
                late,
                unreachable(TimeoutError("its deadline has passed"), self._shown),
                TimeoutError("its deadline has passed"),
            )
        elif late:
            fail(late, Unreachable(f"store {self._shown}: it has answered nobody in time; this was not sent"))

    def _late(self, waiting: Iterable[Asked], now: float, next_at: list[float]) -> list[Asked]:
        """Return who has waited too long, and note when the next will have; the oldest come first."""
        late = []
        for asked in waiting:
            answer, since, patience = asked[:3]
            if since + self._least > now:  # nor has anybody behind
                next_at.append(since + self._least)
                break
            if answer.done():
                continue
            until = min(max(since, self._answered_at) + patience, since + longest_wait(patience))
            if until <= now:
                late.append(asked)
            else:
                next_at.append(until)
        return late
