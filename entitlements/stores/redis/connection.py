"""Blocking connection to one server, for one call at a time."""

from __future__ import annotations

import select
from time import monotonic
from typing import TYPE_CHECKING, Any

import hiredis

from entitlements.stores.redis.deadlines import PASSED

if TYPE_CHECKING:
    from collections.abc import Callable

INCOMPLETE = object()
"""Returned by a reader whose next reply has not arrived whole."""
PUSH = getattr(hiredis, "PushNotification", None)
"""Type of the messages that a server sends without a request."""


def reader_of(redis_connection: Any) -> hiredis.Reader:
    """Return a parser of replies, which returns the server's errors as redis-py's exceptions."""
    parser = redis_connection._parser  # noqa: SLF001 - redis-py has no public map from codes to exceptions
    return hiredis.Reader(notEnoughData=INCOMPLETE, replyError=parser.parse_error)


class Connection:
    """
    Blocking connection, for one call at a time, over the socket of a connection of redis-py.

    Args:
        redis_connection: Of `timed_connections`, connected, and used by this object only.
    """

    def __init__(self, redis_connection: Any) -> None:
        self.redis_connection = redis_connection
        self._socket = redis_connection._sock.bare  # noqa: SLF001 - redis-py has no public way to it
        self._replies = reader_of(redis_connection)
        self._least = self._most = -1.0
        """Range of remaining seconds for which the timeout set on the socket is accurate enough."""
        self._is_readable = readability(self._socket)

    @property
    def address(self) -> str:
        """IP address of the server."""
        return str(self._socket.getpeername()[0])

    def is_usable(self) -> bool:
        """Return whether the connection is open and has no unread data; the end of a connection reads as data."""
        try:
            return not (self._is_readable(0) or self._replies.has_data())
        except (OSError, ValueError):  # another thread has closed the socket
            return False

    def execute(self, command: bytes, deadline: float) -> Any:
        """
        Send a command and return its reply; an error of the server is returned, not raised.

        Raises:
            OSError: If the connection breaks, or *deadline* passes.
        """
        socket, replies = self._socket, self._replies
        if not self._least <= deadline - monotonic() <= self._most:
            self._limit_wait(deadline)
        socket.sendall(command)
        self._limit_wait(deadline)  # again, while the server works
        while True:
            data = socket.recv(65_536)
            if not data:
                raise ConnectionError("the server hung up")
            replies.feed(data)
            reply = replies.gets()
            while type(reply) is PUSH:
                reply = replies.gets()
            if reply is not INCOMPLETE:
                return reply
            self._limit_wait(deadline)

    def pipeline(self, commands: bytes, most: int, deadline: float) -> list[Any]:
        """Send commands at once and return their replies; raises what `execute` raises."""
        self._limit_wait(deadline)
        self._socket.sendall(commands)
        found: list[Any] = []
        while len(found) < most:
            reply = self._replies.gets()
            if reply is INCOMPLETE:
                self._limit_wait(deadline)
                data = self._socket.recv(65_536)
                if not data:
                    raise ConnectionError("the server hung up")
                self._replies.feed(data)
            elif type(reply) is not PUSH:
                found.append(reply)
        return found

    def close(self) -> None:
        """Close the connection."""
        self.redis_connection.disconnect()

    def _limit_wait(self, deadline: float) -> None:
        """
        Set the timeout of the socket, unless it differs by less than a twentieth: each change is a system call.

        Raises:
            TimeoutError: If *deadline* has passed.
        """
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError(PASSED)
        if not self._least <= left <= self._most:
            self._least, self._most = 0.95 * left, 1.05 * left
            self._socket.settimeout(left)


def readability(socket: Any) -> Callable[[int], object]:
    """Return a function that returns at once whether a socket has unread data; its argument is always 0."""
    pending = getattr(socket, "pending", None)  # decrypted data that TLS has buffered
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        is_readable: Callable[[int], object] = poll.poll
    else:

        def is_readable(_: int) -> object:
            return select.select([socket], [], [], 0)[0]

    return is_readable if pending is None else lambda timeout: pending() or is_readable(timeout)
