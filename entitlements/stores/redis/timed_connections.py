"""
Connection classes of redis-py that connect and reply before the deadline of the current call.

redis-py applies its timeout to each address of a name, each sentinel, each node of a cluster, each
reply of a handshake, and each part of a reply. Here one call has one deadline, however many connections
and reads it needs. Candidates of which one is enough share the time, so that a silent one leaves
time for the next.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Any

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

from entitlements.stores.redis.deadlines import PASSED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Deadline:
    """
    Deadline of one call, over all connections that it uses.

    Args:
        at: In monotonic seconds.
        candidates: Number of connections that may be tried in turn until one replies.
    """

    def __init__(self, at: float, candidates: int = 1) -> None:
        self._at, self._candidates = at, candidates
        self._connection: object = None
        self._share_ends = at

    def remaining(self, connection: object) -> float:
        """
        Return the seconds left to a connection: on its first use it gets a share of what is left to the call.

        Raises:
            TimeoutError: If none are left.
        """
        now = monotonic()
        if connection is not self._connection:
            self._connection, self._share_ends = connection, now + (self._at - now) / self._candidates
            self._candidates = max(1, self._candidates - 1)
        if self._share_ends <= now:
            raise TimeoutError(PASSED)
        return self._share_ends - now


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def call_deadline(at: float, candidates: int = 1) -> Iterator[None]:
    """Apply a `Deadline` to what connections of this module do in the block."""
    token = _deadline.set(Deadline(at, candidates))
    try:
        yield
    finally:
        _deadline.reset(token)


class TimedSocket:
    """
    Connected socket that waits no longer than the deadline of the call allows.

    Args:
        bare: The socket.
        connection: The connection that owns it.
    """

    def __init__(self, bare: Any, connection: object) -> None:
        self.bare = bare
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bare, name)

    def recv_into(self, buffer: bytearray) -> int:
        """Read what has arrived, or wait for it; redis-py before 8 also looks for data with a timeout of 0."""
        if self.bare.gettimeout() != 0:
            _apply_deadline(self.bare, self._connection)
        return int(self.bare.recv_into(buffer))

    def sendall(self, data: bytes) -> None:
        """Write all of *data*."""
        _apply_deadline(self.bare, self._connection)
        self.bare.sendall(data)


def _apply_deadline(bare: Any, connection: object) -> None:
    """Set the timeout of a socket to the time left to the call; outside of `call_deadline` redis-py's stays."""
    if (deadline := _deadline.get()) is not None:
        bare.settimeout(deadline.remaining(connection))


def _connect_tcp(connection: Any, wrap_tls: Callable[[Any], Any] | None = None) -> TimedSocket:
    """Return a socket connected to the first address that answers; TLS checks the name of the host."""
    name = connection.host
    addresses = connection.addresses or resolve_host(name, connection.port, connection.socket_type)
    connection.addresses = addresses if (deadline := _deadline.get()) is not None else ()
    try:
        for index, connection.host in enumerate(addresses):
            if deadline is not None:
                connection.socket_connect_timeout = deadline.remaining(connection) / (len(addresses) - index)
            connection.addresses = ()
            try:
                bare = Connection._connect(connection)  # type: ignore[no-untyped-call]  # noqa: SLF001 - as below
                break
            except OSError:
                if index == len(addresses) - 1:
                    raise
    finally:
        connection.host = name
    return TimedSocket(bare if wrap_tls is None else _wrap(bare, wrap_tls, connection), connection)


def _connect_tls(connection: Any) -> TimedSocket:
    return _connect_tcp(connection, connection._wrap_socket_with_ssl)  # noqa: SLF001 - as below


def _wrap(bare: Any, wrap_tls: Callable[[Any], Any], connection: Any) -> Any:
    try:
        _apply_deadline(bare, connection)  # TLS uses the socket's timeout for its whole handshake
        return wrap_tls(bare)
    except BaseException:
        bare.close()
        raise


def resolve_host(host: str, port: int, family: int = 0) -> tuple[str, ...]:
    """
    Return the IP addresses of a host; no deadline applies.

    Raises:
        OSError: For a name that cannot be resolved.
    """
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host!r} cannot be the name of a host") from error
    places = [each[4] for each in found]
    return tuple(f"{each[0]}%{each[3]}" if len(each) == 4 and each[3] else str(each[0]) for each in places)


class TimedConnection(Connection):
    """
    TCP connection.

    `addresses` are those of the host if they are known; it is not resolved then. After a failed
    attempt they are those that were resolved too late to be tried.
    """

    addresses: tuple[str, ...] = ()
    _connect = _connect_tcp  # redis-py has no public way to replace it


class TimedSSLConnection(SSLConnection):
    """TLS connection; the certificate must be that of the host's name, whatever its address."""

    addresses: tuple[str, ...] = ()
    _connect = _connect_tls


class TimedUnixConnection(UnixDomainSocketConnection):
    """Connection over a unix socket."""

    def _connect(self) -> Any:
        if (deadline := _deadline.get()) is not None:
            self.socket_connect_timeout = deadline.remaining(self)
        return TimedSocket(super()._connect(), self)  # type: ignore[no-untyped-call]


class TimedSentinelConnection(SentinelManagedConnection):
    """TCP connection to the primary that the sentinels name."""

    addresses: tuple[str, ...] = ()
    _connect = _connect_tcp


class TimedSentinelSSLConnection(SentinelManagedSSLConnection):
    """TLS connection to the primary that the sentinels name."""

    addresses: tuple[str, ...] = ()
    _connect = _connect_tls
