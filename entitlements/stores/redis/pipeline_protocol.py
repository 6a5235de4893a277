"""
Many calls over one connection to a server, for the tasks of one event loop.

The connection is made by redis-py, with its handshake, TLS and discovery; then this takes
over its transport. Calls are written as they are, and answers go to those who wait in the
order of the calls: whoever was cancelled or has given up meanwhile has a place there all
the same, so that nobody gets the answer of another.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from contextlib import suppress
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

import hiredis

from entitlements.errors import StoreError
from entitlements.stores.redis.connection import INCOMPLETE, PUSH, reader_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from entitlements.stores.pending import Asked


AT_ONCE = 128
"""Answers that are made before those who wait for them go on: many hundreds at once outlive a pass of the collector, and bring on its long ones."""


class Exchange(asyncio.Protocol):
    """
    One connection.

    Args:
        connection: Of redis-py, connected; it is this object's from now on.
        answered: Is told whenever answers have come, or it may write again.
        refused: Takes a call with the server's error.
        lost: Is told when the connection has ended, with those whose fate is unknown.
    """

    def __init__(
        self,
        connection: Any,
        answered: Callable[[Exchange], object],
        refused: Callable[[Exchange, Asked, Exception], object],
        lost: Callable[[Exchange, BaseException | None], object],
    ) -> None:
        self.waiting: deque[Asked] = deque()
        """Whose call is sent, and not answered yet."""
        self.loading: set[bytes] = set()
        """Scripts that are on their way to the server."""
        self.takes_more = True
        """Whether calls may be written now: what was written before goes out, and the connection has not ended."""
        self._loop = asyncio.get_running_loop()
        self._hands_out = False
        """Whether more answers than `AT_ONCE` came together, and the rest is still to be handed out."""
        self._answered, self._refused, self._lost = answered, refused, lost
        self._replies = reader_of(connection)
        self._writer = connection._writer  # noqa: SLF001 - kept, as it closes its transport when it goes
        self._transport = self._writer.transport
        self._is_tls = self._transport.get_extra_info("sslcontext") is not None
        connection._reader = connection._writer = None  # noqa: SLF001 - or redis-py would close it
        self._transport.set_protocol(self)

    def send(self, calls: Iterable[Asked]) -> bool:
        """Write calls at once; False where the connection is found to have ended, and nothing of them was sent."""
        calls = tuple(calls)
        if self._write(b"".join([call[3][1] for call in calls])):
            self.waiting.extend(calls)
            return True
        return False

    def send_one(self, call: Asked) -> bool:
        """Same as `send` for one call."""
        if self._write(call[3][1]):
            self.waiting.append(call)
            return True
        return False

    def _write(self, commands: bytes) -> bool:
        """
        Write, and say whether anything of it may have been sent.

        asyncio tries at once, and closes a transport whose socket has ended; we are told only in the
        loop's next turn. Under TLS a part may have gone out before.
        """
        self._transport.write(commands)
        if not self._transport.is_closing():
            return True
        self.takes_more = False
        return self._is_tls

    def catch_up(self) -> None:
        """Hand out all answers that have come; whose answer lies here has not waited in vain."""
        if self._hands_out:
            self._hand_out(sys.maxsize)

    def close(self) -> None:
        """End the connection; whoever still waits learns it."""
        self.takes_more = False
        self._transport.abort()

    def abandon(self) -> None:
        """Let go of a connection whose loop has ended, which can close nothing any more."""
        transport, self._transport, self._writer = self._transport, None, None
        with suppress(RuntimeError):
            transport.abort()
        held = getattr(transport, "_sock", None)  # asyncio would close it once collected, and warn
        if held is not None:
            held.close()
            transport._sock = None  # noqa: SLF001 - as above
        self.waiting.clear()

    # -- what the loop calls -------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Hand out answers."""
        self._replies.feed(data)
        if not self._hands_out:
            self._hand_out()

    def _hand_out(self, most: int = AT_ONCE) -> None:
        """Hand out so many answers, and the next once those who have got theirs have gone on."""
        waiting, reply_of, now = self.waiting, self._replies.gets, monotonic_ns() // 1000
        self._hands_out = False
        try:
            for _ in range(most):
                if (reply := reply_of()) is INCOMPLETE:
                    break
                kind = type(reply)
                if kind is PUSH:
                    continue
                asked = waiting.popleft()
                answer = asked[0]
                if answer.done():
                    continue
                if kind is not bytes and isinstance(reply, Exception):
                    self._refused(self, asked, reply)
                    continue
                try:
                    answer.set_result(asked[4].heard(asked, reply, now))
                except StoreError as error:
                    answer.set_exception(asked.asker.failed(asked, error))
                except Exception as error:  # noqa: BLE001 - it is for whoever asked, and the others get their answers
                    answer.set_exception(error)
            else:
                self._hands_out = True
                self._loop.call_soon(self._hand_out)
        except (hiredis.HiredisError, IndexError):  # no answer of a Redis, or one to nobody
            self.close()
            return
        self._answered(self)

    def pause_writing(self) -> None:
        """Take notice that what was written piles up."""
        self.takes_more = False

    def resume_writing(self) -> None:
        """Take notice that it has gone out."""
        self.takes_more = not self._transport.is_closing()
        self._answered(self)

    def eof_received(self) -> None:
        """Take notice that the server hangs up; the transport closes itself."""
        self.takes_more = False

    def connection_lost(self, error: BaseException | None) -> None:
        """Take notice that the connection has ended."""
        self.takes_more = False
        self.catch_up()
        self._lost(self, error)
