"""
Connections of redis-py that are made, and answer, by the deadline of the call that wants them.

redis-py gives each address of a name, each sentinel, each node of a cluster and each answer
of a handshake its whole timeout anew, and a reply that drips in has it again with every
byte. Here one call has one deadline, whatever it dials and reads. Several of whom one is
enough get a fair part of the time each, so that one that is silent leaves some for the next.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Any

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LATE = "its deadline has passed"


class Deadline:
    """
    When one call must be done, over however many connections.

    Args:
        until: On the monotonic clock.
        candidates: How many may be asked one after the other until one answers.
    """

    def __init__(self, until: float, candidates: int = 1) -> None:
        self._until, self._candidates = until, candidates
        self._whose: object = None
        self._part = until

    def left(self, whose: object) -> float:
        """
        Return the seconds that a connection has: a fair part of what is left when it is first asked for.

        Raises:
            TimeoutError: Where there are none.
        """
        now = monotonic()
        if whose is not self._whose:
            self._whose, self._part = whose, now + (self._until - now) / self._candidates
            self._candidates = max(1, self._candidates - 1)
        if self._part <= now:
            raise TimeoutError(_LATE)
        return self._part - now


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def by(until: float, candidates: int = 1) -> Iterator[None]:
    """Let what redis-py does in this block, by connections of this module, be done by a `Deadline`."""
    token = _deadline.set(Deadline(until, candidates))
    try:
        yield
    finally:
        _deadline.reset(token)


class TimedSocket:
    """
    A connected socket that waits for nothing longer than the call has time.

    Args:
        bare: The socket.
        whose: The connection that it is of.
    """

    def __init__(self, bare: Any, whose: object) -> None:
        self.bare = bare
        self._whose = whose

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bare, name)

    def recv_into(self, buffer: bytearray) -> int:
        """Read what has come."""
        _limit(self.bare, self._whose)
        return int(self.bare.recv_into(buffer))

    def sendall(self, data: bytes) -> None:
        """Write all."""
        _limit(self.bare, self._whose)
        self.bare.sendall(data)


def _limit(bare: Any, whose: object) -> None:
    """Let a socket wait no longer than the call has time; without a deadline it keeps redis-py's timeout."""
    if (deadline := _deadline.get()) is not None:
        bare.settimeout(deadline.left(whose))


def _dialed(connection: Any, wrap: Callable[[Any], Any] | None = None) -> TimedSocket:
    """Return a connected socket: over TCP to the first address that answers, then through TLS to the host's name."""
    name = connection.host
    found = connection.addresses or _looked_up(connection)
    connection.addresses = found if (deadline := _deadline.get()) is not None else ()
    try:
        for place, connection.host in enumerate(found):
            if deadline is not None:
                left = deadline.left(connection)
                connection.socket_connect_timeout = left / (len(found) - place)
            connection.addresses = ()
            try:
                bare = Connection._connect(connection)  # type: ignore[no-untyped-call]  # noqa: SLF001 - as below
                break
            except OSError:
                if place == len(found) - 1:
                    raise
    finally:
        connection.host = name
    return TimedSocket(bare if wrap is None else _wrapped(bare, wrap, connection), connection)


def _wrapped(bare: Any, wrap: Callable[[Any], Any], connection: Any) -> Any:
    try:
        _limit(bare, connection)  # TLS takes the timeout of the socket for all of its handshake
        return wrap(bare)
    except BaseException:
        bare.close()
        raise


def _looked_up(connection: Any) -> tuple[str, ...]:
    return addresses_of(connection.host, connection.port, connection.socket_type)


def addresses_of(host: str, port: int, family: int = 0) -> tuple[str, ...]:
    """
    Look a name up, however long that takes.

    Raises:
        OSError: For a name that leads nowhere.
    """
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host!r} cannot be the name of a host") from error
    places = [each[4] for each in found]
    return tuple(f"{each[0]}%{each[3]}" if len(each) == 4 and each[3] else str(each[0]) for each in places)


class TimedConnection(Connection):
    """
    Over TCP.

    `addresses` are the server's, where they are known: it is dialed there, and not looked
    up. After a failure they are those that were looked up too late to be dialed.
    """

    addresses: tuple[str, ...] = ()

    def _connect(self) -> Any:  # redis-py has no public way to dial otherwise
        return _dialed(self)


class TimedSSLConnection(SSLConnection):
    """Over TLS; the certificate must be of the host's name, whatever its address."""

    addresses: tuple[str, ...] = ()

    def _connect(self) -> Any:
        return _dialed(self, self._wrap_socket_with_ssl)


class TimedUnixConnection(UnixDomainSocketConnection):
    """Over a unix socket."""

    def _connect(self) -> Any:
        if (deadline := _deadline.get()) is not None:
            self.socket_connect_timeout = deadline.left(self)
        return TimedSocket(super()._connect(), self)  # type: ignore[no-untyped-call]


class TimedSentinelConnection(SentinelManagedConnection):
    """Over TCP, to where the sentinels say."""

    addresses: tuple[str, ...] = ()

    def _connect(self) -> Any:
        return _dialed(self)


class TimedSentinelSSLConnection(SentinelManagedSSLConnection):
    """Over TLS, to where the sentinels say."""

    addresses: tuple[str, ...] = ()

    def _connect(self) -> Any:
        return _dialed(self, self._wrap_socket_with_ssl)
