"""
The `asyncio.Protocol` of a pipelined connection: many calls over one socket.

redis-py makes the connection, with its handshake, TLS and discovery; then this takes over its transport.
Calls are written as they are, and replies are matched to calls in their order. A call whose caller has gone
keeps its place, so that no caller gets the reply of another.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from contextlib import suppress
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Protocol

import hiredis

from entitlements._fork import disown_socket
from entitlements.errors import StoreError
from entitlements.stores.redis.connection import INCOMPLETE, PUSH, readability, reader_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from entitlements.ports import Pending


MAX_REPLIES_PER_TURN = 128
"""Replies resolved per loop turn; larger batches survive a young pass of Python's garbage collector and cause full ones."""
LONG_TURN = 10_000
"""Microseconds of a turn after which all replies are resolved, so that new calls do not take the time of those that wait."""


class Owner(Protocol):
    """The pipeline that a connection belongs to."""

    def on_replies(self, protocol: PipelineProtocol, backlog: int, /) -> None:
        """Replies were resolved; *backlog* is their number if more wait, else 0."""

    def on_writable(self) -> None:
        """The connection can be written to again."""

    def on_error(self, protocol: PipelineProtocol, call: Pending, error: Exception, /) -> None:
        """The server has replied to a call with an error."""

    def on_lost(self, protocol: PipelineProtocol, error: BaseException | None, /) -> None:
        """The connection has ended; `in_flight` holds the calls without a reply."""


class PipelineProtocol(asyncio.Protocol):
    """
    One connection.

    Args:
        connection: A connected connection of redis-py; this object owns it from now on.
        owner: The pipeline.
    """

    def __init__(self, connection: Any, owner: Owner) -> None:
        self.in_flight: deque[Pending] = deque()
        """Calls that are sent and have no reply yet."""
        self.loading: set[bytes] = set()
        """Scripts whose SCRIPT LOAD is in flight."""
        self.takes_more = True
        """True while calls may be written: earlier ones go out, and the connection has not ended."""
        self._loop = asyncio.get_running_loop()
        self._is_resolving, self._resolved_at = False, 0
        """True if more than `MAX_REPLIES_PER_TURN` replies came together and the rest waits for the next turn."""
        self._owner = owner
        self._replies = reader_of(connection)
        self._writer = connection._writer  # noqa: SLF001 - kept, as it closes its transport when it is collected
        self._transport = self._writer.transport
        self._poll = readability(self._transport.get_extra_info("socket"))
        self._is_tls = self._transport.get_extra_info("sslcontext") is not None
        connection._reader = connection._writer = None  # noqa: SLF001 - or redis-py would close it
        self._transport.set_protocol(self)

    def write(self, calls: Iterable[Pending]) -> bool:
        """Write calls; return False if the connection has ended and nothing of them was sent."""
        calls = tuple(calls)
        if self._write(b"".join([call.request[1] for call in calls])):
            self.in_flight.extend(calls)
            return True
        return False

    def write_one(self, call: Pending) -> bool:
        """Write one call, as `write` does."""
        if self._write(call.request[1]):
            self.in_flight.append(call)
            return True
        return False

    def _write(self, commands: bytes) -> bool:
        """
        Write, and return True if any of it may have been sent.

        asyncio writes at once and closes a transport whose socket has ended; `connection_lost` comes only in
        the loop's next turn. Under TLS a part may have gone out before.
        """
        self._transport.write(commands)
        if not self._transport.is_closing():
            return True
        self.takes_more = False
        return self._is_tls

    def is_readable(self) -> object:
        """Return whether the server has sent something that the loop has not read; the end of the connection counts."""
        return self._poll(0)

    def catch_up(self) -> None:
        """Resolve every reply that has arrived: a call whose reply is here has not timed out."""
        if self._is_resolving:
            self._resolve(sys.maxsize)

    def close(self) -> None:
        """Close the connection; `on_lost` follows."""
        self.takes_more = False
        self._transport.abort()

    def disown(self) -> None:
        """Leave the connection to the parent, in a forked child."""
        self.takes_more = False
        self.in_flight.clear()
        descriptor = self._transport.get_extra_info("socket").fileno()
        if descriptor >= 0:
            disown_socket(descriptor)

    def abandon(self) -> None:
        """Drop a connection whose loop has ended and can close nothing any more."""
        transport, self._transport, self._writer = self._transport, None, None
        with suppress(RuntimeError):
            transport.abort()
        held = getattr(transport, "_sock", None)  # asyncio would close it once collected, and warn
        if held is not None:
            held.close()
            transport._sock = None  # noqa: SLF001 - as above
        self.in_flight.clear()

    # -- called by the loop --------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse and resolve replies."""
        self._replies.feed(data)
        if not self._is_resolving:
            self._resolve()

    def _resolve(self, most: int = MAX_REPLIES_PER_TURN) -> None:
        """Resolve *most* replies; the next ones in the loop's next turn, after the callers of these have run."""
        in_flight, next_reply, now = self.in_flight, self._replies.gets, monotonic_ns() // 1000
        if self._is_resolving and now - self._resolved_at > LONG_TURN:
            most = sys.maxsize
        self._is_resolving, self._resolved_at = False, now
        backlog, replied = 0, False
        try:
            for _ in range(most):
                if (reply := next_reply()) is INCOMPLETE:
                    break
                kind = type(reply)
                if kind is PUSH:
                    continue
                call = in_flight.popleft()
                replied = True
                if call.future.done():
                    continue
                if kind is not bytes and isinstance(reply, Exception):
                    self._owner.on_error(self, call, reply)
                    continue
                try:
                    call.resolve(call.request[3](reply), now)
                except StoreError as error:
                    call.reject(error)
                except Exception as error:  # noqa: BLE001 - it belongs to this caller; the others get their replies
                    call.future.set_exception(error)
            else:
                self._is_resolving, backlog = True, most
                self._loop.call_soon(self._resolve)
        except (hiredis.HiredisError, IndexError):  # not a reply of Redis, or a reply to no call
            self.close()
            return
        if replied:  # a part of a reply says nothing of the server
            self._owner.on_replies(self, backlog)

    def pause_writing(self) -> None:
        """Write nothing more while the transport's buffer is full."""
        self.takes_more = False

    def resume_writing(self) -> None:
        """Write again once the buffer has drained."""
        self.takes_more = not self._transport.is_closing()
        self._owner.on_writable()

    def eof_received(self) -> None:
        """Write nothing more once the server hangs up; the transport closes itself."""
        self.takes_more = False

    def connection_lost(self, error: BaseException | None) -> None:
        """Resolve what has arrived, and hand the rest to the pipeline."""
        self.takes_more = False
        self.catch_up()
        self._owner.on_lost(self, error)
