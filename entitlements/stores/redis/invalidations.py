"""
Invalidations by pub/sub: one connection that is subscribed to the channel of the namespace.

The script of `Invalidate` publishes the message. A server of a cluster passes it on to all others, so any of them
serves, and no slot that moves matters. A message is the account's version (8 bytes) and its id.
"""

from __future__ import annotations

from dataclasses import replace
from random import sample
from ssl import SSLWantReadError
from struct import Struct
from time import monotonic
from typing import TYPE_CHECKING, Any

from entitlements._fork import disown_socket
from entitlements.stores.redis.clients import make_pool
from entitlements.stores.redis.connection import INCOMPLETE, reader_of
from entitlements.stores.redis.encoding import pack_command
from entitlements.stores.redis.error_map import unreachable
from entitlements.stores.redis.keys import channel_name
from entitlements.stores.redis.pool import sentinel_clients
from entitlements.stores.redis.timed_connections import call_deadline
from entitlements.stores.redis.url import single_targets

if TYPE_CHECKING:
    import hiredis

    from entitlements.stores.redis.url import Target

_VERSION = Struct(">q")
_PING = pack_command(b"PING")


class RedisInvalidations:
    """
    The feed of one namespace of a server, of the primary that Sentinel names, or of any server of a cluster.

    Args:
        target: The server.
        addresses: Its addresses, where they are resolved already.
    """

    def __init__(self, target: Target, addresses: tuple[str, ...] = ()) -> None:
        self._target, self._addresses = target, addresses
        self._hosts = target.hosts
        """Sentinels, or the nodes of a cluster as they are known."""
        self._channel = channel_name(target.namespace)
        self._connection: Any = None
        self._replies: hiredis.Reader | None = None

    def __repr__(self) -> str:
        return f"store {self._target.shown}"

    def __del__(self) -> None:
        """Close what was not closed."""
        self.close()

    def connect(self, timeout: float) -> None:
        """
        Connect and subscribe.

        Raises:
            StoreError: If that fails.
        """
        until, error = monotonic() + timeout, None
        targets = single_targets(replace(self._target, hosts=self._hosts))
        for target in sample(targets, len(targets)):
            try:
                return self._subscribe(target, until)
            except Exception as failed:  # noqa: BLE001 - redis-py's errors, and its accidents
                error = failed
        raise unreachable(error, self._target.shown) from error  # type: ignore[arg-type]

    def _subscribe(self, target: Target, until: float) -> None:
        pool = make_pool(target)
        connection: Any = pool.make_connection()
        connection.addresses = self._addresses
        try:
            with call_deadline(until, 1 + len(target.hosts)):
                connection.connect()
                if self._target.is_cluster:
                    self._learn_nodes(connection)
                connection.send_command("SUBSCRIBE", self._channel, check_health=False)
                reply = connection.read_response(disable_decoding=True, push_request=True)
            if not isinstance(reply, list) or reply[0] != b"subscribe":
                raise ConnectionError(f"SUBSCRIBE was answered with {reply!r:.80}")  # noqa: TRY301 - one way out
            bare = connection._sock.bare  # noqa: SLF001 - redis-py has no public way to it
            bare.settimeout(0)
        except BaseException:
            connection.disconnect()
            raise
        finally:
            for sentinel in sentinel_clients(pool):
                sentinel.close()
        self._connection, self._replies = connection, reader_of(connection)

    def _learn_nodes(self, connection: Any) -> None:
        """Note the nodes of a cluster: those of the URL may be gone at the next connection."""
        connection.send_command("CLUSTER SLOTS", check_health=False)
        slots = connection.read_response(disable_decoding=True)
        found = {(node[0].decode(), node[1]) for slot in slots for node in slot[2:] if node[0]}
        self._hosts = tuple(dict.fromkeys((*self._target.hosts, *sorted(found))))

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return int(self._connection._sock.bare.fileno())  # noqa: SLF001 - redis-py has no public way to it

    def read(self) -> list[tuple[str, int | None]] | None:
        """
        Return what has arrived: ids of accounts, and their versions.

        Raises:
            OSError: If the connection has ended.
        """
        socket, replies = self._connection._sock.bare, self._replies  # noqa: SLF001 - redis-py has no public way to it
        assert replies is not None
        found: list[tuple[str, int | None]] | None = None
        while True:
            try:
                data = socket.recv(65_536)
            except (BlockingIOError, SSLWantReadError):
                return found
            if not data:
                raise ConnectionError("the server hung up")
            replies.feed(data)
            found = found or []
            while (reply := replies.gets()) is not INCOMPLETE:
                if isinstance(reply, list) and reply[0] == b"message":
                    found.append((reply[2][8:].decode(), _VERSION.unpack_from(reply[2])[0]))

    def ping(self) -> None:
        """Ask the server for a sign of life."""
        self._connection._sock.bare.sendall(_PING)  # noqa: SLF001 - redis-py has no public way to it

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def disown(self) -> None:
        """Leave the connection to the parent, in a forked child."""
        if self._connection is not None:
            disown_socket(self.fileno())
            self._connection = None
