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
        self._timeout = -1.0
        self._arrivals = _Arrivals(self._socket)

    @property
    def address(self) -> str:
        """The server's address, looked up."""
        return str(self._socket.getpeername()[0])

    def is_quiet(self) -> bool:
        """Say whether nothing has come unasked: the end of the connection, most often."""
        return not (self._replies.has_data() or self._arrivals.any())

    def ask(self, command: bytes, until: float) -> Any:
        """
        Send a command and return its reply, an error of the server's included.

        Raises:
            OSError: Where the connection breaks, or *until* has come.
        """
        socket, reply_of = self._socket, self._replies.gets
        self._patience(until)
        socket.sendall(command)
        while (reply := reply_of()) is NOTHING or type(reply) is PUSHED:
            if reply is NOTHING:
                self._patience(until)
                data = socket.recv(65_536)
                if not data:
                    raise ConnectionError("the server hung up")
                self._replies.feed(data)
        return reply

    def close(self) -> None:
        """End the connection."""
        self.connection.disconnect()

    def _patience(self, until: float) -> None:
        """
        Let the socket wait no longer than *until*; a difference of a twentieth is not worth a system call.

        Raises:
            TimeoutError: Where *until* has come.
        """
        left = until - monotonic()
        if left <= 0:
            raise TimeoutError("its deadline has passed")
        if not 0.95 * self._timeout <= left <= 1.05 * self._timeout:
            self._timeout = left
            self._socket.settimeout(left)


class _Arrivals:
    """Says at once whether anything has come on a socket."""

    def __init__(self, socket: Any) -> None:
        self._pending = getattr(socket, "pending", None)  # what TLS has read ahead
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(socket, select.POLLIN)
            self._look: Callable[[], object] = lambda: poll.poll(0)
        else:
            self._look = lambda: select.select([socket], [], [], 0)[0]

    def any(self) -> bool:
        try:
            return bool((self._pending and self._pending()) or self._look())
        except (OSError, ValueError):  # closed under our feet
            return True
