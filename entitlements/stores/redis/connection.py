"""One connection to a server, for one call at a time: what threads use."""

from __future__ import annotations

import select
from time import monotonic
from typing import TYPE_CHECKING, Any

import hiredis

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING = object()
"""What the parser says of a reply that has not come whole yet."""
PUSHED = getattr(hiredis, "PushNotification", None)
"""What the server sends unasked."""


class Line:
    """
    One connection, for one call at a time.

    Args:
        connection: Of `dialing`, connected; nobody else talks on it.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._socket = connection._sock.bare  # noqa: SLF001 - redis-py has no public way to it
        self._replies = hiredis.Reader(notEnoughData=NOTHING, replyError=connection._parser.parse_error)  # noqa: SLF001
        self._least = self._most = -1.0
        """Seconds left between which the socket's timeout is right enough."""
        self._arrived = _arrivals(self._socket)

    @property
    def address(self) -> str:
        """The server's address, looked up."""
        return str(self._socket.getpeername()[0])

    def is_quiet(self) -> bool:
        """Say whether nothing has come unasked: the end of the connection, most often."""
        try:
            return not (self._arrived(0) or self._replies.has_data())
        except (OSError, ValueError):  # closed under our feet
            return False

    def ask(self, command: bytes, until: float) -> Any:
        """
        Send a command and return its reply, an error of the server's included.

        Raises:
            OSError: Where the connection breaks, or *until* has come.
        """
        socket, replies = self._socket, self._replies
        if not self._least <= until - monotonic() <= self._most:
            self._wait_till(until)
        socket.sendall(command)
        self._wait_till(until)  # again, while the server works
        while True:
            data = socket.recv(65_536)
            if not data:
                raise ConnectionError("the server hung up")
            replies.feed(data)
            reply = replies.gets()
            while type(reply) is PUSHED:
                reply = replies.gets()
            if reply is not NOTHING:
                return reply
            self._wait_till(until)

    def close(self) -> None:
        """End the connection."""
        self.connection.disconnect()

    def _wait_till(self, until: float) -> None:
        """
        Let the socket wait no longer than *until*; a difference of a twentieth is not worth a system call.

        Raises:
            TimeoutError: Where *until* has come.
        """
        left = until - monotonic()
        if left <= 0:
            raise TimeoutError("its deadline has passed")
        if not self._least <= left <= self._most:
            self._least, self._most = 0.95 * left, 1.05 * left
            self._socket.settimeout(left)


def _arrivals(socket: Any) -> Callable[[int], object]:
    """Return what says at once whether anything has come on a socket; it takes 0."""
    pending = getattr(socket, "pending", None)  # what TLS has read ahead
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        look: Callable[[int], object] = poll.poll
    else:

        def look(_: int) -> object:
            return select.select([socket], [], [], 0)[0]

    return look if pending is None else lambda now: pending() or look(now)
